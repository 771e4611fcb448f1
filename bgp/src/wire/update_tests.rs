//! UPDATEs there and back, and every malformed attribute's consequence.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::{revised_error_tests::with, *};
use crate::{Community, Family, LargeCommunity, Path, Prefix};

const EXTERNAL: Context = Context { extended_next_hop: true, ..Context::new(true, false) };

fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut framer = Framer::new();
    let mut bodies = Vec::new();
    while !bytes.is_empty() {
        let space = framer.space();
        let count = space.len().min(bytes.len());
        space[..count].copy_from_slice(&bytes[..count]);
        framer.filled(count);
        bytes = &bytes[count..];
        while let Some(frame) = framer.next_frame(false).unwrap() {
            assert_eq!(frame.kind, MessageType::Update);
            bodies.push(frame.body.to_vec());
        }
    }
    bodies
}

fn announcement(next_hop: NextHop) -> Announcement<'static> {
    Announcement {
        med: Some(100),
        communities: &[Community::GRACEFUL_SHUTDOWN, Community::NO_EXPORT],
        large_communities: &[LargeCommunity { global: 4_200_000_001, local1: 1, local2: 2 }],
        ..Announcement::new(Path::sequence(vec![4_200_000_001, 4_200_000_001]), next_hop)
    }
}

fn v4() -> NextHop {
    NextHop::V4(Ipv4Addr::new(192, 0, 2, 1))
}

fn v6() -> NextHop {
    NextHop::V6("2001:db8::1".parse().unwrap())
}

fn v4_by_v6() -> NextHop {
    NextHop::V4ByV6("2001:db8::1".parse().unwrap())
}

fn hosts(family: Family, count: u32) -> Vec<Prefix> {
    let address = |n: u32| match family {
        Family::Ipv4 => std::net::IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + n)),
        Family::Ipv6 => {
            std::net::IpAddr::from(std::net::Ipv6Addr::from_bits((0xfd00 << 112) + u128::from(n)))
        }
    };
    (0..count).map(|n| Prefix::host(address(n))).collect()
}

fn asns(path: Option<AsPath<'_>>) -> Vec<u32> {
    path.unwrap().segments().flat_map(Segment::asns).collect()
}

#[test]
fn an_announcement_arrives_as_it_was_sent_in_both_families() {
    for next_hop in [v4(), v6(), v4_by_v6()] {
        let (mut out, prefixes) = (Vec::new(), hosts(next_hop.family(), 3));
        assert_eq!(encode_announce(&mut out, &announcement(next_hop), &prefixes, true), Ok(1));
        let bodies = frames(&out);
        let update = Update::decode(&bodies[0], EXTERNAL).unwrap();
        assert_eq!(update.malformed, []);
        assert_eq!(update.announced().flat_map(Nlri::iter).collect::<Vec<_>>(), prefixes);
        let attributes = update.attributes;
        assert_eq!(attributes.origin, Some(Origin::Igp));
        assert_eq!(asns(attributes.as_path), [4_200_000_001, 4_200_000_001]);
        assert_eq!((attributes.med, attributes.local_pref), (Some(100), None));
        let sent = announcement(next_hop);
        assert_eq!(attributes.communities.unwrap().iter().collect::<Vec<_>>(), sent.communities);
        assert_eq!(attributes.large_communities.unwrap().iter().collect::<Vec<_>>(), sent.large_communities);
        match (next_hop, attributes.mp_reach) {
            (NextHop::V4(address), None) => assert_eq!(attributes.next_hop, Some(address)),
            (
                NextHop::V6(address) | NextHop::V4ByV6(address),
                Some(MpReach::Known { next_hop, link_local, .. }),
            ) => {
                assert_eq!((next_hop, link_local), (address.into(), None));
            }
            (next_hop, reach) => panic!("{next_hop:?} became {reach:?}"),
        }
    }
}

#[test]
fn a_link_local_next_hop_goes_beside_the_global_one_and_every_message_keeps_to_its_length() {
    let link_local: Option<std::net::Ipv6Addr> = "fe80::1".parse().ok();
    for hop in [v6(), v4_by_v6()] {
        let (mut out, prefixes) = (Vec::new(), hosts(hop.family(), 2000));
        let extra = Extra { link_local, ..Extra::default() };
        let sent = Announcement { extra, ..announcement(hop) };
        let messages = encode_announce(&mut out, &sent, &prefixes, true).unwrap();
        let bodies = frames(&out);
        assert_eq!(bodies.len(), messages);
        let mut found = Vec::new();
        for body in &bodies {
            assert!(HEADER_LEN + body.len() <= MAX_MESSAGE);
            let update = Update::decode(body, EXTERNAL).unwrap();
            let Some(MpReach::Known { next_hop, link_local: beside, .. }) = update.attributes.mp_reach else {
                panic!("no MP_REACH_NLRI")
            };
            assert_eq!((next_hop, beside), ("2001:db8::1".parse().unwrap(), link_local));
            found.extend(update.announced().flat_map(Nlri::iter));
        }
        assert_eq!(found, prefixes);
    }
}

