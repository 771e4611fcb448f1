//! What the crate bgp-rs 0.6 can and cannot be to this speaker.
//!
//! Where it is right it is a second opinion on our encoder and decoder. It cannot be the codec itself: it panics
//! on what a neighbour may send, and it guesses the width of AS numbers from their values instead of taking the
//! session's. Each defect has a test here, so that the reasons can be checked again with a newer version.

use std::{
    io::Cursor,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    panic::catch_unwind,
};

use bgp::{
    Community, Family, Prefix,
    wire::{
        Announcement, AsPath, Capability, Context, DecodeError, ErrorCode, Framer, GracefulRestart, Message,
        MpReach, MpUnreach, NextHop, Nlri, Notification, Open, PreservedFamily, Segment, encode_announce,
        encode_withdraw,
    },
};
use proptest::prelude::*;

const SESSION: Context = Context::new(true, false);

/// Runs `look` on our reading of one message.
fn ours<T>(bytes: &[u8], look: impl FnOnce(Result<Message<'_>, DecodeError>) -> T) -> T {
    let mut framer = Framer::new();
    framer.space()[..bytes.len()].copy_from_slice(bytes);
    framer.filled(bytes.len());
    let message = match framer.next_frame(false) {
        Ok(frame) => Message::decode(frame.expect("a whole message"), SESSION),
        Err(error) => Err(error),
    };
    look(message)
}

fn theirs(bytes: &[u8]) -> std::io::Result<bgp_rs::Message> {
    bgp_rs::Reader::new(Cursor::new(bytes)).read().map(|(_, message)| message)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).expect("a short message");
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

/// An UPDATE with these attributes.
fn update_with(attributes: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (flags, kind, value) in attributes {
        let length = u16::try_from(value.len()).expect("a short attribute");
        block.extend_from_slice(&[flags | 0x10, *kind]);
        block.extend_from_slice(&length.to_be_bytes());
        block.extend_from_slice(value);
    }
    let total = u16::try_from(block.len()).expect("a short block");
    message(2, &[&[0, 0][..], &total.to_be_bytes(), &block].concat())
}

/// Each of these ends the process or its task, wherever a daemon reads with bgp-rs what a neighbour sends.
#[test]
fn bgp_rs_panics_on_messages_that_we_refuse_or_tolerate() {
    // In builds that check overflow: 5 + 251 does not fit the octet in which it is added.
    let long_next_hop = [&[0, 2, 1, 251][..], &[0; 252]].concat();
    // In every build: a family that it knows by name and not how to read.
    let bgp_ls = update_with(&[(0x80, 15, &[0x40, 4, 1, 8, 10])]);
    let twice = update_with(&[(0x80, 15, &[0x40, 4, 1, 8, 10]), (0x80, 15, &[0, 1, 1])]);
    let inputs = [
        (
            "a next hop of 251 octets",
            update_with(&[(0x80, 14, &long_next_hop)]),
            Some(ErrorCode::OPTIONAL_ATTRIBUTE),
        ),
        ("withdrawn routes of BGP-LS", bgp_ls, None),
        ("MP_UNREACH_NLRI twice", twice, Some(ErrorCode::MALFORMED_ATTRIBUTE_LIST)),
    ];
    for (name, bytes, consequence) in inputs {
        assert!(catch_unwind(|| theirs(&bytes).is_ok()).is_err(), "bgp-rs no longer panics on {name}");
        let code = ours(&bytes, |message| message.err().map(|error| error.code));
        assert_eq!(code, consequence, "{name}");
    }
}

#[test]
fn bgp_rs_encodes_asn_64600_in_two_octets_whatever_the_session_and_we_refuse_that_path() {
    let encode = |asn: u32| {
        let sequence = bgp_rs::Segment::AS_SEQUENCE(vec![asn]);
        let update = bgp_rs::Update {
            withdrawn_routes: Vec::new(),
            attributes: vec![
                bgp_rs::PathAttribute::ORIGIN(bgp_rs::Origin::IGP),
                bgp_rs::PathAttribute::AS_PATH(bgp_rs::ASPath { segments: vec![sequence] }),
                bgp_rs::PathAttribute::NEXT_HOP(Ipv4Addr::new(192, 0, 2, 1).into()),
            ],
            announced_routes: vec![bgp_rs::NLRIEncoding::IP(
                (Ipv4Addr::new(198, 51, 100, 1).into(), 32).into(),
            )],
        };
        let mut bytes = Vec::new();
        bgp_rs::Message::Update(update).encode(&mut bytes).expect("bgp-rs encodes");
        bytes
    };
    let verdict = |bytes: &[u8]| -> Vec<&'static str> {
        ours(bytes, |message| match message {
            Ok(Message::Update(update)) => update.malformed.iter().map(|malformed| malformed.what).collect(),
            other => panic!("{other:?}"),
        })
    };
    assert!(verdict(&encode(4_200_000_001)).is_empty(), "a number past 65535 has four octets");
    assert_eq!(verdict(&encode(64_600)), ["AS_PATH is malformed"], "64600 has two, on a four-octet session");
}

