//! UPDATEs there and back, and every malformed attribute's consequence.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::{attribute::code, *};
use crate::{Community, Family, LargeCommunity, Prefix};

const EXTERNAL: Context = Context { four_octet_asn: true, internal: false };
const INTERNAL: Context = Context { four_octet_asn: true, internal: true };

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
        as_path: vec![4_200_000_001, 4_200_000_001],
        next_hop,
        med: Some(100),
        local_pref: None,
        communities: &[Community::GRACEFUL_SHUTDOWN, Community::NO_EXPORT],
        large_communities: &[LargeCommunity { global: 4_200_000_001, local1: 1, local2: 2 }],
    }
}

fn v4() -> NextHop {
    NextHop::V4(Ipv4Addr::new(192, 0, 2, 1))
}

fn v6() -> NextHop {
    NextHop::V6("2001:db8::1".parse().unwrap())
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
    for next_hop in [v4(), v6()] {
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
            (NextHop::V6(address), Some(MpReach::Known { next_hop, link_local, .. })) => {
                assert_eq!((next_hop, link_local), (address.into(), None));
            }
            (next_hop, reach) => panic!("{next_hop:?} became {reach:?}"),
        }
    }
}

#[test]
fn a_two_octet_session_gets_as_trans_and_the_true_path_beside_it() {
    let mut out = Vec::new();
    encode_announce(&mut out, &announcement(v4()), &hosts(Family::Ipv4, 1), false).unwrap();
    let bodies = frames(&out);
    let update = Update::decode(&bodies[0], Context { four_octet_asn: false, internal: false }).unwrap();
    assert_eq!(asns(update.attributes.as_path), [23_456, 23_456]);
    assert_eq!(asns(update.attributes.as4_path), [4_200_000_001, 4_200_000_001]);
    let narrow = Announcement { as_path: vec![64_600], ..announcement(v4()) };
    out.clear();
    encode_announce(&mut out, &narrow, &hosts(Family::Ipv4, 1), false).unwrap();
    let bodies = frames(&out);
    let update = Update::decode(&bodies[0], Context { four_octet_asn: false, internal: false }).unwrap();
    assert_eq!((asns(update.attributes.as_path), update.attributes.as4_path), (vec![64_600], None));
}