#[test]
fn a_two_octet_session_gets_as_trans_and_the_true_path_beside_it() {
    let mut out = Vec::new();
    encode_announce(&mut out, &announcement(v4()), &hosts(Family::Ipv4, 1), false).unwrap();
    let bodies = frames(&out);
    let update = Update::decode(&bodies[0], Context::new(false, false)).unwrap();
    assert_eq!(asns(update.attributes.as_path), [23_456, 23_456]);
    assert_eq!(asns(update.attributes.as4_path), [4_200_000_001, 4_200_000_001]);
    let narrow = Announcement { as_path: Path::sequence(vec![64_600]), ..announcement(v4()) };
    out.clear();
    encode_announce(&mut out, &narrow, &hosts(Family::Ipv4, 1), false).unwrap();
    let bodies = frames(&out);
    let update = Update::decode(&bodies[0], Context::new(false, false)).unwrap();
    assert_eq!((asns(update.attributes.as_path), update.attributes.as4_path), (vec![64_600], None));
}

#[test]
fn many_prefixes_fill_messages_of_at_most_4096_octets() {
    for next_hop in [v4(), v6(), v4_by_v6()] {
        let family = next_hop.family();
        let (mut out, prefixes) = (Vec::new(), hosts(family, 5000));
        let messages = encode_announce(&mut out, &announcement(next_hop), &prefixes, true).unwrap();
        let bodies = frames(&out);
        assert_eq!(bodies.len(), messages);
        let updates = bodies.iter().map(|body| Update::decode(body, EXTERNAL).unwrap());
        let seen: Vec<_> =
            updates.flat_map(|update| update.announced().flat_map(Nlri::iter).collect::<Vec<_>>()).collect();
        assert_eq!(seen, prefixes);
        let fullest = bodies.iter().map(Vec::len).max().unwrap() + HEADER_LEN;
        assert!((4079..=MAX_MESSAGE).contains(&fullest), "{family} messages are filled: {fullest}");

        out.clear();
        let messages = encode_withdraw(&mut out, family, &prefixes).unwrap();
        let bodies = frames(&out);
        assert_eq!(bodies.len(), messages);
        let withdrawn: usize = bodies
            .iter()
            .map(|body| {
                let update = Update::decode(body, EXTERNAL).unwrap();
                match update.attributes.mp_unreach {
                    Some(MpUnreach::Known(nlri)) => nlri.iter().count(),
                    _ => update.withdrawn.iter().count(),
                }
            })
            .sum();
        assert_eq!(withdrawn, 5000);
    }
}

#[test]
fn attributes_that_leave_no_room_are_refused_and_the_longest_that_do_are_sent() {
    for next_hop in [v4(), v6(), v4_by_v6()] {
        let mut announcement = announcement(next_hop);
        let spare = MAX_ATTRIBUTES - announcement.octets() + 8;
        let communities = vec![Community(1); spare / 4 - 1];
        announcement.communities = &communities;
        assert!(announcement.octets() <= MAX_ATTRIBUTES);
        let prefixes = hosts(next_hop.family(), 2);
        assert!(encode_announce(&mut Vec::new(), &announcement, &prefixes, false).is_ok());
        let communities = vec![Community(1); spare / 4 + 1];
        announcement.communities = &communities;
        assert!(matches!(
            encode_announce(&mut Vec::new(), &announcement, &prefixes, false),
            Err(EncodeError::Attributes(_))
        ));
    }
}

#[test]
fn prefixes_of_another_family_are_refused() {
    let six = hosts(Family::Ipv6, 1);
    assert_eq!(encode_withdraw(&mut Vec::new(), Family::Ipv4, &six), Err(EncodeError::Family(six[0])));
    let refused = encode_announce(&mut Vec::new(), &announcement(v4()), &six, true);
    assert_eq!(refused, Err(EncodeError::Family(six[0])));
}

#[test]
fn the_end_of_each_rib_is_recognised_and_nothing_else_is() {
    let mut out = Vec::new();
    Family::ALL.into_iter().for_each(|family| encode_end_of_rib(&mut out, family));
    encode_withdraw(&mut out, Family::Ipv6, &hosts(Family::Ipv6, 1)).unwrap();
    let bodies = frames(&out);
    let ends: Vec<_> =
        bodies.iter().map(|body| Update::decode(body, EXTERNAL).unwrap().end_of_rib()).collect();
    assert_eq!(ends, [Some(Family::Ipv4), Some(Family::Ipv6), None]);
}

