//! One event, its consequences, and what is to be done about them.

use super::action::{Action, Level, Notice};
use super::event::{Command, ConnectionCount, Event, Request};
use super::families::PerFamily;
use super::outcome::{self, Dirty};
use super::saved::Expired;
use super::state::{DRAIN_POLL, Phase, START_GRACE, ServiceState, State, service_keys};
use super::uses::{self, Users, Uses};
use super::{Timestamp, canary, change, desired, marks, operator, orders, path, sources};
use crate::config::{Config, PoolId, Service};
use ipvs::{DestinationKey, ServiceKey, Table};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Takes one event in and gives what is to be done, in order. Deterministic: the same state, event and time give
/// the same actions.
pub fn step(state: &mut State, event: Event, now: Timestamp) -> Vec<Action> {
    let mut dirty = Dirty::default();
    let mut last = Vec::new();
    state.decisions +=
        u64::from(matches!(event, Event::SourceSaid { .. } | Event::Operator(_) | Event::Stop));
    take(state, event, &mut dirty, &mut last, now);
    let mut actions = outcome::conclude(state, dirty, now);
    actions.extend(last);
    // Taken whole: what a start has to say would keep its room for good.
    actions.extend(std::mem::take(&mut state.notices).into_iter().map(Action::Notice));
    if matches!(state.phase, Phase::Stopping { until, .. } if until <= now) {
        state.phase = Phase::Stopped;
        actions.push(Action::Exit);
    }
    actions
}

/// Takes an event in: what it changes is noted in `dirty`, what is to be done after all else in `last`.
fn take(state: &mut State, event: Event, dirty: &mut Dirty, last: &mut Vec<Action>, now: Timestamp) {
    match event {
        Event::Restored { saved, snapshots } => {
            state.wanted.owned = Arc::clone(&saved.owned);
            Arc::make_mut(&mut state.wanted.settings).owned.clone_from(&saved.sync_daemons);
            state.marks.restore(&saved.marks);
            state.saved = saved;
            state.found.restore(&snapshots);
            state.inventory.restore(snapshots);
        }
        Event::Configured(config) => {
            state.configured = Some(config);
            sources::merge(state, dirty, now);
            dirty.relist.extend(state.services.keys().cloned());
        }
        Event::ServicesSaid { source, services, whole } => {
            sources::services_said(state, &source, services, whole, dirty, now);
        }
        Event::PoolRead { pool, outcome } => sources::pool_read(state, &pool, outcome, dirty, now),
        Event::SourceSaid { source, outcome } => sources::source_said(state, &source, outcome, dirty, now),
        Event::Resolved { host, outcome } => sources::resolved(state, host, outcome, dirty),
        Event::Checked { check, verdict, failure, advice } => {
            canary::hear(state, &check, (verdict, failure.as_deref()), now);
            last.extend(marks::doubt(state, &check, verdict, now));
            if let Some(users) = state.check_users.get(&check) {
                users.iter().for_each(|service| dirty.decide.heard(service, &check));
                let (advice, is_new) = state.saved.remember(&check, advice);
                dirty.operators |= is_new;
                state.verdicts.report(check, (verdict, failure, advice), now);
            }
        }
        Event::KernelRead { table, connections, unsorted } => {
            state.kernel.unsorted = unsorted;
            kernel_read(state, table, &connections, dirty, now);
        }
        Event::KernelSynced { services, daemons, failures } => {
            state.kernel.daemons = daemons;
            dirty.every_vip |= state.kernel.services != services;
            dirty.canaries |= state.marks.differ(&state.kernel.services, &services);
            dirty.ownership = true;
            state.kernel.services = services;
            state.kernel.failures = failures;
        }
        Event::AddressesSynced { present, failures } => {
            dirty.every_vip = true;
            failures.iter().for_each(|failure| complain(state, "an address could not be set", failure));
            state.kernel.addresses = Some(present);
        }
        Event::PathsSeen(paths) => path::seen(state, paths, dirty),
        Event::NeighboursFailed(addresses) => last.extend(path::neighbours_failed(state, &addresses)),
        Event::ClusterRead(outcome) => {
            state.notices.extend(state.nodes.cluster_read(outcome));
            dirty.nodes = true;
        }
        Event::NodesSeen(seen) => {
            state.nodes.seen(seen);
            dirty.nodes = true;
        }
        Event::ConnectedSeen(networks) => {
            state.nodes.connected(networks);
            dirty.nodes = true;
        }
        Event::FibSynced(report) => {
            dirty.nodes |= state.nodes.synced(report);
        }
        Event::SourceSeen { source, progress } => state.inventory.source_seen(&source, progress),
        Event::Operator(request) => last.extend(operate(state, &request, dirty, now)),
        Event::SourceWritten { id, written } => last.extend(change::written(state, id, written)),
        Event::Several(events) => events.into_iter().for_each(|event| take(state, event, dirty, last, now)),
        Event::Tick => last.extend(tick(state, dirty, now)),
        Event::Stop => stop(state, now),
    }
}

