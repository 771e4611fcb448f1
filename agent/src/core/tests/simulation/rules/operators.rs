//! Rule 3, as far as operators are concerned: what they may not do changes nothing.

use super::super::{Broken, ensure};
use super::{Outcome, Seen};
use crate::config::{Admin, PoolId};
use crate::core::change::{Object, Word, Written};
use crate::core::event::{Command, Request};
use crate::core::member::Member;
use crate::core::state::ServiceState;
use crate::core::{Action, Event};
use ipvs::Weight;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const RULE: &str = "3 refusals";

/// What is being taken out where it is kept.
#[derive(Default)]
pub(super) struct Operators {
    /// By request.
    asked: BTreeMap<u64, Vec<Object>>,
    /// What was written, with its revision.
    written: BTreeMap<Object, u64>,
    /// How far each source is heard.
    heard: BTreeMap<Arc<str>, u64>,
}

impl Operators {
    pub(super) fn hears(&mut self, event: &Event) {
        match event {
            Event::SourceSeen { source, progress } => {
                self.heard.insert(Arc::clone(source), progress.revision);
                self.written
                    .retain(|object, revision| object.source != *source || *revision > progress.revision);
            }
            // Everything was said anew.
            Event::SourceSaid { source, outcome: Ok(()) } => {
                self.written.retain(|object, _| object.source != *source);
            }
            Event::SourceWritten { id, written } => {
                let takes_out = self.asked.remove(id).is_some();
                for Written { object, outcome } in written {
                    let Ok(stored) = outcome else { continue };
                    self.written.remove(object);
                    let heard = self.heard.get(&object.source).copied().unwrap_or_default();
                    if takes_out && stored.revision > heard {
                        self.written.insert(object.clone(), stored.revision);
                    }
                }
            }
            _ => {}
        }
    }

    /// What is refused changes nothing; what is done leaves as many serving as are needed.
    pub(super) fn refusals_are_right(&mut self, seen: &Seen<'_>) -> Outcome {
        let Event::Operator(request) = seen.event else { return Ok(()) };
        let is_done = is_done(seen, request)?;
        if is_done {
            self.enough_are_left(seen, request)?;
        }
        if let (true, Command::ChangeSource { objects, to, .. }) = (is_done, &request.command)
            && is_out(*to)
        {
            self.asked.insert(request.id, objects.clone());
        }
        Ok(())
    }

    fn enough_are_left(&self, seen: &Seen<'_>, request: &Request) -> Outcome {
        let everywhere = |_: &ServiceState| true;
        match &request.command {
            Command::TakeOut { host, to, note } if !note.force => {
                let hosts = BTreeSet::from([host.as_str()]);
                self.check(seen, &hosts, to.admin() == Admin::Inactive, everywhere)
            }
            Command::ChangeSource { objects, to, note } if !note.force && is_out(*to) => {
                let hosts: BTreeSet<&str> = objects.iter().map(|object| &*object.host).collect();
                let pools: Vec<PoolId> = objects.iter().map(|object| object.pool()).collect();
                let is_concerned = |service: &ServiceState| {
                    service.config.pool.sources().iter().any(|id| pools.contains(id))
                };
                self.check(seen, &hosts, *to == Word::Pooled(Admin::Inactive), is_concerned)
            }
            Command::TakeOut { .. }
            | Command::Pool { .. }
            | Command::Weigh { .. }
            | Command::ChangeSource { .. }
            | Command::Confirm { .. }
            | Command::Vip { .. }
            | Command::DrainBalancer { .. }
            | Command::UndrainBalancer => Ok(()),
        }
    }

    /// Without these hosts, and those that are going, a pool in which one of them serves has as many as it needs. `leaves`:
    /// they do not count any more.
    fn check(
        &self,
        seen: &Seen<'_>,
        hosts: &BTreeSet<&str>,
        leaves: bool,
        is_concerned: impl Fn(&ServiceState) -> bool,
    ) -> Outcome {
        let serves = |m: &Member| m.decision.standing.can_serve() && m.decision.weight > Weight::ZERO;
        for service in seen.before.services.values().filter(|service| is_concerned(service)) {
            let going = self.going(service);
            for pool in service.pools.values() {
                let members = || pool.members.iter().map(|(host, member)| (&**host, member));
                if !members().any(|(host, member)| hosts.contains(host) && serves(member)) {
                    continue;
                }
                let counts = |(host, member): &(&str, &Member)| {
                    member.admin != Admin::Inactive && !(leaves && hosts.contains(host))
                };
                let stays = |host: &str| !hosts.contains(host) && !going.contains(host);
                let total = members().filter(counts).count();
                let left = members().filter(|(host, member)| stays(host) && serves(member)).count();
                let needed = service.config.depool_threshold.needed(total);
                ensure!(
                    left >= needed,
                    RULE,
                    "{hosts:?} leave {}, {left} of {total} are left, {needed} are needed",
                    service.config.name
                );
            }
        }
        Ok(())
    }

    fn going(&self, service: &ServiceState) -> BTreeSet<&str> {
        let objects = self.asked.values().flatten().chain(self.written.keys());
        let is_its = |object: &&Object| service.config.pool.sources().contains(&object.pool());
        objects.filter(is_its).map(|object| &*object.host).collect()
    }
}

fn is_out(to: Word) -> bool {
    matches!(to, Word::Weight(0) | Word::Pooled(Admin::Depooled | Admin::Inactive))
}

/// Whether what is asked for is done, or is on its way.
fn is_done(seen: &Seen<'_>, request: &Request) -> Result<bool, Broken> {
    let answer = seen.actions.iter().find_map(|action| match action {
        Action::Reply { id, answer } if *id == request.id => Some(answer),
        _ => None,
    });
    match answer {
        None => {
            // The answer comes when it is written.
            let is_order =
                |action: &Action| matches!(action, Action::WriteSource(order) if order.id == request.id);
            let waits = seen.after.changes.contains_key(&request.id);
            ensure!(waits && seen.actions.iter().any(is_order), "operators", "a request is not answered");
            Ok(true)
        }
        Some(Err(_)) => nothing_was_done(seen).map(|()| false),
        Some(Ok(_)) => Ok(true),
    }
}

fn nothing_was_done(seen: &Seen<'_>) -> Outcome {
    // What nothing can serve is no word of an operator's, and may be found out late.
    let (mut before, after) = (seen.before.saved.clone(), &seen.after.saved);
    before.withdrawn.clone_from(&after.withdrawn);
    ensure!(before == *after, RULE, "refused, but it is kept");
    let is_done = |action: &Action| matches!(action, Action::SyncIpvs(_) | Action::WriteSource(_));
    let done = seen.actions.iter().find(|action| is_done(action));
    ensure!(done.is_none(), RULE, "refused, but {done:?}");
    Ok(())
}
