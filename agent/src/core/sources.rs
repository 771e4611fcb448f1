//! What sources say, and what is wanted of them.

use super::action::{Action, Level, Notice, WantedPools};
use super::found::{Finding, FoundService};
use super::inventory::Progress;
use super::outcome::Dirty;
use super::reload::configure;
use super::state::State;
use super::step::complain;
use super::{Timestamp, orders, unheard, uses::Users};
use crate::config::{Backend, PoolId, SourceSettings, Threshold};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A pool was read, or could not be.
pub(super) fn pool_read(
    state: &mut State,
    id: &PoolId,
    outcome: Result<Vec<Backend>, String>,
    dirty: &mut Dirty,
    now: Timestamp,
) {
    // A reading that ends too late: kept, it would be an old one for the next who wants the pool.
    if !state.pool_users.contains_key(id) {
        return;
    }
    if let Err(error) = &outcome {
        let is_new = state.inventory.pool(id).and_then(|pool| pool.error.as_ref()) != Some(error);
        if is_new {
            complain(state, "a pool was refused; its last good content stays", error);
        }
    }
    let held = state.inventory.pool(id).and_then(|pool| pool.held.clone());
    // Also after a failure: a service that waited for this pool may now be told why.
    state.inventory.pool_read(id, outcome, max_change(state, id), now);
    if let Some(pool) = state.inventory.pool(id).filter(|pool| pool.held.is_some() && pool.held != held) {
        let reason = pool.error.clone().unwrap_or_default();
        complain(state, "a large change is held back; the pool goes on as it is", &reason);
    }
    changed(state, id, dirty);
}

/// A source of pools says how it is.
pub(super) fn source_said(
    state: &mut State,
    source: &Arc<str>,
    outcome: Result<(), String>,
    dirty: &mut Dirty,
    now: Timestamp,
) {
    if !state.config.as_ref().is_some_and(|config| config.sources.contains_key(source)) {
        return;
    }
    let before = state.inventory.source(source).and_then(|known| known.error.clone());
    match &outcome {
        Err(error) if before.as_ref() != Some(error) => {
            let what = format!("source {source} cannot be read; what it said stays");
            complain(state, &what, error);
        }
        Ok(()) if before.is_some() => state.notices.push(Notice {
            level: Level::Info,
            service: None,
            subject: Some(source.to_string()),
            what: "the source can be read again".into(),
            reason: "everything that is wanted of it was said".into(),
        }),
        Ok(()) | Err(_) => {}
    }
    if outcome.is_ok() {
        // Everything was said anew, whatever revisions the store counts by now.
        unheard::heard(state, source, u64::MAX);
    }
    let is_news = before.is_some() != outcome.is_err();
    let its = |id: &&PoolId| id.source() == Some(source);
    let pools: Vec<PoolId> = state.pool_users.keys().filter(its).cloned().collect();
    let fallen_back = state.inventory.source_said(source, outcome, pools.iter(), now);
    fallen_back.iter().for_each(|id| changed(state, id, dirty));
    if is_news {
        // Those that wait are told why, or that it is over.
        let waiting = pools.iter().flat_map(|id| users(state, id));
        let waiting = waiting.filter(|name| state.services.get(name).is_some_and(|s| s.waiting.is_some()));
        dirty.relist.extend(waiting.cloned());
    }
}

/// A source says how far it is heard.
pub(super) fn seen(state: &mut State, source: &str, progress: Progress) {
    state.inventory.source_seen(source, progress);
    unheard::heard(state, source, progress.revision);
}

/// A source says what it has of services by itself.
pub(super) fn services_said(
    state: &mut State,
    source: &Arc<str>,
    services: Vec<FoundService>,
    whole: bool,
    dirty: &mut Dirty,
) {
    let settings = state.configured.as_ref().and_then(|config| config.sources.get(source));
    // What comes too late: a reload has taken the source away, or does not ask it for services any more.
    if !settings.is_some_and(SourceSettings::has_services) {
        return;
    }
    let before = state.found.held(source).map(ToOwned::to_owned);
    dirty.found.get_or_insert_default().extend(wrong_before(state, source, &services));
    let held = state.found.said(source, services, whole).map(ToOwned::to_owned);
    if let Some(numbers) = held.filter(|numbers| before.as_ref() != Some(numbers)) {
        complain(
            state,
            &format!("a large change of source {source} is held back; its services go on"),
            &numbers,
        );
    }
}

/// Services whose settings are wrong by source and name, with what was wrong before with those that are served all the same.
pub(super) type Wrong = BTreeMap<(Arc<str>, String), Option<String>>;

fn wrong_before(state: &State, source: &Arc<str>, services: &[FoundService]) -> Wrong {
    let wrong = services.iter().filter(|found| matches!(found.finding, Finding::Wrong { .. }));
    let before = |name: &str| state.found.former_of(name).map(ToOwned::to_owned);
    wrong.map(|found| ((Arc::clone(source), found.name.clone()), before(&found.name))).collect()
}

