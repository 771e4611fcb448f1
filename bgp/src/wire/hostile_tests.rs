//! Whatever arrives, nothing panics, and what is decoded is in proportion to what arrived.

use std::net::Ipv4Addr;

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::{Community, Family, Prefix};

fn any_kind() -> impl Strategy<Value = MessageType> {
    (1_u8..=5).prop_map(|octet| MessageType::from_octet(octet).unwrap())
}

fn any_context() -> impl Strategy<Value = Context> {
    any::<(bool, bool)>().prop_map(|(four_octet_asn, internal)| Context { four_octet_asn, internal })
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
            for path in [attributes.as_path, attributes.as4_path].into_iter().flatten() {
                items += path.segments().flat_map(Segment::asns).count();
            }
            assert!(items <= 2 * octets, "{items} items of {octets} octets");
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
    for next_hop in [NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)), NextHop::V6("2001:db8::1".parse().unwrap())] {
        let announcement = Announcement {
            as_path: vec![64_600, 4_200_000_001],
            next_hop,
            med: Some(0),
            local_pref: Some(100),
            communities: &[Community::NO_EXPORT],
            large_communities: &[],
        };
        let prefix: Prefix = match next_hop {
            NextHop::V4(_) => "198.51.100.0/24".parse().unwrap(),
            NextHop::V6(_) => "2001:db8:1::/48".parse().unwrap(),
        };
        for four_octet_asn in [false, true] {
            encode_announce(&mut out, &announcement, &[prefix], four_octet_asn).unwrap();
        }
        encode_withdraw(&mut out, next_hop.family(), &[prefix]).unwrap();
    }
    Notification::shutdown("maintenance").encode(&mut out);
    RouteRefresh::of(Family::Ipv6).encode(&mut out);
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
    decode(MessageType::Update, &body, Context { four_octet_asn: true, internal: false });
}
