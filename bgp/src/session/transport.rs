//! One TCP connection: a receive buffer, an out queue, and how it is closed.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
    time::timeout,
};

use crate::wire::Framer;

/// Octets in the out queue above which no more routes are put into it. More than a batch, so that one write
/// carries several; little enough that a withdrawal never waits behind much. With one batch and some KEEPALIVEs on
/// top it bounds the queue.
const OUT_HIGH_WATER: usize = 64 * 1024;

/// How long a connection that was told goodbye may take to hear it.
const LINGER: Duration = Duration::from_secs(1);

/// What a read brought.
pub(super) enum Read {
    /// Something, or nothing for now.
    Some,
    /// The connection is over, and how.
    Closed(String),
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// There is nothing to write any more; there was if `was_blocked`.
    All { was_blocked: bool },
    /// The neighbour does not read; `progress`: it took some, or has only now stopped.
    Blocked { progress: bool },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Transport {
    stream: TcpStream,
    pub(super) framer: Framer,
    out: Vec<u8>,
    /// Octets of `out` that are written.
    sent: usize,
    /// Octets ever queued; a position in the stream.
    queued: u64,
    blocked: bool,
    /// A NOTIFICATION is in the queue: the connection lingers until it has left.
    pub(super) said_goodbye: bool,
}

impl Transport {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            framer: Framer::new(),
            out: Vec::new(),
            sent: 0,
            queued: 0,
            blocked: false,
            said_goodbye: false,
        }
    }

    pub(super) fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.stream.local_addr()?, self.stream.peer_addr()?))
    }

    /// Queues what `encode` appends.
    pub(super) fn queue<T>(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let before = self.out.len();
        let result = encode(&mut self.out);
        self.queued += u64::try_from(self.out.len() - before).unwrap_or(0);
        result
    }

    /// There is room for routes.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() - self.sent < OUT_HIGH_WATER
    }

    /// The position of what is queued next.
    pub(super) const fn queued(&self) -> u64 {
        self.queued
    }

    /// The position up to which the kernel has taken the stream.
    pub(super) fn written(&self) -> u64 {
        self.queued - u64::try_from(self.out.len() - self.sent).unwrap_or(0)
    }

    /// Waits until there is something to read, or room for what is queued. Cancel-safe.
    pub(super) async fn ready(&self) {
        let interest = if self.sent < self.out.len() {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        // An error shows up again in the read that follows.
        let _readiness = self.stream.ready(interest).await;
    }

    /// Reads once, as much as is there and fits.
    pub(super) fn read(&mut self) -> Read {
        match self.stream.try_read(self.framer.space()) {
            Ok(0) => Read::Closed("closed by the neighbour".into()),
            Ok(count) => {
                self.framer.filled(count);
                Read::Some
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Some,
            Err(error) => Read::Closed(error.to_string()),
        }
    }

    /// Writes what the kernel takes.
    pub(super) fn write(&mut self) -> io::Result<Written> {
        let (mut progress, was_blocked) = (!self.blocked, self.blocked);
        while self.sent < self.out.len() {
            match self.stream.try_write(&self.out[self.sent..]) {
                Ok(count) => {
                    self.sent += count;
                    progress = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    self.out.drain(..self.sent);
                    self.sent = 0;
                    return Ok(Written::Blocked { progress });
                }
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        self.blocked = false;
        Ok(Written::All { was_blocked })
    }

    /// Writes the rest, says that no more comes, and waits until the neighbour has closed too: closing at once
    /// with something unread would reset the connection, and the neighbour could lose the NOTIFICATION.
    pub(super) async fn linger(mut self) {
        let farewell = async {
            self.stream.write_all(&self.out[self.sent..]).await?;
            self.stream.shutdown().await?;
            let mut ignored = [0; 4096];
            while self.stream.read(&mut ignored).await? > 0 {}
            io::Result::Ok(())
        };
        match timeout(LINGER, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a closing BGP connection broke"),
            Err(_) => tracing::debug!("a closing BGP connection was not closed by the neighbour"),
        }
    }
}
