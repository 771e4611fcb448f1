//! What an IPVS table holds, in checked types: no I/O, no clock.
//!
//! Constructors check what a caller wants to write. What was read from the kernel (or from a recording of it) is
//! carried as it was found, because a table can hold what another program put there.

mod destination;
mod key;
mod scheduler;
mod service;
mod snapshot;
mod table;

#[cfg(test)]
mod tests;

pub use destination::{Destination, Forward, Tunnel, TunnelKind, Weight, WeightError};
pub use key::{DestinationKey, Family, KeyError, Protocol, ServiceKey};
pub use scheduler::{Scheduler, SchedulerFlags, UnknownScheduler};
pub use service::{Persistence, Service, ServiceError};
pub use snapshot::{Connections, Snapshot, Statistics};
pub use table::{Entry, Table};
