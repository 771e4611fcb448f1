//! ROUTE-REFRESH. One that is taken comes back the same from our encoder.

#![no_main]

use bgp::wire::{Context, Frame, HEADER_LEN, Message, MessageType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let frame = Frame { kind: MessageType::RouteRefresh, body };
    if let Ok(Message::RouteRefresh(refresh)) = Message::decode(frame, Context::new(true, false)) {
        let mut out = Vec::new();
        refresh.encode(&mut out);
        assert_eq!(&out[HEADER_LEN..], body);
    }
});
