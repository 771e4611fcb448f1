//! Where sockets come from.

use std::fmt;
use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
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
    let source = match route {
        Route::Own { source } => source,
        Route::Through { server, .. } => {
            let why = format!("no way is set up to hand packets to {server}");
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
    };
    let socket = Socket::new(domain, kind.nonblocking().cloexec(), protocol)?;
    if let Some(source) = source {
        // The port is chosen when it is connected, for each target apart; for IPv6 too (ip(7)).
        if kind == Type::STREAM {
            setsockopt(&socket, IpBindAddressNoPort, &true)?;
        }
        socket.bind(&SocketAddr::new(*source, 0).into())?;
    }
    Ok(socket)
}
