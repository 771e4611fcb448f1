//! What operators take out in stores counts as gone before its source has said it: two of them at the same time, or one while
//! a watch is late, would each be told that enough are left.

use super::change::{Object, Pending, Written};
use super::state::State;
use crate::config::Service;
use std::collections::{BTreeMap, BTreeSet};

/// What was taken out and not heard yet, with the store's revision that has it. No more than the wanted pools have.
pub(super) type Unheard = BTreeMap<Object, u64>;

/// Stores have answered a request.
pub(super) fn remember(state: &mut State, pending: &Pending) {
    for Written { object, outcome } in &pending.written {
        let Ok(stored) = outcome else { continue };
        let progress = state.inventory.source(&object.source).and_then(|known| known.progress);
        let is_heard = progress.is_some_and(|progress| progress.revision >= stored.revision);
        match pending.to.takes_out() && !is_heard {
            true => drop(state.unheard.insert(object.clone(), stored.revision)),
            false => drop(state.unheard.remove(object)),
        }
    }
}

/// A source has said all up to a revision.
pub(super) fn heard(state: &mut State, source: &str, revision: u64) {
    state.unheard.retain(|object, since| *object.source != *source || *since > revision);
}

/// Pools that nobody wants any more are not heard of.
pub(super) fn forget_others(state: &mut State) {
    let State { unheard, pool_users, .. } = state;
    unheard.retain(|object, _| pool_users.contains_key(&object.pool()));
}

/// The hosts of a service that are being taken out where its pools are kept, though they serve by what its sources have said.
pub(super) fn going<'a>(state: &'a State, service: &Service) -> BTreeSet<&'a str> {
    let pending = state.changes.values().filter(|pending| pending.to.takes_out());
    let objects = pending.flat_map(|pending| &pending.objects).chain(state.unheard.keys());
    let is_its = |object: &&Object| service.pool.sources().contains(&object.pool());
    objects.filter(is_its).map(|object| &*object.host).collect()
}
