//! Where sockets come from.

use std::fmt;
use std::future::{Future, ready};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{IpBindAddressNoPort, Mark};
use socket2::{Domain, Protocol, Socket, Type};

use crate::spec::Route;

/// A socket on its way.
pub type Opening<'a> = Pin<Box<dyn Future<Output = io::Result<Socket>> + Send + 'a>>;

/// Opens the sockets of probes: not yet connected, non-blocking, closed on exec, their packets going by `route`.
///
/// A library of checks cannot know how a host hands packets to one server of several with the same address; who can
/// (a network namespace with a route for each server, say) implements this.
pub trait Sockets: fmt::Debug + Send + Sync + 'static {
    /// Opens a socket. Its future may be dropped at any time.
    fn open(&self, route: &Route, domain: Domain, kind: Type, protocol: Option<Protocol>) -> Opening<'_>;
}

/// This process' own sockets. They cannot go [`Route::Through`] a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnSockets;

impl Sockets for OwnSockets {
    fn open(&self, route: &Route, domain: Domain, kind: Type, protocol: Option<Protocol>) -> Opening<'_> {
        Box::pin(ready(own(route, domain, kind, protocol)))
    }
}

fn own(route: &Route, domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    let (source, mark) = match route {
        Route::Own { source } => (*source, None),
        Route::Marked { mark: Some(mark), toward } => (Some(source_toward(*toward)?), Some(mark.get())),
        Route::Marked { mark: None, .. } => return Err(io::Error::other("no mark is left for it")),
        Route::Through { server, .. } => {
            let why = format!("no way is set up to hand packets to {server}");
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
    };
    let socket = Socket::new(domain, kind.nonblocking().cloexec(), protocol)?;
    if let Some(mark) = mark {
        setsockopt(&socket, Mark, &mark)?;
    }
    match (source, mark) {
        (Some(source), Some(mark)) if kind == Type::STREAM => bind_to_own_port(&socket, source, mark)?,
        (Some(source), _) => {
            // The port is chosen when it is connected, for each target apart; for IPv6 too (ip(7)).
            if kind == Type::STREAM {
                setsockopt(&socket, IpBindAddressNoPort, &true)?;
            }
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        (None, _) => {}
    }
    Ok(socket)
}

/// The first of the ports that connections with a mark come from: Linux' own choice (net.ipv4.ip_local_port_range).
const FIRST_PORT: u16 = 32_768;

/// Into so many sets these are divided. Marks that follow one another have different ones.
const SETS: u16 = 1024;

/// Ports of a set. The last is 60,415.
const PORTS: u16 = 27;

/// Binds to one of the ports that belong to the mark, in turn. IPVS remembers a connection for some time after its end (10 s,
/// or a minute when it was not answered), and sends a packet with the same addresses and ports where that went, whatever its
/// mark. So none of another mark's may have them.
fn bind_to_own_port(socket: &Socket, source: IpAddr, mark: u32) -> io::Result<()> {
    static TURN: AtomicU16 = AtomicU16::new(0);
    let mut bound = Ok(());
    for _ in 0..PORTS {
        let port = own_port(mark, TURN.fetch_add(1, Ordering::Relaxed));
        bound = socket.bind(&SocketAddr::new(source, port).into());
        if !bound.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
            break;
        }
    }
    bound
}

/// The port of a mark whose turn it is.
fn own_port(mark: u32, turn: u16) -> u16 {
    let set = mark % u32::from(SETS);
    FIRST_PORT + turn % PORTS * SETS + u16::try_from(set).unwrap_or_default()
}

/// The address that packets to another one come from. Nothing is sent: to connect a datagram's socket is to look the way
/// up.
fn source_toward(address: IpAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(SocketAddr::new(address, DISCARD))?;
    Ok(socket.local_addr()?.ip())
}

/// Any port will do (RFC 863).
const DISCARD: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_thousand_marks_in_a_row_share_no_port() {
        let mut owners = BTreeMap::new();
        for mark in 0x6c77_0000 - 5..0x6c77_0000 - 5 + u32::from(SETS) {
            for turn in (u16::MAX - PORTS..=u16::MAX).chain(0..PORTS) {
                let port = own_port(mark, turn);
                assert!((FIRST_PORT..=60_999).contains(&port), "{port}");
                assert_eq!(*owners.entry(port).or_insert(mark), mark, "{port} has two owners");
            }
        }
        assert_eq!(owners.len(), usize::from(SETS) * usize::from(PORTS));
    }

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let source: IpAddr = "127.0.0.77".parse().expect("an address");
        let sockets: Vec<_> = (0..PORTS)
            .map(|_| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
                bind_to_own_port(&socket, source, 7).expect("a port is left");
                socket
            })
            .collect();
        let one_more = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let error = bind_to_own_port(&one_more, source, 7).expect_err("none is left");
        assert_eq!((error.kind(), sockets.len()), (io::ErrorKind::AddrInUse, 27));
    }
}