#[test]
fn many_prefixes_fill_messages_of_at_most_4096_octets() {
    for next_hop in [v4(), v6()] {
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
    for next_hop in [v4(), v6()] {
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

/// A message with a route, ORIGIN, AS_PATH, NEXT_HOP and these attributes; a type that is given replaces its own.
fn with(attributes: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    let base: [(u8, u8, &[u8]); 3] =
        [(0x40, 1, &[0]), (0x40, 2, &[2, 1, 0, 0, 0xfc, 0x58]), (0x40, 3, &[192, 0, 2, 1])];
    let kept = base.iter().filter(|(_, kind, _)| attributes.iter().all(|(_, other, _)| other != kind));
    for (flags, kind, value) in kept.chain(attributes) {
        block.extend_from_slice(&[*flags, *kind, u8::try_from(value.len()).unwrap()]);
        block.extend_from_slice(value);
    }
    body(&[], &block, &[24, 10, 0, 0])
}

fn body(withdrawn: &[u8], block: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length(withdrawn)[..], withdrawn, &length(block), block, nlri].concat()
}

/// The consequence of one attribute beside well-formed others.
fn consequence(context: Context, flags: u8, kind: u8, value: &[u8]) -> Option<Handling> {
    let local_pref: (u8, u8, &[u8]) = (0x40, code::LOCAL_PREF, &[0, 0, 0, 100]);
    let mut attributes = vec![(flags, kind, value)];
    if context.internal && kind != code::LOCAL_PREF {
        attributes.push(local_pref);
    }
    let bytes = with(&attributes);
    let update = Update::decode(&bytes, context).unwrap_or_else(|error| panic!("type {kind}: {error}"));
    assert_eq!(update.nlri.iter().count(), 1, "the routes are known");
    update.malformed.first().map(|malformed| malformed.handling)
}

#[test]
fn each_malformed_attribute_has_the_consequence_that_rfc_7606_gives_it() {
    use Handling::{AttributeDiscard, TreatAsWithdraw};
    type Case = (Context, u8, u8, &'static [u8], Option<Handling>);
    let cases: &[Case] = &[
        (EXTERNAL, 0x40, code::ORIGIN, &[2], None),
        (EXTERNAL, 0x40, code::ORIGIN, &[3], Some(TreatAsWithdraw)),
        (EXTERNAL, 0x40, code::ORIGIN, &[], Some(TreatAsWithdraw)),
        (EXTERNAL, 0xc0, code::ORIGIN, &[0], Some(TreatAsWithdraw)),
        (EXTERNAL, 0x40, code::AS_PATH, &[], None),
        (EXTERNAL, 0x40, code::AS_PATH, &[2, 1, 0xfc, 0x58], Some(TreatAsWithdraw)),
        (EXTERNAL, 0x40, code::AS_PATH, &[2, 0], Some(TreatAsWithdraw)),
        (EXTERNAL, 0x40, code::AS_PATH, &[3, 1, 0, 0, 0, 1], Some(TreatAsWithdraw)),
        (EXTERNAL, 0x40, code::NEXT_HOP, &[1, 2, 3], Some(TreatAsWithdraw)),
        (EXTERNAL, 0x40, code::NEXT_HOP, &[0, 0, 0, 0], Some(TreatAsWithdraw)),
        (EXTERNAL, 0x80, code::MED, &[0, 0, 0, 1], None),
        (EXTERNAL, 0x80, code::MED, &[0, 1], Some(TreatAsWithdraw)),
        (EXTERNAL, 0x40, code::MED, &[0, 0, 0, 1], Some(TreatAsWithdraw)),
        (EXTERNAL, 0x40, code::LOCAL_PREF, &[0, 0, 0, 1], Some(AttributeDiscard)),
        (INTERNAL, 0x40, code::LOCAL_PREF, &[0, 0, 0, 1], None),
        (INTERNAL, 0x40, code::LOCAL_PREF, &[1], Some(TreatAsWithdraw)),
        (EXTERNAL, 0x40, code::ATOMIC_AGGREGATE, &[], None),
        (EXTERNAL, 0x40, code::ATOMIC_AGGREGATE, &[1], Some(AttributeDiscard)),
        (EXTERNAL, 0xc0, code::AGGREGATOR, &[0; 8], None),
        (EXTERNAL, 0xc0, code::AGGREGATOR, &[0; 6], Some(AttributeDiscard)),
        (EXTERNAL, 0xc0, code::COMMUNITIES, &[0; 8], None),
        (EXTERNAL, 0xc0, code::COMMUNITIES, &[], Some(TreatAsWithdraw)),
        (EXTERNAL, 0xc0, code::COMMUNITIES, &[0; 6], Some(TreatAsWithdraw)),
        (EXTERNAL, 0xc0, code::LARGE_COMMUNITIES, &[0; 12], None),
        (EXTERNAL, 0xc0, code::LARGE_COMMUNITIES, &[0; 8], Some(TreatAsWithdraw)),
        (EXTERNAL, 0x80, code::ORIGINATOR_ID, &[1; 4], Some(AttributeDiscard)),
        (INTERNAL, 0x80, code::ORIGINATOR_ID, &[1; 4], None),
        (INTERNAL, 0x80, code::ORIGINATOR_ID, &[1; 3], Some(TreatAsWithdraw)),
        (INTERNAL, 0x80, code::CLUSTER_LIST, &[], Some(TreatAsWithdraw)),
        (EXTERNAL, 0xc0, code::AS4_PATH, &[2, 1, 0, 0, 0, 1], Some(AttributeDiscard)),
        (EXTERNAL, 0xe0, 99, &[1, 2, 3], None),
        (EXTERNAL, 0x40, code::MP_UNREACH, &[0, 2, 1], Some(TreatAsWithdraw)),
    ];
    for (context, flags, kind, value, expected) in cases {
        assert_eq!(consequence(*context, *flags, *kind, value), *expected, "type {kind}, value {value:?}");
    }
    let two_octets = Context { four_octet_asn: false, internal: false };
    let bytes = with(&[(0x40, 2, &[2, 1, 0xfc, 0x58]), (0xc0, code::AS4_PATH, &[2, 9])]);
    let update = Update::decode(&bytes, two_octets).unwrap();
    assert_eq!(update.malformed[0].handling, AttributeDiscard);
}

#[test]
fn a_missing_mandatory_attribute_makes_the_routes_withdrawn() {
    let origin: &[u8] = &[0x40, 1, 1, 0];
    let path: &[u8] = &[0x40, 2, 0];
    let next_hop: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];
    for (block, context) in [
        ([path, next_hop].concat(), EXTERNAL),
        ([origin, next_hop].concat(), EXTERNAL),
        ([origin, path].concat(), EXTERNAL),
        ([origin, path, next_hop].concat(), INTERNAL),
    ] {
        assert!(Update::decode(&body(&[], &block, &[8, 10]), context).unwrap().treat_as_withdraw());
    }
    let whole = body(&[], &[origin, path, next_hop].concat(), &[8, 10]);
    assert!(!Update::decode(&whole, EXTERNAL).unwrap().treat_as_withdraw());
    assert_eq!(Update::decode(&body(&[8, 10], &[], &[]), EXTERNAL).unwrap().malformed, []);
}

#[test]
fn an_attribute_past_the_lists_end_withdraws_the_routes_and_keeps_the_session() {
    let overrun = body(&[], &[0x40, 1, 1, 0, 0x40, 2, 9, 0], &[8, 10]);
    let update = Update::decode(&overrun, EXTERNAL).unwrap();
    assert!(update.treat_as_withdraw());
    assert_eq!(update.nlri.iter().count(), 1);
}

#[test]
fn a_repeated_attribute_is_discarded_unless_it_carries_routes() {
    let bytes = with(&[(0x80, 4, &[0, 0, 0, 1]), (0x80, 4, &[0, 0, 0, 2])]);
    let update = Update::decode(&bytes, EXTERNAL).unwrap();
    assert_eq!(update.attributes.med, Some(1));
    assert_eq!(update.malformed[0].handling, Handling::AttributeDiscard);
    let twice = with(&[(0x80, 15, &[0, 2, 1]), (0x80, 15, &[0, 2, 1])]);
    assert_eq!(Update::decode(&twice, EXTERNAL).unwrap_err().code, ErrorCode::MALFORMED_ATTRIBUTE_LIST);
}

#[test]
fn what_hides_the_routes_resets_the_session() {
    let reset = |bytes: &[u8]| Update::decode(bytes, EXTERNAL).unwrap_err().code;
    assert_eq!(reset(&[0, 9, 0, 0]), ErrorCode::MALFORMED_ATTRIBUTE_LIST);
    assert_eq!(reset(&[0, 0, 0, 9]), ErrorCode::MALFORMED_ATTRIBUTE_LIST);
    assert_eq!(reset(&body(&[33, 1, 2, 3, 4, 5], &[], &[])), ErrorCode::INVALID_NETWORK_FIELD);
    assert_eq!(reset(&body(&[], &[], &[24, 1])), ErrorCode::INVALID_NETWORK_FIELD);
    assert_eq!(reset(&with(&[(0x80, 14, &[0, 2, 1, 4, 1, 2, 3, 4, 0])])), ErrorCode::OPTIONAL_ATTRIBUTE);
    assert_eq!(reset(&with(&[(0x80, 14, &[0])])), ErrorCode::OPTIONAL_ATTRIBUTE);
    assert_eq!(reset(&with(&[(0x80, 15, &[0, 2, 1, 129])])), ErrorCode::OPTIONAL_ATTRIBUTE);
    assert_eq!(reset(&with(&[(0x40, 99, &[])])), ErrorCode::UNRECOGNIZED_WELL_KNOWN);
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
            as_path: path.clone(), next_hop, med, local_pref, communities: &communities, large_communities: &[],
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
