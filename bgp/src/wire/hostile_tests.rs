//! Whatever arrives, nothing panics, and what is decoded is in proportion to what arrived.

use std::net::Ipv4Addr;

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::{Community, Family, Path, Prefix};

fn any_kind() -> impl Strategy<Value = MessageType> {
    (1_u8..=5).prop_map(|octet| MessageType::from_octet(octet).unwrap())
}

fn any_context() -> impl Strategy<Value = Context> {
    any::<[bool; 5]>().prop_map(|[four_octet_asn, internal, ipv4, ipv6, extended_next_hop]| Context {
        four_octet_asn,
        internal,
        add_path: AddPath { ipv4, ipv6 },
        extended_next_hop,
    })
}

/// Looks at everything that a decoded message offers.
fn walk(message: &Message<'_>, octets: usize) {
    match message {
        Message::Open(open) => {
            assert!(open.capabilities.len() <= octets / 2);
            let _ = (open.asn(), open.graceful_restart());
        }
        Message::Update(update) => {
            let attributes = &update.attributes;
            let mut items = update.withdrawn.iter().count();
            items += update.announced().flat_map(Nlri::iter).count();
            items += update.malformed.len() + attributes.unknown().count();
            items += attributes.communities.map_or(0, |list| list.iter().count());
            items += attributes.large_communities.map_or(0, |list| list.iter().count());
            items += attributes.extended_communities.map_or(0, |list| list.iter().count());
            items += attributes.cluster_list.map_or(0, |list| list.iter().count());
            items += update.withdrawn().flat_map(Nlri::paths).count();
            for path in [attributes.as_path, attributes.as4_path].into_iter().flatten() {
                items += path.segments().flat_map(Segment::asns).count();
            }
            assert!(items <= 3 * octets, "{items} items of {octets} octets");
            let _ = update.end_of_rib();
        }
        Message::Notification(notification) => {
            let _ = notification.to_string();
        }
        Message::Keepalive | Message::RouteRefresh(_) => {}
    }
}

fn decode(kind: MessageType, body: &[u8], context: Context) {
    if let Ok(message) = Message::decode(Frame { kind, body }, context) {
        walk(&message, body.len());
    }
}

fn good_messages() -> Vec<u8> {
    let mut out = Vec::new();
    let open = Open {
        my_as: 23_456,
        hold_time: 90,
        router_id: Ipv4Addr::new(192, 0, 2, 1),
        capabilities: vec![
            Capability::family(Family::Ipv4),
            Capability::GracefulRestart(GracefulRestart { restart_time: 120, ..GracefulRestart::default() }),
            Capability::FourOctetAsn(4_200_000_001),
        ],
    };
    open.encode(&mut out).unwrap();
    let six = "2001:db8::1".parse().unwrap();
    for next_hop in [NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)), NextHop::V6(six), NextHop::V4ByV6(six)] {
        let announcement = Announcement {
            as_path: Path::sequence(vec![64_600, 4_200_000_001]),
            next_hop,
            med: Some(0),
            local_pref: Some(100),
            communities: &[Community::NO_EXPORT],
            large_communities: &[],
            extra: Extra {
                originator_id: Some(Ipv4Addr::new(10, 64, 0, 2)),
                cluster_list: vec![Ipv4Addr::new(10, 64, 0, 100)],
                ..Extra::default()
            },
        };
        let prefix: Prefix = match next_hop {
            NextHop::V4(_) | NextHop::V4ByV6(_) => "198.51.100.0/24".parse().unwrap(),
            NextHop::V6(_) => "2001:db8:1::/48".parse().unwrap(),
        };
        for four_octet_asn in [false, true] {
            encode_announce(&mut out, &announcement, &[prefix], four_octet_asn).unwrap();
        }
        encode_withdraw(&mut out, next_hop.family(), &[prefix]).unwrap();
    }
    Notification::shutdown("maintenance").encode(&mut out);
    RouteRefresh::new(RefreshKind::Request, Family::Ipv6).encode(&mut out);
    encode_keepalive(&mut out);
    out
}

