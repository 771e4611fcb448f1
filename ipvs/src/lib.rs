//! The kernel's IPVS table: what it holds, how to get from one table to another, and how to tell the kernel.
//!
//! The flow is one way round: [`Ipvs::dump`] gives a [`Snapshot`] of what the kernel has, [`diff()`] compares its
//! [`Table`] with the wanted one and gives the smallest list of [`Op`]s, and [`Ipvs::apply`] sends them and gives
//! a result for each. Success is known from those results and never assumed; after an error of kind
//! [`ErrorKind::Resync`] the caller dumps and diffs again.
//!
//! ```no_run
//! use std::collections::BTreeSet;
//!
//! use ipvs::{Destination, Entry, Ipvs, Options, Scheduler, SchedulerFlags, Service, Table, Weight, diff};
//!
//! # async fn balance() -> Result<(), Box<dyn std::error::Error>> {
//! // Two hosts behind one address, by direct routing; clients stay where their address and port hash to.
//! let flags = SchedulerFlags { fallback: true, port: true, ..SchedulerFlags::NONE };
//! let key = "tcp 192.0.2.10:80".parse()?;
//! let mut entry = Entry::new(Service::new(Scheduler::Mh, flags)?);
//! entry.add(&key, "10.0.0.7:80".parse()?, Destination::direct_routing(Weight::new(3)?))?;
//! entry.add(&key, "10.0.0.8:80".parse()?, Destination::direct_routing(Weight::new(1)?))?;
//! let want = Table::from_iter([(key, entry)]);
//!
//! // Ours is this service, whatever it is set to now. All others are left alone.
//! let owned = BTreeSet::from([key]);
//!
//! let ipvs = Ipvs::open(Options::default())?;
//! let have = ipvs.dump().await?.table;
//! for result in ipvs.apply(diff(&have, &want, &owned)).await? {
//!     if let Err(refused) = result {
//!         eprintln!("{refused}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/balance.rs` is that as a program which takes away what it added, and `examples/table.rs` prints the kernel's
//! table line by line as `ipvsadm -Ln` does.
//!
//! # What there is
//!
//! - TCP, UDP, SCTP and firewall mark services of IPv4 and IPv6, and destinations of the other family through tunnels;
//! - direct routing, NAT, tunnels (IP in IP, GUE, GRE, with their checksums);
//! - every scheduler with its flags, one-packet scheduling, persistence by prefix or engine, thresholds;
//! - connections of each destination, 64-bit counters and rates;
//! - timeouts and sync daemons ([`Settings`], [`diff_settings`], [`Ipvs::control`]).
//!
//! Values are checked when they are made ([`Weight::new`], [`Service::new`], [`Entry::add`], …). What was read from the
//! kernel is carried as it was found, because another program may have put it there.
//!
//! # What to know
//!
//! - Everything needs CAP_NET_ADMIN, reading too, and is about one network namespace: that of the thread that calls
//!   [`Ipvs::open`]. In one that never had an IPv4 address the kernel takes no IPv4 destination.
//! - Nothing here flushes the table, and what differs is set, never deleted and added again. Entries that the caller
//!   neither wants nor owns are left alone.
//! - A list of operations is not a transaction: each has its own result.
//! - Weight 0 keeps a destination's connections and gives it no new ones. It is how a destination leaves for a while;
//!   deleting it is for good. sh and mh need [`SchedulerFlags::fallback`] then, or its clients get none.
//! - Several balancers choose alike with mh when their histories are alike: see [`mod@diff`] and [`diff::reorder`].
//!   For the weights that sh can serve see [`sh`].
//! - A destination that was deleted lies in the kernel's trash for a minute or two, and each that is added is looked for
//!   there: adding is several times slower after some ten thousand were deleted.
//!
//! # What it costs
//!
//! On Linux 6.1 in user mode, 1,000 services of 20 destinations: 3 to 5 µs for an operation, about what a bare loop takes
//! that sends the same bytes (`examples/ipvs_bare_loop.rs`), and a quarter or less of what it takes when every message
//! is acknowledged. mh adds 0.1 to 0.3 ms for each service, for its hash table.
//!
//! # Reading order
//!
//! - [`model`] (pure): services, destinations and their keys, schedulers, weights, tables, snapshots, settings;
//! - [`mod@diff`] (pure): from the table that is to the table that is wanted;
//! - [`sh`] (pure): weights for the source hashing scheduler;
//! - [`wire`] (pure): generic netlink messages of the `IPVS` family, both ways;
//! - [`netlink`] (I/O): one thread, one socket, and a handle to it.

pub mod diff;
pub mod model;
pub mod netlink;
pub mod sh;
pub mod wire;

#[cfg(test)]
mod arbitrary;

pub use diff::{Control, Op, diff, diff_settings, foreign, settled};
pub use model::{
    Connections, Daemon, DaemonError, DaemonRole, Destination, DestinationError, DestinationKey, Difference,
    Entry, Family, Forward, Info, InterfaceName, KeyError, Persistence, Protocol, Scheduler, SchedulerFlags,
    Service, ServiceError, ServiceKey, Settings, Snapshot, Statistics, SyncGroup, SyncMaxLen, Table,
    TimeoutError, TimeoutSeconds, Timeouts, Tunnel, TunnelChecksum, TunnelKind, UnknownScheduler, Weight,
    WeightError,
};
pub use netlink::{Error, ErrorKind, Ipvs, OpError, Options, Refusal};
