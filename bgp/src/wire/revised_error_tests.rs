//! RFC 7606 case by case: the table of docs/bgp.md, each row with a message.

use std::collections::BTreeMap;

use super::{attribute::code, *};

const EXTERNAL: Context = Context::new(true, false);
const INTERNAL: Context = Context::new(true, true);
const NARROW: Context = Context::new(false, false);
const EXTENDED: Context = Context { extended_next_hop: true, ..EXTERNAL };

const DOCUMENT: &str = include_str!("../../../docs/bgp.md");

/// A message with a route, ORIGIN, AS_PATH, NEXT_HOP and these attributes; a type that is given replaces its own.
pub(super) fn with(attributes: &[(u8, u8, &[u8])]) -> Vec<u8> {
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

/// What a message does, in the table's words.
fn consequence(message: &[u8], context: Context) -> &'static str {
    match Update::decode(message, context) {
        Err(_) => "session reset",
        Ok(update) if update.treat_as_withdraw() => {
            assert!(update.announced().next().is_some(), "there is something to withdraw");
            "treat as withdraw"
        }
        Ok(update) if update.malformed.is_empty() => "accepted",
        Ok(_) => "attribute discard",
    }
}

/// One attribute beside well-formed others.
fn one(context: Context, flags: u8, kind: u8, value: &[u8]) -> (Vec<u8>, Context) {
    let local_pref: (u8, u8, &[u8]) = (0x40, code::LOCAL_PREF, &[0, 0, 0, 100]);
    let path: (u8, u8, &[u8]) = (0x40, code::AS_PATH, &[2, 1, 0xfc, 0x58]);
    let mut attributes = vec![(flags, kind, value)];
    if context.internal && kind != code::LOCAL_PREF {
        attributes.push(local_pref);
    }
    if !context.four_octet_asn && kind != code::AS_PATH {
        attributes.push(path);
    }
    (with(&attributes), context)
}

fn block(parts: &[&[u8]]) -> (Vec<u8>, Context) {
    (body(&[], &parts.concat(), &[8, 10]), EXTERNAL)
}

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const PATH: &[u8] = &[0x40, 2, 0];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];

/// A value of MP_REACH_NLRI for IPv6 with one route.
fn reach(next_hop: &[&str]) -> Vec<u8> {
    let octets: Vec<u8> =
        next_hop.iter().flat_map(|text| text.parse::<std::net::Ipv6Addr>().unwrap().octets()).collect();
    [&[0, 2, 1, u8::try_from(octets.len()).unwrap()][..], &octets, &[0, 16, 0xfd, 0]].concat()
}

/// A value of MP_REACH_NLRI for IPv4 with one route by an IPv6 next hop.
fn reach_by_v6() -> Vec<u8> {
    let hop = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    [&[0, 1, 1, 16][..], &hop, &[0, 24, 10, 1, 0]].concat()
}