#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => any::<(Index, u8)>().prop_map(|(at, octet)| Mutation::Set(at, octet)),
        2 => any::<(Index, u8)>().prop_map(|(at, octet)| Mutation::Insert(at, octet)),
        2 => any::<Index>().prop_map(Mutation::Remove),
        1 => any::<Index>().prop_map(Mutation::Truncate),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    match mutation {
        Mutation::Set(at, octet) => {
            let at = at.index(bytes.len());
            bytes[at] = *octet;
        }
        Mutation::Insert(at, octet) => bytes.insert(at.index(bytes.len()), *octet),
        Mutation::Remove(at) => {
            bytes.remove(at.index(bytes.len()));
        }
        Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn arbitrary_octets_never_panic_a_decoder(
        kind in any_kind(), context in any_context(), body in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        decode(kind, &body, context);
    }

    #[test]
    fn mutated_bodies_of_good_messages_never_panic_a_decoder(
        which: Index, context in any_context(), mutations in proptest::collection::vec(mutation(), 1..6),
    ) {
        let good = good_messages();
        let mut framer = Framer::new();
        framer.space()[..good.len()].copy_from_slice(&good);
        framer.filled(good.len());
        let mut frames = Vec::new();
        while let Some(frame) = framer.next_frame(false).unwrap() {
            frames.push((frame.kind, frame.body.to_vec()));
        }
        let (kind, mut body) = frames.swap_remove(which.index(frames.len()));
        mutations.iter().for_each(|mutation| mutate(&mut body, mutation));
        decode(kind, &body, context);
    }

    #[test]
    fn a_mutated_stream_never_panics_the_framer(
        context in any_context(), extended: bool, mutations in proptest::collection::vec(mutation(), 1..6),
    ) {
        let mut stream = good_messages();
        mutations.iter().for_each(|mutation| mutate(&mut stream, mutation));
        let mut framer = Framer::new();
        framer.space()[..stream.len()].copy_from_slice(&stream);
        framer.filled(stream.len());
        while let Ok(Some(frame)) = framer.next_frame(extended) {
            decode(frame.kind, frame.body, context);
        }
    }
}

#[test]
fn the_longest_message_of_nested_attributes_costs_no_stack() {
    // Attribute 128 (ATTR_SET, RFC 6368) nests; here it is octets like any unknown attribute.
    let mut block = Vec::new();
    while block.len() < MAX_EXTENDED_MESSAGE - 100 {
        let length = u16::try_from(MAX_EXTENDED_MESSAGE - 100 - block.len()).unwrap();
        block.extend_from_slice(&[0xd0, 128]);
        block.extend_from_slice(&length.saturating_sub(4).to_be_bytes());
        block.extend_from_slice(&[0, 0, 0, 1]);
    }
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    let body = [&[0, 0][..], &length, &block].concat();
    decode(MessageType::Update, &body, Context::new(true, false));
}

/// Messages of the longest kind, each the worst of its sort.
fn worst_updates() -> Vec<(&'static str, Vec<u8>)> {
    let room = MAX_EXTENDED_MESSAGE - HEADER_LEN - 4;
    let block = |octets: &[u8]| {
        let octets: Vec<u8> =
            octets.iter().copied().cycle().take(room / octets.len() * octets.len()).collect();
        [&[0, 0][..], &u16::try_from(octets.len()).unwrap().to_be_bytes(), &octets].concat()
    };
    let routes = [&[0, 0, 0, 0][..], &vec![0; room]].concat();
    let mut path = vec![0x50, 2];
    path.extend_from_slice(&u16::try_from((room - 4) / 6 * 6).unwrap().to_be_bytes());
    (0..(room - 4) / 6).for_each(|_| path.extend_from_slice(&[2, 1, 0, 0, 0, 9]));
    let all_types: Vec<u8> = (0..=u8::MAX).flat_map(|kind| [0xc0, kind, 0]).collect();
    vec![
        ("an unknown attribute again and again", block(&[0xc0, 99, 0])),
        ("a wrong attribute again and again", block(&[0xc0, 1, 0])),
        ("every type again and again", block(&all_types)),
        ("only default routes", routes),
        ("a path of segments of one number", block(&path)),
    ]
}

#[test]
fn the_worst_message_costs_under_a_microsecond_an_octet_and_keeps_little() {
    for (name, body) in worst_updates() {
        let context = Context { add_path: AddPath { ipv4: false, ipv6: true }, ..Context::new(true, false) };
        if let Ok(update) = Update::decode(&body, context) {
            assert!(update.malformed.len() <= 3 * 256, "{name}: {} faults kept", update.malformed.len());
        }
        // The fastest of many: what the machine does beside it is not the decoder's cost.
        let once = || {
            let start = std::time::Instant::now();
            decode(MessageType::Update, &body, context);
            start.elapsed()
        };
        let fastest = (0..20).map(|_| once()).min().unwrap();
        let limit = std::time::Duration::from_micros(u64::try_from(body.len()).unwrap());
        assert!(fastest < limit, "{name}: {fastest:?} for {} octets", body.len());
    }
}
