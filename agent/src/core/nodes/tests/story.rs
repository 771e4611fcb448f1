//! Nodes that come, tell, die and come back, as the core sees them.

use super::NODES;
use crate::config::IpPool;
use crate::core::Event;
use crate::core::action::WatchedCluster;
use crate::core::event::Command;
use crate::core::nodes::state::RETURN_GRACE;
use crate::core::nodes::view;
use crate::core::nodes::{Cluster, ClusterNode, Learned, NodesNeighbour, Seen, SessionSeen};
use crate::core::tests::world::World;
use crate::fib::{FibRoute, Report};
use bgp::Prefix;
use bgp::rib::Complete;
use std::collections::BTreeMap;

/// The same nodes, said by a file.
fn discovered() -> String {
    let start = NODES.find("node = [").unwrap();
    let end = NODES.find("[service.web]").unwrap();
    let head = NODES[..start].replace("mode = \"static\"", "mode = \"discover\"\ncluster_file = \"/c.json\"");
    format!("{head}\n{}", &NODES[end..])
}

fn cluster(names: &[&str]) -> Cluster {
    let node = |name: &&str| {
        let addresses = vec![format!("10.64.0.2{}", &name[1..]).parse().unwrap()];
        ((*name).to_owned(), ClusterNode { addresses, ..ClusterNode::default() })
    };
    Cluster { nodes: names.iter().map(node).collect(), ..Cluster::default() }
}

/// Nodes that are up and have told a route each, `10.67.N.0/26`.
fn told(names: &[&str]) -> Seen {
    let session = |name: &str| format!("node/{name}/ipv4");
    Seen {
        sessions: names
            .iter()
            .map(|name| (session(name), SessionSeen { is_up: true, is_told: true, is_restarting: false }))
            .collect(),
        routes: names.iter().map(|name| route(name, &format!("10.67.{}.0/26", &name[1..]))).collect(),
    }
}

fn route(name: &str, prefix: &str) -> Learned {
    let neighbour = format!("10.64.0.2{}", &name[1..]).parse().unwrap();
    let (prefix, session) = (prefix.parse().unwrap(), format!("node/{name}/ipv4"));
    Learned { prefix, next_hop: neighbour, session, neighbour }
}

/// What the kernel is to have, in words.
fn fib(world: &World) -> Option<Vec<String>> {
    let words = |(prefix, route): (&Prefix, &FibRoute)| format!("{prefix} {}", route.next_hop);
    world.fib.as_ref().map(|routes| routes.iter().map(words).collect())
}

fn left(routes: &[(&str, &str)]) -> Event {
    let route =
        |(prefix, hop): &(&str, &str)| (prefix.parse().unwrap(), FibRoute { next_hop: hop.parse().unwrap() });
    Event::FibSynced(Report { left: routes.iter().map(route).collect(), ..Report::default() })
}

fn connected() -> Event {
    Event::ConnectedSeen(["10.64.0.0/24".parse().unwrap()].into())
}

fn sessions(world: &World) -> Vec<String> {
    world.node_peers.iter().flat_map(|peers| peers.sessions.keys().cloned()).collect()
}

#[test]
fn a_session_is_kept_with_each_node_and_family_and_its_routes_reach_the_kernel() {
    let mut world = World::with(NODES);
    assert_eq!(
        sessions(&world),
        ["node/n1/ipv4", "node/n1/ipv6", "node/n2/ipv4", "node/n2/ipv6", "node/n3/ipv4"]
    );
    let peers = world.node_peers.clone().unwrap().sessions;
    assert_eq!((peers["node/n1/ipv4"].asn, peers["node/n3/ipv4"].asn), (64_512, 64_513));
    world.event(Event::NodesSeen(told(&["n1", "n2"])));
    assert_eq!(fib(&world), None, "nothing is written before it is known which networks are our own");
    world.event(connected());
    world.event(left(&[]));
    assert_eq!(fib(&world).unwrap(), ["10.67.1.0/26 10.64.0.21", "10.67.2.0/26 10.64.0.22"]);
    // The block moves: one write, never a gap.
    let mut seen = told(&["n1", "n2"]);
    seen.routes[0] = route("n2", "10.67.1.0/26");
    world.event(Event::NodesSeen(seen));
    assert_eq!(fib(&world).unwrap(), ["10.67.1.0/26 10.64.0.22", "10.67.2.0/26 10.64.0.22"]);
}

