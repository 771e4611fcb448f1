//! Which routes are taken, and why others are not.

use super::{NODES, settings};
use crate::core::nodes::judge::{Accepted, Ground, Judged, Offer, judge};
use crate::core::nodes::known::Known;
use crate::core::nodes::{Cluster, ClusterNode};
use bgp::Prefix;
use std::collections::BTreeSet;
use std::net::IpAddr;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Blocks as a cluster has them: n1 one of each family, n2 one.
fn cluster() -> Cluster {
    let blocks = [("10.67.1.0/26", "n1"), ("fd00:67::/122", "n1"), ("10.67.2.0/26", "n2")];
    let blocks = blocks.map(|(block, owner)| (prefix(block), owner.to_owned())).into();
    Cluster { blocks, ..Cluster::default() }
}

/// What is decided about routes, each `(session, neighbour, prefix, next hop)`.
fn judged(text: &str, cluster: Option<&Cluster>, offers: &[(&str, &str, &str, &str)]) -> Judged {
    let config = settings(text);
    let known = Known::of(&config, cluster);
    let vips: BTreeSet<IpAddr> = [address("192.0.2.10"), address("10.67.9.9")].into();
    let connected: BTreeSet<Prefix> = [prefix("10.64.0.0/24"), prefix("10.67.200.0/24")].into();
    let ground = Ground { config: &config, known: &known, vips: &vips, connected: &connected };
    let offers = offers.iter().map(|(from, neighbour, to, hop)| Offer {
        prefix: prefix(to),
        next_hop: address(hop),
        from,
        neighbour: address(neighbour),
    });
    judge(&ground, offers)
}

/// Why n1's route is refused, or what it is taken by.
fn one(text: &str, cluster: Option<&Cluster>, to: &str, hop: &str) -> String {
    let neighbour = if to.contains(':') { "fd00:64::21" } else { "10.64.0.21" };
    let judged = judged(text, cluster, &[("node/n1/ipv4", neighbour, to, hop)]);
    match (judged.accepted.get(&prefix(to)), judged.refused.values().next()) {
        (Some(route), None) => match &route.warning {
            None => format!("by {}", route.node.clone().unwrap_or_default()),
            Some(warning) => format!("by {}, but {warning}", route.node.clone().unwrap_or_default()),
        },
        (None, Some(refusal)) => refusal.to_string(),
        both => panic!("{both:?}"),
    }
}

#[test]
fn a_nodes_route_is_taken_or_refused_for_a_reason_that_names_what_it_touches() {
    for (to, hop, expected) in [
        ("10.67.1.0/26", "10.64.0.21", "by n1"),
        ("10.67.1.0/28", "10.64.0.21", "by n1"),
        ("10.67.1.7/32", "10.64.0.21", "by n1"),
        ("fd00:67::/122", "fd00:64::21", "by n1"),
        ("fd00:67::5/128", "fd00:64::21", "by n1"),
        ("0.0.0.0/0", "10.64.0.21", "it is a default route"),
        ("::/0", "fd00:64::21", "it is a default route"),
        ("192.0.2.10/32", "10.64.0.21", "it would take the traffic of our own VIP 192.0.2.10"),
        ("192.0.2.0/24", "10.64.0.21", "it would take the traffic of our own VIP 192.0.2.10"),
        ("10.67.9.0/26", "10.64.0.21", "it would take the traffic of our own VIP 10.67.9.9"),
        ("10.96.0.0/12", "10.64.0.21", "it is of the services' addresses 10.96.0.0/12"),
        ("10.96.0.10/32", "10.64.0.21", "it is of the services' addresses 10.96.0.0/12"),
        ("10.0.0.0/8", "10.64.0.21", "it would take the traffic of our own VIP 10.67.9.9"),
        ("10.64.0.0/25", "10.64.0.21", "10.64.0.0/24 is a network of our own"),
        ("10.67.200.64/26", "10.64.0.21", "10.67.200.0/24 is a network of our own"),
        ("10.68.0.0/26", "10.64.0.21", "it is in no IP pool"),
        ("fd00:68::/122", "fd00:64::21", "it is in no IP pool"),
        ("10.67.1.0/25", "10.64.0.21", "it is more than a block: those of the pool 10.67.0.0/16 are /26"),
        ("fd00:67::/121", "fd00:64::21", "it is more than a block: those of the pool fd00:67::/64 are /122"),
        ("10.67.1.0/26", "10.64.0.22", "its next hop 10.64.0.22 is not the node"),
        ("10.67.1.0/26", "10.64.0.99", "its next hop 10.64.0.99 is not the node"),
    ] {
        assert_eq!(one(NODES, None, to, hop), expected, "{to} by {hop}");
    }
}

