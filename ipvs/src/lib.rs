//! The kernel's IPVS table: what it holds, how to get from one table to another, and how to tell the kernel.
//!
//! The flow is one way round: [`Ipvs::dump`] gives a [`Snapshot`] of what the kernel has, [`diff()`] compares its
//! [`Table`] with the wanted one and gives the smallest list of [`Op`]s, and [`Ipvs::apply`] sends them and gives
//! a result for each. Success is known from those results and never assumed; after an error of kind
//! [`ErrorKind::Resync`] the caller dumps and diffs again.
//!
//! Reading order:
//! - [`model`] (pure): services, destinations and their keys, schedulers, weights, tables, snapshots;
//! - [`mod@diff`] (pure): from the table that is to the table that is wanted;
//! - [`wire`] (pure): generic netlink messages of the `IPVS` family, both ways;
//! - [`netlink`] (I/O): one thread, one socket, and a handle to it.
//!
//! Nothing here flushes the table: entries that the caller neither wants nor owns are left alone.

pub mod diff;
pub mod model;
pub mod netlink;
pub mod sh;
pub mod wire;

#[cfg(test)]
mod arbitrary;

pub use diff::{Control, Op, diff, diff_settings, foreign};
pub use model::{
    Connections, Daemon, DaemonError, DaemonRole, Destination, DestinationError, DestinationKey, Entry,
    Family, Forward, Info, InterfaceName, KeyError, Persistence, Protocol, Scheduler, SchedulerFlags,
    Service, ServiceError, ServiceKey, Settings, Snapshot, Statistics, SyncGroup, SyncMaxLen, Table,
    TimeoutError, TimeoutSeconds, Timeouts, Tunnel, TunnelChecksum, TunnelKind, UnknownScheduler, Weight,
    WeightError,
};
pub use netlink::{Error, ErrorKind, Ipvs, OpError, Options, Refusal};
