//! Calico's etcd datastore as the source of `[nodes]`: keys and values as calicoctl and calico-node write them.

use crate::proxy::Path;
use crate::server::{Plan, Server};
use crate::watched::{quick, settings};
use lvsd::config::{EtcdSettings, EtcdVersion};
use lvsd::core::nodes::Cluster;
use lvsd::sources::etcd::CalicoKeys;
use lvsd::sources::{Said, Source};
use std::time::Duration;

/// Longest that a slow machine may take for a change to arrive.
const LIMIT: Duration = Duration::from_secs(120);

const RESOURCES: &str = "/calico/resources/v3/projectcalico.org";
const BLOCK: &str = "ipv4/block/10.67.1.0-26";
const CONFIRMED: &str = r#"{"state":"confirmed","deleted":false}"#;

/// The source, and what it said last.
struct Watched {
    source: CalicoKeys,
    said: Result<Cluster, String>,
}

impl Watched {
    fn new(settings: EtcdSettings) -> Self {
        let source = CalicoKeys::new(settings);
        Self { source, said: Err("nothing yet".into()) }
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&Result<Cluster, String>) -> bool) {
        let listening = async {
            while !is_so(&self.said) {
                let Said::Cluster(said) = self.source.next().await else { panic!("it says something else") };
                self.said = said;
            }
        };
        let heard = tokio::time::timeout(LIMIT, listening).await;
        assert!(heard.is_ok(), "waited for {what}; it says {:#?}", self.said);
    }

    /// Listens until the cluster is this: nodes as `n1=10.64.0.21@64611`, blocks as `10.67.1.0/26>n1`, in their order.
    async fn until_it_is(&mut self, words: &str) {
        self.until(words, |said| said.as_ref().is_ok_and(|cluster| in_short(cluster) == words)).await;
    }

    async fn until_away(&mut self, words: &str) {
        self.until(words, |said| said.as_ref().is_err_and(|why| why.contains(words))).await;
    }
}

fn in_short(cluster: &Cluster) -> String {
    let node = |(name, node): (&String, &lvsd::core::nodes::ClusterNode)| {
        let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
        let asn = node.asn.map_or_else(String::new, |asn| format!("@{asn}"));
        format!("{name}={}{asn}", addresses.join(","))
    };
    let nodes = cluster.nodes.iter().map(node);
    let blocks = cluster.blocks.iter().map(|(block, owner)| format!("{block}>{owner}"));
    nodes.chain(blocks).collect::<Vec<_>>().join(" ")
}

fn put(server: &Server, key: &str, value: &str) {
    server.etcdctl(&["put", "--", key, value]);
}

fn put_node(server: &Server, name: &str, address: &str, asn: &str) {
    let metadata = format!(
        r#"{{"name":"{name}","uid":"8d2c46b6-9b2f-4e0c-8f5a-6f7c1a1c2f0b","creationTimestamp":"2026-01-12T09:14:51Z"}}"#
    );
    let value = format!(
        r#"{{"kind":"Node","apiVersion":"projectcalico.org/v3","metadata":{metadata},"spec":{{"bgp":{{"ipv4Address":"{address}/22"{asn}}}}},"status":{{}}}}"#
    );
    put(server, &format!("{RESOURCES}/nodes/{name}"), &value);
}

