//! The kernel over generic netlink: one thread that owns the socket, and handles to it.
//!
//! ```text
//! Ipvs (handle) ──Command──▶ bounded queue ──▶ engine thread ──▶ socket ──▶ kernel
//!       ▲                                            │
//!       └──────────────── oneshot ◀──────────────────┘
//! ```

mod engine;
mod error;
mod read;
mod socket;
mod write;

#[cfg(test)]
mod tests;

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::diff::{Control, Op};
use crate::model::{Info, Settings, Snapshot};
use engine::{Command, Engine};
pub use error::{Error, ErrorKind, OpError, Refusal};

/// Requests that wait for their turn. There are few callers (who writes the table, who reads counters), each with one
/// request at a time; a further one waits in its own task.
const QUEUE: usize = 16;

/// How to talk to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The socket's receive buffer, in bytes. The acknowledgements of one batch must fit in it; beyond
    /// `net.core.rmem_max` it needs CAP_NET_ADMIN, and without that the kernel gives less.
    pub receive_buffer_bytes: usize,
    /// How long the kernel may be silent while an answer is due.
    pub receive_timeout: Duration,
}

impl Default for Options {
    /// 4 MiB, 3 s.
    fn default() -> Self {
        Self { receive_buffer_bytes: 4 * 1024 * 1024, receive_timeout: Duration::from_secs(3) }
    }
}

/// A handle to the kernel's IPVS table in one network namespace. Clones share one thread and one socket; the thread
/// ends when the last of them is dropped and what it is doing is done.
#[derive(Clone, Debug)]
pub struct Ipvs {
    commands: mpsc::Sender<Command>,
}

impl Ipvs {
    /// Starts the engine's thread in the network namespace of the calling thread and waits until the kernel has
    /// answered. That takes milliseconds, or as long as `modprobe ip_vs` does when the module is not loaded.
    ///
    /// # Errors
    /// [`Error::NoIpvs`], [`Error::Permission`], or what the socket says.
    pub fn open(options: Options) -> Result<Self, Error> {
        let (commands, receiver) = mpsc::channel(QUEUE);
        let (opened, opening) = sync_channel(1);
        thread::Builder::new()
            .name("ipvs".to_owned())
            .spawn(move || match Engine::open(options) {
                Ok(engine) => {
                    // Fails only when `open` is gone, and then so is the other end of the queue.
                    if opened.send(Ok(())).is_ok() {
                        engine.run(receiver);
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            })
            .map_err(Error::Thread)?;
        opening.recv().map_err(|_| Error::Stopped)??;
        Ok(Self { commands })
    }

    /// Reads the whole table with its counters.
    ///
    /// Cancel-safe: it only reads.
    ///
    /// # Errors
    /// See [`Error::kind`].
    pub async fn dump(&self) -> Result<Snapshot, Error> {
        self.request(Command::Dump).await
    }

    /// Does the operations in order and gives a result for each, in the same order. They are not one transaction: one
    /// that fails does not stop the rest.
    ///
    /// Not cancel-safe: when the future is dropped before the engine begins, nothing is done; after that everything is,
    /// and only the results are lost.
    ///
    /// # Errors
    /// When the connection fails on the way; then any of them may have been done. See [`Error::kind`].
    pub async fn apply(&self, ops: Vec<Op>) -> Result<Vec<Result<(), OpError>>, Error> {
        self.request(|reply| Command::Apply(ops, reply)).await
    }

    /// Reads timeouts and sync daemons.
    ///
    /// Cancel-safe: it only reads.
    ///
    /// # Errors
    /// See [`Error::kind`].
    pub async fn settings(&self) -> Result<Settings, Error> {
        self.request(Command::Settings).await
    }

    /// Asks which IPVS this is.
    ///
    /// Cancel-safe: it only reads.
    ///
    /// # Errors
    /// See [`Error::kind`].
    pub async fn info(&self) -> Result<Info, Error> {
        self.request(Command::Info).await
    }

    /// Does writes beside the table in order and gives a result for each, as [`Ipvs::apply`] does for those to the
    /// table, and no more cancel-safe.
    ///
    /// # Errors
    /// As [`Ipvs::apply`].
    pub async fn control(&self, controls: Vec<Control>) -> Result<Vec<Result<(), OpError<Control>>>, Error> {
        self.request(|reply| Command::Control(controls, reply)).await
    }

    async fn request<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)?
    }
}