#[test]
fn an_ipv6_next_hop_may_have_a_link_local_one_beside_it() {
    let mut value = vec![0, 2, 1, 32];
    value.extend_from_slice(&"2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    value.extend_from_slice(&"fe80::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    value.extend_from_slice(&[0, 16, 0xfd, 0]);
    let bytes = with(&[(0x80, 14, &value)]);
    let update = Update::decode(&bytes, EXTERNAL).unwrap();
    let Some(MpReach::Known { next_hop, link_local, nlri }) = update.attributes.mp_reach else {
        panic!("{:?}", update.attributes.mp_reach);
    };
    assert_eq!((next_hop, link_local), ("2001:db8::1".parse().unwrap(), "fe80::1".parse().ok()));
    assert_eq!(nlri.iter().collect::<Vec<_>>(), ["fd00::/16".parse().unwrap()]);
}

#[test]
fn routes_of_an_unknown_family_and_unknown_attributes_are_tolerated() {
    let bytes = with(&[(0x80, 14, &[0, 25, 70, 0, 0, 1, 2, 3]), (0xc0, 40, &[7, 7])]);
    let update = Update::decode(&bytes, EXTERNAL).unwrap();
    assert_eq!(update.attributes.mp_reach, Some(MpReach::Other { afi: 25, safi: 70 }));
    let unknown: Vec<_> = update.attributes.unknown().collect();
    assert_eq!(unknown, [RawAttribute { flags: 0xc0, kind: 40, value: &[7, 7] }]);
}

/// RFC 8950 §3, octet by octet.
#[test]
fn an_ipv4_route_by_an_ipv6_next_hop_is_in_mp_reach_nlri() {
    let mut out = Vec::new();
    let plain = Announcement::new(Path::sequence(vec![64_600]), v4_by_v6());
    encode_announce(&mut out, &plain, &["198.51.100.1/32".parse().unwrap()], true).unwrap();
    let reach = [
        &[0x90, 14, 0, 26, 0, 1, 1, 16][..],
        &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0, 32, 198, 51, 100, 1],
    ]
    .concat();
    let rest = [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0x58];
    assert_eq!(out[HEADER_LEN..], [&[0, 0, 0, 43][..], &reach, &rest].concat());
}

/// What a reflector passes on carries everything that it came with.
#[test]
fn what_few_routes_carry_arrives_as_it_was_sent_in_either_width() {
    let id = |last| Ipv4Addr::new(10, 64, 0, last);
    let extra = Extra {
        link_local: None,
        origin: Origin::Incomplete,
        atomic_aggregate: true,
        aggregator: Some(Aggregator { asn: 4_200_000_002, router_id: id(9) }),
        only_to_customer: Some(4_200_000_003),
        originator_id: Some(id(2)),
        cluster_list: vec![id(100), id(101)],
        extended_communities: &[[0, 2, 0xfc, 0x58, 0, 0, 0, 7]],
        unknown: &[(0xd0, 99, vec![1, 2, 3])],
    };
    let sent = Announcement { local_pref: Some(100), extra, ..announcement(v4()) };
    for four_octet_asn in [false, true] {
        let mut out = Vec::new();
        encode_announce(&mut out, &sent, &hosts(Family::Ipv4, 1), four_octet_asn).unwrap();
        let bodies = frames(&out);
        let update = Update::decode(&bodies[0], Context::new(four_octet_asn, true)).unwrap();
        assert_eq!(update.malformed, []);
        let got = update.attributes;
        assert_eq!((got.origin, got.atomic_aggregate), (Some(Origin::Incomplete), true));
        let aggregator = if four_octet_asn { got.aggregator } else { got.as4_aggregator };
        assert_eq!(aggregator, sent.extra.aggregator);
        assert_eq!((got.originator_id, got.only_to_customer), (Some(id(2)), Some(4_200_000_003)));
        assert_eq!(got.cluster_list.unwrap().iter().collect::<Vec<_>>(), sent.extra.cluster_list);
        let communities: Vec<_> = got.extended_communities.unwrap().iter().collect();
        assert_eq!(communities, sent.extra.extended_communities);
        let unknown: Vec<_> = got.unknown().map(|raw| (raw.flags, raw.kind, raw.value)).collect();
        assert_eq!(
            unknown,
            [(0xe0, 99, &[1, 2, 3][..])],
            "with the partial bit, and the length as short as it can be"
        );
    }
}

proptest! {
    #[test]
    fn any_announcement_arrives_as_it_was_sent(
        path in proptest::collection::vec(1_u32.., 0..300), med: Option<u32>, local_pref: Option<u32>,
        communities in proptest::collection::vec(any::<u32>().prop_map(Community), 0..40),
        count in 1_u32..900, six: bool,
    ) {
        let next_hop = if six { v6() } else { v4() };
        let prefixes = hosts(next_hop.family(), count);
        let sent = Announcement {
            as_path: Path::sequence(path.clone()), next_hop, med, local_pref, communities: &communities,
            large_communities: &[], extra: Extra::default(),
        };
        let mut out = Vec::new();
        encode_announce(&mut out, &sent, &prefixes, true).unwrap();
        let mut seen = Vec::new();
        for body in frames(&out) {
            let update = Update::decode(&body, Context { internal: local_pref.is_some(), ..EXTERNAL }).unwrap();
            prop_assert_eq!(&update.malformed, &[]);
            prop_assert_eq!(asns(update.attributes.as_path), path.clone());
            prop_assert_eq!((update.attributes.med, update.attributes.local_pref), (med, local_pref));
            seen.extend(update.announced().flat_map(Nlri::iter));
        }
        prop_assert_eq!(seen, prefixes);
    }
}
