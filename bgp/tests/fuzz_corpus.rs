//! A bounded run over the fuzz targets' corpus: every seed, and seeds that were hit by chance, through the decoders.
//! `bgp/fuzz` has the unbounded one.

use std::{fs, path::Path as File, time::Instant};

use bgp::{
    Path,
    bfd::{Discriminator, Event, Packet, Session, Timing},
    fsm::Jitter,
    wire::{AddPath, Context, Frame, Framer, Message, MessageType, Nlri},
};
use proptest::{prelude::*, sample::Index};

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = File::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(directory).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a seed")).collect()
}

/// The session that the first octet of a seed for UPDATEs stands for.
fn session(octet: u8) -> Context {
    let bit = |n: u8| octet & (1 << n) != 0;
    let add_path = AddPath { ipv4: bit(2), ipv6: bit(3) };
    Context { add_path, extended_next_hop: bit(4), ..Context::new(bit(0), bit(1)) }
}

/// Decodes one message and looks at all of it; whether it was taken.
fn look(kind: MessageType, body: &[u8], context: Context) -> bool {
    match Message::decode(Frame { kind, body }, context) {
        Ok(Message::Update(update)) => {
            let routes = update.announced().chain(update.withdrawn()).flat_map(Nlri::paths).count();
            assert!(routes <= body.len());
            let path = Path::of(&update.attributes).unwrap_or_default();
            assert!(path.hops() <= body.len() && path.to_string().len() <= 11 * body.len());
            true
        }
        Ok(Message::Notification(notification)) => notification.to_string().len() < 1024,
        Ok(Message::Open(_) | Message::Keepalive | Message::RouteRefresh(_)) => true,
        Err(error) => !error.what.is_empty() && error.code.code == 0,
    }
}

fn feed(target: &str, seed: &[u8]) -> bool {
    let whole = |kind| look(kind, seed, Context::new(true, false));
    match target {
        "open" => whole(MessageType::Open),
        "notification" => whole(MessageType::Notification),
        "refresh" => whole(MessageType::RouteRefresh),
        "bfd" => bfd(seed),
        "update" => match seed.split_first() {
            Some((first, body)) => look(MessageType::Update, body, session(*first)),
            None => false,
        },
        _ => stream(seed),
    }
}

/// A packet, to a session that has just begun.
fn bfd(seed: &[u8]) -> bool {
    let Ok(packet) = Packet::decode(seed) else { return false };
    let local = Discriminator::new(1).expect("not zero");
    let mut session = Session::new(local, Timing::DEFAULT, Jitter::none());
    session.handle(Event::Start, Instant::now());
    let outputs = session.handle(Event::Received(packet), Instant::now());
    assert!(packet.authenticated || Packet::decode(&packet.encode()) == Ok(packet));
    outputs.len() < 8
}

fn stream(seed: &[u8]) -> bool {
    let mut framer = Framer::new();
    let Some((piece, stream)) = seed.split_first() else { return false };
    for part in stream.chunks(usize::from(*piece).max(1)) {
        framer.space()[..part.len()].copy_from_slice(part);
        framer.filled(part.len());
        loop {
            match framer.next_frame(true) {
                Ok(Some(frame)) => {
                    look(frame.kind, frame.body, Context::new(true, false));
                }
                Ok(None) => break,
                Err(_) => return false,
            }
        }
    }
    true
}

const TARGETS: [&str; 6] = ["stream", "open", "update", "notification", "refresh", "bfd"];

#[test]
fn every_seed_is_taken() {
    for target in TARGETS {
        for (index, seed) in seeds(target).iter().enumerate() {
            assert!(feed(target, seed), "{target}, seed {index}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn a_seed_hit_by_chance_breaks_nothing(
        target in proptest::sample::select(&TARGETS[..]), which: Index, other: Index, cut: Index,
        hits in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..6), cross: bool,
    ) {
        let seeds = seeds(target);
        let mut seed = seeds[which.index(seeds.len())].clone();
        if cross {
            let tail = &seeds[other.index(seeds.len())];
            seed.truncate(cut.index(seed.len()) + 1);
            seed.extend_from_slice(&tail[cut.index(tail.len())..]);
        }
        for (at, octet) in hits {
            let at = at.index(seed.len());
            seed[at] = octet;
        }
        feed(target, &seed);
    }
}
