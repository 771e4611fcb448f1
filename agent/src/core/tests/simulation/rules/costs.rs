//! Rule 11: what an event leads to is about what it changed. What others have is not even made anew, and nobody is told
//! the same twice.

use super::super::{Broken, ensure};
use super::repairs::is;
use super::{Outcome, Seen};
use crate::core::event::Command;
use crate::core::saved::Saved;
use crate::core::state::ServiceState;
use crate::core::{Action, Event};
use health::Check;
use ipvs::{Entry, ServiceKey};
use std::collections::BTreeSet;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;

const RULE: &str = "11 costs";

/// The whole states that executors were given last.
#[derive(Default)]
pub(super) struct Costs {
    given: Vec<(Discriminant<Action>, Action)>,
    /// What the state file has.
    saved: Saved,
}

impl Costs {
    pub(super) fn new(saved: &Saved) -> Self {
        Self { saved: saved.clone(), ..Self::default() }
    }

    pub(super) fn are_right(&mut self, seen: &Seen<'_>) -> Outcome {
        for saved in seen.actions.iter().filter_map(saved) {
            // A person may ask for what is so already, and is answered once it is written.
            let may = self.saved != *saved || is(seen.event, &|event| matches!(event, Event::Operator(_)));
            ensure!(may, RULE, "after {:?} the same is saved again", seen.event);
            self.saved.clone_from(saved);
        }
        for action in seen.actions.iter().filter(|action| is_state(action)) {
            let kind = discriminant(action);
            match self.given.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, last)) => {
                    ensure!(*last != *action, RULE, "after {:?} the same again: {action:?}", seen.event);
                    last.clone_from(action);
                }
                None => self.given.push((kind, action.clone())),
            }
        }
        if !seen.before.kernel.is_read || seen.before.config.is_none() {
            return Ok(());
        }
        let Some(concerned) = concerned(seen, seen.event) else { return Ok(()) };
        let others = seen.after.services.values().filter(|service| !concerned.contains(&service.config.name));
        for service in others {
            for (_, key) in service.keys() {
                let is_as_before = is_untouched(seen, &key);
                ensure!(is_as_before, RULE, "{:?} is not about {key}, which is made anew", seen.event);
            }
        }
        match seen.event {
            Event::Checked { .. } => a_flap_costs_weights(seen, &concerned),
            _ => Ok(()),
        }
    }
}

fn saved(action: &Action) -> Option<&Saved> {
    match action {
        Action::Save(saved) | Action::SaveFirst(saved) => Some(saved),
        _ => None,
    }
}

/// A whole state, of which each is given only when it differs from the one before.
fn is_state(action: &Action) -> bool {
    match action {
        Action::SyncIpvs(_)
        | Action::SetAddresses(_)
        | Action::SetRoutes(_)
        | Action::SetPeers(_)
        | Action::SetNodePeers(_)
        | Action::SetPermits(_)
        | Action::WatchCluster(_)
        | Action::SetFib(_)
        | Action::WatchPaths(_)
        | Action::WatchPools(_)
        | Action::TellSources(_)
        | Action::ResolveHosts(_)
        | Action::KeepSnapshots(_) => true,
        // Given when a mark's service comes or goes in the kernel, whichever check has it.
        Action::SetChecks(_)
        | Action::Save(_)
        | Action::SaveFirst(_)
        | Action::ReadKernel
        | Action::Hasten(_)
        | Action::WriteSource(_)
        | Action::Reply { .. }
        | Action::Notice(_)
        | Action::Exit => false,
    }
}

fn is_untouched(seen: &Seen<'_>, key: &ServiceKey) -> bool {
    match (seen.before.wanted.table.get(key), seen.after.wanted.table.get(key)) {
        (Some(before), Some(after)) => Arc::ptr_eq(before, after),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The services that an event is about, by name; none where it may be about any.
fn concerned(seen: &Seen<'_>, event: &Event) -> Option<BTreeSet<Arc<str>>> {
    let those = |is: &dyn Fn(&ServiceState) -> bool| {
        let before = seen.before.services.values().chain(seen.after.services.values());
        Some(before.filter(|service| is(service)).map(|service| Arc::clone(&service.config.name)).collect())
    };
    match event {
        Event::Checked { check, .. } => those(&|service| is_asked_by(service, check)),
        Event::PoolRead { pool, .. } => those(&|service| service.config.pool.sources().contains(pool)),
        Event::SourceSaid { source, .. } => {
            those(&|service| service.config.pool.sources().iter().any(|id| id.source() == Some(source)))
        }
        Event::Resolved { host, .. } => those(&|service| {
            let mut users = seen.before.inventory.users_of_name(host);
            users.any(|name| *name == service.config.name)
        }),
        // Which are in the way of which may change.
        Event::ServicesSaid { .. } => {
            let configured = seen.after.configured.as_ref()?;
            those(&|service| !configured.services.contains_key(&*service.config.name))
        }
        Event::Operator(request) => match &request.command {
            Command::TakeOut { host, .. } | Command::Pool { host } | Command::Weigh { host, .. } => {
                those(&|service| has(service, host))
            }
            Command::Confirm { .. } => None,
            Command::ChangeSource { .. }
            | Command::Vip { .. }
            | Command::DrainBalancer { .. }
            | Command::UndrainBalancer => those(&|_| false),
        },
        Event::SourceSeen { .. }
        | Event::SourceWritten { .. }
        | Event::ClusterRead(_)
        | Event::NodesSeen(_)
        | Event::ConnectedSeen(_)
        | Event::FibSynced(_)
        | Event::NeighboursFailed(_)
        | Event::Stop => those(&|_| false),
        Event::Several(events) => events.iter().try_fold(BTreeSet::new(), |mut all, event| {
            all.extend(concerned(seen, event)?);
            Some(all)
        }),
        Event::Restored { .. }
        | Event::Configured(_)
        | Event::KernelRead { .. }
        | Event::KernelSynced { .. }
        | Event::AddressesSynced { .. }
        | Event::PathsSeen(_)
        | Event::Tick => None,
    }
}

fn has(service: &ServiceState, host: &str) -> bool {
    let is_member = service.pools.values().any(|pool| pool.members.get(host).is_some());
    is_member || service.unusable.contains_key(host)
}

fn is_asked_by(service: &ServiceState, check: &Arc<Check>) -> bool {
    let mut members = service.pools.values().flat_map(|pool| pool.members.values());
    members.any(|member| member.checks.iter().any(|made| made.check == *check))
}

/// A verdict changes weights of destinations that are there.
fn a_flap_costs_weights(seen: &Seen<'_>, concerned: &BTreeSet<Arc<str>>) -> Outcome {
    let places = |entry: &Arc<Entry>| entry.destinations.keys().copied().collect::<Vec<_>>();
    for service in concerned.iter().filter_map(|name| seen.after.services.get(name)) {
        for (_, key) in service.keys() {
            let tables = [&seen.before.wanted.table, &seen.after.wanted.table];
            let [before, after] = tables.map(|table| table.get(&key));
            let (Some(before), Some(after)) = (before, after) else { continue };
            let is_weights = before.service == after.service && places(before) == places(after);
            ensure!(is_weights, RULE, "a check spoke, and {key} is {after:?}, was {before:?}");
        }
    }
    Ok(())
}
