//! Which services use what: checks, and addresses whose ways are watched. Kept in step with each listing, at the cost of
//! what that listing changed.

use super::state::{ServiceState, State};
use health::Check;
use std::collections::BTreeSet;
use std::collections::hash_map::{DefaultHasher, HashMap};
use std::hash::BuildHasherDefault;
use std::net::IpAddr;
use std::sync::Arc;

/// A map by check whose look-up costs the same among few and many. Its order is never asked for.
pub(super) type ByCheck<V> = HashMap<Arc<Check>, V, BuildHasherDefault<DefaultHasher>>;

/// The services that something belongs to, by name.
pub(super) type Users = BTreeSet<Arc<str>>;

/// What a service uses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    addresses: Vec<IpAddr>,
    checks: Vec<Arc<Check>>,
}

impl Uses {
    /// What it uses now.
    pub(super) fn of(service: &ServiceState) -> Self {
        let members = || service.pools.values().flat_map(|pool| pool.members.values());
        Self {
            addresses: members().map(|member| member.address).collect(),
            checks: members()
                .flat_map(|member| member.checks.iter().map(|made| Arc::clone(&made.check)))
                .collect(),
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
pub(super) fn change(state: &mut State, changes: &[Change]) -> Changed {
    let mut changed = Changed::default();
    changes.iter().for_each(|change| take_up(state, change, &mut changed));
    changes.iter().for_each(|change| leave(state, change, &mut changed));
    changed
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