#[test]
fn discovery_drives_the_sessions_and_a_source_that_fails_or_says_nothing_changes_nothing() {
    let mut world = World::with(&discovered());
    assert_eq!(world.cluster, Some(WatchedCluster::File("/c.json".into())));
    assert_eq!(world.node_peers, None, "nobody knows yet whose sessions are to end");
    world.event(connected());
    world.event(left(&[]));
    world.event(Event::ClusterRead(Ok(cluster(&["n1", "n2"]))));
    assert_eq!(sessions(&world), ["node/n1/ipv4", "node/n2/ipv4"]);
    world.event(Event::NodesSeen(told(&["n1", "n2"])));
    let before = fib(&world).unwrap();
    assert_eq!(before.len(), 2);
    assert_eq!(world.metric("lvsd_nodes_source_failed"), ["lvsd_nodes_source_failed 0"]);
    for lost in [Err("connection refused".to_owned()), Ok(cluster(&[]))] {
        world.event(Event::ClusterRead(lost));
        assert_eq!(world.metric("lvsd_nodes_source_failed"), ["lvsd_nodes_source_failed 1"]);
        assert_eq!(sessions(&world).len(), 2);
        assert_eq!(fib(&world).unwrap(), before);
    }
    assert!(world.notices.iter().any(|notice| notice.reason.contains("connection refused")));
    assert!(world.notices.iter().any(|notice| notice.reason.contains("no node any more")));
    world.event(Event::ClusterRead(Ok(cluster(&["n2", "n3"]))));
    assert_eq!(sessions(&world), ["node/n2/ipv4", "node/n3/ipv4"]);
    assert_eq!(world.metric("lvsd_nodes_source_failed"), ["lvsd_nodes_source_failed 0"]);
}

#[test]
fn a_nodes_as_is_its_own_or_that_of_the_settings_or_the_clusters_or_else_calicos() {
    let without = discovered().replace("asn = 64512\n", "");
    assert_ne!(without, discovered(), "the settings have an AS to leave out");
    for (text, of_cluster, expected) in [
        (discovered(), Some(64_601), 64_512),
        (without.clone(), Some(64_601), 64_601),
        (without, None, 64_512),
    ] {
        let mut world = World::with(&text);
        let mut said = Cluster { asn: of_cluster, ..cluster(&["n1", "n2"]) };
        said.nodes.get_mut("n2").unwrap().asn = Some(64_702);
        world.event(Event::ClusterRead(Ok(said)));
        let peers = world.node_peers.clone().unwrap().sessions;
        let asns = (peers["node/n1/ipv4"].asn, peers["node/n2/ipv4"].asn);
        assert_eq!(asns, (expected, 64_702), "{of_cluster:?}");
    }
}

const SIX: [&str; 6] = ["n1", "n2", "n3", "n4", "n5", "n6"];

/// Six nodes in a pool, each with a block.
fn six() -> Cluster {
    let mut six = cluster(&SIX);
    let block = |name: &&str| (format!("10.67.{}.0/26", &name[1..]).parse().unwrap(), (*name).to_owned());
    six.blocks = SIX.iter().map(block).collect();
    six.pools = [IpPool { cidr: "10.67.0.0/16".parse().unwrap(), block_size: 26 }].into();
    six
}

/// Settings for which blocks, or the lack of them, decide of every route.
fn by_blocks() -> [String; 2] {
    ["blocks = \"enforce\"", "routes = \"datastore\""].map(|setting| {
        discovered().replace("mode = \"discover\"", &format!("{setting}\nmode = \"discover\""))
    })
}

