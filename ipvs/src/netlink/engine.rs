//! The thread that talks to the kernel: one request at a time, so that nothing is written while a dump runs.

use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use super::socket::Connection;
use super::{Error, ErrorKind, OpError, Options, read, write};
use crate::diff::{Control, Op};
use crate::model::{Info, Settings, Snapshot};

/// Where an answer goes.
type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// A result for each write of a list.
pub(super) type Results<O> = Vec<Result<(), OpError<O>>>;

/// What is asked of the thread, and where the answer goes.
pub(super) enum Command {
    Dump(Reply<Snapshot>),
    Settings(Reply<Settings>),
    Info(Reply<Info>),
    Apply(Vec<Op>, Reply<Results<Op>>),
    Control(Vec<Control>, Reply<Results<Control>>),
}

/// The thread's state.
pub(super) struct Engine {
    options: Options,
    /// None after an error, until the next request.
    connection: Option<Connection>,
}

impl Engine {
    /// Opens the first connection.
    pub(super) fn open(options: Options) -> Result<Self, Error> {
        let connection = Some(Connection::open(&options)?);
        Ok(Self { options, connection })
    }

    /// Serves commands until the last handle is dropped. A command whose caller has gone before its turn is not begun.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.blocking_recv() {
            match command {
                Command::Dump(reply) => self.answer(reply, read::table),
                Command::Settings(reply) => self.answer(reply, read::settings),
                Command::Info(reply) => self.answer(reply, read::info),
                Command::Apply(ops, reply) => {
                    self.answer(reply, |connection| write::all(connection, ops));
                }
                Command::Control(controls, reply) => {
                    self.answer(reply, |connection| write::all(connection, controls));
                }
            }
        }
    }

    fn answer<T>(&mut self, reply: Reply<T>, work: impl FnOnce(&mut Connection) -> Result<T, Error>) {
        if reply.is_closed() {
            debug!("a request was given up before its turn");
            return;
        }
        let result = self.with_connection(work);
        if reply.send(result).is_err() {
            debug!("nobody waits for the answer any more");
        }
    }

    fn with_connection<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.options)?,
        };
        let result = work(&mut connection);
        match &result {
            Err(error) if error.kind() == ErrorKind::Resync => {
                warn!(error = error as &dyn std::error::Error, "the connection to IPVS is given up");
            }
            _ => self.connection = Some(connection),
        }
        result
    }
}
