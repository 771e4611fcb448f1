//! One event, its consequences, and what is to be done about them.

use super::action::{Action, Level, Notice};
use super::event::{Command, Event, Request};
use super::inventory::Snapshots;
use super::outcome::{self, Dirty};
use super::saved::{Expired, Saved};
use super::state::{DRAIN_POLL, Phase, State};
use super::{Timestamp, alike, canary, change, kernel, marks, operator, orders, path, sources};
use health::{Advice, Check, Verdict};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Takes one event in and gives what is to be done, in order. Deterministic: the same state, event and time give
/// the same actions.
pub fn step(state: &mut State, event: Event, now: Timestamp) -> Vec<Action> {
    let mut dirty = Dirty::default();
    let mut last = Vec::new();
    take(state, event, &mut dirty, &mut last, now);
    sources::follow(state, &mut dirty, now);
    let mut actions = outcome::conclude(state, dirty, now);
    actions.extend(last);
    // Taken whole: what a start has to say would keep its room for good.
    let notices = alike::together(std::mem::take(&mut state.notices));
    actions.extend(notices.into_iter().map(Action::Notice));
    if matches!(state.phase, Phase::Stopping { until, .. } if until <= now) {
        state.phase = Phase::Stopped;
        actions.push(Action::Exit);
    }
    actions
}

/// Takes an event in: what it changes is noted in `dirty`, what is to be done after all else in `last`.
fn take(state: &mut State, event: Event, dirty: &mut Dirty, last: &mut Vec<Action>, now: Timestamp) {
    // Also of those that are heard together.
    let is_word = matches!(event, Event::SourceSaid { .. } | Event::Operator(_) | Event::Stop);
    state.decisions += u64::from(is_word);
    if !matches!(event, Event::ServicesSaid { .. } | Event::Several(_)) {
        sources::follow(state, dirty, now);
    }
    match event {
        Event::Restored { saved, snapshots } => restore(state, saved, snapshots),
        Event::Configured(config) => {
            state.configured = Some(config);
            sources::merge(state, dirty, now);
            dirty.relist.extend(state.services.keys().cloned());
        }
        Event::ServicesSaid { source, services, whole } => {
            sources::services_said(state, &source, services, whole, dirty);
        }
        Event::PoolRead { pool, outcome } => sources::pool_read(state, &pool, outcome, dirty, now),
        Event::SourceSaid { source, outcome } => sources::source_said(state, &source, outcome, dirty, now),
        Event::SourceSeen { source, progress } => sources::seen(state, &source, progress),
        Event::Resolved { host, outcome } => sources::resolved(state, host, outcome, dirty),
        Event::Checked { check, verdict, failure, advice } => {
            last.extend(checked(state, check, (verdict, failure, advice), dirty, now));
        }
        Event::KernelRead { table, connections, unsorted } => {
            kernel::read(state, (table, unsorted), &connections, dirty, now);
        }
        Event::KernelSynced { services, daemons, failures } => {
            kernel::synced(state, services, daemons, failures, dirty);
        }
        Event::AddressesSynced { present, failures } => kernel::addressed(state, present, &failures, dirty),
        Event::PathsSeen(paths) => path::seen(state, paths, dirty),
        Event::NeighboursFailed(addresses) => last.extend(path::neighbours_failed(state, &addresses)),
        Event::ClusterRead(outcome) => {
            state.notices.extend(state.nodes.cluster_read(outcome));
            dirty.nodes = true;
        }
        Event::NodesSeen(seen) => dirty.nodes |= state.nodes.seen(seen),
        Event::ConnectedSeen(networks) => dirty.nodes |= state.nodes.connected(networks),
        Event::FibSynced(report) => dirty.nodes |= state.nodes.synced(report),
        Event::Operator(request) => last.extend(operate(state, &request, dirty, now)),
        Event::SourceWritten { id, written } => last.extend(change::written(state, id, written)),
        Event::Several(events) => events.into_iter().for_each(|event| take(state, event, dirty, last, now)),
        Event::Tick => last.extend(tick(state, dirty, now)),
        Event::Stop => stop(state, now),
    }
}

/// Begins with what earlier processes have left.
fn restore(state: &mut State, saved: Saved, snapshots: Snapshots) {
    state.wanted.owned = Arc::clone(&saved.owned);
    Arc::make_mut(&mut state.wanted.settings).owned.clone_from(&saved.sync_daemons);
    state.marks.restore(&saved.marks);
    state.saved = saved;
    state.found.restore(&snapshots);
    state.inventory.restore(snapshots);
}

/// A check has spoken. Gives what speaks against the kernel's table, if anything does.
fn checked(
    state: &mut State,
    check: Arc<Check>,
    (verdict, failure, advice): (Verdict, Option<String>, Advice),
    dirty: &mut Dirty,
    now: Timestamp,
) -> Option<Action> {
    canary::hear(state, &check, (verdict, failure.as_deref()), now);
    let doubt = marks::doubt(state, &check, verdict, now);
    if let Some(users) = state.check_users.get(&check) {
        users.iter().for_each(|service| dirty.decide.heard(service, &check));
        let (advice, is_new) = state.saved.remember(&check, advice);
        dirty.operators |= is_new;
        state.verdicts.report(check, (verdict, failure, advice), now);
    }
    doubt
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
                // It was a source's whole list of services, or what is said of nodes.
                if done.services.is_empty() {
                    dirty.nodes = true;
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
    kernel::end_drains(state, dirty, now, |_, _| 1);
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