#[test]
fn a_cluster_that_loses_much_at_once_is_held_back_until_it_is_confirmed_or_calms_down() {
    let less = |count: usize| Cluster { nodes: cluster(&SIX[..count]).nodes, ..six() };
    let few_blocks =
        |count: usize| Cluster { blocks: six().blocks.into_iter().take(count).collect(), ..six() };
    let without_pool = Cluster { pools: [].into(), ..six() };
    for text in by_blocks() {
        let mut world = World::with(&text);
        world.event(connected());
        world.event(left(&[]));
        world.event(Event::ClusterRead(Ok(six())));
        world.event(Event::NodesSeen(told(&SIX)));
        let before = (sessions(&world), fib(&world).unwrap());
        let many = if text.contains("datastore") { 0 } else { 6 };
        assert_eq!((before.0.len(), before.1.len()), (many, 6), "{text}");
        for (lost, words) in [
            (less(2), "4 of 6 nodes"),
            (less(0), "no node any more"),
            (few_blocks(2), "4 of 6 blocks"),
            (few_blocks(0), "6 of 6 blocks"),
            (without_pool.clone(), "no IP pool any more"),
        ] {
            world.event(Event::ClusterRead(Ok(lost)));
            assert_eq!((sessions(&world), fib(&world).unwrap()), before, "{words}");
            let error = view::nodes(&world.state).unwrap().source_error;
            assert!(error.as_ref().is_some_and(|error| error.contains(words)), "{words}: {error:?}");
            assert!(world.notices.iter().any(|notice| notice.reason.contains(words)), "{words}");
            // It has all of them again.
            world.event(Event::ClusterRead(Ok(six())));
            assert_eq!((sessions(&world), fib(&world).unwrap()), before);
            assert_eq!(view::nodes(&world.state).unwrap().source_error, None);
        }
        assert!(world.operate(Command::Confirm { service: "nodes".into() }).is_err(), "nothing is held back");
        world.event(Event::ClusterRead(Ok(less(2))));
        world.operate(Command::Confirm { service: "nodes".into() }).unwrap();
        let known = |world: &World| view::nodes(&world.state).unwrap().nodes.len();
        assert_eq!((known(&world), sessions(&world).len()), (2, many.min(2)));
        assert_eq!(view::nodes(&world.state).unwrap().source_error, None);
        // One may always go, and half of many.
        world.event(Event::ClusterRead(Ok(less(1))));
        assert_eq!((known(&world), sessions(&world).len()), (1, many.min(1)));
        world.event(Event::ClusterRead(Ok(six())));
        world.event(Event::ClusterRead(Ok(less(3))));
        assert_eq!((known(&world), sessions(&world).len()), (3, many.min(3)));
    }
}

#[test]
fn what_several_nodes_tell_is_named_with_what_to_do_and_no_node_is_cut_off_for_telling_every_block() {
    let mut world = World::with(&discovered());
    world.event(connected());
    world.event(left(&[]));
    let mut known = cluster(&["n1", "n2"]);
    let limit = |world: &World| world.node_peers.as_ref().unwrap().max_prefixes;
    world.event(Event::ClusterRead(Ok(known.clone())));
    assert_eq!(limit(&world), 1_000);
    known.blocks = (0..1_000_u32)
        .map(|block| {
            let address = std::net::Ipv4Addr::from_bits(0x0a43_0000 + (block << 6));
            (Prefix::host(address.into()).shortened(26), format!("n{}", 1 + block % 2))
        })
        .collect();
    world.event(Event::ClusterRead(Ok(known.clone())));
    assert_eq!(limit(&world), 2_048, "each node of a mesh tells all of them");
    let mut seen = told(&[]);
    seen.routes = vec![route("n2", "10.67.0.0/26"), route("n1", "10.67.0.0/26")];
    world.event(Event::NodesSeen(seen.clone()));
    assert_eq!(fib(&world).unwrap(), ["10.67.0.0/26 10.64.0.21"]);
    assert_eq!(view::nodes(&world.state).unwrap().peering, [""; 0], "its owner is known");
    seen.routes.extend([route("n1", "10.67.0.7/32"), route("n2", "10.67.0.7/32")]);
    world.event(Event::NodesSeen(seen));
    assert_eq!(fib(&world).unwrap(), ["10.67.0.0/26 10.64.0.21", "10.67.0.7/32 10.64.0.21"]);
    let said = view::nodes(&world.state).unwrap().peering;
    assert!(
        said[0].starts_with("several nodes tell the same route (1 of them, 10.67.0.7/32 for one)"),
        "{said:?}"
    );
    assert!(said[0].contains("`lvsctl calico print-bgppeer`"), "{said:?}");
    let words = "other nodes tell it as well";
    assert_eq!(world.notices.iter().filter(|notice| notice.to_string().contains(words)).count(), 1);
    world.configure(&discovered().replace("mode = \"discover\"", "max_prefixes = 7\nmode = \"discover\""));
    assert_eq!(limit(&world), 7);
}