/// Takes over what holds from now on: what did not change stays as it is.
pub(super) fn configure(state: &mut State, config: Arc<Config>, dirty: &mut Dirty, now: Timestamp) {
    state.marks.set_range(config.first_mark);
    state.nodes.configured(state.config.is_none(), now);
    if state.config.is_none() {
        state.configured_at = now;
        // What the configuration has lost while nobody was there has to go, also when nothing is left of it.
        dirty.table |= !state.wanted.owned.is_empty();
        state.paths.wait_until(now + START_GRACE);
    }
    state.rising.retain(|name| config.services.contains_key(&**name));
    state.draining.retain(|name| config.services.contains_key(&**name));
    let named = |service: ServiceState| (Arc::clone(&service.config.name), service);
    let mut old: BTreeMap<_, _> = std::mem::take(&mut state.services).into_iter().map(named).collect();
    let mut services = Vec::with_capacity(config.services.len());
    for service in config.services.values() {
        let name = &service.name;
        let kept = old.remove(name).map(|known| {
            if Arc::ptr_eq(&known.config, service) {
                return known;
            }
            dirty.relist.insert(name.clone());
            dirty.acquired.extend(acquired(&known.config, service, &state.wanted.table));
            ServiceState { config: Arc::clone(service), ..known }
        });
        let fresh = || ServiceState {
            config: Arc::clone(service),
            waiting: Some("its sources have not been asked yet".into()),
            refused: None,
            listed_for: None,
            pools: PerFamily::default(),
            unusable: BTreeMap::new(),
            since: now,
            decided: 0,
            canary_mark: None,
            canaries: BTreeMap::new(),
        };
        if kept.is_none() {
            dirty.relist.insert(name.clone());
        }
        services.push(kept.unwrap_or_else(fresh));
    }
    state.services = services.into_iter().collect();
    old.values().for_each(|gone| canary::forget(state, gone, dirty));
    dirty.uses.extend(old.into_values().map(|gone| uses::Change {
        service: Arc::clone(&gone.config.name),
        before: Uses::of(&gone),
        after: Uses::default(),
    }));
    state.unsettled.retain(|name| config.services.contains_key(&**name));
    let keys: BTreeSet<_> =
        config.services.values().flat_map(|service| service_keys(service)).map(|(_, key)| key).collect();
    state.unclaimed.keep_others(&keys, state.found.awaited(&config));
    let mut users = vip_users(&config);
    state.unclaimed.add_vips(&mut users);
    let former_vips = std::mem::replace(&mut state.vip_users, users);
    state.vips.retain(|vip, _| state.vip_users.contains_key(vip));
    state.held_vips.retain(|vip| state.vip_users.contains_key(vip));
    let delay = if config.bgp.is_some() { config.daemon.shutdown_delay } else { Duration::ZERO };
    let has_user =
        |key: &&ServiceKey| keys.contains(key) || state.marks.has_key(key) || state.unclaimed.has(key);
    for key in state.wanted.table.keys().filter(|key| !has_user(key)) {
        state.leaving.set_if_new(*key, now + delay);
    }
    state.leaving.retain(|key| !keys.contains(key));
    former_vips.into_keys().for_each(|vip| state.leaving_vips.set_if_new(vip, now + delay));
    state.leaving_vips.retain(|vip| !state.vip_users.contains_key(vip));
    state.pool_users = pool_users(&config);
    sources::judge_held_anew(state, now);
    if state.wanted.settings.settings != config.ipvs {
        Arc::make_mut(&mut state.wanted.settings).settings = config.ipvs.clone();
        dirty.table = true;
    }
    state.said = config.attributes_of_vips();
    state.config = Some(config);
    dirty.every_vip = true;
    dirty.keys = true;
    dirty.sources = true;
    dirty.nodes = true;
}

