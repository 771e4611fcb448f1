//! An ICMP echo (RFC 792, RFC 4443, section 4).
//!
//! The socket is a ping socket, which needs no capability but that the process' group is within the sysctl
//! net.ipv4.ping_group_range (icmp(7)), for IPv6 too; where it is not, a raw socket, which needs CAP_NET_RAW.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::SocketAddr;

use nix::errno::Errno;
use socket2::{Protocol, Socket, Type};

use super::datagram;
use super::way::{Way, wanting};
use crate::failure::{Failure, Found};

/// The header of an echo: type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;

/// What a process that may not ping must be given.
const WANTING: &str = "an ICMP echo needs a group of this process within the sysctl net.ipv4.ping_group_range, \
     as in `sysctl net.ipv4.ping_group_range='0 2147483647'`, or else the capability CAP_NET_RAW";

/// Sends an echo request and waits for its reply.
pub(super) async fn probe(way: &Way<'_>) -> Result<Found, Failure> {
    // A socket of this kind has no port; connecting to one would be refused for a raw one.
    let target = SocketAddr::new(way.target.ip(), 0);
    let target = match (way.target, target) {
        (SocketAddr::V6(v6), SocketAddr::V6(mut plain)) => {
            plain.set_scope_id(v6.scope_id());
            SocketAddr::V6(plain)
        }
        _ => target,
    };
    let (socket, has_header) = open(way).await?;
    let socket = datagram::connected(target, socket)?;
    let request = request(target, RandomState::new().hash_one(target));
    let reply = |packet: &[u8]| Ok(is_reply(packet, &request, target, has_header).then_some(()));
    datagram::ask(way, &socket, &request, reply).await.map(|()| Found::default())
}

/// A ping socket or else a raw one, and whether packets come out of it with their IP header.
async fn open(way: &Way<'_>) -> Result<(Socket, bool), Failure> {
    let is_v4 = way.target.is_ipv4();
    let protocol = if is_v4 { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
    let is_refused = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
            || error.raw_os_error() == Some(Errno::EPROTONOSUPPORT as i32)
    };
    match way.try_socket(Type::DGRAM, Some(protocol)).await? {
        Ok(socket) => return Ok((socket, false)),
        Err(error) if is_refused(&error) => {}
        Err(error) => return Err(wanting(&error)),
    }
    match way.try_socket(Type::RAW, Some(protocol)).await? {
        Ok(socket) => Ok((socket, is_v4)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(Failure::Local { error: WANTING.to_owned() })
        }
        Err(error) => Err(wanting(&error)),
    }
}

/// A request that holds `token` where its reply repeats it.
fn request(target: SocketAddr, token: u64) -> Vec<u8> {
    let kind = if target.is_ipv4() { 8 } else { 128 };
    let token = token.to_be_bytes();
    // The identifier and the sequence number are a part of the token; a ping socket has an identifier of its own.
    let mut packet = vec![kind, 0, 0, 0, token[0], token[1], token[2], token[3]];
    packet.extend(token);
    // The kernel computes that of ICMPv6, which covers addresses.
    if target.is_ipv4() {
        let checksum = checksum(&packet).to_be_bytes();
        packet[2..4].copy_from_slice(&checksum);
    }
    packet
}

/// The checksum of the Internet (RFC 1071) over an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    // Folded twice no carry is left.
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// Whether `packet` is the reply to `request`.
fn is_reply(packet: &[u8], request: &[u8], target: SocketAddr, has_header: bool) -> bool {
    let kind = if target.is_ipv4() { 0 } else { 129 };
    let length = match packet.first() {
        Some(first) if has_header => usize::from(first & 0x0f) * 4,
        _ => 0,
    };
    match packet.get(length..) {
        Some(echo) if echo.len() >= HEADER => echo[..2] == [kind, 0] && echo[6..] == request[6..],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_request_has_the_checksum_of_the_internet_and_only_its_reply_is_taken() {
        let (v4, v6) = (target("192.0.2.1:0"), target("[2001:db8::1]:0"));
        let sent = request(v4, 0x0102_0304_0506_0708);
        assert_eq!(checksum(&sent), 0, "{sent:?}");
        let mut reply = sent.clone();
        assert!(!is_reply(&reply, &sent, v4, false), "the request itself");
        reply[0] = 0;
        assert!(is_reply(&reply, &sent, v4, false));
        let mut headed = vec![0x46; 24];
        headed.extend(&reply);
        assert!(is_reply(&headed, &sent, v4, true));
        assert!(!is_reply(&reply, &request(v4, 1), v4, false));
        assert!(!is_reply(&reply, &sent, v6, false));
        reply.push(0);
        assert!(!is_reply(&reply, &sent, v4, false));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(packet in prop::collection::vec(any::<u8>(), 0..64), has_header: bool, token: u64) {
            for target in [target("192.0.2.1:0"), target("[2001:db8::1]:0")] {
                is_reply(&packet, &request(target, token), target, has_header);
            }
        }
    }
}