/// A pool, the configuration, and a node with a block.
fn furnish(server: &Server) {
    let kind = |kind: &str, name: &str, spec: &str| {
        format!(
            r#"{{"kind":"{kind}","apiVersion":"projectcalico.org/v3","metadata":{{"name":"{name}"}},"spec":{spec}}}"#
        )
    };
    let pool = kind("IPPool", "pods", r#"{"cidr":"10.67.0.0/16","ipipMode":"Never","blockSize":26}"#);
    put(server, &format!("{RESOURCES}/ippools/pods"), &pool);
    let bgp = r#"{"asNumber":64601,"serviceClusterIPs":[{"cidr":"10.96.0.0/12"}]}"#;
    put(server, &format!("{RESOURCES}/bgpconfigurations/default"), &kind("BGPConfiguration", "default", bgp));
    let peer = kind(
        "BGPPeer",
        "lvs1019-ipv4",
        r#"{"peerIP":"10.64.1.19","asNumber":64600,"filters":["lvs-import-none"]}"#,
    );
    put(server, &format!("{RESOURCES}/bgppeers/lvs1019-ipv4"), &peer);
    // What is of no matter here: a workload, a policy, an address of a pod, the block's own object.
    put(server, &format!("{RESOURCES}/workloadendpoints/default/n1-k8s-web-eth0"), "no JSON");
    put(server, &format!("{RESOURCES}/networkpolicies/default/web"), "no JSON");
    put(server, "/calico/ipam/v2/handle/k8s-pod-network.1f", "no JSON");
    put(server, "/calico/ipam/v2/assignment/ipv4/block/10.67.1.0-26", r#"{"affinity":"host:n1"}"#);
    put_node(server, "n1", "10.64.0.21", r#","asNumber":64611"#);
    put(server, &format!("/calico/ipam/v2/host/n1/{BLOCK}"), CONFIRMED);
}

#[tokio::test]
async fn nodes_of_calicos_etcd_join_move_and_leave_and_blocks_follow_them() {
    let server = Server::start(Plan::alone());
    furnish(&server);
    let mut watched = Watched::new(settings(EtcdVersion::V3, &[server.plan.client]));
    watched.until_it_is("n1=10.64.0.21@64611 10.67.1.0/26>n1").await;
    let known = watched.said.as_ref().unwrap();
    assert_eq!((known.asn, known.pools.len(), known.service_cidrs.len()), (Some(64601), 1, 1));
    let peer = &known.peers.as_ref().unwrap()["lvs1019-ipv4"];
    assert_eq!((peer.address.to_string(), peer.asn), ("10.64.1.19".to_owned(), Some(64600)));
    server.etcdctl(&["del", &format!("{RESOURCES}/bgppeers/lvs1019-ipv4")]);
    watched
        .until("no peer", |said| {
            said.as_ref().is_ok_and(|cluster| cluster.peers.as_ref().is_some_and(|peers| peers.is_empty()))
        })
        .await;

    put_node(&server, "n2", "10.64.0.22", "");
    watched.until_it_is("n1=10.64.0.21@64611 n2=10.64.0.22 10.67.1.0/26>n1").await;
    put_node(&server, "n1", "10.64.1.21", r#","asNumber":"1.10""#);
    watched.until_it_is("n1=10.64.1.21@65546 n2=10.64.0.22 10.67.1.0/26>n1").await;

    // A block moves, and one is not confirmed yet; an older Calico writes no value for a confirmed one.
    put(&server, "/calico/ipam/v2/host/n2/ipv4/block/10.67.2.0-26", r#"{"state":"pending"}"#);
    server.txn(&format!(
        "del /calico/ipam/v2/host/n1/{BLOCK}\nput /calico/ipam/v2/host/n2/{BLOCK} \"\"\nput /calico/ipam/v2/host/n2/ipv6/block/fd00:67::40-122 \"\""
    ));
    watched.until_it_is("n1=10.64.1.21@65546 n2=10.64.0.22 10.67.1.0/26>n2 fd00:67::40/122>n2").await;

    server.etcdctl(&["del", &format!("{RESOURCES}/nodes/n1")]);
    watched.until_it_is("n2=10.64.0.22 10.67.1.0/26>n2 fd00:67::40/122>n2").await;

    // A value that is damaged takes nobody out: it is an error with its key.
    put(&server, &format!("{RESOURCES}/nodes/n2"), "{");
    watched.until_away("/nodes/n2: EOF while parsing").await;
    put_node(&server, "n2", "10.64.0.22", "");
    watched.until_it_is("n2=10.64.0.22 10.67.1.0/26>n2 fd00:67::40/122>n2").await;
}

#[tokio::test]
async fn nothing_of_calicos_goes_while_its_etcd_is_away_and_what_changed_meanwhile_is_read() {
    let server = Server::start(Plan::alone());
    furnish(&server);
    let path = Path::to(server.plan.client).await;
    let mut watched = Watched::new(quick(EtcdVersion::V3, &[path.port]));
    watched.until_it_is("n1=10.64.0.21@64611 10.67.1.0/26>n1").await;

    // Its history is compacted while nobody hears it: everything is listed again.
    path.cut();
    watched.until_away("http://127.0.0.1:").await;
    put_node(&server, "n2", "10.64.0.22", "");
    server.etcdctl(&["del", &format!("/calico/ipam/v2/host/n1/{BLOCK}")]);
    put(&server, &format!("/calico/ipam/v2/host/n2/{BLOCK}"), CONFIRMED);
    let status = server.etcdctl(&["get", "nothing", "--write-out", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    server.etcdctl(&["compact", &status["header"]["revision"].to_string()]);
    path.mend();
    watched.until_it_is("n1=10.64.0.21@64611 n2=10.64.0.22 10.67.1.0/26>n2").await;

    // The server is killed, and comes back with what it had.
    let (plan, directory) = server.kill();
    watched.until_away("http://127.0.0.1:").await;
    let server = Server::launch(plan, directory);
    server.wait();
    watched.until_it_is("n1=10.64.0.21@64611 n2=10.64.0.22 10.67.1.0/26>n2").await;
    server.etcdctl(&["del", &format!("{RESOURCES}/nodes/n1")]);
    watched.until_it_is("n2=10.64.0.22 10.67.1.0/26>n2").await;
}

#[tokio::test]
async fn a_member_that_is_killed_is_not_missed_by_calicos_nodes() {
    let plans = Plan::cluster(3).into_iter();
    let mut servers: Vec<_> = plans.map(|plan| Server::launch(plan, tempfile::tempdir().unwrap())).collect();
    servers.iter().for_each(Server::wait);
    furnish(&servers[2]);
    let ports: Vec<u16> = servers.iter().map(|server| server.plan.client).collect();
    let mut watched = Watched::new(settings(EtcdVersion::V3, &ports));
    watched.until_it_is("n1=10.64.0.21@64611 10.67.1.0/26>n1").await;
    drop(servers.remove(0).kill());
    servers[1].wait();
    put_node(&servers[1], "n2", "10.64.0.22", "");
    let listening = async {
        loop {
            let said = watched.source.next().await;
            let Said::Cluster(Ok(cluster)) = said else { panic!("it was missed: {said:?}") };
            if cluster.nodes.len() == 2 {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, listening).await.unwrap();
}
