//! A TCP connection, established and reset.

use std::io;
use std::net::TcpStream as StdTcpStream;
use std::time::Duration;

use socket2::Type;
use tokio::net::{TcpSocket, TcpStream};

use super::way::{Way, wanting};
use super::{connection_failure, words};
use crate::failure::{Failure, Found, Stage};

/// Connects to the target and resets the connection.
pub(super) async fn probe(way: &Way<'_>) -> Result<Found, Failure> {
    connect(way).await.map(|_| Found::default())
}

/// A connection to the target that is reset when it is dropped (SO_LINGER 0): closed in the usual way each
/// would stay in TIME_WAIT for a minute, 600,000 of them at 10,000 checks a second.
pub(super) async fn connect(way: &Way<'_>) -> Result<TcpStream, Failure> {
    let socket = way.socket(Type::STREAM, None).await?;
    socket.set_linger(Some(Duration::ZERO)).map_err(|error| wanting(&error))?;
    let socket = TcpSocket::from_std_stream(StdTcpStream::from(socket));
    let stream = way
        .limit
        .within(Stage::Connecting, socket.connect(way.target))
        .await?
        .map_err(|error| connect_failure(&error))?;
    // A connection to a port of this host at which nothing listens can meet itself, when that port is drawn as
    // its own (simultaneous open, RFC 9293, section 3.5).
    match stream.local_addr() {
        Ok(local) if (local.ip(), local.port()) == (way.target.ip(), way.target.port()) => {
            Err(Failure::Refused)
        }
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
