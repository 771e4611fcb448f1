//! What holds for any routes: nothing that is taken touches what is ours, and everything is said.

use super::{NODES, settings};
use crate::core::nodes::judge::{Ground, Offer, judge};
use crate::core::nodes::known::Known;
use crate::core::nodes::prefixes::PrefixMap;
use bgp::Prefix;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// Prefixes near each other, so that they touch.
fn prefixes() -> impl Strategy<Value = Prefix> {
    let address = prop_oneof![0x0a43_0000..=0x0a43_ffff_u32, 0x0a40_0000..=0x0a70_0000_u32, any::<u32>()];
    (address, 0..=32_u8)
        .prop_map(|(bits, length)| Prefix::host(Ipv4Addr::from_bits(bits).into()).shortened(length))
}

fn touches(a: Prefix, b: Prefix) -> bool {
    a.contains(b) || b.contains(a)
}

proptest! {
    #[test]
    fn a_prefix_map_finds_what_looking_at_everything_finds(
        entries in proptest::collection::btree_set(prefixes(), 0..40),
        asked in prefixes(),
    ) {
        let map: PrefixMap<()> = entries.iter().map(|prefix| (*prefix, ())).collect();
        let around = entries.iter().filter(|entry| entry.contains(asked)).max_by_key(|entry| entry.len());
        prop_assert_eq!(map.around(asked).map(|(found, ())| found), around.copied());
        prop_assert_eq!(map.inside(asked).is_some(), entries.iter().any(|entry| asked.contains(*entry)));
        prop_assert_eq!(map.overlapping(asked).is_some(), entries.iter().any(|entry| touches(*entry, asked)));
    }

    #[test]
    fn what_is_taken_is_a_block_in_a_pool_by_its_node_and_touches_nothing_of_ours(
        offers in proptest::collection::vec((prefixes(), 0..4_usize, 0..4_usize), 0..60),
        vips in proptest::collection::btree_set(prefixes().prop_map(Prefix::address), 0..4),
        connected in proptest::collection::btree_set(prefixes().prop_filter("no default", |p| p.len() > 8), 0..4),
    ) {
        const HOPS: [&str; 4] = ["10.64.0.21", "10.64.0.22", "10.64.0.23", "10.64.0.99"];
        const FROM: [&str; 4] = ["node/n1/ipv4", "node/n2/ipv4", "node/n3/ipv4", "node/x/ipv4"];
        let config = settings(NODES);
        let known = Known::of(&config, None);
        let ground = Ground { config: &config, known: &known, vips: &vips, connected: &connected };
        let hop = |index: usize| HOPS[index].parse::<IpAddr>().expect("an address");
        let made = offers.iter().map(|(prefix, from, by)| Offer {
            prefix: *prefix, next_hop: hop(*by), from: FROM[*from], neighbour: hop(*from),
        });
        let judged = judge(&ground, made);
        let pool: Prefix = "10.67.0.0/16".parse().expect("a prefix");
        let services: Prefix = "10.96.0.0/12".parse().expect("a prefix");
        let ours: BTreeSet<Prefix> = vips.iter().map(|vip| Prefix::host(*vip)).chain(connected).chain([services]).collect();
        for (prefix, route) in &judged.accepted {
            prop_assert!(pool.contains(*prefix) && prefix.len() >= 26);
            prop_assert!(!ours.iter().any(|own| touches(*own, *prefix)), "{} is taken", prefix);
            let told = offers.iter().any(|(other, from, by)| {
                other == prefix && from == by && hop(*by) == route.next_hop && FROM[*from] == route.from
            });
            prop_assert!(told, "{} was told by nobody with itself as next hop", prefix);
        }
        for (prefix, from, _) in &offers {
            let is_refused = judged.refused.contains_key(&(*prefix, FROM[*from].to_owned()));
            prop_assert!(is_refused || judged.accepted.contains_key(prefix), "nothing is said of {}", prefix);
        }
    }
}
