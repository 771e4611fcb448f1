//! Which services use what: checks, marks, and addresses whose ways are watched. Kept in step with each listing, at the cost of
//! what that listing changed.

use super::action::Action;
use super::marks;
use super::outcome::Dirty;
use super::state::{Emitted, Phase, ServiceState, State};
use health::Check;
use std::collections::BTreeSet;
use std::collections::hash_map::{DefaultHasher, HashMap};
use std::hash::BuildHasherDefault;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

/// A map by check whose look-up costs the same among few and many. Its order is never asked for.
pub(super) type ByCheck<V> = HashMap<Arc<Check>, V, BuildHasherDefault<DefaultHasher>>;

/// The services that something belongs to, by name. Most things belong to one: it takes no more than that needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Users(Vec<Arc<str>>);

/// So many users get room one by one; with more each gets some for others as well.
const FEW: usize = 4;

impl Users {
    /// Takes a user in, unless it is there.
    pub(super) fn insert(&mut self, service: Arc<str>) {
        if let Err(place) = self.0.binary_search(&service) {
            if self.0.len() < FEW {
                self.0.reserve_exact(1);
            }
            self.0.insert(place, service);
        }
    }

    /// Takes a user out; false when it was not there.
    pub(super) fn remove(&mut self, service: &Arc<str>) -> bool {
        let place = self.0.binary_search(service);
        place.is_ok_and(|place| self.0.remove(place) == *service)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them in the order of their names.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Arc<str>> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Users {
    type Item = &'a Arc<str>;
    type IntoIter = std::slice::Iter<'a, Arc<str>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What a service uses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    addresses: Vec<IpAddr>,
    checks: Vec<Arc<Check>>,
    marks: Vec<NonZeroU32>,
}

impl Uses {
    /// What it uses now.
    pub(super) fn of(service: &ServiceState) -> Self {
        let members = || service.pools.values().flat_map(|pool| pool.members.values());
        let checks = || members().flat_map(|member| member.checks.iter().map(|made| &made.check));
        Self {
            marks: checks().filter_map(|check| marks::of(check)).chain(service.canary_mark).collect(),
            addresses: members().map(|member| member.address).collect(),
            checks: checks().cloned().collect(),
        }
    }
}

/// What came to be used, or is used by nobody any more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changed {
    pub(super) checks: bool,
    pub(super) addresses: bool,
    /// What agents asked for, of those that are saved.
    pub(super) agents: bool,
}

/// A service whose uses are others than before.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) service: Arc<str>,
    pub(super) before: Uses,
    pub(super) after: Uses,
}

/// Takes over what services use now. What nobody uses any more is forgotten, with what is known of it; what one service
/// leaves and another takes up in the same step is not.
pub(super) fn change(state: &mut State, changes: &[Change], dirty: &mut Dirty) -> Changed {
    let mut changed = Changed::default();
    for change in changes {
        take_up(state, change, &mut changed);
        for mark in added(&change.before.marks, &change.after.marks) {
            marks::take_up(state, *mark, &change.service, dirty);
        }
    }
    // The last first: that is quick to take out where thousands share something.
    for change in changes.iter().rev() {
        leave(state, change, &mut changed);
        for mark in added(&change.after.marks, &change.before.marks) {
            marks::leave(state, *mark, &change.service, dirty);
        }
    }
    changed
}

/// Which checks are to run, and the ways to which addresses are to be watched.
pub(super) fn watch(state: &mut State, dirty: &mut Dirty, actions: &mut Vec<Action>) {
    let Changed { checks, addresses, agents } = dirty.watch;
    dirty.operators |= agents;
    let Emitted { checks: wanted, paths: watched, .. } = &mut state.emitted;
    if checks || dirty.canaries || wanted.is_none() {
        // While a service waits its checks are not known; what they said to the last process is kept for them.
        let is_known = state.services.values().all(|service| service.waiting.is_none());
        if state.phase == Phase::Starting && is_known {
            dirty.operators |= state.saved.forget_agents(wanted.iter().flatten().map(Arc::as_ref));
        }
        let mut ready = wanted.get_or_insert_default().clone();
        ready.extend(state.canary_checks.keys().cloned());
        ready.retain(|check| marks::is_ready(check, &state.kernel.services));
        actions.push(Action::SetChecks(ready));
    }
    if addresses || watched.is_none() {
        actions.push(Action::WatchPaths(watched.get_or_insert_default().clone()));
    }
}

fn take_up(state: &mut State, change: &Change, changed: &mut Changed) {
    let Change { service, before, after } = change;
    let watched = state.emitted.paths.get_or_insert_default();
    for address in added(&before.addresses, &after.addresses) {
        state.paths.users.entry(*address).or_default().insert(Arc::clone(service));
        changed.addresses |= watched.insert(*address);
    }
    let wanted = state.emitted.checks.get_or_insert_default();
    for check in added(&before.checks, &after.checks) {
        state.check_users.entry(Arc::clone(check)).or_default().insert(Arc::clone(service));
        changed.checks |= wanted.insert(Arc::clone(check));
    }
}

fn leave(state: &mut State, change: &Change, changed: &mut Changed) {
    let Change { service, before, after } = change;
    let watched = state.emitted.paths.get_or_insert_default();
    for address in added(&after.addresses, &before.addresses) {
        if is_last(state.paths.users.get_mut(address), service) {
            state.paths.forget(*address);
            changed.addresses |= watched.remove(address);
        }
    }
    let wanted = state.emitted.checks.get_or_insert_default();
    for check in added(&after.checks, &before.checks) {
        if is_last(state.check_users.get_mut(check), service) {
            state.check_users.remove(check);
            state.verdicts.forget(check);
            changed.agents |= state.saved.forget_agent(check);
            changed.checks |= wanted.remove(check);
        }
    }
}

/// What is in `after` and not in `before`.
fn added<'a, T: Ord>(before: &[T], after: &'a [T]) -> Vec<&'a T> {
    let before: BTreeSet<&T> = before.iter().collect();
    after.iter().filter(|item| !before.contains(item)).collect()
}

/// Takes a user out; true when nobody is left.
fn is_last(users: Option<&mut Users>, service: &Arc<str>) -> bool {
    users.is_some_and(|users| users.remove(service) && users.is_empty())
}
