//! The rules that hold after every event, whatever has happened before.

mod bounds;
mod changes;
mod costs;
mod deletions;
mod operators;
mod repairs;
mod sources_first;

use super::announcements::Announcements;
use super::links::asked;
use super::nodes::RoutesOfNodes;
use super::pools::pool_is_right;
use super::reasons::{changes_are_told, everything_has_a_reason};
use super::{Broken, ensure};
use crate::core::inventory::Snapshots;
use crate::core::marks;
use crate::core::member::Member;
use crate::core::saved::Saved;
use crate::core::state::ServiceState;
use crate::core::{Action, Event, State, Timestamp};
use costs::Costs;
use health::{Advice, Check, Verdict};
use ipvs::{DaemonRole, Family, ServiceKey, Table, Weight};
use operators::Operators;
use repairs::Repairs;
use sources_first::SourcesFirst;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What a check said last, if it has spoken.
pub(super) type Said = Option<(Verdict, Advice)>;
pub(super) type Checks = BTreeMap<Arc<Check>, Said>;
pub(super) type Outcome = Result<(), Broken>;

/// One step of the core.
pub(super) struct Seen<'a> {
    pub(super) before: &'a State,
    pub(super) event: &'a Event,
    pub(super) actions: &'a [Action],
    pub(super) after: &'a State,
    pub(super) now: Timestamp,
}

/// What has to be remembered to judge a step.
#[derive(Default)]
pub(super) struct Rules {
    sources_first: SourcesFirst,
    operators: Operators,
    announcements: Announcements,
    pub(super) repairs: Repairs,
    costs: Costs,
    routes_of_nodes: RoutesOfNodes,
    /// Services that were ours before the state file was lost.
    pub(super) orphans: BTreeSet<ServiceKey>,
    /// Sync daemons that were.
    pub(super) orphaned_daemons: BTreeSet<DaemonRole>,
    steps: u64,
}

impl Rules {
    /// A process begins with these, and finds this in the kernel.
    pub(super) fn process_begins(&mut self, saved: &Saved, snapshots: &Snapshots, kernel: &Table) {
        self.sources_first = SourcesFirst::new(saved, snapshots, kernel);
        (self.announcements, self.repairs) = Default::default();
        self.costs = Costs::new(saved);
        (self.routes_of_nodes, self.operators) = Default::default();
    }

    /// The state file is lost.
    pub(super) fn orphaned(&mut self, saved: &Saved) {
        self.orphans.extend(&*saved.owned);
        self.orphaned_daemons.extend(&saved.sync_daemons);
    }

    pub(super) fn hears(&mut self, event: &Event, before: &State) {
        if let Event::Several(events) = event {
            return events.iter().for_each(|event| self.hears(event, before));
        }
        self.sources_first.hears(event, before);
        self.routes_of_nodes.hears(event);
        self.operators.hears(event);
    }

    pub(super) fn hold(&mut self, seen: &Seen<'_>, checks: &Checks) -> Outcome {
        self.steps += 1;
        let Some(config) = seen.after.config.clone() else { return Ok(()) };
        self.sources_first.have_spoken(seen)?;
        changes::words_are_obeyed(seen)?;
        whoever_does_not_answer_is_looked_at(seen, checks)?;
        self.operators.refusals_are_right(seen)?;
        deletions::deletions_are_due(seen, &config)?;
        deletions::only_what_was_there_drains(seen)?;
        if seen.after.kernel.is_read {
            for (name, service) in seen.after.services.iter() {
                for (family, pool) in service.pools.iter() {
                    pool_is_right(seen, (&**name, service), (*family, pool), checks)?;
                }
            }
        }
        self.announcements.are_right(seen, &config)?;
        self.repairs.are_right(seen)?;
        self.routes_of_nodes.are_right(seen)?;
        self.costs.are_right(seen)?;
        bounds::nothing_is_left_over(seen, &config)?;
        changes_are_told(seen)?;
        // It makes a thousand texts, and they change slowly.
        if self.steps.is_multiple_of(16) { everything_has_a_reason(seen) } else { Ok(()) }
    }
}

/// Whether a key is one that packets to a VIP may come to.
pub(super) fn is_on(key: &ServiceKey, vip: IpAddr) -> bool {
    match key {
        ServiceKey::Address { address, .. } => *address == vip,
        ServiceKey::FwMark { family, .. } => *family == Family::of(vip),
    }
}

/// Whether a service may serve on a VIP; one that waits for its sources may, by what the kernel has.
pub(super) fn may_serve(service: &ServiceState, vip: IpAddr) -> bool {
    let serves =
        |member: &Member| member.decision.weight > Weight::ZERO && member.decision.standing.can_serve();
    let pool = service.pools.get(&Family::of(vip));
    service.waiting.is_some() || pool.is_some_and(|pool| pool.members.values().any(serves))
}

/// Neighbours that do not answer: the checks of backends there look at once, no others, and none that says down.
fn whoever_does_not_answer_is_looked_at(seen: &Seen<'_>, checks: &Checks) -> Outcome {
    let hastened = seen.actions.iter().find_map(|action| match action {
        Action::Hasten(checks) => Some(checks.clone()),
        _ => None,
    });
    let Event::NeighboursFailed(addresses) = seen.event else {
        ensure!(hastened.is_none(), "checks", "{hastened:?} look at once, and nothing speaks against them");
        return Ok(());
    };
    let State { canary_checks, kernel, .. } = seen.after;
    let is_due = |(check, said): &(&Arc<Check>, &Said)| {
        let is_asked = marks::is_ready(check, &kernel.services) && !canary_checks.contains_key(*check);
        is_asked && addresses.contains(&asked(check)) && !matches!(said, Some((Verdict::Down, _)))
    };
    let due: BTreeSet<Arc<Check>> =
        checks.iter().filter(is_due).map(|(check, _)| Arc::clone(check)).collect();
    ensure!(hastened.clone().unwrap_or_default() == due, "checks", "{due:?} are to look, {hastened:?} do");
    Ok(())
}
