//! The thread that talks to the kernel: one request at a time, so that nothing is written while a dump runs.

use std::collections::BTreeMap;

use nix::errno::Errno;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use super::socket::{Connection, Outcome};
use super::{Error, ErrorKind, OpError, Options};
use crate::diff::Op;
use crate::model::{Entry, ServiceKey, Snapshot};
use crate::wire::{self, Body, DecodeError, Messages};

/// Messages in one send. Their acknowledgements wait in the receive buffer until the send returns; the default buffer
/// (where SO_RCVBUFFORCE is not permitted) holds about 240.
pub(super) const BATCH: usize = 128;

/// What is asked of the thread, and where the answer goes.
pub(super) enum Command {
    Dump(oneshot::Sender<Result<Snapshot, Error>>),
    Apply(Vec<Op>, oneshot::Sender<Result<Vec<Result<(), OpError>>, Error>>),
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
                Command::Dump(reply) if !reply.is_closed() => self.answer(reply, dump),
                Command::Apply(ops, reply) if !reply.is_closed() => {
                    self.answer(reply, |connection| apply(connection, ops));
                }
                Command::Dump(_) | Command::Apply(..) => debug!("a request was given up before its turn"),
            }
        }
    }

    fn answer<T>(
        &mut self,
        reply: oneshot::Sender<Result<T, Error>>,
        work: impl FnOnce(&mut Connection) -> Result<T, Error>,
    ) {
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

/// Reads everything: all services, then the destinations of each.
pub(super) fn dump(connection: &mut Connection) -> Result<Snapshot, Error> {
    let mut snapshot = Snapshot::default();
    let mut entries = dump_services(connection, &mut snapshot)?;
    let keys: Vec<ServiceKey> = entries.keys().copied().collect();
    for key in keys {
        let mut there = true;
        if let Some(entry) = entries.get_mut(&key) {
            dump_destinations(connection, &key, entry, &mut snapshot)?;
            // A service that another program deleted after the first dump has no destinations either.
            there = !entry.destinations.is_empty() || exists(connection, &key)?;
        }
        if !there {
            entries.remove(&key);
            snapshot.service_statistics.remove(&key);
        }
    }
    snapshot.table = entries.into_iter().collect();
    Ok(snapshot)
}

fn dump_services(
    connection: &mut Connection,
    snapshot: &mut Snapshot,
) -> Result<BTreeMap<ServiceKey, Entry>, Error> {
    let doing = "read the services";
    let mut entries = BTreeMap::new();
    let outcome = connection.ask(doing, &wire::Request::DumpServices, |attributes| {
        if let Some(record) = supported(doing, wire::service(attributes), snapshot)? {
            snapshot.service_statistics.insert(record.key, record.statistics);
            entries.insert(record.key, Entry::new(record.service));
        }
        Ok(())
    })?;
    finished(doing, outcome)?;
    Ok(entries)
}

fn dump_destinations(
    connection: &mut Connection,
    service: &ServiceKey,
    entry: &mut Entry,
    snapshot: &mut Snapshot,
) -> Result<(), Error> {
    let doing = "read the destinations of a service";
    let outcome = connection.ask(doing, &wire::Request::DumpDestinations(service), |attributes| {
        if let Some(record) = supported(doing, wire::destination(attributes, service.family()), snapshot)? {
            snapshot.connections.insert((*service, record.key), record.connections);
            snapshot.destination_statistics.insert((*service, record.key), record.statistics);
            entry.destinations.insert(record.key, record.destination);
        }
        Ok(())
    })?;
    finished(doing, outcome)
}

fn exists(connection: &mut Connection, service: &ServiceKey) -> Result<bool, Error> {
    let doing = "read a service";
    match connection.ask(doing, &wire::Request::GetService(service), |_| Ok(()))? {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => Err(Error::kernel(doing, errno)),
    }
}

/// Another program's entry that the model has no words for is counted and passed over; a damaged one is an error.
fn supported<T>(
    doing: &'static str,
    record: Result<T, DecodeError>,
    snapshot: &mut Snapshot,
) -> Result<Option<T>, Error> {
    match record {
        Ok(record) => Ok(Some(record)),
        Err(error @ DecodeError::Unsupported { .. }) => {
            debug!(error = &error as &dyn std::error::Error, "an entry of another program is passed over");
            snapshot.unsupported += 1;
            Ok(None)
        }
        Err(source) => Err(Error::Decode { doing, source }),
    }
}

fn finished(doing: &'static str, outcome: Outcome) -> Result<(), Error> {
    outcome.map_err(|errno| Error::kernel(doing, errno))
}

/// Does the operations in order, [`BATCH`] to a send, and gives a result for each. One that fails does not keep the
/// kernel from the next.
pub(super) fn apply(connection: &mut Connection, ops: Vec<Op>) -> Result<Vec<Result<(), OpError>>, Error> {
    let mut results = Vec::with_capacity(ops.len());
    let mut ops = ops.into_iter().peekable();
    while ops.peek().is_some() {
        let batch: Vec<Op> = ops.by_ref().take(BATCH).collect();
        apply_batch(connection, batch, &mut results)?;
    }
    Ok(results)
}

fn apply_batch(
    connection: &mut Connection,
    batch: Vec<Op>,
    results: &mut Vec<Result<(), OpError>>,
) -> Result<(), Error> {
    let doing = "write to the IPVS table";
    let mut bytes = Vec::new();
    let mut expected = None;
    // The operation of each request number, with the place of its result.
    let mut waiting = BTreeMap::new();
    for op in batch {
        let sequence = connection.take_sequence();
        let place = results.len();
        match wire::Request::Write(&op).encode(connection.family(), sequence, &mut bytes) {
            Ok(()) => {
                expected.get_or_insert(sequence);
                waiting.insert(sequence, (place, op));
                results.push(Ok(()));
            }
            Err(error) => results.push(Err(OpError::new(op, error.into()))),
        }
    }
    let Some(expected) = expected else { return Ok(()) };
    connection.send(doing, &bytes)?;
    while !waiting.is_empty() {
        for message in Messages::new(connection.receive(doing)?) {
            let message = message.map_err(|source| Error::Decode { doing, source })?;
            let Body::Acknowledgement(errno) = message.body else { continue };
            let unasked = Error::Sequence { doing, expected, got: message.sequence };
            let (place, op) = waiting.remove(&message.sequence).ok_or(unasked)?;
            if errno != 0 {
                results[place] = Err(OpError::from_errno(op, Errno::from_raw(errno)));
            }
        }
    }
    Ok(())
}
