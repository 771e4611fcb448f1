//! What is told to the kernel, in batches.

use std::fmt::{Debug, Display};

use nix::errno::Errno;

use super::Error;
use super::engine::Results;
use super::error::{OpError, Refusal};
use super::socket::Connection;
use crate::diff::{Control, Op};
use crate::wire::{Body, Messages, Request, without_acknowledgement};

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

/// Does the writes in order, [`BATCH`] to a send, and gives a result for each. One that fails does not keep the kernel
/// from the next.
pub(super) fn all<O: Write>(connection: &mut Connection, ops: Vec<O>) -> Result<Results<O>, Error> {
    let mut results = Vec::with_capacity(ops.len());
    let mut ops = ops.into_iter().peekable();
    let mut bytes = Vec::new();
    while ops.peek().is_some() {
        let batch: Vec<O> = ops.by_ref().take(BATCH).collect();
        let refusals = one_batch(connection, &batch, &mut bytes)?;
        results.extend(batch.into_iter().zip(refusals).map(|(op, refusal)| match refusal {
            None => Ok(()),
            Some(refusal) => Err(OpError { op: Box::new(op), refusal }),
        }));
    }
    Ok(results)
}

/// Sends a batch and gives each write's refusal, if there is one.
///
/// Only the last message asks to be acknowledged. The kernel takes the messages of a send in their order and answers
/// each before the next, those that fail whether they asked or not: when the last one's answer is there, every failure's
/// was before it. An answer that found no room is known by ENOBUFS (`netlink_overrun`).
fn one_batch<O: Write>(
    connection: &mut Connection,
    batch: &[O],
    bytes: &mut Vec<u8>,
) -> Result<Vec<Option<Refusal>>, Error> {
    let doing = "write to IPVS";
    let mut refusals = vec![None; batch.len()];
    // Number and place of each write that was sent and not answered.
    let mut waiting = Vec::with_capacity(batch.len());
    let mut last_message = 0;
    bytes.clear();
    for (place, op) in batch.iter().enumerate() {
        let (begin, sequence) = (bytes.len(), connection.take_sequence());
        match op.request().encode(connection.family(), sequence, bytes) {
            Ok(()) => {
                without_acknowledgement(&mut bytes[last_message..begin]);
                last_message = begin;
                waiting.push((sequence, place));
            }
            Err(error) => refusals[place] = Some(error.into()),
        }
    }
    let (Some(&(expected, _)), Some(&(last, _))) = (waiting.first(), waiting.last()) else {
        return Ok(refusals);
    };
    connection.send(doing, bytes)?;
    loop {
        for message in Messages::new(connection.receive(doing)?) {
            let message = message.map_err(|source| Error::Decode { doing, source })?;
            let Body::Acknowledgement(errno) = message.body else { continue };
            let found = waiting.iter().position(|(sequence, _)| *sequence == message.sequence);
            let unasked = Error::Sequence { doing, expected, got: message.sequence };
            let (sequence, place) = waiting.remove(found.ok_or(unasked)?);
            if errno != 0 {
                refusals[place] = Some(batch[place].refusal(Errno::from_raw(errno)));
            }
            if sequence == last {
                return Ok(refusals);
            }
        }
    }
}
