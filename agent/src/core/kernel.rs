//! What the kernel says, and the drains that end by it.

use super::action::{Level, Notice};
use super::event::ConnectionCount;
use super::outcome::Dirty;
use super::state::{State, service_keys};
use super::step::complain;
use super::{Timestamp, desired};
use crate::config::Service;
use ipvs::{DaemonRole, DestinationKey, ServiceKey, Table};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The kernel's table was read, whole.
pub(super) fn read(
    state: &mut State,
    (table, unsorted): (Table, BTreeSet<ServiceKey>),
    connections: &[ConnectionCount],
    dirty: &mut Dirty,
    now: Timestamp,
) {
    let is_first = !state.kernel.is_read;
    state.kernel.table = table;
    state.kernel.unsorted = unsorted;
    state.kernel.is_read = true;
    state.kernel.last_read = now;
    if is_first {
        dirty.table |= !state.wanted.settings.is_nothing() || !state.wanted.owned.is_empty();
        dirty.keys = true;
        dirty.relist.extend(state.services.keys().cloned());
        dirty.every_vip = true;
        dirty.sources = true;
        return;
    }
    let mut left: BTreeMap<(DestinationKey, ServiceKey), u64> = BTreeMap::new();
    for count in connections {
        *left.entry((count.destination, count.service)).or_default() += count.connections;
    }
    end_drains(state, dirty, now, |service, key| {
        service_keys(service).filter_map(|(_, of)| left.get(&(*key, of))).sum()
    });
}

/// The table was brought to what was wanted, as far as the kernel let us.
pub(super) fn synced(
    state: &mut State,
    services: BTreeSet<ServiceKey>,
    daemons: BTreeSet<DaemonRole>,
    failures: Vec<String>,
    dirty: &mut Dirty,
) {
    state.kernel.daemons = daemons;
    dirty.every_vip |= state.kernel.services != services;
    dirty.canaries |= state.marks.differ(&state.kernel.services, &services);
    dirty.ownership = true;
    state.kernel.services = services;
    state.kernel.failures = failures;
}

/// The addresses of our own device were read or changed.
pub(super) fn addressed(
    state: &mut State,
    present: BTreeSet<IpAddr>,
    failures: &[String],
    dirty: &mut Dirty,
) {
    dirty.every_vip = true;
    failures.iter().for_each(|failure| complain(state, "an address could not be set", failure));
    state.kernel.addresses = Some(present);
}

/// Ends the drains that are over.
pub(super) fn end_drains(
    state: &mut State,
    dirty: &mut Dirty,
    now: Timestamp,
    connections: impl Fn(&Service, &DestinationKey) -> u64,
) {
    let Some(cap) = state.config.as_ref().map(|config| config.daemon.drain_timeout) else { return };
    for name in state.draining.clone() {
        let Some(service) = state.services.get_mut(&name) else { continue };
        for ended in desired::end_drains(service, cap, &connections, now) {
            state.notices.push(Notice {
                level: Level::Info,
                service: Some(name.to_string()),
                subject: Some(ended.address.to_string()),
                what: "a removed backend has drained".into(),
                reason: "its connections are gone, or the drain timeout is over".into(),
            });
            dirty.decide.insert(name.clone());
        }
    }
}
