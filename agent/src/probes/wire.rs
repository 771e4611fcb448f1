//! What goes over the socket between lvsd and the probe namespace: one JSON message a packet (SOCK_SEQPACKET), and
//! sockets beside it (SCM_RIGHTS, unix(7)).

use super::Server;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram as StdUnixDatagram, UnixListener as StdUnixListener};
use std::path::Path;
use tokio::io::Interest;
use tokio::net::{UnixDatagram, UnixListener};

/// Sockets in one answer: below the kernel's bound (SCM_MAX_FD, 253), and more only makes the first of them wait.
pub const BATCH: usize = 64;

/// The longest message, in bytes: as many servers as there are marks fit twice, each by an IPv6 address in GUE.
const MAX_MESSAGE: usize = 512 * 1024;

/// What lvsd asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// From now on checks go through exactly these servers.
    Servers(BTreeSet<Server>),
    /// Sockets, at most [`BATCH`].
    Open(Vec<Wish>),
    /// Which of these servers answer for these addresses on their link (ARP, ND)? It takes seconds.
    WhoAnswers(Vec<Suspicion>),
}

/// A socket that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The server that its packets are to be handed to.
    pub server: Server,
    /// The socket's type, socket(2).
    pub kind: i32,
    /// The protocol, socket(2).
    pub protocol: i32,
}

/// A server that may answer for an address which it must not answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Suspicion {
    /// The server.
    pub server: IpAddr,
    /// The address, a VIP.
    pub vip: IpAddr,
}

/// What the namespace answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The servers are set; those that cannot be reached, and why.
    Servers(BTreeMap<Server, String>),
    /// For each wish whether its socket is among those beside this answer, in their order, or why not.
    Opened(Vec<Result<(), String>>),
    /// Those that do, with their link-layer addresses.
    Answering {
        /// They.
        found: Vec<(Suspicion, String)>,
        /// How many could not be asked.
        unasked: usize,
    },
    /// The request could not be met as a whole.
    Failed(String),
}

/// One end of a connection.
#[derive(Debug)]
pub struct Channel {
    /// Tokio has no type of its own for SOCK_SEQPACKET; this one lends its readiness and is read and written below.
    socket: UnixDatagram,
    buffer: Vec<u8>,
}

impl Channel {
    /// Connects to the namespace's socket.
    ///
    /// # Errors
    /// Nobody listens there, or it may not be opened.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = socket()?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Self::new(socket)
    }

    /// An end that was connected already.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = UnixDatagram::from_std(StdUnixDatagram::from(socket))?;
        Ok(Self { socket, buffer: vec![0; MAX_MESSAGE] })
    }

    /// The user at the other end.
    pub(super) fn peer(&self) -> io::Result<u32> {
        Ok(rustix::net::sockopt::socket_peercred(&self.socket)?.uid.as_raw())
    }

    /// Sends a message, and sockets beside it. Cancel-safe: it is sent whole or not at all.
    ///
    /// # Errors
    /// The other end is gone, or the message is too long.
    pub async fn send(&self, message: &impl Serialize, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
                return Err(io::Error::other("more sockets than a message takes"));
            }
            Ok(rustix::net::sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut control, flags).map(drop)?)
        };
        self.socket.async_io(Interest::WRITABLE, send).await
    }

    /// Receives a message and the sockets beside it; none when the other end has closed. Cancel-safe.
    ///
    /// # Errors
    /// The connection failed, or what came is no such message.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let Self { socket, buffer } = self;
        let receive = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let into = &mut [IoSliceMut::new(buffer)];
            let received = rustix::net::recvmsg(&*socket, into, &mut control, flags)?;
            let sockets = control.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
                _ => None,
            });
            Ok((received.bytes, received.flags, sockets.flatten().collect::<Vec<OwnedFd>>()))
        };
        let (length, flags, sockets) = socket.async_io(Interest::READABLE, receive).await?;
        if flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is too long"));
        }
        if length == 0 {
            return Ok(None);
        }
        Ok(Some((serde_json::from_slice(&buffer[..length])?, sockets)))
    }
}

/// Listens at a path; what was left there by an earlier process is removed.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = socket()?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    UnixListener::from_std(StdUnixListener::from(socket))
}

/// Connections that wait to be accepted: lvsd has one, and whoever runs `lvsctl doctor` another.
const BACKLOG: i32 = 16;

pub(crate) async fn accept(listener: &UnixListener) -> io::Result<Channel> {
    let (stream, _) = listener.accept().await?;
    Channel::new(stream.into_std()?.into())
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    // A message that does not fit into it is refused (EMSGSIZE); the system's limit (wmem_max) is twice the default.
    rustix::net::sockopt::set_socket_send_buffer_size(&socket, MAX_MESSAGE)?;
    Ok(socket)
}
