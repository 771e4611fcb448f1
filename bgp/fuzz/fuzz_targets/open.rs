//! OPEN. One that is taken comes back the same from our encoder.

#![no_main]

use bgp::wire::{Context, Frame, HEADER_LEN, Message, MessageType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let context = Context::new(true, false);
    let Ok(Message::Open(open)) = Message::decode(Frame { kind: MessageType::Open, body }, context) else { return };
    let mut out = Vec::new();
    if open.encode(&mut out).is_ok() {
        let frame = Frame { kind: MessageType::Open, body: &out[HEADER_LEN..] };
        assert_eq!(Message::decode(frame, context), Ok(Message::Open(open)));
    }
});
