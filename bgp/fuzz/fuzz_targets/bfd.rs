//! BFD: packets after each other, 24 octets each and the last with the rest, to one session. One that is taken comes
//! back the same from our encoder.

#![no_main]

use std::time::{Duration, Instant};

use bgp::{
    bfd::{Discriminator, Event, Packet, Session, Timing, packet::LEN},
    fsm::Jitter,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
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
        session.handle(Event::Received(packet), now);
    }
});
