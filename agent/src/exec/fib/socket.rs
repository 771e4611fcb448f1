//! A routing socket of netlink on which requests are sent many at once.
//!
//! The kernel does what one datagram holds in its order before the send returns, and answers what it refuses. Only the
//! last request asks for an answer in any case: ten thousand routes would be ten thousand answers that say nothing.

use nix::errno::Errno;
use rtnetlink::packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{AsyncSocket, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};
use std::future::poll_fn;
use std::io;
use std::time::Duration;

/// The longest wait for one answer: the kernel's come within microseconds, and one that is lost must not end all work.
const LIMIT: Duration = Duration::from_secs(3);

/// Requests in one datagram: a few ten kilobytes, far below a socket's default room.
const BATCH: usize = 256;

/// The kernel fills at most 32 KiB of a reading into one answer (`netlink_dump`).
const ANSWER: usize = 64 * 1024;

/// Room for the answers to one datagram when all of it is refused; each takes a kilobyte of the kernel's memory.
const ROOM: usize = 1024 * 1024;

/// Who wrote a message, of a netlink message's header: `struct nlmsghdr`.
const HEADER: usize = 16;

/// NLMSGERR_ATTR_MSG of linux/netlink.h: why, in words.
const WORDS: u16 = 1;

/// What the kernel said to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) errno: Errno,
    /// Its own words, where it has any.
    words: Option<String>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.words {
            Some(words) => write!(f, "{words} ({})", self.errno.desc()),
            None => f.write_str(self.errno.desc()),
        }
    }
}

/// A conversation that failed. The socket may hold answers to what was asked before, so that it is not used again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the netlink socket: {0}")]
    Socket(#[from] io::Error),
    #[error("the kernel gave no answer in {} s", LIMIT.as_secs())]
    Silent,
    #[error("what is read was changed meanwhile")]
    Interrupted,
    #[error("the kernel refused a reading: {0}")]
    Refused(Refused),
    #[error("the kernel's answer cannot be read: {0}")]
    Answer(String),
}

/// A request: the message, and its flags beside those of every request.
pub(super) type Request = (RouteNetlinkMessage, u16);

/// A socket, known to the kernel by its port.
pub(super) struct Socket {
    socket: TokioSocket,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        let inner = socket.socket_mut();
        let port = inner.bind_auto()?.port_number();
        inner.connect(&SocketAddr::new(0, 0))?;
        inner.set_rx_buf_sz(ROOM)?;
        // The kernel leaves out of a reading what was not asked for, and of an answer what was asked.
        inner.set_netlink_get_strict_chk(true)?;
        inner.set_cap_ack(true)?;
        inner.set_ext_ack(true)?;
        Ok(Self { socket, port, sequence: 0, buffer: Vec::with_capacity(ANSWER) })
    }

    /// The port that is the author of what is written over this socket.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Sends requests in their order. Gives what the kernel said to each.
    pub(super) async fn write(&mut self, requests: Vec<Request>) -> Result<Vec<Result<(), Refused>>, Error> {
        let mut results = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let batch: Vec<Request> = requests.by_ref().take(BATCH).collect();
            results.extend(self.write_batch(batch).await?);
        }
        Ok(results)
    }

    async fn write_batch(&mut self, batch: Vec<Request>) -> Result<Vec<Result<(), Refused>>, Error> {
        let count = batch.len();
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        for (number, (message, flags)) in batch.into_iter().enumerate() {
            let answer = if number + 1 == count { NLM_F_ACK } else { 0 };
            self.append(&mut datagram, message, flags | answer);
        }
        self.send(&datagram).await?;
        let mut results = vec![Ok(()); count];
        loop {
            for message in self.receive().await? {
                let number = message.header.sequence_number.wrapping_sub(first) as usize;
                let (NetlinkPayload::Error(error), true) = (message.payload, number < count) else {
                    continue;
                };
                results[number] = refusal(&error).map_or(Ok(()), Err);
                if number + 1 == count {
                    return Ok(results);
                }
            }
        }
    }

    /// Asks for a reading and hands over each message of it. Of one that fails some were handed over already.
    pub(super) async fn read(
        &mut self,
        question: RouteNetlinkMessage,
        mut take: impl FnMut(RouteNetlinkMessage),
    ) -> Result<(), Error> {
        let mut datagram = Vec::new();
        self.append(&mut datagram, question, NLM_F_DUMP);
        self.send(&datagram).await?;
        let mut is_interrupted = false;
        loop {
            for message in self.receive().await? {
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                is_interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
                let code = match message.payload {
                    NetlinkPayload::InnerMessage(message) => {
                        take(message);
                        continue;
                    }
                    NetlinkPayload::Error(error) => refusal(&error),
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        Some(Refused { errno: Errno::from_raw(done.code.saturating_abs()), words: None })
                    }
                    _ => None,
                };
                return match code {
                    Some(refused) => Err(Error::Refused(refused)),
                    None if is_interrupted => Err(Error::Interrupted),
                    None => Ok(()),
                };
            }
        }
    }

    fn append(&mut self, datagram: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let start = datagram.len();
        datagram.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut datagram[start..]);
    }

    async fn send(&self, datagram: &[u8]) -> Result<(), Error> {
        let sent = tokio::time::timeout(LIMIT, poll_fn(|context| self.socket.poll_send(context, datagram)));
        sent.await.map_err(|_| Error::Silent)??;
        Ok(())
    }

    /// The messages of the next datagram. Those of a kind that the library cannot read are left out.
    async fn receive(&mut self) -> Result<Vec<NetlinkMessage<RouteNetlinkMessage>>, Error> {
        let Self { socket, buffer, .. } = self;
        buffer.clear();
        let received = tokio::time::timeout(LIMIT, poll_fn(|context| socket.poll_recv(context, buffer)));
        received.await.map_err(|_| Error::Silent)??;
        let mut rest = &buffer[..];
        let mut messages = Vec::new();
        while let Some(length) = rest.first_chunk::<4>().map(|length| u32::from_ne_bytes(*length) as usize) {
            if length < HEADER || length > rest.len() {
                return Err(Error::Answer(format!("a message of {length} bytes in {}", rest.len())));
            }
            match NetlinkMessage::deserialize(&rest[..length]) {
                Ok(message) => messages.push(message),
                Err(error) => tracing::debug!(%error, "a message of the kernel's is not understood"),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(messages)
    }
}

/// What an answer refuses; nothing when it agrees.
fn refusal(error: &ErrorMessage) -> Option<Refused> {
    let errno = Errno::from_raw(error.code?.get().saturating_abs());
    Some(Refused { errno, words: words(error.header.get(HEADER..).unwrap_or_default()) })
}

/// The kernel's words among the attributes of an answer.
fn words(mut attributes: &[u8]) -> Option<String> {
    while let Some((head, _)) = attributes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([head[2], head[3]]) == WORDS {
            return Some(String::from_utf8_lossy(value).trim_end_matches('\0').to_owned());
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}