type Cases = Vec<(&'static str, (Vec<u8>, Context))>;

fn structure() -> Cases {
    let twice = |kind: u8| with(&[(0x80, kind, &[0, 2, 1]), (0x80, kind, &[0, 2, 1])]);
    vec![
        ("withdrawn routes longer than the message", (vec![0, 9, 0, 0], EXTERNAL)),
        ("attributes longer than the message", (vec![0, 0, 0, 9], EXTERNAL)),
        ("a withdrawn prefix longer than 32 bits", (body(&[33, 1, 2, 3, 4, 5], &[], &[]), EXTERNAL)),
        ("an announced prefix cut short", (body(&[], &[], &[24, 1]), EXTERNAL)),
        ("an attribute longer than the rest of them", block(&[ORIGIN, PATH, NEXT_HOP, &[0x80, 4, 9, 0]])),
        ("one or two octets left after the last attribute", block(&[ORIGIN, PATH, NEXT_HOP, &[0x80]])),
        ("an attribute twice", (with(&[(0x80, 4, &[0; 4]), (0x80, 4, &[0; 4])]), EXTERNAL)),
        ("MP_REACH_NLRI or MP_UNREACH_NLRI twice", (twice(15), EXTERNAL)),
        ("wrong optional or transitive flag", one(EXTERNAL, 0xc0, code::ORIGIN, &[0])),
        ("unknown attribute marked well-known", one(EXTERNAL, 0x40, 99, &[])),
        ("unknown optional attribute", one(EXTERNAL, 0xe0, 99, &[1, 2, 3])),
        ("no ORIGIN with routes", block(&[PATH, NEXT_HOP])),
        ("no AS_PATH with routes", block(&[ORIGIN, NEXT_HOP])),
        ("no NEXT_HOP with IPv4 routes", block(&[ORIGIN, PATH])),
        (
            "no LOCAL_PREF from an internal neighbour",
            (body(&[], &[ORIGIN, PATH, NEXT_HOP].concat(), &[8, 10]), INTERNAL),
        ),
        (
            "an attribute to be treated as withdraw, and no route announced",
            (body(&[8, 10], &[0x40, 1, 1, 9], &[]), EXTERNAL),
        ),
        (
            "an attribute to be discarded, and no route announced",
            (body(&[8, 10], &[0x40, 6, 1, 9], &[]), EXTERNAL),
        ),
    ]
}

fn well_known() -> Cases {
    let path = |context, value: &[u8]| one(context, 0x40, code::AS_PATH, value);
    vec![
        ("ORIGIN past 2", one(EXTERNAL, 0x40, code::ORIGIN, &[3])),
        ("ORIGIN not of one octet", one(EXTERNAL, 0x40, code::ORIGIN, &[])),
        ("AS_PATH empty", path(EXTERNAL, &[])),
        ("AS_PATH with an unknown kind of segment", path(EXTERNAL, &[9, 1, 0, 0, 0, 1])),
        ("AS_PATH with a segment of a confederation", path(EXTERNAL, &[3, 1, 0, 0, 0, 1])),
        ("AS_PATH with an empty segment", path(EXTERNAL, &[2, 0])),
        ("AS_PATH with a segment cut short", path(EXTERNAL, &[2, 2, 0, 0, 0, 1])),
        ("AS_PATH with one octet left", path(EXTERNAL, &[2, 1, 0, 0, 0, 1, 2])),
        ("AS_PATH in the other width", path(EXTERNAL, &[2, 1, 0xfc, 0x58])),
        ("AS_PATH with AS 0", path(EXTERNAL, &[2, 1, 0, 0, 0, 0])),
        ("NEXT_HOP not of four octets", one(EXTERNAL, 0x40, code::NEXT_HOP, &[1, 2, 3])),
        ("NEXT_HOP zero, multicast or broadcast", one(EXTERNAL, 0x40, code::NEXT_HOP, &[224, 0, 0, 1])),
        ("MULTI_EXIT_DISC not of four octets", one(EXTERNAL, 0x80, code::MED, &[0, 1])),
        ("LOCAL_PREF not of four octets", one(INTERNAL, 0x40, code::LOCAL_PREF, &[1])),
        ("LOCAL_PREF from an external neighbour", one(EXTERNAL, 0x40, code::LOCAL_PREF, &[0, 0, 0, 1])),
        ("ATOMIC_AGGREGATE not empty", one(EXTERNAL, 0x40, code::ATOMIC_AGGREGATE, &[1])),
        (
            "AGGREGATOR not of 8 octets (6 in a two-octet session)",
            one(EXTERNAL, 0xc0, code::AGGREGATOR, &[1; 6]),
        ),
        ("AGGREGATOR with AS 0", one(EXTERNAL, 0xc0, code::AGGREGATOR, &[0; 8])),
    ]
}

fn optional() -> Cases {
    let mp_reach = |value: &[u8]| one(EXTERNAL, 0x80, code::MP_REACH, value);
    let mp_extended = |value: &[u8]| one(EXTENDED, 0x80, code::MP_REACH, value);
    let mp_unreach = |value: &[u8]| one(EXTERNAL, 0x80, code::MP_UNREACH, value);
    vec![
        ("MP_REACH_NLRI of IPv4 with an IPv6 next hop, not agreed on", mp_reach(&reach_by_v6())),
        ("MP_REACH_NLRI of IPv4 with an IPv6 next hop, agreed on", mp_extended(&reach_by_v6())),
        ("COMMUNITIES empty or not a multiple of 4", one(EXTERNAL, 0xc0, code::COMMUNITIES, &[])),
        (
            "extended communities empty or not a multiple of 8",
            one(EXTERNAL, 0xc0, code::EXTENDED_COMMUNITIES, &[0; 9]),
        ),
        (
            "LARGE_COMMUNITY empty or not a multiple of 12",
            one(EXTERNAL, 0xc0, code::LARGE_COMMUNITIES, &[0; 8]),
        ),
        ("ONLY_TO_CUSTOMER not of four octets", one(EXTERNAL, 0xc0, code::ONLY_TO_CUSTOMER, &[0; 2])),
        ("ORIGINATOR_ID from an external neighbour", one(EXTERNAL, 0x80, code::ORIGINATOR_ID, &[1; 4])),
        ("ORIGINATOR_ID not of four octets", one(INTERNAL, 0x80, code::ORIGINATOR_ID, &[1; 3])),
        ("CLUSTER_LIST from an external neighbour", one(EXTERNAL, 0x80, code::CLUSTER_LIST, &[1; 4])),
        ("CLUSTER_LIST empty or not a multiple of 4", one(INTERNAL, 0x80, code::CLUSTER_LIST, &[])),
        ("AS4_PATH or AS4_AGGREGATOR in a four-octet session", one(EXTERNAL, 0xc0, code::AS4_PATH, &[])),
        ("AS4_PATH malformed", one(NARROW, 0xc0, code::AS4_PATH, &[2, 9])),
        ("AS4_AGGREGATOR malformed", one(NARROW, 0xc0, code::AS4_AGGREGATOR, &[1; 6])),
        ("MP_REACH_NLRI cut short before its routes", mp_reach(&[0])),
        ("MP_REACH_NLRI with a next hop of a wrong length", mp_reach(&[0, 2, 1, 4, 1, 2, 3, 4, 0])),
        ("MP_REACH_NLRI with a next hop that is no host's", mp_reach(&reach(&["ff02::1"]))),
        ("MP_REACH_NLRI with a global and a link-local next hop", mp_reach(&reach(&["fd00::1", "fe80::1"]))),
        ("MP_REACH_NLRI with a malformed prefix", mp_reach(&[&reach(&["fd00::1"])[..], &[129]].concat())),
        ("MP_REACH_NLRI of an unknown family", mp_reach(&[0, 25, 70, 0, 0, 1, 2, 3])),
        ("MP_UNREACH_NLRI cut short before its routes", mp_unreach(&[0, 2])),
        ("MP_UNREACH_NLRI with a malformed prefix", mp_unreach(&[0, 2, 1, 129])),
    ]
}

/// The table's rows: what is wrong, and the consequence.
fn documented() -> BTreeMap<&'static str, &'static str> {
    let start = DOCUMENT.find("| what is wrong | consequence |").expect("the table");
    let rows = DOCUMENT[start..].lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        (cells.next().unwrap(), cells.next().unwrap())
    })
    .collect()
}

#[test]
fn every_row_of_the_documented_table_is_what_a_message_meets() {
    let mut documented = documented();
    for (name, (message, context)) in structure().into_iter().chain(well_known()).chain(optional()) {
        let expected = documented.remove(name).unwrap_or_else(|| panic!("docs/bgp.md has no row {name:?}"));
        assert_eq!(consequence(&message, context), expected, "{name}");
    }
    assert!(documented.is_empty(), "rows without a message: {documented:?}");
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
