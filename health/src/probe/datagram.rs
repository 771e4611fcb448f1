//! Single packets and what comes back for them.

use std::io;
use std::net::{SocketAddr, UdpSocket as StdUdpSocket};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use socket2::Socket;
use tokio::net::UdpSocket;
use tokio::time::timeout_at;

use super::way::{Way, wanting};
use super::{tcp, words};
use crate::failure::{Failure, Stage};

/// `socket`, not a stream's, connected to `target`: only that one's packets are received, and every ICMP error
/// is told by the next call (IP_RECVERR, ip(7); without it the kernel tells of a closed port and of little else).
pub(super) fn connected(target: SocketAddr, socket: Socket) -> Result<UdpSocket, Failure> {
    let heard = match target {
        SocketAddr::V4(_) => setsockopt(&socket, Ipv4RecvErr, &true),
        SocketAddr::V6(_) => setsockopt(&socket, Ipv6RecvErr, &true),
    };
    heard.map_err(|error| wanting(&error.into()))?;
    socket.connect(&target.into()).map_err(|error| tcp::connect_failure(&error, target))?;
    UdpSocket::from_std(StdUdpSocket::from(socket)).map_err(|error| wanting(&error))
}

/// Sends `packet` and hands each packet that comes back to `take`, until that has found the answer. When half of the time
/// is over it is sent once more: one that is lost would be a failed check.
pub(super) async fn ask<T>(
    way: &Way<'_>,
    socket: &UdpSocket,
    packet: &[u8],
    mut take: impl FnMut(&[u8]) -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let stage = Stage::AwaitingAnswer;
    let failed = |error| returned(&error, Duration::ZERO);
    let mut again = Some(way.limit.half());
    let mut received = vec![0; MAX_PACKET];
    way.limit.within(stage, socket.send(packet)).await?.map_err(failed)?;
    loop {
        let until = again.unwrap_or(way.limit.at);
        // Cancel-safe: what recv has not returned stays in the socket.
        match timeout_at(until, socket.recv(&mut received)).await {
            Ok(Ok(length)) => {
                if let Some(answer) = take(&received[..length])? {
                    return Ok(answer);
                }
            }
            Ok(Err(error)) => return Err(failed(error)),
            Err(_) if again.take().is_some() => {
                way.limit.within(stage, socket.send(packet)).await?.map_err(failed)?;
            }
            Err(_) => return Err(Failure::Timeout { after: way.limit.timeout, stage }),
        }
    }
}

/// The bytes of a packet that are looked at: more than an Ethernet frame holds.
pub(super) const MAX_PACKET: usize = 4096;

/// The failure that an error in sending or receiving means: most are ICMP errors (icmp(7), ipv6(7)).
pub(super) fn returned(error: &io::Error, hold: Duration) -> Failure {
    use io::ErrorKind::{
        ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, OutOfMemory, PermissionDenied,
    };
    let error = match error.kind() {
        ConnectionRefused => "port unreachable".to_owned(),
        HostUnreachable | NetworkUnreachable | NetworkDown => words(error),
        // Told of a packet on its way it is the word of ICMPv6 (RFC 4443, section 3.1).
        PermissionDenied if error.raw_os_error() == Some(Errno::EACCES as i32) => tcp::PROHIBITED.to_owned(),
        // A packet filter on this host, or no memory.
        PermissionDenied | OutOfMemory => return wanting(error),
        _ if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => return wanting(error),
        _ => words(error),
    };
    Failure::Returned { error, hold }
}
