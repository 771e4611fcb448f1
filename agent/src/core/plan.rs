//! What would happen: a new configuration, or backends that fail, tried on a copy of the state.

use super::action::Action;
use super::event::Event;
use super::operator::canonical;
use super::pool::Standing;
use super::state::State;
use super::{Timestamp, canary, step};
use crate::config::{Bgp, Config, Family, Peer, Terms};
use bgp::RouteSet;
use health::Check;
use ipvs::diff;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// What a new configuration would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Operations on the kernel's IPVS table at once, in order.
    pub kernel: Vec<String>,
    /// Operations once the routers have moved the traffic of services that go.
    pub kernel_later: Vec<String>,
    /// Addresses that come to the VIPs' device.
    pub addresses_added: Vec<String>,
    /// Addresses that leave it.
    pub addresses_removed: Vec<String>,
    /// Routes that are announced; those of new services follow when their checks have spoken.
    pub routes_announced: Vec<String>,
    /// Routes that are withdrawn.
    pub routes_withdrawn: Vec<String>,
    /// Routes that are announced with other attributes.
    #[serde(default)]
    pub routes_changed: Vec<String>,
    /// Checks that begin.
    pub checks_started: Vec<String>,
    /// Checks that end.
    pub checks_stopped: Vec<String>,
    /// Sources that have to speak first, and other things to know.
    pub notes: Vec<String>,
}

/// Tries a configuration on a copy of the state.
pub fn plan(state: &State, config: Arc<Config>, now: Timestamp) -> Plan {
    let mut trial = state.clone();
    let longest = config.daemon.shutdown_delay + Duration::from_millis(1);
    let actions = step(&mut trial, Event::Configured(config), now);
    let mut plan = Plan { kernel: operations(state, &trial), ..Plan::default() };
    for action in &actions {
        plan.take(state, action);
    }
    // Not those that are handed to the runner: what goes through IPVS waits there for the kernel.
    let (before, after) = (checks(state), checks(&trial));
    plan.checks_started = missing(&after, &before);
    plan.checks_stopped = missing(&before, &after);
    let waiting = trial.services.iter().filter_map(|(name, service)| {
        let why = service.waiting.as_ref().or(service.refused.as_ref())?;
        Some(format!("{name}: {why}"))
    });
    plan.notes.extend(waiting);
    let before = trial.clone();
    step(&mut trial, Event::Tick, now + longest);
    plan.kernel_later = operations(&before, &trial);
    plan.addresses_removed = missing(&state.emitted.addresses, &trial.emitted.addresses);
    plan
}

impl Plan {
    fn take(&mut self, state: &State, action: &Action) {
        match action {
            Action::SetAddresses(wanted) => {
                self.addresses_added = missing(&Some(wanted.clone()), &state.emitted.addresses);
            }
            Action::SetRoutes(routes) => {
                let prefixes = |routes: &RouteSet| Some(routes.keys().copied().collect::<BTreeSet<_>>());
                let before = state.emitted.routes.as_ref().and_then(prefixes);
                self.routes_announced = missing(&prefixes(routes), &before);
                self.routes_withdrawn = missing(&before, &prefixes(routes));
                let told = state.emitted.routes.clone().unwrap_or_default();
                let changed =
                    routes.iter().filter(|(prefix, new)| told.get(*prefix).is_some_and(|old| old != *new));
                self.routes_changed = changed.map(|(prefix, _)| prefix.to_string()).collect();
            }
            Action::SetPeers(bgp) => {
                let reset = state.emitted.bgp.iter().flat_map(|before| resets(before, bgp));
                self.notes.extend(reset.map(|peer| format!("the BGP session with {peer} is reset")));
            }
            _ => {}
        }
    }
}

