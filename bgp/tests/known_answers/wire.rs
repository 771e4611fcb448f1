//! An encoder of UPDATEs that has nothing of the one under test.

use std::net::{IpAddr, Ipv4Addr};

use bgp::{Prefix, wire::Context};

pub(crate) const OPTIONAL: u8 = 0x80;
pub(crate) const TRANSITIVE: u8 = 0x40;
pub(crate) const PARTIAL: u8 = 0x20;
const EXTENDED_LENGTH: u8 = 0x10;

pub(crate) fn attribute(flags: u8, kind: u8, value: &[u8], extended: bool) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a short value");
    let head = match u8::try_from(length) {
        Ok(short) if !extended => vec![flags, kind, short],
        _ => {
            let [high, low] = length.to_be_bytes();
            vec![flags | EXTENDED_LENGTH, kind, high, low]
        }
    };
    [&head, value].concat()
}

pub(crate) fn segment(kind: u8, asns: &[u32], four_octets: bool) -> Vec<u8> {
    let mut out = vec![kind, u8::try_from(asns.len()).expect("a short segment")];
    for asn in asns {
        out.extend_from_slice(&number(*asn, four_octets));
    }
    out
}

/// An AS number; `AS_TRANS` where it does not fit.
pub(crate) fn number(asn: u32, four_octets: bool) -> Vec<u8> {
    if four_octets {
        asn.to_be_bytes().to_vec()
    } else {
        u16::try_from(asn).unwrap_or(23_456).to_be_bytes().to_vec()
    }
}

/// A prefix, with these bits past its length in the last octet.
pub(crate) fn prefix(prefix: Prefix, past: u8) -> Vec<u8> {
    let octets = match prefix.address() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut out = vec![prefix.len()];
    out.extend_from_slice(&octets[..usize::from(prefix.len()).div_ceil(8)]);
    if let (rest @ 1.., Some(last)) = (prefix.len() % 8, out.last_mut()) {
        *last |= past & (0xff >> rest);
    }
    out
}

pub(crate) fn update(withdrawn: &[u8], attributes: &[u8], routes: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("a message's length").to_be_bytes();
    let body = [&length(withdrawn)[..], withdrawn, &length(attributes), attributes, routes].concat();
    let mut out = vec![0xff; 16];
    out.extend_from_slice(&u16::try_from(19 + body.len()).expect("a message's length").to_be_bytes());
    out.push(2);
    out.extend_from_slice(&body);
    assert!(out.len() <= 4096, "{} octets", out.len());
    out
}

/// A route that nothing else announces, and the UPDATE that does.
pub(crate) fn mark(number: usize, session: Context) -> (String, Vec<u8>) {
    let address = Ipv4Addr::new(192, 0, 2, u8::try_from(number % 256).expect("an octet"));
    let mark = Prefix::host(address.into());
    let path =
        if session.internal { vec![] } else { segment(2, &[super::FEEDER_ASN], session.four_octet_asn) };
    let mut attributes = [
        attribute(TRANSITIVE, 1, &[0], false),
        attribute(TRANSITIVE, 2, &path, false),
        attribute(TRANSITIVE, 3, &[192, 0, 2, 10], false),
    ]
    .concat();
    if session.internal {
        attributes.extend(attribute(TRANSITIVE, 5, &100_u32.to_be_bytes(), false));
    }
    (mark.to_string(), update(&[], &attributes, &prefix(mark, 0)))
}
