//! Services of ours in the kernel that nobody has, while a source that may have them has not said which it has.
//!
//! What sources have of services by themselves is kept for the next process; a process that finds none of that still finds
//! their entries in the kernel, and in the state file that they are ours. Until every such source has said its whole list
//! they are kept as the kernel has them, their VIPs on the device and announced as far as they serve; then those leave that
//! still are nobody's.

use super::action::{Level, Notice};
use super::outcome::Dirty;
use super::state::{State, service_keys};
use super::uses::Users;
use crate::config::Config;
use ipvs::ServiceKey;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The services, by what the kernel tells them by.
#[derive(Clone, Debug, Default)]
pub struct Unclaimed {
    keys: BTreeSet<ServiceKey>,
    is_adopted: bool,
    /// Why they are kept.
    why: String,
}

impl Unclaimed {
    /// Whether it is one of them.
    pub fn has(&self, key: &ServiceKey) -> bool {
        self.keys.contains(key)
    }

    /// All of them.
    pub fn keys(&self) -> impl Iterator<Item = &ServiceKey> {
        self.keys.iter()
    }

    /// Those on a VIP.
    pub fn on(&self, vip: IpAddr) -> impl Iterator<Item = &ServiceKey> {
        self.keys.iter().filter(move |key| vip_of(key) == Some(vip))
    }

    /// Their VIPs.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.keys.iter().filter_map(vip_of)
    }

    /// Why they are kept.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Those stay that nobody has taken, as long as somebody may. `keys`: what services have.
    pub(super) fn keep_others(&mut self, keys: &BTreeSet<ServiceKey>, awaited: Option<&Arc<str>>) {
        match awaited {
            None => self.keys.clear(),
            Some(source) => {
                self.keys.retain(|key| !keys.contains(key));
                self.why = why(source);
            }
        }
    }

    /// Adds their VIPs to those of services.
    pub(super) fn add_vips(&self, users: &mut BTreeMap<IpAddr, Users>) {
        for vip in self.vips() {
            users.entry(vip).or_default();
        }
    }
}

/// A source's services have addresses, never marks alone.
fn vip_of(key: &ServiceKey) -> Option<IpAddr> {
    match key {
        ServiceKey::Address { address, .. } => Some(*address),
        ServiceKey::FwMark { .. } => None,
    }
}

fn why(source: &str) -> String {
    format!("source {source} has not said yet which services it has")
}

/// At a start: takes up what the kernel has of ours and nobody has.
pub(super) fn adopt(state: &mut State, dirty: &mut Dirty) {
    let Some(config) = state.config.clone() else { return };
    if std::mem::replace(&mut state.unclaimed.is_adopted, true) {
        return;
    }
    let Some(source) = state.found.awaited(&config).map(Arc::clone) else { return };
    let State { unclaimed, wanted, kernel, marks, vip_users, notices, .. } = state;
    let known = keys(&config);
    for key in wanted.owned.iter().filter(|key| !known.contains(key) && !marks.has_key(key)) {
        let Some(entry) = kernel.table.get(key) else { continue };
        wanted.table.insert(*key, Arc::clone(entry));
        unclaimed.keys.insert(*key);
    }
    if unclaimed.keys.is_empty() {
        return;
    }
    unclaimed.why = why(&source);
    unclaimed.add_vips(vip_users);
    (dirty.table, dirty.keys, dirty.every_vip) = (true, true, true);
    notices.push(Notice {
        level: Level::Warn,
        service: None,
        subject: None,
        what: format!(
            "{} services in the kernel are lvsd's and nobody's now; they stay as they are",
            unclaimed.keys.len()
        ),
        reason: unclaimed.why.clone(),
    });
}

fn keys(config: &Config) -> BTreeSet<ServiceKey> {
    config.services.values().flat_map(|service| service_keys(service)).map(|(_, key)| key).collect()
}
