//! What each fuzz target does with the octets that it is given; whether they were taken.
//!
//! The targets and `tests/fuzz_corpus.rs` have it in common: it is compiled and run by `make test`.

use std::time::{Duration, Instant};

use bgp::{
    Path,
    bfd::{Discriminator, Event, Packet, Session, Timing, packet::LEN},
    fsm::Jitter,
    wire::{AddPath, Context, Frame, Framer, HEADER_LEN, Message, MessageType, Nlri},
};

/// OPEN. One that is taken comes back the same from our encoder.
pub(crate) fn open(body: &[u8]) -> bool {
    let context = Context::new(true, false);
    let Ok(Message::Open(open)) = decode(MessageType::Open, body, context) else { return false };
    let mut out = Vec::new();
    if open.encode(&mut out).is_ok() {
        assert_eq!(decode(MessageType::Open, &out[HEADER_LEN..], context), Ok(Message::Open(open)));
    }
    true
}

/// UPDATE: the first octet is the session, what follows the message's body. Everything that is decoded is looked at.
pub(crate) fn update(data: &[u8]) -> bool {
    let Some((session, body)) = data.split_first() else { return false };
    let bit = |n: u8| session & (1 << n) != 0;
    let add_path = AddPath { ipv4: bit(2), ipv6: bit(3) };
    let context = Context { add_path, extended_next_hop: bit(4), ..Context::new(bit(0), bit(1)) };
    any(MessageType::Update, body, context)
}

/// NOTIFICATION. What is printed of it stays short.
pub(crate) fn notification(body: &[u8]) -> bool {
    any(MessageType::Notification, body, Context::new(true, false))
}

/// ROUTE-REFRESH. One that is taken comes back the same from our encoder.
pub(crate) fn refresh(body: &[u8]) -> bool {
    let Ok(Message::RouteRefresh(refresh)) =
        decode(MessageType::RouteRefresh, body, Context::new(true, false))
    else {
        return false;
    };
    let mut out = Vec::new();
    refresh.encode(&mut out);
    assert_eq!(&out[HEADER_LEN..], body);
    true
}

/// A stream of messages, however it is cut: the first octet says in which pieces it arrives.
pub(crate) fn stream(data: &[u8]) -> bool {
    let Some((piece, stream)) = data.split_first() else { return false };
    let mut framer = Framer::new();
    for part in stream.chunks(usize::from(*piece).max(1)) {
        framer.space()[..part.len()].copy_from_slice(part);
        framer.filled(part.len());
        loop {
            match framer.next_frame(true) {
                Ok(Some(frame)) => drop(any(frame.kind, frame.body, Context::new(true, false))),
                Ok(None) => break,
                Err(_) => return false,
            }
        }
    }
    true
}

/// BFD: packets after each other, 24 octets each and the last with the rest, to one session. One that is taken comes back the
/// same from our encoder. Whether all of it is one.
pub(crate) fn bfd(octets: &[u8]) -> bool {
    let local = Discriminator::new(1).expect("not zero");
    let mut session = Session::new(local, Timing::DEFAULT, Jitter::seeded(1));
    let mut now = Instant::now();
    session.handle(Event::Start, now);
    let mut rest = octets;
    while !rest.is_empty() {
        let payload = if rest.len() < 2 * LEN { rest } else { &rest[..LEN] };
        rest = &rest[payload.len()..];
        let Ok(packet) = Packet::decode(payload) else { continue };
        if !packet.authenticated {
            assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
        }
        now += Duration::from_millis(u64::from(packet.multiplier));
        assert!(session.handle(Event::Received(packet), now).len() < 8);
    }
    Packet::decode(octets).is_ok()
}

fn decode(kind: MessageType, body: &[u8], context: Context) -> Result<Message<'_>, bgp::wire::DecodeError> {
    Message::decode(Frame { kind, body }, context)
}

/// Decodes one message and looks at all of it.
fn any(kind: MessageType, body: &[u8], context: Context) -> bool {
    match decode(kind, body, context) {
        Ok(Message::Update(update)) => {
            let routes = update.announced().chain(update.withdrawn()).flat_map(Nlri::paths).count();
            assert!(routes <= body.len());
            let path = Path::of(&update.attributes).unwrap_or_default();
            assert!(path.hops() <= body.len() && path.to_string().len() <= 11 * body.len());
            let _ = (update.end_of_rib(), update.attributes.unknown().count());
            true
        }
        Ok(Message::Notification(notification)) => {
            assert!(notification.to_string().len() < 1024);
            true
        }
        Ok(Message::Open(_) | Message::Keepalive | Message::RouteRefresh(_)) => true,
        Err(error) => {
            assert!(!error.what.is_empty());
            false
        }
    }
}
