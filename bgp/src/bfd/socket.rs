//! UDP sockets with the options that BFD needs.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    ops::RangeInclusive,
};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::UdpSocket as Receiving;

use super::packet::LEN;

/// Over one hop (RFC 5881 §4).
const SINGLE_HOP_PORT: u16 = 3784;

/// Over several (RFC 5883 §5).
const MULTIHOP_PORT: u16 = 4784;

/// Source ports, one to a session (RFC 5881 §4).
const SOURCE_PORTS: RangeInclusive<u16> = 49_152..=65_535;

/// Ports that are tried before a session waits for its next attempt; more than other programs take next to each other.
const PORTS_TRIED: u16 = 64;

/// What is sent, and over one hop required (RFC 5881 §5).
const TTL: u8 = 255;

/// Network control (RFC 2474 §4.2.2.2, class selector 6): routers send it on when they are congested.
const CLASS: u32 = 0xc0;

/// Where the neighbour's socket is, and ours.
const fn port(multihop: bool) -> u16 {
    if multihop { MULTIHOP_PORT } else { SINGLE_HOP_PORT }
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// The socket that a session sends from. It reads nothing.
#[derive(Debug)]
pub(super) struct Sender {
    socket: UdpSocket,
    local: IpAddr,
}

impl Sender {
    /// Opens it towards `remote`, from `local` or the address that the kernel chooses. `seed`: where the search for a
    /// free port starts.
    pub(super) fn open(local: Option<IpAddr>, remote: IpAddr, multihop: bool, seed: u32) -> io::Result<Self> {
        Self::towards(local, SocketAddr::new(remote, port(multihop)), seed)
    }

    fn towards(local: Option<IpAddr>, remote: SocketAddr, seed: u32) -> io::Result<Self> {
        let socket = open(remote)?;
        let any = match remote {
            SocketAddr::V4(_) => {
                socket.set_ttl_v4(TTL.into())?;
                socket.set_tos_v4(CLASS)?;
                IpAddr::from(Ipv4Addr::UNSPECIFIED)
            }
            SocketAddr::V6(_) => {
                socket.set_unicast_hops_v6(TTL.into())?;
                socket.set_tclass_v6(CLASS)?;
                Ipv6Addr::UNSPECIFIED.into()
            }
        };
        bind(&socket, local.unwrap_or(any), seed)?;
        let socket = UdpSocket::from(socket);
        socket.connect(remote)?;
        let local = socket.local_addr()?.ip();
        Ok(Self { socket, local })
    }

    /// Our address.
    pub(super) const fn local(&self) -> IpAddr {
        self.local
    }

    /// Sends without waiting. A socket may first have to tell of an earlier packet that nobody listened for.
    pub(super) fn send(&self, packet: &[u8; LEN]) -> io::Result<()> {
        match self.socket.send(packet) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.socket.send(packet)?;
                Err(error)
            }
            sent => sent.map(drop),
        }
    }
}

fn bind(socket: &Socket, local: IpAddr, seed: u32) -> io::Result<()> {
    let ports = u32::from(SOURCE_PORTS.end() - SOURCE_PORTS.start()) + 1;
    let mut outcome = Err(io::ErrorKind::AddrInUse.into());
    for attempt in 0..u32::from(PORTS_TRIED) {
        let offset = seed.wrapping_add(attempt) % ports;
        let port = u16::try_from(u32::from(*SOURCE_PORTS.start()) + offset).unwrap_or(*SOURCE_PORTS.end());
        outcome = socket.bind(&SocketAddr::new(local, port).into());
        match &outcome {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Ok(()) | Err(_) => break,
        }
    }
    outcome
}

/// Opens the socket that receives what is sent to `local`. Over one hop the kernel drops what could come from further
/// away before anybody is woken for it.
pub(super) fn listen(local: IpAddr, multihop: bool) -> io::Result<Receiving> {
    receive_at(SocketAddr::new(local, port(multihop)), multihop)
}

fn receive_at(address: SocketAddr, multihop: bool) -> io::Result<Receiving> {
    let socket = open(address)?;
    if !multihop {
        socket.attach_filter(&from_one_hop(address.ip()))?;
    }
    socket.bind(&address.into())?;
    Receiving::from_std(socket.into())
}

/// A socket filter that takes a packet whose time to live is the highest (linux/filter.h).
fn from_one_hop(local: IpAddr) -> [SockFilter; 4] {
    const LOAD_OCTET: u16 = 0x30;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// Offsets from here on count from the network header.
    const NETWORK_HEADER: u32 = 0xfff0_0000;
    let time_to_live = if local.is_ipv4() { 8 } else { 7 };
    [
        SockFilter::new(LOAD_OCTET, 0, 0, NETWORK_HEADER + time_to_live),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, TTL.into()),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn taken(listener: &Receiving) -> Option<(usize, SocketAddr)> {
        let mut buffer = [0; 64];
        let received = tokio::time::timeout(Duration::from_secs(5), listener.recv_from(&mut buffer)).await;
        received.ok().map(|received| received.expect("the socket works"))
    }

    /// A listener at a port of the system's choice, as the real ones are the host's.
    fn listener(local: &str, multihop: bool) -> (Receiving, SocketAddr) {
        let any = SocketAddr::new(local.parse().expect("an address"), 0);
        let listener = receive_at(any, multihop).expect("it listens");
        let address = listener.local_addr().expect("it has an address");
        (listener, address)
    }

    #[tokio::test]
    async fn what_was_sent_with_a_lower_time_to_live_is_not_received_over_one_hop() {
        for local in ["127.0.0.1", "::1"] {
            let (listener, address) = listener(local, false);
            let spoofed = UdpSocket::bind((address.ip(), 0)).expect("a socket");
            match address {
                SocketAddr::V4(_) => spoofed.set_ttl(254).expect("an option"),
                SocketAddr::V6(_) => {
                    socket2::SockRef::from(&spoofed).set_unicast_hops_v6(254).expect("an option");
                }
            }
            spoofed.send_to(&[1; 30], address).expect("it leaves");
            let sender = Sender::towards(None, address, 7).expect("a sender");
            assert_eq!(sender.local(), address.ip(), "the kernel's choice");
            sender.send(&[0; LEN]).expect("it leaves");
            let (octets, from) = taken(&listener).await.expect("the second one arrives");
            assert_eq!((octets, from.ip()), (LEN, address.ip()), "the first one did not");
            assert!(SOURCE_PORTS.contains(&from.port()), "{from}");
        }
    }

    #[tokio::test]
    async fn over_several_hops_any_time_to_live_is_received_and_each_session_has_a_port_of_its_own() {
        let (listener, address) = listener("127.0.0.1", true);
        let spoofed = UdpSocket::bind((address.ip(), 0)).expect("a socket");
        spoofed.send_to(&[1; 30], address).expect("it leaves");
        assert_eq!(taken(&listener).await.map(|(octets, _)| octets), Some(30));
        let senders = [0, 0, 0].map(|seed| Sender::towards(None, address, seed).expect("a sender"));
        let ports = senders.each_ref().map(|sender| sender.socket.local_addr().expect("an address").port());
        assert_eq!(ports.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{ports:?}");
    }

    #[test]
    fn a_neighbour_that_does_not_listen_is_told_of() {
        let gone =
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let sender = Sender::towards(None, gone, 9).expect("a sender");
        sender.send(&[0; LEN]).expect("nobody has answered yet");
        let refused = sender.send(&[0; LEN]).expect_err("the kernel has answered");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
