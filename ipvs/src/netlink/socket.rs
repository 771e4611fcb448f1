//! A generic netlink socket with a deadline, and what is asked over it one request at a time.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, ReceiveTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, connect, recv, send,
    setsockopt, socket,
};
use nix::sys::time::TimeVal;

use super::{Error, Options};
use crate::wire::{Body, Messages, Request, family_id};

/// The kernel fills at most 32 KiB of a dump into one answer (`netlink_dump`); one acknowledgement is far smaller.
const RECEIVE_BYTES: usize = 64 * 1024;

/// The kernel, with nothing subscribed to.
const KERNEL: (u32, u32) = (0, 0);

/// The first request number; 0 is what unasked messages have.
const FIRST_SEQUENCE: u32 = 1;

/// What became of one request.
pub(super) type Outcome = Result<(), Errno>;

/// A socket on which IPVS is known to answer. After an [`Error`] it may hold answers to what was asked before, so it is
/// closed and another one opened.
pub(super) struct Connection {
    socket: OwnedFd,
    options: Options,
    family: u16,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens a socket in the network namespace of the calling thread, resolves the family (which loads the module) and
    /// sees whether IPVS lets this process in.
    pub(super) fn open(options: &Options) -> Result<Self, Error> {
        let mut connection = Self {
            socket: open_socket(options).map_err(|errno| {
                Error::socket("open a generic netlink socket", errno, options.receive_timeout)
            })?,
            options: options.clone(),
            family: 0,
            sequence: FIRST_SEQUENCE,
            buffer: vec![0; RECEIVE_BYTES],
        };
        connection.family = connection.resolve_family()?;
        connection
            .ask("ask IPVS for its version", &Request::GetInfo, |_| Ok(()))?
            .map_err(|errno| Error::kernel("ask IPVS for its version", errno))?;
        Ok(connection)
    }

    /// Over a socket whose other end plays the kernel.
    #[cfg(test)]
    pub(super) fn over(socket: OwnedFd, family: u16, receive_timeout: Duration) -> Self {
        set_receive_timeout(&socket, receive_timeout).expect("a socket takes a timeout");
        let options = Options { receive_timeout, ..Options::default() };
        Self { socket, options, family, sequence: FIRST_SEQUENCE, buffer: vec![0; RECEIVE_BYTES] }
    }

    /// Asks twice: the first question loads the module, and can be answered before the module is ready.
    fn resolve_family(&mut self) -> Result<u16, Error> {
        let doing = "find the generic netlink family IPVS";
        for _ in 0..2 {
            let mut found = None;
            let outcome = self.ask(doing, &Request::ResolveFamily, |attributes| {
                found = Some(family_id(attributes).map_err(|source| Error::Decode { doing, source })?);
                Ok(())
            })?;
            match (outcome, found) {
                (Ok(()), Some(family)) => return Ok(family),
                (Err(Errno::ENOENT), _) | (Ok(()), None) => {}
                (Err(errno), _) => return Err(Error::kernel(doing, errno)),
            }
        }
        Err(Error::NoIpvs)
    }

    /// Asks one thing: `answer` gets the attributes of each message that comes before the acknowledgement or the dump's
    /// end.
    pub(super) fn ask(
        &mut self,
        doing: &'static str,
        request: &Request<'_>,
        mut answer: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<Outcome, Error> {
        let expected = self.take_sequence();
        let mut bytes = Vec::new();
        request.encode(self.family, expected, &mut bytes).expect("only writes can be impossible to say");
        self.send(doing, &bytes)?;
        loop {
            for message in Messages::new(self.receive(doing)?) {
                let message = message.map_err(|source| Error::Decode { doing, source })?;
                if message.sequence != expected {
                    return Err(Error::Sequence { doing, expected, got: message.sequence });
                }
                match message.body {
                    Body::Attributes { attributes, .. } => answer(attributes)?,
                    Body::Acknowledgement(0) | Body::Done(0) => return Ok(Ok(())),
                    Body::Acknowledgement(errno) | Body::Done(errno) => {
                        return Ok(Err(Errno::from_raw(errno)));
                    }
                    Body::Nothing => {}
                }
            }
        }
    }

    /// The number of the next request.
    pub(super) fn take_sequence(&mut self) -> u32 {
        let taken = self.sequence;
        self.sequence = self.sequence.checked_add(1).unwrap_or(FIRST_SEQUENCE);
        taken
    }

    /// The number of the family, for messages that are encoded elsewhere.
    pub(super) fn family(&self) -> u16 {
        self.family
    }

    pub(super) fn send(&self, doing: &'static str, bytes: &[u8]) -> Result<(), Error> {
        loop {
            match send(self.socket.as_raw_fd(), bytes, MsgFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::socket(doing, errno, self.options.receive_timeout)),
            }
        }
    }

    /// The bytes of one receive, whole.
    pub(super) fn receive(&mut self, doing: &'static str) -> Result<&[u8], Error> {
        loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_TRUNC) {
                Ok(length) if length > RECEIVE_BYTES => {
                    return Err(Error::socket(doing, Errno::EMSGSIZE, self.options.receive_timeout));
                }
                Ok(length) => return Ok(&self.buffer[..length]),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::socket(doing, errno, self.options.receive_timeout)),
            }
        }
    }
}

fn open_socket(options: &Options) -> nix::Result<OwnedFd> {
    let socket =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkGeneric)?;
    // More than net.core.rmem_max allows needs CAP_NET_ADMIN; without it the kernel gives what it may.
    match setsockopt(&socket, RcvBufForce, &options.receive_buffer_bytes) {
        Err(Errno::EPERM) => setsockopt(&socket, RcvBuf, &options.receive_buffer_bytes)?,
        other => other?,
    }
    set_receive_timeout(&socket, options.receive_timeout)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    // Connected: what another process sends to this socket does not arrive.
    connect(socket.as_raw_fd(), &NetlinkAddr::new(KERNEL.0, KERNEL.1))?;
    Ok(socket)
}

fn set_receive_timeout(socket: &OwnedFd, timeout: Duration) -> nix::Result<()> {
    let seconds = timeout.as_secs().try_into().unwrap_or(nix::libc::time_t::MAX);
    setsockopt(socket, ReceiveTimeout, &TimeVal::new(seconds, timeout.subsec_micros().into()))
}