/// Has the configuration follow what sources have said of services, if they have: once for all that was said in a row, for it costs
/// a look at every service.
pub(super) fn follow(state: &mut State, dirty: &mut Dirty, now: Timestamp) {
    let Some(wrong) = dirty.found.take() else { return };
    merge(state, dirty, now);
    for ((source, name), before) in wrong {
        let why = state.found.former_of(&name).filter(|why| before.as_deref() != Some(why));
        if let Some(why) = why.map(ToOwned::to_owned) {
            complain(state, &format!("{name} of source {source} goes on as it was understood last"), &why);
        }
    }
}

/// Puts together what files say and what sources have of services.
pub(super) fn merge(state: &mut State, dirty: &mut Dirty, now: Timestamp) {
    let Some(configured) = state.configured.clone() else { return };
    state.found.forget_others(&configured.sources);
    let (config, conflicts) = state.found.merge(&configured);
    for (source, name, why) in conflicts {
        complain(state, &format!("{name} of source {source} is not served"), &why);
    }
    state.inventory.keep_services(state.found.kept());
    configure(state, config, dirty, now);
}

/// A host name was looked up.
pub(super) fn resolved(
    state: &mut State,
    host: String,
    outcome: Result<Vec<IpAddr>, String>,
    dirty: &mut Dirty,
) {
    // A look-up that ends too late: kept, its answer would be an old one for the next who wants the name.
    if !state.emitted.names.as_ref().is_some_and(|names| names.contains(&host)) {
        return;
    }
    if let Err(error) = &outcome {
        let is_new = state.inventory.name(&host).and_then(|name| name.error.as_ref()) != Some(error);
        if is_new {
            complain(state, &format!("{host} could not be looked up; its last addresses stay"), error);
        }
    }
    if state.inventory.resolved(host.clone(), outcome) {
        dirty.relist.extend(state.inventory.users_of_name(&host).cloned());
    }
}

/// A reload may let more go at once than before: then what is held back is obeyed.
pub(super) fn judge_held_anew(state: &mut State, now: Timestamp) {
    let is_held = |id: &&PoolId| state.inventory.pool(id).is_some_and(|pool| pool.held.is_some());
    for id in state.pool_users.keys().filter(is_held).cloned().collect::<Vec<_>>() {
        if state.inventory.judge_held(&id, max_change(state, &id), now) {
            state.notices.push(Notice {
                level: Level::Info,
                service: None,
                subject: Some(id.to_string()),
                what: "what was held back is obeyed now".into(),
                reason: "max_change lets it through since the configuration was reloaded".into(),
            });
        }
    }
}

/// What is wanted of sources, as far as it changed.
pub(super) fn want(state: &mut State, dirty: &Dirty, actions: &mut Vec<Action>) {
    let Some(config) = state.config.clone() else { return };
    let mut is_news = false;
    if dirty.sources {
        state.inventory.forget_others(&state.pool_users, &config.sources);
        unheard::forget_others(state);
        let wanted = WantedPools {
            pools: state.pool_users.keys().cloned().collect(),
            sources: config.sources.clone(),
        };
        if state.emitted.pools.as_ref() != Some(&wanted) {
            actions.push(Action::WatchPools(wanted.clone()));
            state.emitted.pools = Some(wanted);
        }
        if state.emitted.conflicts != *state.found.conflicts() {
            state.emitted.conflicts.clone_from(state.found.conflicts());
            actions.push(Action::TellSources(state.emitted.conflicts.clone()));
        }
        orders::set_peers(state, actions);
        for service in config.services.values() {
            is_news |= state.inventory.note_names(service);
        }
        is_news |= state.inventory.forget_names_of_others(|name| config.services.contains_key(name));
    }
    for service in dirty.listed.iter().filter_map(|name| config.services.get(&**name)) {
        is_news |= state.inventory.note_names(service);
    }
    if is_news || state.emitted.names.is_none() {
        state.inventory.forget_unused_names();
        let names = state.inventory.wanted_names();
        if state.emitted.names.as_ref() != Some(&names) {
            actions.push(Action::ResolveHosts(names.clone()));
            state.emitted.names = Some(names);
        }
    }
    actions.extend(state.inventory.unkept().map(Action::KeepSnapshots));
}

/// The services that have backends in a pool.
fn users<'a>(state: &'a State, id: &PoolId) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
    let users: Option<&Users> = state.pool_users.get(id);
    users.into_iter().flatten()
}

/// How much of a pool may go at once. Services that share a pool share its content: the strictest guards it.
fn max_change(state: &State, id: &PoolId) -> Threshold {
    let users = users(state, id).filter_map(|name| state.services.get(name));
    users.map(|service| service.config.max_change).min().unwrap_or(Threshold::HALF)
}

/// The services of a pool have to be listed anew.
fn changed(state: &State, id: &PoolId, dirty: &mut Dirty) {
    for name in users(state, id) {
        dirty.relist.insert(Arc::clone(name));
        dirty.listed.insert(Arc::clone(name));
    }
}
