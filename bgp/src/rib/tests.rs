//! What a neighbour is told, and in which order.

use std::{collections::BTreeMap, net::Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::{
    Asn, Community, Family, HoldTime, Path, Prefix, Role, RouteAttributes, RouteSet,
    fsm::Negotiated,
    wire::{AddPath, NextHop, encode_announce},
};

fn negotiated(families: &[Family], internal: bool) -> Negotiated {
    Negotiated {
        remote_asn: Asn::new(65_001).unwrap(),
        remote_router_id: Ipv4Addr::new(192, 0, 2, 2),
        hold_time: HoldTime::DEFAULT,
        families: families.iter().copied().collect(),
        four_octet_asn: true,
        internal,
        extended_messages: false,
        graceful_restart: None,
        graceful_notification: false,
        route_refresh: true,
        long_lived: None,
        enhanced_refresh: false,
        add_path: AddPath::default(),
        extended_next_hop: false,
        role: None,
    }
}

fn export(families: &[Family], local: &str, internal: bool) -> Export {
    let asn = Asn::new(64_600).unwrap();
    let agreed = negotiated(families, internal);
    Export::new(asn, &Family::ALL.into(), &agreed, local.parse().unwrap(), None, None)
}

/// A session over IPv4 with a next hop for both families.
fn rib() -> AdjRibOut {
    let agreed = negotiated(&Family::ALL, false);
    let next_hop = "2001:db8::1".parse().ok();
    let local = "192.0.2.1".parse().unwrap();
    AdjRibOut::new(Export::new(
        Asn::new(64_600).unwrap(),
        &Family::ALL.into(),
        &agreed,
        local,
        None,
        next_hop,
    ))
}

fn med(med: u32) -> RouteAttributes {
    RouteAttributes { med: Some(med), ..RouteAttributes::default() }
}

fn set(routes: &[(&str, u32)]) -> RouteSet {
    routes.iter().map(|(prefix, value)| (prefix.parse().unwrap(), med(*value))).collect()
}

/// What is said of a route of the owner's.
fn own(said: &Said) -> &RouteAttributes {
    let Said::Own(attributes) = said else { panic!("nothing is passed on here: {said:?}") };
    attributes
}

fn drain(rib: &mut AdjRibOut) -> Vec<String> {
    std::iter::from_fn(|| rib.next_batch())
        .map(|batch| {
            let list = |prefixes: Vec<Prefix>| {
                prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            };
            match batch {
                Batch::Withdraw { prefixes, .. } => format!("-{}", list(prefixes)),
                Batch::Announce { said, prefixes, .. } => {
                    format!("+{} med {}", list(prefixes), own(&said).med.unwrap())
                }
                Batch::EndOfRib(family) => format!("end of {family}"),
                Batch::Refresh(kind, family) => format!("{kind:?} of {family}"),
            }
        })
        .collect()
}

#[test]
fn nothing_is_said_not_even_end_of_rib_before_the_owner_says_what_it_wants() {
    let mut rib = rib();
    assert_eq!(rib.next_batch(), None);
    assert!(!rib.is_in_sync());
    rib.set(&RouteSet::new());
    assert_eq!(drain(&mut rib), ["end of ipv4", "end of ipv6"]);
    assert!(rib.is_in_sync());
}

#[test]
fn everything_is_sent_once_and_then_end_of_rib() {
    let mut rib = rib();
    let whole = set(&[("10.0.0.1/32", 0), ("10.0.0.2/32", 0), ("fd00::1/128", 0)]);
    assert_eq!(rib.set(&whole), Pending { announce: 3, withdraw: 0 });
    let said = drain(&mut rib);
    assert_eq!(said, ["+10.0.0.1/32 10.0.0.2/32 med 0", "+fd00::1/128 med 0", "end of ipv4", "end of ipv6"]);
    assert_eq!(rib.set(&whole), Pending::default());
    assert_eq!(drain(&mut rib), Vec::<String>::new());
    assert_eq!(rib.told(), [(Family::Ipv4, 2), (Family::Ipv6, 1)].into());
}

#[test]
fn only_what_changed_is_said_and_withdrawals_come_first() {
    let mut rib = rib();
    rib.set(&set(&[("10.0.0.1/32", 0), ("10.0.0.2/32", 0), ("10.0.0.3/32", 0), ("fd00::1/128", 0)]));
    drain(&mut rib);
    rib.set(&set(&[("10.0.0.1/32", 0), ("10.0.0.2/32", 9), ("10.0.0.4/32", 0)]));
    let said = drain(&mut rib);
    assert_eq!(said, ["-10.0.0.3/32", "-fd00::1/128", "+10.0.0.4/32 med 0", "+10.0.0.2/32 med 9"]);
}

#[test]
fn a_withdrawal_overtakes_announcements_that_wait() {
    let mut rib = rib();
    rib.set(&set(&[("10.0.0.1/32", 0)]));
    drain(&mut rib);
    rib.set(&set(&[("10.0.0.1/32", 0), ("10.0.0.2/32", 1), ("10.0.0.3/32", 2)]));
    assert!(matches!(rib.next_batch(), Some(Batch::Announce { .. })));
    rib.set(&set(&[("10.0.0.3/32", 2)]));
    assert_eq!(drain(&mut rib), ["-10.0.0.1/32 10.0.0.2/32", "+10.0.0.3/32 med 2"]);
}

#[test]
fn what_was_never_told_is_not_withdrawn() {
    let mut rib = rib();
    rib.set(&set(&[("10.0.0.1/32", 0)]));
    rib.set(&set(&[]));
    assert_eq!(drain(&mut rib), ["end of ipv4", "end of ipv6"]);
}

#[test]
fn a_refresh_repeats_the_family_and_loses_no_withdrawal() {
    let mut rib = rib();
    let whole = set(&[("10.0.0.1/32", 0), ("10.0.0.2/32", 0), ("fd00::1/128", 0)]);
    rib.set(&whole);
    drain(&mut rib);
    rib.refresh(Family::Ipv4);
    assert_eq!(drain(&mut rib), ["+10.0.0.1/32 10.0.0.2/32 med 0"]);
    rib.refresh(Family::Ipv4);
    rib.set(&set(&[("10.0.0.1/32", 0), ("fd00::1/128", 0)]));
    assert_eq!(drain(&mut rib), ["-10.0.0.2/32", "+10.0.0.1/32 med 0"]);
}

#[test]
fn an_enhanced_refresh_is_marked_at_both_ends_and_waits_for_the_end_of_rib() {
    let agreed = Negotiated { enhanced_refresh: true, ..negotiated(&[Family::Ipv4], false) };
    let own = Asn::new(64_600).unwrap();
    let local = "192.0.2.1".parse().unwrap();
    let mut rib = AdjRibOut::new(Export::new(own, &[Family::Ipv4].into(), &agreed, local, None, None));
    rib.set(&set(&[("10.0.0.1/32", 0)]));
    rib.refresh(Family::Ipv4);
    let whole = ["+10.0.0.1/32 med 0", "end of ipv4", "Begin of ipv4", "+10.0.0.1/32 med 0", "End of ipv4"];
    assert_eq!(drain(&mut rib), whole);
    rib.refresh(Family::Ipv4);
    rib.set(&set(&[("10.0.0.1/32", 7), ("10.0.0.2/32", 0)]));
    assert!(!rib.is_in_sync());
    let said = drain(&mut rib);
    assert_eq!(said, ["Begin of ipv4", "+10.0.0.2/32 med 0", "+10.0.0.1/32 med 7", "End of ipv4"]);
    assert!(rib.is_in_sync());
}

#[test]
fn a_refresh_does_not_bring_back_what_is_about_to_change_or_go() {
    let mut rib = rib();
    rib.set(&set(&[("10.0.0.1/32", 0), ("10.0.0.2/32", 0), ("10.0.0.3/32", 0)]));
    drain(&mut rib);
    rib.set(&set(&[("10.0.0.1/32", 5), ("10.0.0.3/32", 0)]));
    rib.refresh(Family::Ipv4);
    assert_eq!(drain(&mut rib), ["-10.0.0.2/32", "+10.0.0.3/32 med 0", "+10.0.0.1/32 med 5"]);
}

#[test]
fn routes_without_a_next_hop_are_withheld_and_the_reason_names_the_way_out() {
    let mut rib = AdjRibOut::new(export(&Family::ALL, "192.0.2.1", false));
    rib.set(&set(&[("10.0.0.1/32", 0), ("fd00::1/128", 0), ("fd00::2/128", 1)]));
    assert_eq!(drain(&mut rib), ["+10.0.0.1/32 med 0", "end of ipv4", "end of ipv6"]);
    let withheld: Vec<_> = rib.withheld().collect();
    assert_eq!(withheld, [(Family::Ipv6, WithheldReason::NoNextHop(Family::Ipv6), 2)]);
    assert!(withheld[0].1.to_string().contains("set this peer's ipv6 next hop"));
    let link_local = export(&Family::ALL, "fe80::1", false);
    assert!(link_local.announcement(Family::Ipv6, &Said::Own(med(0))).is_err());
    let hop = "fe80::1".parse().ok();
    let own = export(&Family::ALL, "2001:db8::1", false).beside(hop);
    let said = Said::Own(med(0));
    assert_eq!(own.announcement(Family::Ipv6, &said).unwrap().extra.link_local, hop);
}

#[test]
fn a_family_that_the_router_did_not_offer_is_withheld() {
    let mut rib = AdjRibOut::new(export(&[Family::Ipv4], "2001:db8::1", false));
    rib.set(&set(&[("fd00::1/128", 0)]));
    let reasons: Vec<_> = rib.withheld().map(|(_, reason, _)| reason).collect();
    assert_eq!(reasons, [WithheldReason::NotNegotiated(Family::Ipv6)]);
    assert_eq!(drain(&mut rib), ["end of ipv4"]);
}

#[test]
fn a_family_that_the_peer_is_not_configured_for_is_nobodys_concern() {
    let agreed = negotiated(&[Family::Ipv4], false);
    let configured = [Family::Ipv4].into();
    let local = "192.0.2.1".parse().unwrap();
    let mut rib =
        AdjRibOut::new(Export::new(Asn::new(64_600).unwrap(), &configured, &agreed, local, None, None));
    rib.set(&set(&[("fd00::1/128", 0)]));
    assert_eq!(rib.withheld().count(), 0);
}

#[test]
fn attributes_that_do_not_fit_are_withheld_and_what_was_told_before_is_withdrawn() {
    let mut rib = rib();
    rib.set(&set(&[("10.0.0.1/32", 0)]));
    drain(&mut rib);
    let huge = RouteAttributes { communities: vec![Community(1); 1100], ..RouteAttributes::default() };
    rib.set(&[("10.0.0.1/32".parse().unwrap(), huge)].into_iter().collect());
    assert_eq!(drain(&mut rib), ["-10.0.0.1/32"]);
    assert_eq!(rib.withheld().next().map(|(_, reason, _)| reason), Some(WithheldReason::AttributesTooLong));
}

#[test]
fn external_and_internal_neighbours_get_what_is_theirs() {
    let attributes = Said::Own(RouteAttributes {
        med: Some(5),
        local_pref: Some(200),
        prepend: 2,
        ..RouteAttributes::default()
    });
    let external = export(&Family::ALL, "192.0.2.1", false);
    let said = external.announcement(Family::Ipv4, &attributes).unwrap();
    let path = Path::sequence(vec![64_600; 3]);
    assert_eq!((said.as_path, said.med, said.local_pref), (path, Some(5), None));
    assert_eq!(said.next_hop, NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let internal = export(&Family::ALL, "192.0.2.1", true);
    let said = internal.announcement(Family::Ipv4, &attributes).unwrap();
    assert_eq!((said.as_path, said.local_pref), (Path::default(), Some(200)));
    let plain = Said::Own(RouteAttributes::default());
    assert_eq!(internal.announcement(Family::Ipv4, &plain).unwrap().local_pref, Some(100));
    let longest = Said::Own(RouteAttributes { prepend: 255, ..RouteAttributes::default() });
    let said = external.announcement(Family::Ipv4, &longest).unwrap();
    assert!(encode_announce(&mut Vec::new(), &said, &["10.0.0.1/32".parse().unwrap()], true).is_ok());
}

#[test]
fn customers_and_peers_are_told_that_a_route_is_for_customers_only_and_providers_are_not() {
    for (role, expected) in [
        (Some(Role::Provider), Some(64_600)),
        (Some(Role::Peer), Some(64_600)),
        (Some(Role::Rs), Some(64_600)),
        (Some(Role::Customer), None),
        (Some(Role::RsClient), None),
        (None, None),
    ] {
        let agreed = Negotiated { role, ..negotiated(&Family::ALL, false) };
        let (asn, local) = (Asn::new(64_600).unwrap(), "192.0.2.1".parse().unwrap());
        let export = Export::new(asn, &Family::ALL.into(), &agreed, local, None, None);
        let said = Said::Own(RouteAttributes::default());
        assert_eq!(
            export.announcement(Family::Ipv4, &said).unwrap().extra.only_to_customer,
            expected,
            "{role:?}"
        );
    }
}

#[test]
fn an_ipv4_route_has_the_ipv6_next_hop_where_that_was_agreed_on_and_there_is_no_other() {
    let hop = |local: &str, extended_next_hop, own: Option<Ipv4Addr>| {
        let agreed = Negotiated { extended_next_hop, ..negotiated(&Family::ALL, false) };
        let asn = Asn::new(64_600).unwrap();
        let export = Export::new(asn, &Family::ALL.into(), &agreed, local.parse().unwrap(), own, None);
        let said = Said::Own(RouteAttributes::default());
        export.announcement(Family::Ipv4, &said).map(|said| said.next_hop)
    };
    let (six, four) = ("2001:db8::1".parse().unwrap(), Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(hop("2001:db8::1", true, None), Ok(NextHop::V4ByV6(six)));
    assert_eq!(hop("2001:db8::1", true, Some(four)), Ok(NextHop::V4(four)));
    assert_eq!(hop("192.0.2.1", true, None), Ok(NextHop::V4(four)));
    assert_eq!(hop("2001:db8::1", false, None), Err(WithheldReason::NoNextHop(Family::Ipv4)));
}

proptest! {
    /// However sets, refreshes and batches interleave, the neighbour ends with the last set.
    #[test]
    fn the_neighbour_ends_with_the_last_set(
        steps in proptest::collection::vec(
            (proptest::collection::btree_map(0_u8..12, 0_u32..3, 0..12), 0_usize..6, any::<bool>()), 1..20,
        ),
    ) {
        let whole = |routes: &BTreeMap<u8, u32>| -> RouteSet {
            let prefix = |n: u8| Prefix::host(if n.is_multiple_of(2) {
                Ipv4Addr::new(10, 0, 0, n).into()
            } else {
                std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n.into()).into()
            });
            routes.iter().map(|(n, value)| (prefix(*n), med(*value))).collect()
        };
        let mut rib = rib();
        let mut neighbour = BTreeMap::new();
        let mut ends = 0;
        let mut hear = |batch: Batch| match batch {
            Batch::Withdraw { prefixes, .. } => {
                for prefix in prefixes {
                    assert!(neighbour.remove(&prefix).is_some(), "only what was told is withdrawn");
                }
            }
            Batch::Announce { said, prefixes, .. } => {
                neighbour.extend(prefixes.into_iter().map(|prefix| (prefix, own(&said).clone())));
            }
            Batch::EndOfRib(_) => ends += 1,
            Batch::Refresh(_, _) => panic!("not agreed on"),
        };
        let mut last = RouteSet::new();
        for (routes, batches, refresh) in steps {
            last = whole(&routes);
            rib.set(&last);
            if refresh {
                rib.refresh(Family::Ipv4);
            }
            (0..batches).for_each(|_| if let Some(batch) = rib.next_batch() { hear(batch) });
        }
        while let Some(batch) = rib.next_batch() {
            hear(batch);
        }
        prop_assert_eq!(neighbour.into_iter().collect::<RouteSet>(), last);
        prop_assert_eq!(ends, 2);
        prop_assert!(rib.is_in_sync());
    }
}
