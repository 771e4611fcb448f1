//! `[nodes]`.

use super::{error, errors, good};
use crate::config::{BlockCheck, ClusterPlace, Family, NodeMode, NodeRoutes, Secret};
use std::time::Duration;

const FULL: &str = include_str!("full.toml");

const BGP: &str = "[bgp]\nlocal_asn = 64600\nrouter_id = \"10.64.0.1\"\n\
                   peer = [{name = \"r1\", address = \"10.64.0.251\", asn = 65001}]\n";

/// Six lines with the speaker, then `[nodes]` with a pool.
fn nodes(lines: &str) -> String {
    format!("{BGP}[nodes]\nmode = \"static\"\npool = [{{cidr = \"10.67.0.0/16\"}}]\n{lines}")
}

#[test]
fn the_nodes_are_read_in_full() {
    let nodes = good(FULL).nodes.expect("there is a [nodes]");
    assert_eq!(
        (nodes.mode, nodes.routes, nodes.blocks),
        (NodeMode::Listen, NodeRoutes::Datastore, BlockCheck::Enforce)
    );
    assert_eq!((nodes.asn, nodes.multihop, nodes.max_prefixes), (Some(4_200_000_001), 2, Some(500)));
    assert_eq!((nodes.hold_time, nodes.hold_off), (Duration::from_secs(30), Duration::from_secs(60)));
    assert_eq!(nodes.families, [Family::Ipv6].into());
    assert_eq!((nodes.local_ipv4, nodes.local_ipv6), ("10.64.0.1".parse().ok(), "fd00:64::1".parse().ok()));
    assert_eq!(nodes.cluster, Some(ClusterPlace::File("/etc/lvsd/cluster.json".into())));
    let password = nodes.password.as_ref().and_then(Secret::password);
    assert!(password.is_some(), "the nodes' password is read from its file");
    assert_eq!(nodes.service_cidrs, ["10.96.0.0/12".parse().expect("a prefix")].into());
    assert_eq!((nodes.pools[0].cidr.to_string(), nodes.pools[0].block_size), ("10.67.0.0/16".to_owned(), 27));
    let fib = nodes.fib;
    assert_eq!(
        (fib.table.get(), fib.protocol.get(), fib.metric.get(), fib.priority.get()),
        (78, 78, 99, 20_000)
    );
    assert_eq!(fib.off_link, crate::fib::OffLink::Resolve);
    let node = &nodes.nodes[0];
    assert_eq!(
        (node.name.as_str(), node.asn, node.port, node.is_reflector),
        ("n1", Some(4_200_000_001), 1179, true)
    );
    assert_eq!(node.addresses.len(), 2);
    assert_eq!(
        (nodes.listen[0].prefix.to_string(), nodes.listen[0].asn),
        ("10.64.0.0/22".to_owned(), 4_200_000_001)
    );
}

#[test]
fn what_is_not_said_has_defaults() {
    let nodes = good(&nodes("")).nodes.expect("there is a [nodes]");
    assert_eq!((nodes.routes, nodes.blocks, nodes.asn), (NodeRoutes::Bgp, BlockCheck::Warn, None));
    assert_eq!((nodes.hold_time, nodes.multihop, nodes.max_prefixes), (Duration::from_secs(90), 64, None));
    assert_eq!((nodes.families.len(), nodes.pools[0].block_size), (2, 26));
    assert!(good("").nodes.is_none());
}

#[test]
fn a_reflector_has_a_cluster_of_its_own_or_the_one_that_is_said() {
    let reflector = |more: &str| {
        let nodes = good(&nodes(&format!("reflector = true\nasn = 64600\n{more}"))).nodes;
        nodes.map(|nodes| (nodes.reflector, nodes.cluster_id)).expect("there is a [nodes]")
    };
    assert_eq!(reflector(""), (true, None));
    assert_eq!(reflector("cluster_id = \"10.0.0.1\"\n"), (true, "10.0.0.1".parse().ok()));
    assert!(
        error(&nodes("reflector = true\ncluster_id = \"0.0.0.0\"\n")).contains("an IPv4 address, the same")
    );
}

#[test]
fn what_does_not_go_together_is_said_with_what_to_do() {
    for (text, words) in [
        (nodes("").replace(BGP, ""), "[nodes] needs [bgp]"),
        (format!("{BGP}[nodes]\nmode = \"static\"\n"), "no route is taken without an IP pool"),
        (
            nodes("").replace("static", "discover"),
            "needs cluster or cluster_file, which says where the nodes are",
        ),
        (nodes("").replace("static", "listen"), "needs a [[nodes.listen]]"),
        (nodes("routes = \"datastore\"\n"), "needs cluster or cluster_file, which says who has which block"),
        (nodes("listen = [{prefix = \"10.64.0.0/22\", asn = 1}]\n"), "is for mode = \"listen\""),
        (nodes("fib = {table = 254}\n"), "table 254 is one of the kernel's own"),
        (nodes("fib = {protocol = 12}\n"), "protocol number 12 means another program"),
        (nodes("fib = {protocol = 3}\n"), "protocol number 3 means another program"),
        (nodes("families = []\n"), "families is empty"),
        (nodes("cluster_id = \"10.64.0.1\"\n"), "cluster_id is for reflector = true"),
        (nodes("reflector = true\nasn = 64512\n"), "in one AS: local_asn is 64600, and asn 64512"),
        (
            nodes("reflector = true\nroutes = \"datastore\"\ncluster_file = \"/c.json\"\n"),
            "reflector = true needs sessions",
        ),
        (nodes("cluster = {source = \"k8s\"}\n"), "there is no [source.k8s]"),
        (
            nodes(
                "cluster = {source = \"web\"}\n[source.web]\ntype = \"http\"\nurl = \"http://192.0.2.9\"\n",
            ),
            "[source.web] is of type \"http\" and knows no nodes",
        ),
        (
            nodes(
                "cluster = {source = \"calico\"}\n[source.calico]\ntype = \"etcd\"\nversion = 2\nendpoints = [\"http://192.0.2.9:2379\"]\n",
            ),
            "[source.calico] has version = 2, and Calico writes its nodes by version 3",
        ),
        (
            nodes("cluster_file = \"/c.json\"\ncluster = {source = \"k8s\"}\n"),
            "cluster and cluster_file exclude each other",
        ),
    ] {
        let said = error(&text);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn nodes_and_pools_are_there_once_and_have_values_that_can_be() {
    let twice = "node = [{name = \"n1\", addresses = [\"10.64.0.21\", \"10.64.0.22\"]}, \
                 {name = \"n1\", addresses = [\"10.64.0.21\"]}, {name = \"-\", addresses = []}]\n";
    let said = errors(&nodes(twice)).join("\n");
    for words in [
        "an ipv4 address of the node for the second time",
        "node n1 for the second time",
        "node address 10.64.0.21 for the second time",
        "expected the node's name",
        "expected an array of the node's addresses",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let pools = "[nodes]\nmode = \"static\"\npool = [{cidr = \"10.67.0.1/16\"}, {cidr = \"10.68.0.0/16\", block_size = 8}]\n";
    let said = errors(&format!("{BGP}{pools}")).join("\n");
    assert!(
        said.contains("expected a prefix such as") && said.contains("a length of blocks 16-32"),
        "{said}"
    );
}
