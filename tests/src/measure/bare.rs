//! A bare netlink socket: what programming costs at least, and the cheapest look at one service.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::host::Host;
use anyhow::{Context, Result, ensure};
use ipvs::wire::{Body, Messages, Request, destination, family_id, without_acknowledgement};
use ipvs::{DestinationKey, Op, ServiceKey, Table, Weight, diff};
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket,
};

/// Messages in a send, as lvsd has it.
const BATCH: usize = 128;

/// Which messages of a batch are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// Every one.
    Each,
    /// The last, as lvsd has it: the kernel tells failures anyway.
    Last,
}

/// The socket, in one host's network namespace.
#[derive(Debug)]
pub struct Bare {
    socket: OwnedFd,
    family: u16,
    buffer: Vec<u8>,
}

impl Bare {
    /// One in the namespace of `host`.
    pub fn open(host: &Host) -> Result<Self> {
        let socket = host.enter(|| -> Result<OwnedFd> {
            let protocol = SockProtocol::NetlinkGeneric;
            let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
            setsockopt(&socket, RcvBufForce, &(4 * 1024 * 1024))?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
            Ok(socket)
        })??;
        let mut bare = Self { socket, family: 0, buffer: vec![0; 64 * 1024] };
        let mut family = None;
        bare.ask(&Request::ResolveFamily, |attributes| {
            family = family_id(attributes).ok();
            Ok(())
        })?;
        bare.family = family.context("the kernel has no IPVS")?;
        Ok(bare)
    }

    /// Fills an empty table; the messages are made beforehand. Gives the time from the first send to the last answer.
    pub fn fill(&mut self, table: &Table, acknowledged: Acknowledged) -> Result<Duration> {
        let ops = diff(&Table::new(), table, &BTreeSet::new());
        let batches =
            ops.chunks(BATCH).map(|ops| self.batch(ops, acknowledged)).collect::<Result<Vec<_>>>()?;
        let begin = Instant::now();
        for (answers, bytes) in &batches {
            send(self.socket.as_raw_fd(), bytes, MsgFlags::empty())?;
            for _ in 0..*answers {
                self.acknowledgement()?;
            }
        }
        Ok(begin.elapsed())
    }

    /// Sets one destination's weight and gives the time that took.
    pub fn set_weight(&mut self, table: &Table, key: ServiceKey, weight: u32) -> Result<Duration> {
        let (at, before) =
            table.get(&key).and_then(|entry| entry.destinations.first_key_value()).context("none")?;
        let mut destination = *before;
        destination.weight = Weight::new(weight)?;
        let op = Op::SetDestination { service: key, key: *at, destination };
        let (_, bytes) = self.batch(&[op], Acknowledged::Each)?;
        let begin = Instant::now();
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        self.acknowledgement()?;
        Ok(begin.elapsed())
    }

    /// The destinations of one service and their weights.
    pub fn weights(&mut self, key: &ServiceKey) -> Result<Vec<(DestinationKey, u32)>> {
        let mut found = Vec::new();
        let family = key.family();
        self.ask(&Request::DumpDestinations(key), |attributes| {
            let record = destination(attributes, family)?;
            found.push((record.key, record.destination.weight.get()));
            Ok(())
        })?;
        Ok(found)
    }

    fn batch(&self, ops: &[Op], acknowledged: Acknowledged) -> Result<(usize, Vec<u8>)> {
        let (mut bytes, mut last) = (Vec::new(), 0);
        for (sequence, op) in (1..).zip(ops) {
            let begin = bytes.len();
            Request::Write(op).encode(self.family, sequence, &mut bytes)?;
            if acknowledged == Acknowledged::Last {
                without_acknowledgement(&mut bytes[last..begin]);
            }
            last = begin;
        }
        Ok((if acknowledged == Acknowledged::Each { ops.len() } else { 1 }, bytes))
    }

    fn acknowledgement(&mut self) -> Result<()> {
        let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
        // struct nlmsgerr: the errno comes after the header.
        ensure!(length >= 20 && self.buffer[16..20] == [0; 4], "the kernel refuses");
        Ok(())
    }

    /// Reads answers until the last one.
    fn ask(&mut self, request: &Request<'_>, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut bytes = Vec::new();
        request.encode(self.family, 1, &mut bytes)?;
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
            for message in Messages::new(&self.buffer[..length]) {
                match message?.body {
                    Body::Attributes { attributes, .. } => take(attributes)?,
                    Body::Acknowledgement(errno) | Body::Done(errno) => {
                        ensure!(errno == 0, "the kernel refuses with {errno}");
                        return Ok(());
                    }
                    Body::Nothing => {}
                }
            }
        }
    }
}
