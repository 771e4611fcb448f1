//! The firewall marks by which lvsd asks through IPVS itself.
//!
//! IPVS looks for a service by a packet's mark before it looks by its address. A probe with a mark of lvsd's own goes where
//! that mark's service sends it: to one server, whatever its weight is in the pool, or, for a canary, to those that the
//! pool has. Such services are ours like all others, but serve nobody; a probe is sent only when the kernel has its mark's
//! service, as the VIP's own would take it otherwise.
//!
//! Who bears which mark is saved: a restart finds each service where it was.

use super::Timestamp;
use super::action::Action;
use super::outcome::Dirty;
use super::state::State;
use super::uses::Users;
use crate::config::{CheckTemplate, IPVS_MARKS, Service};
use health::{Check, Route, Verdict};
use ipvs::{
    Destination, DestinationKey, Entry, Family, Forward, Scheduler, SchedulerFlags, ServiceKey, Table, Weight,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Between readings of the kernel that failed probes ask for: it repairs itself then, and a pool that fails as a whole is
/// to cost one.
const DOUBT: Duration = Duration::from_secs(1);

/// Whose a mark is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Bearer {
    /// A service's canary.
    Canary {
        /// The service's name.
        service: Arc<str>,
    },
    /// A server's checks.
    Server {
        /// Its address.
        address: IpAddr,
        /// How packets get to it.
        forward: Forward,
        /// The port that they get on the way (NAT); 0: they keep theirs.
        port: u16,
    },
}

impl Bearer {
    /// A service's backend at this address, for one of its checks. Where NAT gives packets another port, a check of the
    /// service's own port gets it too.
    pub fn server(service: &Service, check: &CheckTemplate, address: IpAddr) -> Self {
        let is_other = service.backend_port != service.port && check.port.is_none();
        let port = if is_other { service.backend_port } else { 0 };
        Self::Server { address, forward: service.forward, port }
    }
}

/// The marks in use.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// The first of the range.
    first: u32,
    /// Where the next search begins: a mark that was given up rests before it is used again.
    next: u32,
    by_bearer: BTreeMap<Bearer, NonZeroU32>,
    bearers: BTreeMap<NonZeroU32, Bearer>,
    /// Which services use a mark.
    users: BTreeMap<NonZeroU32, Users>,
    /// Marks of an earlier process that nobody has asked for yet.
    unclaimed: BTreeSet<NonZeroU32>,
    /// Marks that were asked for and may have found no user.
    fresh: Vec<NonZeroU32>,
    /// The marks' services that are wanted in the kernel.
    keys: BTreeSet<ServiceKey>,
    is_adopted: bool,
    is_unsaved: bool,
}

/// What is known of marks that are taken already.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'a> {
    /// Services that are ours, those on their way out among them.
    pub owned: &'a BTreeSet<ServiceKey>,
    /// What the kernel had when it was read last, foreign services among it.
    pub read: &'a Table,
}

/// The kernel's key of a mark's service.
pub fn key(mark: NonZeroU32, family: Family) -> ServiceKey {
    ServiceKey::FwMark { family, mark }
}

/// The mark that a check's packets bear.
pub fn of(check: &Check) -> Option<NonZeroU32> {
    match check.route {
        Route::Marked { mark, .. } => mark,
        Route::Own { .. } | Route::Through { .. } => None,
    }
}

/// Whether a check may be sent: the kernel has the service of its mark, if it has one.
pub(super) fn is_ready(check: &Check, services: &BTreeSet<ServiceKey>) -> bool {
    of(check).is_none_or(|mark| services.contains(&key(mark, Family::of(check.target.ip()))))
}

impl Marks {
    /// Takes over what earlier processes have left.
    pub(super) fn restore(&mut self, saved: &BTreeMap<NonZeroU32, Bearer>) {
        self.bearers.clone_from(saved);
        self.by_bearer = saved.iter().map(|(mark, bearer)| (bearer.clone(), *mark)).collect();
        self.unclaimed = saved.keys().copied().collect();
    }

    /// Uses this range from now on. Marks outside of it are nobody's any more; their services leave with their users.
    pub(super) fn set_range(&mut self, first: u32) {
        self.first = first;
        let is_inside = |mark: &NonZeroU32| (first..first.saturating_add(IPVS_MARKS)).contains(&mark.get());
        let before = self.bearers.len();
        self.bearers.retain(|mark, _| is_inside(mark));
        self.by_bearer.retain(|_, mark| is_inside(mark));
        self.is_unsaved |= self.bearers.len() < before;
    }

    /// The bearer's mark, which it is given first if it has none; none when all are taken.
    pub fn give(&mut self, bearer: &Bearer, taken: Taken<'_>) -> Option<NonZeroU32> {
        if let Some(mark) = self.by_bearer.get(bearer) {
            if self.unclaimed.remove(mark) {
                self.fresh.push(*mark);
            }
            return Some(*mark);
        }
        let mark = self.free(taken)?;
        self.by_bearer.insert(bearer.clone(), mark);
        self.bearers.insert(mark, bearer.clone());
        self.fresh.push(mark);
        self.is_unsaved = true;
        Some(mark)
    }