#[test]
fn both_read_the_same_open_and_notification() {
    let open = Open {
        my_as: 64_600,
        hold_time: 90,
        router_id: Ipv4Addr::new(192, 0, 2, 1),
        capabilities: vec![
            Capability::family(Family::Ipv4),
            Capability::family(Family::Ipv6),
            Capability::RouteRefresh,
            Capability::FourOctetAsn(64_600),
            Capability::GracefulRestart(GracefulRestart {
                restart_time: 120,
                families: vec![PreservedFamily { afi: 1, safi: 1, forwarding: true }],
                ..GracefulRestart::default()
            }),
        ],
    };
    let mut bytes = Vec::new();
    open.encode(&mut bytes).expect("it fits");
    let Ok(bgp_rs::Message::Open(read)) = theirs(&bytes) else { panic!("bgp-rs does not read our OPEN") };
    assert_eq!((read.version, read.peer_asn, read.hold_timer), (4, 64_600, 90));
    assert_eq!(Ipv4Addr::from(read.identifier), open.router_id);
    let [bgp_rs::OpenParameter::Capabilities(capabilities)] = &read.parameters[..] else {
        panic!("{:?}", read.parameters);
    };
    assert_eq!(capabilities.len(), 5);

    // Their OPEN, one capability in each parameter, as old speakers send it.
    let mut bytes = Vec::new();
    bgp_rs::Message::Open(read).encode(&mut bytes).expect("bgp-rs encodes");
    ours(&bytes, |message| assert_eq!(message, Ok(Message::Open(open))));

    let mut bytes = Vec::new();
    Notification::shutdown("bye").encode(&mut bytes);
    let Ok(bgp_rs::Message::Notification(read)) = theirs(&bytes) else { panic!("bgp-rs reads NOTIFICATION") };
    assert_eq!((read.major_err_code, read.minor_err_code, &read.data[..]), (6, 2, &b"\x03bye"[..]));
}

/// A prefix in the other crate's type.
fn their_prefix(prefix: Prefix) -> String {
    bgp_rs::Prefix::from((prefix.address(), prefix.len())).to_string()
}

fn their_prefixes(routes: &[bgp_rs::NLRIEncoding]) -> Vec<String> {
    routes
        .iter()
        .map(|route| match route {
            bgp_rs::NLRIEncoding::IP(prefix) => prefix.to_string(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn any_prefix(six: bool) -> impl Strategy<Value = Prefix> {
    any::<u128>().prop_map(move |bits| {
        Prefix::host(if six {
            IpAddr::from(Ipv6Addr::from_bits(0xfd00 << 112 | bits >> 16))
        } else {
            // Excluded, a defect of bgp-rs: it guesses from the octets whether a path identifier stands before an
            // IPv4 prefix (RFC 7911), and takes some prefixes for two. A last octet past 32 is no prefix length.
            IpAddr::from(Ipv4Addr::from_bits(u32::from_be_bytes([10, 1, 2, 33 + (bits % 200) as u8])))
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_read_the_same_announcement(
        six: bool, prefix in any_prefix(true), prefix4 in any_prefix(false), med: Option<u32>,
        // Excluded, the defect above: paths whose width cannot be told from a number past 65535.
        path in proptest::collection::vec(65_536_u32.., 1..20),
        communities in proptest::collection::vec(any::<u32>().prop_map(Community), 0..20),
    ) {
        let (prefix, next_hop) = if six {
            (prefix, NextHop::V6("2001:db8::1".parse().expect("an address")))
        } else {
            (prefix4, NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)))
        };
        let announcement = Announcement {
            as_path: bgp::Path::sequence(path.clone()), next_hop, med, local_pref: None, communities: &communities,
            large_communities: &[], extra: Default::default(),
        };
        let mut bytes = Vec::new();
        encode_announce(&mut bytes, &announcement, &[prefix], true).expect("it fits");
        let Ok(bgp_rs::Message::Update(mut read)) = theirs(&bytes) else { panic!("bgp-rs does not read it") };
        read.normalize();
        prop_assert_eq!(their_prefixes(&read.announced_routes), [their_prefix(prefix)]);
        match read.get(bgp_rs::Identifier::AS_PATH) {
            Some(bgp_rs::PathAttribute::AS_PATH(theirs)) => prop_assert_eq!(theirs.sequence(), Some(path.clone())),
            other => prop_assert!(false, "{:?}", other),
        }
        let their_med = read.attributes.iter().find_map(|attribute| match attribute {
            bgp_rs::PathAttribute::MULTI_EXIT_DISC(med) => Some(*med),
            _ => None,
        });
        prop_assert_eq!(their_med, med);
        ours(&bytes, |message| {
            let Ok(Message::Update(update)) = message else { panic!("{message:?}") };
            assert_eq!(update.announced().flat_map(Nlri::iter).collect::<Vec<_>>(), [prefix]);
            let asns = |path: AsPath<'_>| path.segments().flat_map(Segment::asns).collect::<Vec<_>>();
            assert_eq!(update.attributes.as_path.map(asns), Some(path));
            if let (NextHop::V6(sent), Some(MpReach::Known { next_hop, .. })) = (next_hop, update.attributes.mp_reach) {
                assert_eq!(next_hop, IpAddr::from(sent));
            }
        });
    }

    #[test]
    fn both_read_the_same_withdrawal(
        six: bool, sixes in proptest::collection::vec(any_prefix(true), 1..50),
        fours in proptest::collection::vec(any_prefix(false), 1..50),
    ) {
        let (family, prefixes) = if six { (Family::Ipv6, sixes) } else { (Family::Ipv4, fours) };
        let mut bytes = Vec::new();
        encode_withdraw(&mut bytes, family, &prefixes).expect("it fits");
        let Ok(bgp_rs::Message::Update(mut read)) = theirs(&bytes) else { panic!("bgp-rs does not read it") };
        read.normalize();
        let expected: Vec<_> = prefixes.iter().copied().map(their_prefix).collect();
        prop_assert_eq!(their_prefixes(&read.withdrawn_routes), expected);
        ours(&bytes, |message| {
            let Ok(Message::Update(update)) = message else { panic!("{message:?}") };
            let seen: Vec<_> = match update.attributes.mp_unreach {
                Some(MpUnreach::Known(nlri)) => nlri.iter().collect(),
                _ => update.withdrawn.iter().collect(),
            };
            assert_eq!(seen, prefixes);
        });
    }
}