/// The routers whose sessions a change of the section resets; those that come or go are not among them.
fn resets<'a>(before: &'a Bgp, after: &'a Bgp) -> impl Iterator<Item = &'a str> {
    let timers = |bgp: &Bgp| (bgp.hold_time, bgp.graceful_restart, bgp.long_lived);
    let all = timers(before) != timers(after);
    let known = move |peer: &&Peer| {
        // Of BFD the session knows nothing, and rules change while it goes on.
        let same = |old: &Peer| {
            let (import, export) = (peer.terms.import.clone(), peer.terms.export.clone());
            let (bfd, overrides) = (peer.terms.bfd, peer.terms.overrides);
            let terms = Terms { bfd, import, export, overrides, ..old.terms.clone() };
            Peer { terms, ..old.clone() } == **peer
        };
        before.peers.iter().find(|old| old.name == peer.name).is_some_and(|old| all || !same(old))
    };
    after.peers.iter().filter(known).map(|peer| peer.name.as_str())
}

/// Every check that is wanted.
fn checks(state: &State) -> Option<BTreeSet<Arc<Check>>> {
    let mut checks = state.emitted.checks.clone()?;
    checks.extend(canary::checks(state).cloned());
    Some(checks)
}

/// What leads from one state's wanted table to another's.
fn operations(from: &State, to: &State) -> Vec<String> {
    let ops = diff(&from.wanted.table, &to.wanted.table, &to.wanted.owned);
    // Of what is set beside the table only what was configured is known here.
    let beside = to.wanted.settings.controls(&from.wanted.settings.settings);
    ops.iter().map(ToString::to_string).chain(beside.iter().map(ToString::to_string)).collect()
}

/// What is in one set and not in the other, in words.
fn missing<T: Ord + Display>(from: &Option<BTreeSet<T>>, in_other: &Option<BTreeSet<T>>) -> Vec<String> {
    let is_there = |item: &T| in_other.as_ref().is_some_and(|other| other.contains(item));
    from.iter().flatten().filter(|item| !is_there(item)).map(ToString::to_string).collect()
}

/// What the pools would be if some backends were down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Simulation {
    /// Names among those asked for that no pool has.
    pub unknown: Vec<String>,
    /// Each pool that has one of them.
    pub pools: Vec<SimulatedPool>,
}

/// A pool as it would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SimulatedPool {
    /// The service.
    pub service: String,
    /// The pool's family.
    pub family: Family,
    /// Backends that would serve on their own merit.
    pub serving: usize,
    /// What the depool threshold asks for.
    pub needed: usize,
    /// Its backends.
    pub backends: Vec<SimulatedBackend>,
}

/// A backend as it would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SimulatedBackend {
    /// Its host name.
    pub host: String,
    /// Its weight now.
    pub weight_now: u32,
    /// Its weight then.
    pub weight: u32,
    /// Its standing then.
    pub standing: Standing,
}

/// Decides the pools as if these hosts had just gone down.
pub fn simulate(state: &State, down: &[String], now: Timestamp) -> Simulation {
    let down: BTreeSet<String> = down.iter().map(|host| canonical(host)).collect();
    let mut known = BTreeSet::new();
    let mut pools = Vec::new();
    for (name, service) in state.services.iter() {
        for (family, pool) in service.pools.iter() {
            let here: Vec<&String> =
                down.iter().filter(|host| pool.members.contains_key(host.as_str())).collect();
            if here.is_empty() {
                continue;
            }
            known.extend(here.into_iter().cloned());
            let decisions = pool.decide_as_if(&service.config, &down, now);
            let backends =
                pool.members.iter().zip(&decisions).map(|((host, member), decision)| SimulatedBackend {
                    host: host.to_string(),
                    weight_now: member.decision.weight.get(),
                    weight: decision.weight.get(),
                    standing: decision.standing,
                });
            pools.push(SimulatedPool {
                service: name.to_string(),
                family: (*family).into(),
                serving: decisions.iter().filter(|d| d.standing.can_serve() && d.weight.get() > 0).count(),
                needed: pool.counts(service.config.depool_threshold).needed,
                backends: backends.collect(),
            });
        }
    }
    Simulation { unknown: down.difference(&known).cloned().collect(), pools }
}
