//! A TCP connection, established and reset.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream};

use super::{Limit, connection_failure, words};
use crate::failure::{Failure, Stage};

/// Connects to the target and resets the connection.
pub(super) async fn probe(target: SocketAddr, limit: &Limit) -> Result<(), Failure> {
    connect(target, limit).await.map(drop)
}

/// A connection to the target that is reset when it is dropped (SO_LINGER 0): closed in the usual way each
/// would stay in TIME_WAIT for a minute, 600,000 of them at 10,000 checks a second.
pub(super) async fn connect(target: SocketAddr, limit: &Limit) -> Result<TcpStream, Failure> {
    let wanting = |error: io::Error| Failure::Local { error: words(&error) };
    let socket = match target {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(wanting)?;
    socket.set_zero_linger().map_err(wanting)?;
    let stream = limit
        .within(Stage::Connecting, socket.connect(target))
        .await?
        .map_err(|error| connect_failure(&error))?;
    // A connection to a port of this host at which nothing listens can meet itself, when that port is drawn as
    // its own (simultaneous open, RFC 9293, section 3.5).
    match stream.local_addr() {
        Ok(local) if (local.ip(), local.port()) == (target.ip(), target.port()) => Err(Failure::Refused),
        _ => Ok(stream),
    }
}

/// The failure that connect's error means (connect(2), tcp(7)).
pub(super) fn connect_failure(error: &io::Error) -> Failure {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, OutOfMemory,
        PermissionDenied, StorageFull,
    };
    match error.kind() {
        ConnectionRefused => Failure::Refused,
        HostUnreachable | NetworkUnreachable | NetworkDown => Failure::Unreachable { error: words(error) },
        // No port left, no source address, a packet filter on this host, no memory, epoll's limit.
        AddrNotAvailable | PermissionDenied | OutOfMemory | StorageFull => {
            Failure::Local { error: words(error) }
        }
        _ => connection_failure(error, Stage::Connecting),
    }
}
