use super::*;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

const METRIC: NonZeroU32 = NonZeroU32::MIN;

fn key(prefix: &str) -> Key {
    Key { prefix: prefix.parse().unwrap(), tos: 0, metric: METRIC.get() }
}

fn hop(last: u8) -> Hop {
    Hop { gateway: Ipv4Addr::new(10, 64, 0, last).into(), interface: 2 }
}

fn have(routes: &[(&str, u8)]) -> Table {
    let ours = routes.iter().map(|(prefix, last)| (key(prefix), Some(hop(*last)))).collect();
    Table { ours, ..Table::default() }
}

fn want(routes: &[(&str, u8)]) -> BTreeMap<Prefix, Hop> {
    routes.iter().map(|(prefix, last)| (prefix.parse().unwrap(), hop(*last))).collect()
}

fn written(have: &Table, wanted: &[(&str, u8)]) -> Vec<String> {
    plan(have, &want(wanted), METRIC).ops.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_there_is_not_written_again() {
    let routes = [("10.67.0.0/26", 1), ("10.67.0.64/26", 2)];
    assert_eq!(plan(&have(&routes), &want(&routes), METRIC), Plan::default());
}

#[test]
fn a_block_that_moves_to_another_node_is_one_replacement() {
    let have = have(&[("10.67.0.0/26", 1)]);
    assert_eq!(written(&have, &[("10.67.0.0/26", 2)]), ["replace 10.67.0.0/26 via 10.64.0.2"]);
}

#[test]
fn longer_prefixes_come_first_and_go_last_and_what_comes_is_before_what_goes() {
    let have = have(&[("10.68.0.0/26", 1), ("10.68.0.9/32", 2)]);
    let wanted = [("10.67.0.0/26", 1), ("10.67.0.9/32", 2)];
    let in_order = [
        "add 10.67.0.9/32 via 10.64.0.2",
        "add 10.67.0.0/26 via 10.64.0.1",
        "remove 10.68.0.0/26",
        "remove 10.68.0.9/32",
    ];
    assert_eq!(written(&have, &wanted), in_order);
}

#[test]
fn what_others_made_of_our_routes_is_put_right_and_strays_go() {
    let mut have = have(&[("10.67.0.0/26", 1)]);
    have.ours.insert(key("10.67.0.0/26"), None);
    have.ours.insert(Key { metric: 9, ..key("10.67.0.0/26") }, Some(hop(1)));
    have.ours.insert(Key { tos: 8, ..key("10.67.0.0/26") }, Some(hop(1)));
    let plan = plan(&have, &want(&[("10.67.0.0/26", 1)]), METRIC);
    let stray = |key: Key| Op::Remove(key);
    assert_eq!(plan.ops[0], Op::Replace("10.67.0.0/26".parse().unwrap(), hop(1)));
    assert!(plan.ops.contains(&stray(Key { metric: 9, ..key("10.67.0.0/26") })));
    assert!(plan.ops.contains(&stray(Key { tos: 8, ..key("10.67.0.0/26") })));
    assert_eq!(plan.ops.len(), 3);
}

#[test]
fn a_foreign_route_in_the_same_place_is_left_alone_and_told() {
    let mut have = have(&[]);
    have.foreign.insert(key("10.67.0.0/26"));
    have.foreign.insert(Key { metric: 9, ..key("10.67.0.64/26") });
    let plan = plan(&have, &want(&[("10.67.0.0/26", 1), ("10.67.0.64/26", 1)]), METRIC);
    assert_eq!(plan.ops, [Op::Add("10.67.0.64/26".parse().unwrap(), hop(1))]);
    assert_eq!(plan.taken, BTreeSet::from(["10.67.0.0/26".parse().unwrap()]));
}

/// Prefixes in a space so small that most of them lie in one another.
fn small_routes() -> impl Strategy<Value = BTreeMap<Prefix, Hop>> {
    let route = (24..=32u8, any::<u8>(), 1..4u8).prop_map(|(length, last, node)| {
        let address = IpAddr::from(Ipv4Addr::new(10, 67, 0, last));
        (Prefix::truncating(address, length), hop(node))
    });
    proptest::collection::vec(route, 0..12).prop_map(|routes| routes.into_iter().collect())
}

fn looked_up(routes: &BTreeMap<Prefix, Hop>, address: IpAddr) -> Option<Hop> {
    let matching = routes.iter().filter(|(prefix, _)| prefix.contains(Prefix::host(address)));
    matching.max_by_key(|(prefix, _)| prefix.len()).map(|(_, hop)| *hop)
}

proptest! {
    #[test]
    fn at_no_moment_does_a_packet_go_a_third_way(before in small_routes(), after in small_routes()) {
        let table = |routes: &BTreeMap<Prefix, Hop>| Table {
            ours: routes.iter().map(|(p, hop)| (Key { prefix: *p, tos: 0, metric: 1 }, Some(*hop))).collect(),
            ..Table::default()
        };
        let mut now = before.clone();
        let mut known = table(&before);
        for op in plan(&known, &after, METRIC).ops {
            match op {
                Op::Add(prefix, hop) => prop_assert_eq!(now.insert(prefix, hop), None),
                Op::Replace(prefix, hop) => prop_assert!(now.insert(prefix, hop).is_some_and(|had| had != hop)),
                Op::Remove(key) => prop_assert!(now.remove(&key.prefix).is_some()),
            }
            known.record(&op, METRIC);
            for last in 0..=255 {
                let address = IpAddr::from(Ipv4Addr::new(10, 67, 0, last));
                let goes = looked_up(&now, address);
                let ways = [looked_up(&before, address), looked_up(&after, address)];
                prop_assert!(ways.contains(&goes), "{} goes to {:?} after {}", address, goes, op);
            }
        }
        prop_assert_eq!(&now, &after);
        prop_assert_eq!(known, table(&after));
    }
}
