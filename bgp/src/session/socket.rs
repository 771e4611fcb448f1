//! TCP sockets with the options that BGP needs.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{ao, md5, min_ttl};
use crate::{Prefix, SessionKey, speaker::PeerConfig};

/// Connections that may wait to be accepted: some from every router of a site that starts at once.
const BACKLOG: i32 = 64;

/// The highest time to live; what GTSM sends (RFC 5082 §3).
const MAX_TTL: u8 = 255;

/// Dials the peer. Cancel-safe: dropping the future gives the attempt up.
pub(super) async fn dial(peer: PeerConfig, internal: bool) -> io::Result<TcpStream> {
    let remote = SocketAddr::new(peer.address, peer.port);
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    configure(SockRef::from(&socket), &peer, internal)?;
    if let Some(local) = peer.local_address {
        socket.bind(&SocketAddr::new(local, 0).into())?;
    }
    TcpSocket::from_std_stream(socket.into()).connect(remote).await
}

/// Why an attempt failed, with what TCP cannot tell: packets that are not signed as they should be are dropped unseen.
pub(super) fn explained(why: String, peer: &PeerConfig) -> String {
    match &peer.key {
        Some(_) => format!("{why}; it is the same when the neighbour has another password, or none"),
        None => why,
    }
}

/// Gives an accepted connection the peer's options.
pub(super) fn adopt(stream: &TcpStream, peer: &PeerConfig, internal: bool) -> io::Result<()> {
    configure(SockRef::from(stream), peer, internal)
}

fn configure(socket: SockRef<'_>, peer: &PeerConfig, internal: bool) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    // Also of an accepted connection, which could be older than the listening socket's key.
    sign(&socket, Prefix::host(peer.address), peer.key.as_ref())?;
    let hops = peer.multihop.unwrap_or(1);
    if peer.gtsm {
        set_ttl(&socket, peer.address, MAX_TTL)?;
        return min_ttl::set(&socket, peer.address, MAX_TTL - (hops.max(1) - 1));
    }
    match peer.multihop {
        Some(ttl) => set_ttl(&socket, peer.address, ttl),
        None if internal => Ok(()),
        None => set_ttl(&socket, peer.address, 1),
    }
}

fn set_ttl(socket: &SockRef<'_>, family: IpAddr, ttl: u8) -> io::Result<()> {
    match family {
        IpAddr::V4(_) => socket.set_ttl_v4(ttl.into()),
        IpAddr::V6(_) => socket.set_unicast_hops_v6(ttl.into()),
    }
}

/// Opens a listening socket. Its answers travel with the highest time to live, for neighbours with GTSM. `only_ipv6`: one
/// for all of IPv6 takes no IPv4.
pub(crate) fn listen(address: SocketAddr, only_ipv6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    match address {
        SocketAddr::V4(_) => set_ttl(&SockRef::from(&socket), Ipv4Addr::UNSPECIFIED.into(), MAX_TTL)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(only_ipv6)?;
            set_ttl(&SockRef::from(&socket), Ipv6Addr::UNSPECIFIED.into(), MAX_TTL)?;
        }
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Has a listening socket take connections from the prefix only if they are signed with this key, or as if it had none; `old`
/// is what it has.
pub(crate) fn set_key(
    listener: &TcpListener,
    prefix: Prefix,
    old: Option<&SessionKey>,
    key: Option<&SessionKey>,
) -> io::Result<()> {
    let socket = SockRef::from(listener);
    let removed = match (old, key) {
        // A key of TCP-MD5 takes the place of another.
        (None, _) | (Some(SessionKey::Md5(_)), Some(SessionKey::Md5(_))) => Ok(()),
        (Some(SessionKey::Md5(_)), _) => md5::set(&socket, prefix, None),
        (Some(SessionKey::Ao(old)), _) => ao::remove(&socket, prefix, old),
    };
    removed?;
    sign(&socket, prefix, key)
}

/// Has the kernel sign what a socket exchanges with a prefix, and drop what is not signed.
fn sign(socket: &SockRef<'_>, with: Prefix, key: Option<&SessionKey>) -> io::Result<()> {
    let (name, signed) = match key {
        None => return Ok(()),
        Some(SessionKey::Md5(password)) => ("TCP-MD5", md5::set(socket, with, Some(password))),
        Some(SessionKey::Ao(key)) => ("TCP-AO", ao::add(socket, with, key)),
    };
    signed.map_err(|error| io::Error::new(error.kind(), format!("{name} cannot be set up: {error}")))
}
