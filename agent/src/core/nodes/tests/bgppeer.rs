//! What Calico is told.

use crate::core::nodes::bgppeer::{CRD, Wanted, objects, yaml};

#[test]
fn calico_gets_a_peer_for_each_family_and_a_filter_that_takes_nothing_and_tells_nothing_of_others() {
    let wanted = Wanted { name: "LVS1019_a", selector: "rack == \"a\"", api: CRD, is_reflector: false };
    let addresses = ["10.64.1.19".parse().unwrap(), "fd00:64::19".parse().unwrap()];
    let made = objects(&wanted, 64_600, &addresses);
    assert_eq!(
        yaml(&made),
        r#"apiVersion: crd.projectcalico.org/v1
kind: BGPPeer
metadata:
  name: lvs1019-a-ipv4
spec:
  peerIP: "10.64.1.19"
  asNumber: 64600
  nodeSelector: "rack == \"a\""
  filters: [lvs-import-none]
---
apiVersion: crd.projectcalico.org/v1
kind: BGPPeer
metadata:
  name: lvs1019-a-ipv6
spec:
  peerIP: "fd00:64::19"
  asNumber: 64600
  nodeSelector: "rack == \"a\""
  filters: [lvs-import-none]
---
# The export rules keep nodes from telling one another's routes. Leave them
# out where `kubectl explain bgpfilters.spec.exportV4` shows no `source`
# (Calico before 3.28 may not): they would reject everything; and where
# only the nodes' route reflectors talk to the balancer.
apiVersion: crd.projectcalico.org/v1
kind: BGPFilter
metadata:
  name: lvs-import-none
spec:
  importV4: [{action: Reject}]
  exportV4: [{action: Reject, source: RemotePeers}]
  importV6: [{action: Reject}]
  exportV6: [{action: Reject, source: RemotePeers}]
"#
    );
    assert!(yaml(&made).lines().all(|line| line.len() <= 80), "it fits a terminal");
    let json = serde_json::to_value(&made).unwrap();
    assert_eq!(json[0]["spec"]["peerIP"], "10.64.1.19");
    assert_eq!(json[2]["spec"]["importV6"][0], serde_json::json!({ "action": "Reject" }));
    assert_eq!(
        json[2]["spec"]["exportV4"][0],
        serde_json::json!({ "action": "Reject", "source": "RemotePeers" })
    );
}

#[test]
fn of_a_reflector_nodes_take_what_it_tells_and_the_mesh_ends_last() {
    let wanted = Wanted { name: "lvs1019", selector: "all()", api: CRD, is_reflector: true };
    let made = objects(&wanted, 64_512, &["10.64.1.19".parse().unwrap()]);
    assert_eq!(
        yaml(&made),
        r#"apiVersion: crd.projectcalico.org/v1
kind: BGPPeer
metadata:
  name: lvs1019-ipv4
spec:
  peerIP: "10.64.1.19"
  asNumber: 64512
  nodeSelector: "all()"
---
# Ends the nodes' mesh: not before `lvsctl nodes` has every session as
# Established, on each balancer. Nodes with an AS number of their own need
# this one.
apiVersion: crd.projectcalico.org/v1
kind: BGPConfiguration
metadata:
  name: default
spec:
  asNumber: 64512
  nodeToNodeMeshEnabled: false
"#
    );
    assert!(yaml(&made).lines().all(|line| line.len() <= 80), "it fits a terminal");
    let json = serde_json::to_value(&made).unwrap();
    assert_eq!(json[0]["spec"].get("filters"), None);
    assert_eq!(json[1]["spec"]["nodeToNodeMeshEnabled"], false);
}
