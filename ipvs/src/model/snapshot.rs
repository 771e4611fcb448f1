//! What one reading of the kernel gives.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DestinationKey, Scheduler, ServiceKey, Table};

/// Connections of a destination at the time of reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Connections {
    /// Established ones.
    pub active: u32,
    /// In any other state.
    pub inactive: u32,
    /// Persistence templates that point to it.
    pub persistent: u32,
}

/// The kernel's counters and its estimates of their rates (`struct ip_vs_kstats`). It updates them every 2 s, so a
/// reading is up to 2 s old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Statistics {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients; 0 with direct routing.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients; 0 with direct routing.
    pub bytes_out: u64,
    /// Connections a second.
    pub connections_per_second: u64,
    /// Packets from clients a second.
    pub packets_in_per_second: u64,
    /// Packets to clients a second.
    pub packets_out_per_second: u64,
    /// Bytes from clients a second.
    pub bytes_in_per_second: u64,
    /// Bytes to clients a second.
    pub bytes_out_per_second: u64,
}

/// What one reading of the kernel gives. It is not atomic: another program can write while it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Services and destinations.
    pub table: Table,
    /// Connections of each destination.
    #[serde(with = "pairs")]
    pub connections: BTreeMap<(ServiceKey, DestinationKey), Connections>,
    /// Counters of each service.
    pub service_statistics: BTreeMap<ServiceKey, Statistics>,
    /// Counters of each destination.
    #[serde(with = "pairs")]
    pub destination_statistics: BTreeMap<(ServiceKey, DestinationKey), Statistics>,
    /// Those services of scheduler mh whose destinations were not added in the order of their keys, each with its
    /// destinations in the order in which they were, first to last. Their hash tables differ from that of a balancer
    /// that was programmed afresh; see [`crate::diff::reorder`].
    #[serde(default)]
    pub unsorted: BTreeMap<ServiceKey, Vec<DestinationKey>>,
    /// Services and destinations that this crate has no words for (a protocol other than TCP, UDP and SCTP). They are
    /// another program's and are left alone.
    pub unsupported: usize,
}

impl Snapshot {
    /// Takes over the order in which a service's destinations were added, if it matters and is not the sorted one.
    pub(crate) fn insert_order(
        &mut self,
        service: ServiceKey,
        scheduler: &Scheduler,
        order: Vec<DestinationKey>,
    ) {
        if *scheduler == Scheduler::Mh && !order.is_sorted() {
            self.unsorted.insert(service, order);
        }
    }
}

/// Maps whose keys are pairs, as lists: JSON has string keys only.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K, V, S>(map: &BTreeMap<K, V>, serializer: S) -> Result<S::Ok, S::Error>
    where
        K: Serialize,
        V: Serialize,
        S: Serializer,
    {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}