#[test]
fn what_the_nodes_were_told_of_us_is_looked_at_where_the_source_says_it() {
    let text = discovered().replace("mode = \"discover\"", "local_ipv4 = \"10.64.0.1\"\nmode = \"discover\"");
    let mut world = World::with(&text);
    let said = |world: &mut World, peers: Option<BTreeMap<String, NodesNeighbour>>| {
        world.event(Event::ClusterRead(Ok(Cluster { peers, ..cluster(&["n1"]) })));
        view::nodes(&world.state).unwrap().peering
    };
    let peer = |address: &str, asn| {
        let address = address.parse().unwrap();
        Some([("lvs1019-ipv4".to_owned(), NodesNeighbour { address, asn: Some(asn) })].into())
    };
    assert_eq!(said(&mut world, None), [""; 0], "a file without them");
    assert_eq!(said(&mut world, peer("10.64.0.1", 64_600)), [""; 0]);
    let other = said(&mut world, peer("10.64.0.1", 64_601));
    assert_eq!(other, ["BGPPeer lvs1019-ipv4 says that 10.64.0.1 is in AS 64601, and we are in 64600"]);
    for none in [Some(BTreeMap::new()), peer("10.64.0.2", 64_600)] {
        let none = said(&mut world, none);
        assert!(
            none[0].starts_with("no BGPPeer of the cluster has 10.64.0.1: its nodes do not talk"),
            "{none:?}"
        );
    }
}

#[test]
fn after_a_start_the_kernel_keeps_what_it_has_until_every_node_has_told_its_routes() {
    let mut world = World::with(&discovered());
    world.event(connected());
    world.event(left(&[("10.67.1.0/26", "10.64.0.21"), ("10.67.7.0/26", "10.64.0.21")]));
    world.pass(RETURN_GRACE * 3);
    assert_eq!(fib(&world), None, "the API server is away: nothing is written");
    world.event(Event::ClusterRead(Ok(cluster(&["n1", "n2"]))));
    let mut seen = told(&["n2"]);
    world.event(Event::NodesSeen(seen.clone()));
    let all = ["10.67.1.0/26 10.64.0.21", "10.67.2.0/26 10.64.0.22", "10.67.7.0/26 10.64.0.21"];
    assert_eq!(fib(&world).unwrap(), all, "n1 has not told its routes yet");
    seen = told(&["n1", "n2"]);
    seen.sessions.get_mut("node/n1/ipv4").unwrap().is_told = false;
    world.event(Event::NodesSeen(seen));
    assert_eq!(fib(&world).unwrap(), all);
    world.event(Event::NodesSeen(told(&["n1", "n2"])));
    assert_eq!(fib(&world).unwrap(), all[..2], "n1 does not have the third any more");
}

#[test]
fn what_the_kernel_has_is_kept_though_it_was_read_before_the_configuration() {
    let mut world = World::new();
    world.event(left(&[("10.67.1.0/26", "10.64.0.21")]));
    world.event(connected());
    world.start(&discovered());
    world.event(Event::ClusterRead(Ok(cluster(&["n1", "n2"]))));
    world.event(Event::NodesSeen(told(&["n2"])));
    let both = ["10.67.1.0/26 10.64.0.21", "10.67.2.0/26 10.64.0.22"];
    assert_eq!(fib(&world).unwrap(), both, "n1 has not told its routes yet");
    world.pass(RETURN_GRACE);
    assert_eq!(fib(&world).unwrap(), both[1..], "it has had its time");
}