/// The keys that a service has by a reload and that have an entry: what is in it is another's, or from before.
fn acquired(before: &Service, after: &Service, table: &Table) -> Vec<ServiceKey> {
    let had: BTreeSet<ServiceKey> = service_keys(before).map(|(_, key)| key).collect();
    let has = service_keys(after).map(|(_, key)| key);
    has.filter(|key| !had.contains(key) && table.contains_key(key)).collect()
}

fn pool_users(config: &Config) -> BTreeMap<PoolId, Users> {
    let mut users: BTreeMap<PoolId, Users> = BTreeMap::new();
    for service in config.services.values() {
        for pool in service.pool.sources() {
            users.entry(pool.clone()).or_default().insert(Arc::clone(&service.name));
        }
    }
    users
}

fn vip_users(config: &Config) -> BTreeMap<IpAddr, Users> {
    let mut users: BTreeMap<IpAddr, Users> = BTreeMap::new();
    for service in config.services.values() {
        for vip in &service.vips {
            users.entry(*vip).or_default().insert(Arc::clone(&service.name));
        }
    }
    users
}

fn kernel_read(
    state: &mut State,
    table: Table,
    connections: &[ConnectionCount],
    dirty: &mut Dirty,
    now: Timestamp,
) {
    let is_first = !state.kernel.is_read;
    state.kernel.table = table;
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
    let mut left: BTreeMap<(DestinationKey, ipvs::ServiceKey), u64> = BTreeMap::new();
    for count in connections {
        *left.entry((count.destination, count.service)).or_default() += count.connections;
    }
    end_drains(state, dirty, now, |service, key| {
        service_keys(service).filter_map(|(_, of)| left.get(&(*key, of))).sum()
    });
}

