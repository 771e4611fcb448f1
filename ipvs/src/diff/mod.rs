//! From the table that is to the table that is wanted.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Destination, DestinationKey, Difference, Entry, Service, ServiceKey, Table};

mod order;
mod record;
mod settings;
#[cfg(test)]
mod tests;

pub use order::{keep_slots, reorder};
pub use settings::{Control, diff_settings};

/// One write to the kernel's table. Its text says what is done, for logs and errors.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Adds a service.
    NewService {
        /// Which.
        key: ServiceKey,
        /// What it is set to.
        service: Service,
    },
    /// Sets everything of a service; its destinations and connections stay.
    SetService {
        /// Which.
        key: ServiceKey,
        /// What it is set to.
        service: Service,
    },
    /// Deletes a service with its destinations.
    DeleteService {
        /// Which.
        key: ServiceKey,
    },
    /// Adds a destination.
    NewDestination {
        /// To which service.
        service: ServiceKey,
        /// Which.
        key: DestinationKey,
        /// What it is set to.
        destination: Destination,
    },
    /// Sets everything of a destination; its connections stay.
    SetDestination {
        /// Of which service.
        service: ServiceKey,
        /// Which.
        key: DestinationKey,
        /// What it is set to.
        destination: Destination,
    },
    /// Deletes a destination.
    DeleteDestination {
        /// Of which service.
        service: ServiceKey,
        /// Which.
        key: DestinationKey,
    },
}

impl Op {
    /// The service that is written to.
    pub fn service(&self) -> ServiceKey {
        match *self {
            Self::NewService { key, .. } | Self::SetService { key, .. } | Self::DeleteService { key } => key,
            Self::NewDestination { service, .. }
            | Self::SetDestination { service, .. }
            | Self::DeleteDestination { service, .. } => service,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewService { key, service } => write!(f, "add service {key}, {service}"),
            Self::SetService { key, service } => write!(f, "set service {key}, {service}"),
            Self::DeleteService { key } => write!(f, "delete service {key}"),
            Self::NewDestination { service, key, destination } => {
                write!(f, "add destination {key} to {service}, {destination}")
            }
            Self::SetDestination { service, key, destination } => {
                write!(f, "set destination {key} of {service}, {destination}")
            }
            Self::DeleteDestination { service, key } => write!(f, "delete destination {key} of {service}"),
        }
    }
}

/// The smallest list of operations that brings every service of `want` and of `owned` to what `want` says.
///
/// Services of `have` that are neither wanted nor owned are another program's and are not touched. A wanted service
/// that is there already is adopted: set where it differs, never deleted and added again.
///
/// The order is part of the contract: services in the order of their keys; a new service, then its destinations in the
/// order of theirs, and, where it hashes (mh, sh), its scheduler only then; for a changed service, the service itself, then additions and changes of destinations, then
/// deletions, so that a pool is never emptied in passing. Deleting a service takes its destinations with it.
///
/// A hashing scheduler comes last because a client must not be hashed over a part of the pool: with several balancers it
/// would get to another destination than the one that holds its connection. It also spares the kernel to make the hash
/// table anew for each destination, which takes several times as long as all the rest. Where that last operation is
/// refused, or not reached, the service is left without a scheduler, and the next diff sets it.
///
/// Destinations that are added to a service later are added last, wherever they sort: see [`reorder`] for what that does to
/// mh, and [`keep_slots`] for those that begin at weight 0.
pub fn diff(have: &Table, want: &Table, owned: &BTreeSet<ServiceKey>) -> Vec<Op> {
    let mut ops = Vec::new();
    for Difference { key, old, new } in have.differences(want) {
        match (old, new) {
            (None, Some(want)) => create(key, want, &mut ops),
            (Some(have), Some(want)) => change(key, have, want, &mut ops),
            (Some(_), None) if owned.contains(&key) => ops.push(Op::DeleteService { key }),
            (_, None) => {}
        }
    }
    ops
}

/// The table that the kernel has once it has confirmed every operation of [`diff`]: what is wanted, and what is
/// foreign. It shares all it can with `want`, so that the next difference costs only what changes then.
pub fn settled(have: &Table, want: &Table, owned: &BTreeSet<ServiceKey>) -> Table {
    let mut settled = want.clone();
    for Difference { key, old, new } in have.differences(want) {
        if let (Some(foreign), None) = (old, new)
            && !owned.contains(&key)
        {
            settled.insert(key, Arc::clone(foreign));
        }
    }
    settled
}

/// Adds one service and what is in it.
fn create(service: ServiceKey, want: &Entry, ops: &mut Vec<Op>) {
    let is_last = want.service.scheduler().takes_flags() && want.destinations.len() > 1;
    let first = if is_last { want.service.clone().without_scheduler() } else { want.service.clone() };
    ops.push(Op::NewService { key: service, service: first });
    let destinations = want.destinations.iter();
    ops.extend(destinations.map(|(&key, &destination)| Op::NewDestination { service, key, destination }));
    if is_last {
        ops.push(Op::SetService { key: service, service: want.service.clone() });
    }
}

/// Brings one service that is there to what is wanted of it.
fn change(service: ServiceKey, have: &Entry, want: &Entry, ops: &mut Vec<Op>) {
    if have.service != want.service {
        ops.push(Op::SetService { key: service, service: want.service.clone() });
    }
    for (&key, &destination) in &want.destinations {
        match have.destinations.get(&key) {
            None => ops.push(Op::NewDestination { service, key, destination }),
            Some(&there) if there != destination => {
                ops.push(Op::SetDestination { service, key, destination })
            }
            Some(_) => {}
        }
    }
    let gone = have.destinations.keys().filter(|key| !want.destinations.contains_key(key));
    ops.extend(gone.map(|&key| Op::DeleteDestination { service, key }));
}

/// How many services of `have` are another program's: neither wanted nor owned.
pub fn foreign(have: &Table, want: &Table, owned: &BTreeSet<ServiceKey>) -> usize {
    have.differences(want)
        .filter(|different| different.new.is_none() && !owned.contains(&different.key))
        .count()
}
