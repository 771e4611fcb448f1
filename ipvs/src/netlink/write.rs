//! What is told to the kernel, in batches.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};

use nix::errno::Errno;

use super::Error;
use super::engine::Results;
use super::error::{OpError, Refusal};
use super::socket::Connection;
use crate::diff::{Control, Op};
use crate::wire::{Body, Messages, Request};

/// Messages in one send. Their acknowledgements wait in the receive buffer until the send returns; the default buffer
/// (where SO_RCVBUFFORCE is not permitted) holds about 240.
pub(super) const BATCH: usize = 128;

/// A write and what its errno means.
pub(super) trait Write: Debug + Display {
    /// What is sent.
    fn request(&self) -> Request<'_>;

    /// Why it was not done.
    fn refusal(&self, errno: Errno) -> Refusal;
}

impl Write for Op {
    fn request(&self) -> Request<'_> {
        Request::Write(self)
    }

    fn refusal(&self, errno: Errno) -> Refusal {
        let of_service =
            matches!(self, Self::NewService { .. } | Self::SetService { .. } | Self::DeleteService { .. });
        match errno {
            Errno::EEXIST => Refusal::Exists,
            Errno::ESRCH => Refusal::NoService,
            Errno::ENOENT if of_service => Refusal::NoScheduler,
            Errno::ENOENT => Refusal::NoDestination,
            Errno::ERANGE => Refusal::Range,
            Errno::EINVAL => Refusal::Invalid,
            other => Refusal::of_anything(other),
        }
    }
}

impl Write for Control {
    fn request(&self) -> Request<'_> {
        Request::Control(self)
    }

    fn refusal(&self, errno: Errno) -> Refusal {
        match (self, errno) {
            (Self::StartDaemon { .. }, Errno::EEXIST) => Refusal::Exists,
            (Self::StartDaemon { .. }, Errno::ENODEV) => Refusal::NoInterface,
            (Self::StartDaemon { .. }, Errno::EINVAL) => Refusal::MixedFamilies,
            (Self::StopDaemon { .. }, Errno::ESRCH) => Refusal::NoDaemon,
            (Self::ZeroStatistics { .. }, Errno::ESRCH) => Refusal::NoService,
            (Self::SetTimeouts(_), Errno::EINVAL) => Refusal::Timeout,
            (_, other) => Refusal::of_anything(other),
        }
    }
}

/// Does the operations in order, [`BATCH`] to a send, and gives a result for each. One that fails does not keep the
/// kernel from the next.
pub(super) fn all<O: Write>(connection: &mut Connection, ops: Vec<O>) -> Result<Results<O>, Error> {
    let mut results = Vec::with_capacity(ops.len());
    let mut ops = ops.into_iter().peekable();
    while ops.peek().is_some() {
        let batch: Vec<O> = ops.by_ref().take(BATCH).collect();
        one_batch(connection, batch, &mut results)?;
    }
    Ok(results)
}

fn one_batch<O: Write>(
    connection: &mut Connection,
    batch: Vec<O>,
    results: &mut Results<O>,
) -> Result<(), Error> {
    let doing = "write to IPVS";
    let mut bytes = Vec::new();
    let mut expected = None;
    // The operation of each request number, with the place of its result.
    let mut waiting = BTreeMap::new();
    for op in batch {
        let sequence = connection.take_sequence();
        let place = results.len();
        match op.request().encode(connection.family(), sequence, &mut bytes) {
            Ok(()) => {
                expected.get_or_insert(sequence);
                waiting.insert(sequence, (place, op));
                results.push(Ok(()));
            }
            Err(error) => results.push(Err(refused(op, error.into()))),
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
                let refusal = op.refusal(Errno::from_raw(errno));
                results[place] = Err(refused(op, refusal));
            }
        }
    }
    Ok(())
}

fn refused<O: Write>(op: O, refusal: Refusal) -> OpError<O> {
    OpError { op: Box::new(op), refusal }
}
