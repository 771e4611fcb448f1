//! What an IPVS table holds, in checked types: no I/O, no clock.
//!
//! Constructors check what a caller wants to write. What was read from the kernel (or from a recording of it) is
//! carried as it was found, because a table can hold what another program put there.

mod daemon;
mod destination;
mod key;
mod scheduler;
mod service;
mod settings;
mod snapshot;
mod table;

#[cfg(test)]
mod tests;

pub use daemon::{Daemon, DaemonError, DaemonRole, InterfaceName, SyncGroup, SyncMaxLen};
pub use destination::{
    Destination, DestinationError, Forward, Tunnel, TunnelChecksum, TunnelKind, Weight, WeightError,
};
pub use key::{DestinationKey, Family, KeyError, Protocol, ServiceKey};
pub use scheduler::{Scheduler, SchedulerFlags, UnknownScheduler};
pub use service::{Persistence, Service, ServiceError};
pub use settings::{Info, Settings, TimeoutError, TimeoutSeconds, Timeouts};
pub use snapshot::{Connections, Snapshot, Statistics};
pub use table::{Difference, Entry, Table};
