//! UPDATE: the first octet is the session, what follows the message's body. Everything that is decoded is looked at.

#![no_main]

use bgp::{
    Path,
    wire::{AddPath, Context, Frame, Message, MessageType, Nlri},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((session, body)) = data.split_first() else { return };
    let bit = |n: u8| session & (1 << n) != 0;
    let add_path = AddPath { ipv4: bit(2), ipv6: bit(3) };
    let context = Context { add_path, extended_next_hop: bit(4), ..Context::new(bit(0), bit(1)) };
    let Ok(Message::Update(update)) = Message::decode(Frame { kind: MessageType::Update, body }, context) else {
        return;
    };
    let routes = update.announced().chain(update.withdrawn()).flat_map(Nlri::paths).count();
    assert!(routes <= body.len());
    if let Some(path) = Path::of(&update.attributes) {
        assert!(path.hops() <= body.len());
        let _ = path.to_string();
    }
    let _ = (update.end_of_rib(), update.attributes.unknown().count());
});