/// Ends the drains that are over.
fn end_drains(
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

fn operate(state: &mut State, request: &Request, dirty: &mut Dirty, now: Timestamp) -> Vec<Action> {
    let answer = if let Command::ChangeSource { objects, to, note } = &request.command {
        match change::begin(state, request, objects, *to, note) {
            // The answer comes when it is written.
            Ok(actions) => return actions,
            Err(refusal) => Err(refusal),
        }
    } else {
        operator::command(state, request, now)
    };
    match &answer {
        Ok(done) => {
            let named = || done.services.iter().map(|name| Arc::from(name.as_str()));
            dirty.relist.extend(named());
            if matches!(request.command, Command::Confirm { .. }) {
                dirty.listed.extend(named());
                // It was a source's whole list of services.
                if done.services.is_empty() {
                    sources::merge(state, dirty, now);
                }
            }
            dirty.operators = true;
            dirty.vips.extend(vip_of(&request.command));
            state.notices.push(Notice {
                level: Level::Info,
                service: None,
                subject: Some(done.host.clone()),
                what: done.message.clone(),
                reason: format!("{} asked for it", request.who),
            });
            forget_absent(state);
            forget_absent_vips(state);
        }
        Err(refusal) => state.notices.push(Notice {
            level: Level::Warn,
            service: None,
            subject: None,
            what: format!("a request of {} was refused", request.who),
            reason: refusal.to_string(),
        }),
    }
    vec![Action::Reply { id: request.id, answer }]
}

/// Bounds what is kept of hosts that no pool has.
fn forget_absent(state: &mut State) {
    for host in operator::forget_absent(state) {
        state.notices.push(Notice {
            level: Level::Warn,
            service: None,
            subject: Some(host),
            what: "an operator's change is forgotten".into(),
            reason: format!(
                "no pool has this host, and it is the oldest of more than {} such changes",
                operator::MAX_ABSENT
            ),
        });
    }
}

/// The VIP that a command is about.
fn vip_of(command: &Command) -> Option<IpAddr> {
    match command {
        Command::Vip { vip, .. } => vip.parse().ok(),
        Command::TakeOut { .. }
        | Command::Pool { .. }
        | Command::ChangeSource { .. }
        | Command::Confirm { .. }
        | Command::Weigh { .. }
        | Command::DrainBalancer { .. }
        | Command::UndrainBalancer => None,
    }
}

/// Bounds what is kept of VIPs that no service has.
fn forget_absent_vips(state: &mut State) {
    for vip in orders::forget_absent(state) {
        state.notices.push(Notice {
            level: Level::Warn,
            service: None,
            subject: Some(vip.to_string()),
            what: "an operator's word is forgotten".into(),
            reason: format!(
                "no service has this VIP, and it is the oldest of more than {}",
                orders::MAX_ABSENT
            ),
        });
    }
}

fn tick(state: &mut State, dirty: &mut Dirty, now: Timestamp) -> Option<Action> {
    for key in state.leaving.due(now).copied().collect::<Vec<_>>() {
        state.leaving.remove(&key);
        state.wanted.table.remove(&key);
        state.wanted.nominal.remove(&key);
        state.kernel.table.remove(&key);
        dirty.table = true;
        dirty.keys = true;
    }
    for vip in state.leaving_vips.due(now).copied().collect::<Vec<_>>() {
        state.leaving_vips.remove(&vip);
        dirty.keys = true;
    }
    dirty.vips.extend(state.held_vips.due(now));
    dirty.nodes |= state.nodes.settles_at.is_some_and(|at| at <= now);
    expire(state, dirty, now);
    dirty.decide.extend(state.rising.due(now).cloned());
    // Nothing was read: a drain ends now only when its time is over.
    end_drains(state, dirty, now, |_, _| 1);
    let config = state.config.as_ref()?;
    let period = if state.draining.is_empty() { config.daemon.resync_interval } else { DRAIN_POLL };
    let is_due = state.kernel.is_read && now.since(state.kernel.last_read) >= period;
    is_due.then(|| {
        state.kernel.last_read = now;
        Action::ReadKernel
    })
}

/// Takes operators' changes back whose time is over.
fn expire(state: &mut State, dirty: &mut Dirty, now: Timestamp) {
    let Expired { hosts, vips, drain } = state.saved.expire(now);
    for host in &hosts {
        let services = operator::services_of(state, host).unwrap_or_default();
        dirty.relist.extend(services.into_iter().map(Arc::from));
    }
    dirty.vips.extend(&vips);
    let hosts = hosts.into_iter().chain(vips.iter().map(ToString::to_string));
    for subject in hosts.chain(drain.then(|| orders::BALANCER.to_owned())) {
        dirty.operators = true;
        state.notices.push(Notice {
            level: Level::Info,
            service: None,
            subject: Some(subject),
            what: "an operator's change is over".into(),
            reason: "its time has passed".into(),
        });
    }
}

fn stop(state: &mut State, now: Timestamp) {
    let bgp = state.config.as_ref().and_then(|config| config.bgp.as_ref());
    let (grace, delay) = match (&state.phase, &state.config, bgp) {
        (Phase::Running { .. }, Some(config), Some(bgp)) if state.vips.values().any(|vip| vip.announced) => {
            // Those that are being drained have been asked already.
            let grace = if orders::is_leaving(state) { Duration::ZERO } else { bgp.graceful_shutdown };
            (grace, config.daemon.shutdown_delay)
        }
        // Asked twice, or nothing was announced: nothing to wait for.
        (Phase::Starting | Phase::Running { .. } | Phase::Stopping { .. } | Phase::Stopped, _, _) => {
            (Duration::ZERO, Duration::ZERO)
        }
    };
    state.phase = Phase::Stopping { withdraw: now + grace, until: now + grace + delay };
    let asked = if grace.is_zero() { "" } else { "routers are asked to prefer others, then " };
    state.notices.push(Notice {
        level: Level::Info,
        service: None,
        subject: None,
        what: format!("stopping: {asked}every VIP is withdrawn, the kernel goes on serving"),
        reason: format!("asked to stop; exit in {} ms", (grace + delay).as_millis()),
    });
}

pub(super) fn complain(state: &mut State, what: &str, reason: &str) {
    state.notices.push(Notice {
        level: Level::Error,
        service: None,
        subject: None,
        what: what.into(),
        reason: reason.into(),
    });
}