#[test]
fn what_is_read_of_the_kernel_when_every_node_has_told_is_not_kept() {
    let mut world = World::with(&discovered());
    world.event(connected());
    world.event(Event::ClusterRead(Ok(cluster(&["n1", "n2"]))));
    world.event(Event::NodesSeen(told(&["n1", "n2"])));
    world.event(left(&[("10.67.7.0/26", "10.64.0.21")]));
    assert_eq!(fib(&world).unwrap(), ["10.67.1.0/26 10.64.0.21", "10.67.2.0/26 10.64.0.22"]);
}

#[test]
fn after_a_start_a_block_stays_with_its_owner_though_others_of_a_mesh_tell_it_first() {
    for check in ["warn", "enforce"] {
        let text = discovered()
            .replace("mode = \"discover\"", &format!("blocks = \"{check}\"\nmode = \"discover\""));
        let mut world = World::with(&text);
        world.event(connected());
        world.event(left(&[("10.67.1.0/26", "10.64.0.21")]));
        let mut known = cluster(&["n1", "n2"]);
        known.blocks = ["10.67.1.0/26", "10.67.2.0/26"]
            .iter()
            .zip(1..)
            .map(|(block, node)| (block.parse().unwrap(), format!("n{node}")))
            .collect();
        world.event(Event::ClusterRead(Ok(known)));
        let mut seen = told(&["n2"]);
        seen.routes.push(route("n2", "10.67.1.0/26"));
        world.event(Event::NodesSeen(seen.clone()));
        let each_by_its_owner = ["10.67.1.0/26 10.64.0.21", "10.67.2.0/26 10.64.0.22"];
        assert_eq!(fib(&world).unwrap(), each_by_its_owner, "{check}: n1 has not told its routes yet");
        seen.sessions.extend(told(&["n1"]).sessions);
        seen.routes.extend(told(&["n1"]).routes);
        world.event(Event::NodesSeen(seen));
        assert_eq!(fib(&world).unwrap(), each_by_its_owner, "{check}");
    }
}

#[test]
fn a_node_that_does_not_come_back_after_a_start_loses_its_routes_when_its_time_is_over() {
    let mut world = World::with(&discovered());
    world.event(connected());
    world.event(left(&[("10.67.1.0/26", "10.64.0.21")]));
    world.event(Event::ClusterRead(Ok(cluster(&["n1", "n2"]))));
    world.event(Event::NodesSeen(told(&["n2"])));
    assert_eq!(fib(&world).unwrap().len(), 2);
    world.pass(RETURN_GRACE);
    assert_eq!(fib(&world).unwrap(), ["10.67.2.0/26 10.64.0.22"]);
}

/// What nodes are told of one another, in words, and whether that is all.
fn permits(world: &World) -> (Vec<String>, Complete) {
    let ways = world.permits.ways.iter().flat_map(|(prefix, ways)| ways.iter().map(move |way| (prefix, way)));
    let words = ways.map(|(prefix, way)| format!("{prefix} {} of {}", way.next_hop, way.peer)).collect();
    (words, world.permits.complete)
}

