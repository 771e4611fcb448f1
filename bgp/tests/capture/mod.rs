//! The sessions in `captured/`.
//!
//! `captured/ROUTER-KIND.hex` holds one message a line, in the order in which the router sent them: its OPEN first. The
//! routers are Debian 12's BIRD 2.0.12, BIRD 1.6.8, FRR 8.4.4, GoBGP 3.10 and ExaBGP 4.2.21; ours was a neighbour with
//! four-octet AS numbers that takes path identifiers (`narrow`: one with neither), in another AS (`internal`: the same).

use std::{fs, path::Path as File};

use bgp::{
    Family,
    wire::{AddPath, Context, Framer, Message},
};

fn messages(file: &File) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(file).expect("a captured session");
    let octet = |pair: &[u8]| {
        let digits = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(digits, 16).expect("hexadecimal")
    };
    text.lines().map(|line| line.as_bytes().chunks(2).map(octet).collect()).collect()
}

/// Every session's name and messages.
pub(crate) fn sessions() -> Vec<(String, Vec<Vec<u8>>)> {
    let directory = File::new(env!("CARGO_MANIFEST_DIR")).join("tests/captured");
    let files =
        fs::read_dir(directory).expect("captured sessions").map(|entry| entry.expect("an entry").path());
    let captured = files.filter(|file| file.extension().is_some_and(|extension| extension == "hex"));
    captured
        .map(|file| (file.file_stem().expect("a name").to_string_lossy().into_owned(), messages(&file)))
        .collect()
}

/// What the session agreed on, if this message is the router's OPEN.
pub(crate) fn agreed(name: &str, message: &[u8]) -> Option<Context> {
    let mut framer = Framer::new();
    framer.space()[..message.len()].copy_from_slice(message);
    framer.filled(message.len());
    let frame = framer.next_frame(true).expect("a well-formed header").expect("a whole message");
    let Ok(Message::Open(router)) = Message::decode(frame, Context::new(true, false)) else { return None };
    let narrow = name.contains("narrow");
    let ids = |family| !narrow && router.add_path(family).is_some_and(|entry| entry.send);
    Some(Context {
        add_path: AddPath { ipv4: ids(Family::Ipv4), ipv6: ids(Family::Ipv6) },
        ..Context::new(!narrow && router.four_octet_asn().is_some(), name.contains("internal"))
    })
}
