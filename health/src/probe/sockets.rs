//! Where sockets come from.

use std::fmt;
use std::future::{Future, ready};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;

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
    if let Some(source) = source {
        // The port is chosen when it is connected, for each target apart; for IPv6 too (ip(7)).
        if kind == Type::STREAM {
            setsockopt(&socket, IpBindAddressNoPort, &true)?;
        }
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    Ok(socket)
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