    fn free(&mut self, taken: Taken<'_>) -> Option<NonZeroU32> {
        if self.bearers.len() >= IPVS_MARKS as usize {
            return None;
        }
        let is_taken = |key: &ServiceKey| taken.owned.contains(key) || taken.read.contains_key(key);
        let is_free = |mark: &NonZeroU32| {
            let keys = [Family::V4, Family::V6].map(|family| key(*mark, family));
            !self.bearers.contains_key(mark) && !keys.iter().any(is_taken)
        };
        let numbers = (self.next..IPVS_MARKS).chain(0..self.next);
        let (number, mark) = numbers
            .filter_map(|number| Some((number, NonZeroU32::new(self.first.checked_add(number)?)?)))
            .find(|(_, mark)| is_free(mark))?;
        self.next = (number + 1) % IPVS_MARKS;
        Some(mark)
    }

    /// Whether it is the service of a mark.
    pub fn has_key(&self, key: &ServiceKey) -> bool {
        self.keys.contains(key)
    }

    /// Whether two readings of the kernel differ in the services of marks.
    pub(super) fn differ(&self, one: &BTreeSet<ServiceKey>, other: &BTreeSet<ServiceKey>) -> bool {
        self.keys.iter().any(|key| one.contains(key) != other.contains(key))
    }

    /// What is to be saved, if that changed.
    pub(super) fn unsaved(&mut self) -> Option<BTreeMap<NonZeroU32, Bearer>> {
        std::mem::take(&mut self.is_unsaved).then(|| self.bearers.clone())
    }

    fn forget(&mut self, mark: NonZeroU32) {
        self.users.remove(&mark);
        self.unclaimed.remove(&mark);
        if let Some(bearer) = self.bearers.remove(&mark) {
            self.by_bearer.remove(&bearer);
            self.is_unsaved = true;
        }
    }
}

/// Wants a service of a mark in the kernel.
pub(super) fn want(state: &mut State, key: ServiceKey, entry: Arc<Entry>, dirty: &mut Dirty) {
    state.marks.keys.insert(key);
    let before = state.wanted.table.get(&key);
    if before != Some(&entry) {
        dirty.keys |= before.is_none();
        dirty.table = true;
        state.wanted.table.insert(key, entry);
    }
}

/// Does not want it any more.
pub(super) fn give_up(state: &mut State, key: &ServiceKey, dirty: &mut Dirty) {
    if state.marks.keys.remove(key) {
        state.wanted.table.remove(key);
        dirty.table = true;
        dirty.keys = true;
    }
}

/// A service uses a mark from now on.
pub(super) fn take_up(state: &mut State, mark: NonZeroU32, service: &Arc<str>, dirty: &mut Dirty) {
    state.marks.users.entry(mark).or_default().insert(Arc::clone(service));
    if let Some((key, entry)) = state.marks.bearers.get(&mark).and_then(|bearer| to_server(mark, bearer)) {
        want(state, key, Arc::new(entry), dirty);
    }
}

/// A service uses a mark no more.
pub(super) fn leave(state: &mut State, mark: NonZeroU32, service: &Arc<str>, dirty: &mut Dirty) {
    let users = state.marks.users.get_mut(&mark);
    if users.is_some_and(|users| users.remove(service) && users.is_empty()) {
        release(state, mark, dirty);
    }
}

fn release(state: &mut State, mark: NonZeroU32, dirty: &mut Dirty) {
    state.marks.forget(mark);
    for family in [Family::V4, Family::V6] {
        give_up(state, &key(mark, family), dirty);
    }
}

/// At a start: what the kernel has of the marks stays, until it is known who is asked by them.
pub(super) fn adopt(state: &mut State) {
    if std::mem::replace(&mut state.marks.is_adopted, true) {
        return;
    }
    let State { marks, wanted, kernel, .. } = state;
    for key in marks.bearers.keys().flat_map(|mark| [Family::V4, Family::V6].map(|family| key(*mark, family)))
    {
        let Some(entry) = kernel.table.get(&key).filter(|_| wanted.owned.contains(&key)) else { continue };
        wanted.table.insert(key, Arc::clone(entry));
        marks.keys.insert(key);
    }
}

/// After services were listed: gives up marks that found no user, and those of an earlier process once every service
/// has said what it asks for.
pub(super) fn settle(state: &mut State, dirty: &mut Dirty) {
    for mark in std::mem::take(&mut state.marks.fresh) {
        if !state.marks.users.contains_key(&mark) {
            release(state, mark, dirty);
        }
    }
    let is_known = || state.services.values().all(|service| service.waiting.is_none());
    if !state.marks.unclaimed.is_empty() && is_known() {
        for mark in std::mem::take(&mut state.marks.unclaimed) {
            release(state, mark, dirty);
        }
    }
}

/// The service of a server's mark: it alone, with a weight whatever it has in its pools. The one-packet flag concerns UDP
/// only, whose probes are to leave no connection behind.
fn to_server(mark: NonZeroU32, bearer: &Bearer) -> Option<(ServiceKey, Entry)> {
    let Bearer::Server { address, forward, port } = bearer else { return None };
    let service = ipvs::Service::new(Scheduler::Rr, SchedulerFlags::NONE).ok()?.with_one_packet();
    let mut entry = Entry::new(service);
    let destination = DestinationKey { address: *address, port: *port };
    entry.destinations.insert(destination, Destination::new(*forward, Weight::new(1).ok()?));
    Some((key(mark, Family::of(*address)), entry))
}

/// A check through IPVS fails: the kernel may have been changed by somebody, and is read and repaired at once.
pub(super) fn doubt(state: &mut State, check: &Check, verdict: Verdict, now: Timestamp) -> Option<Action> {
    let is_due = state.kernel.is_read && now.since(state.kernel.last_read) >= DOUBT;
    if verdict != Verdict::Down || of(check).is_none() || !is_due {
        return None;
    }
    state.kernel.last_read = now;
    Some(Action::ReadKernel)
}