#[test]
fn a_route_of_another_nodes_block_is_named_or_refused_as_configured_and_borrowed_addresses_are_not() {
    let enforce = NODES.replace("asn = 64512\n", "asn = 64512\nblocks = \"enforce\"\n");
    let off = NODES.replace("asn = 64512\n", "asn = 64512\nblocks = \"off\"\n");
    let cluster = cluster();
    let known = Some(&cluster);
    for (to, said) in [
        ("10.67.2.0/26", "the block 10.67.2.0/26 is that of n2"),
        ("10.67.2.0/28", "the block 10.67.2.0/26 is that of n2"),
        ("10.67.3.0/26", "no node has a block there"),
        ("10.67.3.1/32", "no node has a block there"),
    ] {
        assert_eq!(one(NODES, known, to, "10.64.0.21"), format!("by n1, but {said}"), "{to}");
        assert_eq!(one(&enforce, known, to, "10.64.0.21"), said, "{to}");
        assert_eq!(one(&off, known, to, "10.64.0.21"), "by n1", "{to}");
    }
    for fine in ["10.67.1.0/26", "10.67.2.17/32"] {
        assert_eq!(one(&enforce, known, fine, "10.64.0.21"), "by n1", "{fine}");
    }
    assert_eq!(one(&enforce, None, "10.67.3.0/26", "10.64.0.21"), "by n1", "nobody says who has what");
}

#[test]
fn of_several_routes_to_a_prefix_the_first_that_may_be_taken_is() {
    let enforce = NODES.replace("asn = 64512\n", "asn = 64512\nblocks = \"enforce\"\n");
    let offers = [
        ("node/n1/ipv4", "10.64.0.21", "10.67.2.0/26", "10.64.0.21"),
        ("node/n2/ipv4", "10.64.0.22", "10.67.2.0/26", "10.64.0.22"),
    ];
    let judged = judged(&enforce, Some(&cluster()), &offers);
    assert_eq!(judged.accepted[&prefix("10.67.2.0/26")].next_hop, address("10.64.0.22"));
    let refused: Vec<_> = judged.refused.keys().map(|(_, from)| from.as_str()).collect();
    assert_eq!(refused, ["node/n1/ipv4"]);
}

/// Every node tells every prefix with itself as next hop, as nodes with a mesh among them do to whom is in another AS.
fn meshed(text: &str, cluster: Option<&Cluster>, prefixes: &[&str], order: [&str; 3]) -> Judged {
    let sessions = order.map(|node| (format!("node/{node}/ipv4"), format!("10.64.0.2{}", &node[1..])));
    let told: Vec<_> = sessions
        .iter()
        .flat_map(|(from, hop)| {
            prefixes.iter().map(move |to| (from.as_str(), hop.as_str(), *to, hop.as_str()))
        })
        .collect();
    judged(text, cluster, &told)
}

const ORDERS: [[&str; 3]; 3] = [["n1", "n2", "n3"], ["n3", "n2", "n1"], ["n2", "n3", "n1"]];

#[test]
fn where_each_node_tells_the_others_blocks_as_well_each_block_leads_to_its_own_node() {
    let mut cluster = cluster();
    cluster.blocks.insert(prefix("10.67.3.0/26"), "n3".to_owned());
    let blocks = ["10.67.1.0/26", "10.67.2.0/26", "10.67.3.0/26"];
    for check in ["off", "warn", "enforce"] {
        let text = NODES.replace("asn = 64512\n", &format!("asn = 64512\nblocks = \"{check}\"\n"));
        for order in ORDERS {
            let judged = meshed(&text, Some(&cluster), &blocks, order);
            let way =
                |(to, route): (&Prefix, &Accepted)| format!("{to} {} {:?}", route.next_hop, route.warning);
            assert_eq!(
                judged.accepted.iter().map(way).collect::<Vec<_>>(),
                [
                    "10.67.1.0/26 10.64.0.21 None",
                    "10.67.2.0/26 10.64.0.22 None",
                    "10.67.3.0/26 10.64.0.23 None"
                ],
                "{check} {order:?}"
            );
        }
    }
}