#[test]
fn as_a_reflector_it_passes_on_what_may_be_taken_and_says_that_it_is_all_when_every_node_has_spoken() {
    let text = NODES
        .replace("mode = \"static\"\nasn = 64512", "mode = \"static\"\nreflector = true")
        .replace("local_asn = 64600", "local_asn = 64512");
    let mut world = World::with(&text);
    world.event(connected());
    world.event(left(&[]));
    let mut seen = told(&["n1"]);
    seen.routes.push(route("n1", "10.96.0.0/12"));
    seen.routes.push(route("n1", "192.0.2.10/32"));
    seen.routes.push(route("n2", "10.67.1.0/26"));
    let routes = seen.routes.clone();
    world.event(Event::NodesSeen(seen));
    let both = [
        "10.67.1.0/26 10.64.0.21 of node/n1/ipv4".to_owned(),
        "10.67.1.0/26 10.64.0.22 of node/n2/ipv4".to_owned(),
    ];
    assert_eq!(permits(&world), (both.to_vec(), Complete::No), "others have not told what they have");
    // Everybody has spoken but who waits for us.
    let mut all = told(&["n1", "n2", "n3"]);
    let ipv6 = ["node/n1/ipv6", "node/n2/ipv6"].map(|name| (name.to_owned(), all.sessions["node/n1/ipv4"]));
    all.sessions.extend(ipv6);
    all.routes = routes;
    let waiting = SessionSeen { is_up: true, is_told: false, is_restarting: true };
    all.sessions.insert("node/n2/ipv6".to_owned(), waiting);
    world.event(Event::NodesSeen(all));
    assert_eq!(permits(&world), (both.to_vec(), Complete::ToRestarting));
    world.pass(RETURN_GRACE);
    assert_eq!(permits(&world), (both.to_vec(), Complete::ToAll));
    world.event(Event::NodesSeen(told(&["n1"])));
    assert_eq!(permits(&world), (both[..1].to_vec(), Complete::ToAll));
    let view = view::nodes(&world.state).unwrap();
    assert_eq!(view.reflector.map(|id| id.to_string()).as_deref(), Some("10.64.0.1"));
    let problems = |name: &str| view.nodes.iter().find(|node| node.name == name).unwrap().problems.join(" ");
    assert_eq!(problems("n1"), "");
    assert!(problems("n3").contains("it is in AS 64513, not in ours (64512)"), "{}", problems("n3"));
    world.configure(NODES);
    assert_eq!(permits(&world), (Vec::new(), Complete::No));
}

#[test]
fn a_stop_leaves_the_kernels_routes_and_without_nodes_they_go() {
    let mut world = World::with(NODES);
    world.event(connected());
    world.event(left(&[]));
    world.event(Event::NodesSeen(told(&["n1"])));
    let before = fib(&world);
    let without =
        NODES[..NODES.find("[nodes]").unwrap()].to_owned() + &NODES[NODES.find("[service.web]").unwrap()..];
    let mut other = World::with(NODES);
    other.event(connected());
    other.event(left(&[]));
    other.event(Event::NodesSeen(told(&["n1"])));
    other.configure(&without);
    assert_eq!((fib(&other), sessions(&other).len()), (Some(Vec::new()), 0));
    world.event(Event::Stop);
    world.event(Event::NodesSeen(Seen::default()));
    assert_eq!(fib(&world), before);
}

#[test]
fn a_refused_route_and_an_alarm_are_said_once_and_what_the_kernel_refuses_is_shown() {
    let mut world = World::with(NODES);
    world.event(connected());
    world.event(left(&[]));
    let mut seen = told(&["n1"]);
    seen.routes.push(route("n1", "10.96.0.0/12"));
    seen.routes.push(route("n1", "192.0.2.10/32"));
    world.event(Event::NodesSeen(seen.clone()));
    seen.routes.push(route("n1", "10.67.1.64/26"));
    world.event(Event::NodesSeen(seen));
    let refused = [("10.67.1.0/26".parse().unwrap(), "no way there".to_owned())].into();
    world.event(Event::FibSynced(Report { refused, ..Report::default() }));
    let routes = view::routes(&world.state, None).unwrap();
    assert_eq!(routes[0].not_installed.as_deref(), Some("no way there"));
    assert_eq!(routes.iter().filter(|route| !route.taken).count(), 2, "{routes:?}");
    for words in ["of the services' addresses", "offers 192.0.2.10/32"] {
        let found = world.notices.iter().filter(|notice| notice.to_string().contains(words)).count();
        assert_eq!(found, 1, "{words}: {:#?}", world.notices);
    }
}
