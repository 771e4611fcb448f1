//! Sockets that send single packets, and hear of it when one is returned.

use std::io;
use std::net::UdpSocket as StdUdpSocket;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use socket2::Socket;
use tokio::net::UdpSocket;

use super::way::{Way, wanting};
use super::{tcp, words};
use crate::failure::Failure;

/// `socket`, not a stream's, connected to the way's target: only that one's packets are received, and every ICMP error
/// is told by the next call (IP_RECVERR, ip(7); without it the kernel tells of a closed port and of little else).
pub(super) fn connected(way: &Way<'_>, socket: Socket) -> Result<UdpSocket, Failure> {
    let heard = match way.target {
        std::net::SocketAddr::V4(_) => setsockopt(&socket, Ipv4RecvErr, &true),
        std::net::SocketAddr::V6(_) => setsockopt(&socket, Ipv6RecvErr, &true),
    };
    heard.map_err(|error| wanting(&error.into()))?;
    socket.connect(&way.target.into()).map_err(|error| tcp::connect_failure(&error))?;
    UdpSocket::from_std(StdUdpSocket::from(socket)).map_err(|error| wanting(&error))
}

/// The failure that an error in sending or receiving means: most are ICMP errors (icmp(7), ipv6(7)).
pub(super) fn returned(error: &io::Error, hold: Duration) -> Failure {
    use io::ErrorKind::{
        ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, OutOfMemory, PermissionDenied,
    };
    let error = match error.kind() {
        ConnectionRefused => "port unreachable".to_owned(),
        HostUnreachable | NetworkUnreachable | NetworkDown => words(error),
        // A packet filter on this host, or no memory.
        PermissionDenied | OutOfMemory => return wanting(error),
        _ if error.raw_os_error() == Some(nix::errno::Errno::ENOBUFS as i32) => return wanting(error),
        _ => words(error),
    };
    Failure::Returned { error, hold }
}
