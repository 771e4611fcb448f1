//! NOTIFICATION. What is printed of it stays short.

#![no_main]

use bgp::wire::{Context, Frame, Message, MessageType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let frame = Frame { kind: MessageType::Notification, body };
    if let Ok(Message::Notification(notification)) = Message::decode(frame, Context::new(true, false)) {
        assert!(notification.to_string().len() < 1024);
    }
});