#[test]
fn what_several_nodes_tell_and_nobody_says_whose_it_is_is_named() {
    const SHARED: &str = "other nodes tell it as well, and nothing says whose it is";
    let off = NODES.replace("asn = 64512\n", "asn = 64512\nblocks = \"off\"\n");
    let enforce = NODES.replace("asn = 64512\n", "asn = 64512\nblocks = \"enforce\"\n");
    let cluster = cluster();
    let known = Some(&cluster);
    for (text, known, to, said) in [
        (NODES, known, "10.67.2.17/32", Some(SHARED.to_owned())),
        (&enforce, known, "10.67.2.17/32", Some(SHARED.to_owned())),
        (&off, known, "10.67.2.17/32", None),
        (NODES, known, "10.67.3.0/26", Some(format!("no node has a block there; {SHARED}"))),
        (NODES, None, "10.67.2.0/26", Some(SHARED.to_owned())),
        (NODES, None, "10.67.2.17/32", Some(SHARED.to_owned())),
    ] {
        for order in ORDERS {
            let judged = meshed(text, known, &[to], order);
            let route = &judged.accepted[&prefix(to)];
            assert_eq!(route.node.as_deref(), Some(order[0]), "the best is taken: {to}");
            assert_eq!(route.warning, said, "{to} {order:?}");
        }
    }
    let alone = judged(NODES, known, &[("node/n3/ipv4", "10.64.0.23", "10.67.2.17/32", "10.64.0.23")]);
    assert_eq!(alone.accepted[&prefix("10.67.2.17/32")].warning, None, "one node alone has borrowed it");
    // Two reflectors tell the one way that there is.
    let reflectors = NODES.replace("\"] },", "\"], reflector = true },");
    let told = ["n1", "n2"].map(|node| (format!("node/{node}/ipv4"), format!("10.64.0.2{}", &node[1..])));
    let told = told.each_ref().map(|(from, by)| (from.as_str(), by.as_str(), "10.67.2.17/32", "10.64.0.23"));
    let judged = judged(&reflectors, known, &told);
    assert_eq!(judged.accepted[&prefix("10.67.2.17/32")].warning, None);
}

#[test]
fn a_reflectors_routes_lead_to_any_known_node_and_to_nobody_else() {
    let reflector = NODES.replace("\"fd00:64::21\"] }", "\"fd00:64::21\"], reflector = true }");
    assert_eq!(one(&reflector, None, "10.67.2.0/26", "10.64.0.22"), "by n2");
    assert_eq!(one(&reflector, None, "10.67.1.0/26", "10.64.0.21"), "by n1");
    assert_eq!(
        one(&reflector, None, "10.67.2.0/26", "10.64.0.99"),
        "its next hop 10.64.0.99 is not the node"
    );
}

#[test]
fn a_vip_that_a_node_offers_or_that_is_of_the_services_addresses_is_an_alarm() {
    let offers = [("node/n1/ipv4", "10.64.0.21", "192.0.2.10/32", "10.64.0.21")];
    let said = judged(NODES, None, &offers).alarms;
    assert_eq!(
        said.into_iter().collect::<Vec<_>>(),
        ["node/n1/ipv4 offers 192.0.2.10/32, which would take the traffic of our own VIP 192.0.2.10"]
    );
    let external = Cluster { service_cidrs: [prefix("192.0.2.0/24")].into(), ..Cluster::default() };
    let said = judged(NODES, Some(&external), &[]).alarms;
    assert_eq!(
        said.into_iter().collect::<Vec<_>>(),
        ["the VIP 192.0.2.10 is of the services' addresses 192.0.2.0/24, which nodes announce"]
    );
}

#[test]
fn without_bgp_routes_follow_from_blocks_and_addresses_and_the_same_rules_hold() {
    let text = NODES.replace(
        "mode = \"static\"\n",
        "mode = \"discover\"\nroutes = \"datastore\"\ncluster_file = \"c.json\"\n",
    );
    let mut cluster = cluster();
    let node = ClusterNode { addresses: vec![address("10.64.0.24")], ..ClusterNode::default() };
    cluster.nodes.insert("n4".into(), node);
    for (block, owner) in
        [("10.67.4.0/26", "n4"), ("10.67.9.0/26", "n4"), ("fd00:67::40/122", "n4"), ("10.67.5.0/26", "gone")]
    {
        cluster.blocks.insert(prefix(block), owner.into());
    }
    let judged =
        judged(&text, Some(&cluster), &[("node/n1/ipv4", "10.64.0.21", "10.67.8.0/26", "10.64.0.21")]);
    let taken: Vec<_> =
        judged.accepted.iter().map(|(to, route)| format!("{to} {}", route.next_hop)).collect();
    assert_eq!(
        taken,
        [
            "10.67.1.0/26 10.64.0.21",
            "10.67.2.0/26 10.64.0.22",
            "10.67.4.0/26 10.64.0.24",
            "fd00:67::/122 fd00:64::21"
        ],
        "a block whose owner has no address in its family, or is no node, has no way"
    );
    assert_eq!(judged.refused.keys().map(|(to, _)| to.to_string()).collect::<Vec<_>>(), ["10.67.9.0/26"]);
}
