//! A stream of messages, however it is cut: the first octet says in which pieces it arrives.

#![no_main]

use bgp::wire::{Context, Framer, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((piece, stream)) = data.split_first() else { return };
    let mut framer = Framer::new();
    for part in stream.chunks(usize::from(*piece).max(1)) {
        framer.space()[..part.len()].copy_from_slice(part);
        framer.filled(part.len());
        loop {
            match framer.next_frame(true) {
                Ok(Some(frame)) => drop(Message::decode(frame, Context::new(true, false))),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});
