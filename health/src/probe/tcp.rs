//! A TCP connection, established and reset.

use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::pin::pin;
use std::time::Duration;

use nix::errno::Errno;
use socket2::Type;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout_at;

use super::way::{Way, wanting};
use super::{connection_failure, words};
use crate::failure::{Failure, Found, Stage};

/// Connects to the target and resets the connection.
pub(super) async fn probe(way: &Way<'_>) -> Result<Found, Failure> {
    connect(way).await.map(|_| Found::default())
}

/// A connection to the target that is reset when it is dropped (SO_LINGER 0): closed in the usual way each
/// would stay in TIME_WAIT for a minute, 600,000 of them at 10,000 checks a second.
///
/// When half of the time is over without an answer, a second connection is tried beside the first: a lost packet of the
/// handshake is sent again after 1 s only (RFC 6298, section 2.1), which is a usual timeout, and a hundredth of all
/// packets lost would then be a fiftieth of all probes.
pub(super) async fn connect(way: &Way<'_>) -> Result<TcpStream, Failure> {
    let mut first = pin!(attempt(way));
    // The attempt is kept, and has no timer of its own: nearly all end here.
    if let Ok(outcome) = timeout_at(way.limit.half(), &mut first).await {
        return outcome;
    }
    let second = async {
        // Cancel-safe: whichever attempt is dropped is no longer wanted.
        tokio::select! {
            biased;
            outcome = &mut first => return outcome,
            outcome = attempt(way) => {
                if !outcome.as_ref().is_err_and(Failure::is_inconclusive) { return outcome }
            },
        }
        first.await
    };
    way.limit.within(Stage::Connecting, second).await?
}

/// The least port that a kernel draws by itself, unless `net.ipv4.ip_unprivileged_port_start` was lowered.
const LEAST_DRAWN: u16 = 1024;

/// One attempt at that, without end.
async fn attempt(way: &Way<'_>) -> Result<TcpStream, Failure> {
    let socket = way.socket(Type::STREAM, None).await?;
    socket.set_linger(Some(Duration::ZERO)).map_err(|error| wanting(&error))?;
    let socket = TcpSocket::from_std_stream(StdTcpStream::from(socket));
    let stream = socket.connect(way.target).await.map_err(|error| connect_failure(&error, way.target))?;
    if way.target.port() < LEAST_DRAWN {
        return Ok(stream);
    }
    // A connection to a port of this host at which nothing listens can meet itself, when that port is drawn as
    // its own (simultaneous open, RFC 9293, section 3.5).
    match stream.local_addr() {
        Ok(local) if (local.ip(), local.port()) == (way.target.ip(), way.target.port()) => {
            Err(Failure::Refused)
        }
        _ => Ok(stream),
    }
}

/// A packet filter on the way says that it lets no such packets pass.
pub(super) const PROHIBITED: &str = "administratively prohibited";

/// The failure that connect's error means (connect(2), tcp(7)).
pub(super) fn connect_failure(error: &io::Error, target: SocketAddr) -> Failure {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, OutOfMemory,
        PermissionDenied, StorageFull,
    };
    match error.kind() {
        ConnectionRefused => Failure::Refused,
        HostUnreachable | NetworkUnreachable | NetworkDown => Failure::Unreachable { error: words(error) },
        // Linux' word for ICMPv6's (RFC 4443, section 3.1); that of IPv4 is among the above.
        PermissionDenied if target.is_ipv6() && error.raw_os_error() == Some(Errno::EACCES as i32) => {
            Failure::Unreachable { error: PROHIBITED.to_owned() }
        }
        // No port left, no source address, a packet filter on this host, no memory, epoll's limit.
        AddrNotAvailable | PermissionDenied | OutOfMemory | StorageFull => {
            Failure::Local { error: words(error) }
        }
        _ => connection_failure(error, Stage::Connecting),
    }
}
