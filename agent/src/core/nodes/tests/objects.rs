//! Clusters as kubectl prints them.

use crate::core::nodes::objects::cluster;

/// A cluster of Calico's with one of everything that matters, and of what must not be taken.
const LIST: &str = r#"{"kind": "List", "apiVersion": "v1", "items": [
  {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1", "annotations": {
    "projectcalico.org/IPv4Address": "10.64.0.21/22", "projectcalico.org/IPv6Address": "fd00:64::21/64",
    "projectcalico.org/ASNumber": "64601"}},
   "spec": {"podCIDRs": ["10.99.0.0/24"]}},
  {"kind": "Node", "apiVersion": "projectcalico.org/v3", "metadata": {"name": "n2"},
   "spec": {"bgp": {"ipv4Address": "10.64.0.22/22", "ipv6Address": "fd00:64::22/64", "asNumber": "1.10", "routeReflectorClusterID": "244.0.0.1"}}},
  {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n3"}, "spec": {}},
  {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n4", "annotations": {
    "projectcalico.org/RouteReflectorClusterID": "244.0.0.1"}}, "spec": {}},
  {"kind": "IPPool", "metadata": {"name": "a"}, "spec": {"cidr": "10.67.0.0/16", "blockSize": 27}},
  {"kind": "IPPool", "metadata": {"name": "b"}, "spec": {"cidr": "fd00:67::/64"}},
  {"kind": "BlockAffinity", "metadata": {"name": "x"}, "spec": {"cidr": "10.67.128.0/27", "node": "n1", "state": "confirmed", "type": "host", "deleted": "false"}},
  {"kind": "BlockAffinity", "metadata": {"name": "x"}, "spec": {"cidr": "10.67.129.0/27", "node": "n1", "state": "confirmed", "deleted": "true"}},
  {"kind": "BlockAffinity", "metadata": {"name": "x"}, "spec": {"cidr": "10.67.130.0/27", "node": "n1", "state": "pendingDeletion", "deleted": false}},
  {"kind": "BlockAffinity", "metadata": {"name": "x"}, "spec": {"cidr": "10.67.131.0/27", "node": "n1", "state": "confirmed", "type": "virtual"}},
  {"kind": "BlockAffinity", "metadata": {"name": "x"}, "spec": {"cidr": "10.67.132.0/27", "node": "n2", "state": "confirmed", "deleted": true}},
  {"kind": "BGPConfiguration", "metadata": {"name": "default"}, "spec": {"asNumber": 64512,
   "serviceClusterIPs": [{"cidr": "10.96.0.0/12"}], "serviceExternalIPs": [{"cidr": "203.0.113.0/24"}],
   "serviceLoadBalancerIPs": [{"cidr": "198.51.100.0/24"}]}},
  {"kind": "BGPConfiguration", "metadata": {"name": "node.n1"}, "spec": {"asNumber": 1}},
  {"kind": "Pod", "metadata": {"name": "x"}, "spec": {"cidr": 7}}
]}"#;

#[test]
fn a_list_of_objects_is_read_and_what_is_deleted_pending_or_virtual_is_left_out() {
    let found = cluster(LIST.as_bytes()).expect("a cluster");
    let nodes: Vec<_> = found
        .nodes
        .iter()
        .map(|(name, node)| {
            let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
            (name.as_str(), addresses.join(" "), node.asn, node.is_reflector)
        })
        .collect();
    assert_eq!(
        nodes,
        [
            ("n1", "10.64.0.21 fd00:64::21".to_owned(), Some(64_601), false),
            ("n2", "10.64.0.22 fd00:64::22".to_owned(), Some(65_546), true),
            ("n3", String::new(), None, false),
            ("n4", String::new(), None, true),
        ]
    );
    let pools: Vec<_> =
        found.pools.iter().map(|pool| format!("{} /{}", pool.cidr, pool.block_size)).collect();
    assert_eq!(pools, ["10.67.0.0/16 /27", "fd00:67::/64 /122"]);
    let blocks: Vec<_> = found.blocks.iter().map(|(block, node)| format!("{block} {node}")).collect();
    assert_eq!(blocks, ["10.67.128.0/27 n1"]);
    let services: Vec<_> = found.service_cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(services, ["10.96.0.0/12", "198.51.100.0/24", "203.0.113.0/24"]);
    assert_eq!(found.asn, Some(64_512));
}

#[test]
fn without_calicos_ipam_a_node_has_the_blocks_that_kubernetes_gave_it() {
    let text = r#"{"items": [{"kind": "Node", "metadata": {"name": "n1"}, "spec": {"podCIDRs": ["10.99.0.0/24", "fd00:99::/64"]}}]}"#;
    let blocks = cluster(text.as_bytes()).expect("a cluster").blocks;
    let blocks: Vec<_> = blocks.iter().map(|(block, node)| format!("{block} {node}")).collect();
    assert_eq!(blocks, ["10.99.0.0/24 n1", "fd00:99::/64 n1"]);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let with = |item: &str| {
        cluster(format!("{{\"items\": [{item}]}}").as_bytes()).expect_err("an error").to_string()
    };
    for (item, words) in [
        (
            r#"{"kind": "IPPool", "metadata": {"name": "a"}, "spec": {"cidr": "10.67.0.1/16"}}"#,
            "item 0 (IPPool a): spec.cidr: expected a prefix, found \"10.67.0.1/16\"",
        ),
        (
            r#"{"kind": "IPPool", "metadata": {"name": "a"}, "spec": {"cidr": "10.67.0.0/16", "blockSize": 8}}"#,
            "spec.blockSize: expected a length of blocks in the pool, found 8",
        ),
        (
            r#"{"kind": "BlockAffinity", "metadata": {"name": "b"}, "spec": {"cidr": "10.67.0.0/26"}}"#,
            "spec.node",
        ),
        (
            r#"{"kind": "BlockAffinity", "metadata": {"name": "b"}, "spec": {}}"#,
            "spec.cidr: expected a prefix, found nothing",
        ),
        (
            r#"{"kind": "Node", "metadata": {"name": "n", "annotations": {"projectcalico.org/IPv4Address": 7}}}"#,
            "metadata.annotations.projectcalico.org/IPv4Address: expected an address",
        ),
        (
            r#"{"kind": "BGPConfiguration", "metadata": {"name": "default"}, "spec": {"serviceClusterIPs": ["x"]}}"#,
            "spec.serviceClusterIPs: expected prefixes",
        ),
        (
            r#"{"kind": "BGPConfiguration", "metadata": {"name": "default"}, "spec": {"asNumber": -1}}"#,
            "expected an AS number",
        ),
    ] {
        let said = with(item);
        assert!(said.contains(words), "{said}");
    }
    assert!(cluster(b"[]").expect_err("an error").to_string().contains("expected a list"));
    assert!(cluster(b"{").expect_err("an error").to_string().starts_with("line 1, column"));
}
