//! The rules that hold after every event, whatever has happened before.

use super::announcements::Announcements;
use super::links::asked;
use super::pools::pool_is_right;
use super::reasons::everything_has_a_reason;
use super::{Broken, ensure};
use crate::config::{Admin, Config, PoolId, Threshold};
use crate::core::event::Command;
use crate::core::guard;
use crate::core::inventory::Listing;
use crate::core::marks;
use crate::core::member::Member;
use crate::core::saved::Saved;
use crate::core::state::{ServiceState, service_keys};
use crate::core::{Action, Event, State, Timestamp};
use health::{Advice, Check, Verdict};
use ipvs::{DaemonRole, Family, Protocol, ServiceKey, Weight};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

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
    /// Services of the kernel whose sources have spoken to this process.
    spoken: BTreeSet<ServiceKey>,
    has_read_kernel: bool,
    has_read_device: bool,
    announcements: Announcements,
    /// Services that were ours before the state file was lost.
    pub(super) orphans: BTreeSet<ServiceKey>,
    /// Sync daemons that were.
    pub(super) orphaned_daemons: BTreeSet<DaemonRole>,
    steps: u64,
}

impl Rules {
    pub(super) fn process_begins(&mut self) {
        (self.spoken, self.announcements) = Default::default();
        (self.has_read_kernel, self.has_read_device) = (false, false);
    }

    /// The state file is lost.
    pub(super) fn orphaned(&mut self, saved: &Saved) {
        self.orphans.extend(&*saved.owned);
        self.orphaned_daemons.extend(&saved.sync_daemons);
    }

    pub(super) fn hears(&mut self, event: &Event) {
        self.has_read_kernel |= matches!(event, Event::KernelRead { .. });
        self.has_read_device |= matches!(event, Event::AddressesSynced { .. });
    }

    pub(super) fn hold(&mut self, seen: &Seen<'_>, checks: &Checks) -> Outcome {
        self.steps += 1;
        let Some(config) = seen.after.config.clone() else { return Ok(()) };
        for service in seen.after.services.values() {
            // A service that has backends goes on with them while another source of it is awaited.
            let goes_on = service.waiting.is_none() && !service.pools.is_empty();
            if goes_on || matches!(seen.after.inventory.listing(&service.config), Listing::Known(_)) {
                self.spoken.extend(service.keys().map(|(_, key)| key));
            }
        }
        self.nothing_is_written_before_sources_speak(seen)?;
        large_changes_are_held_back(seen)?;
        only_large_changes_are_held_back(seen.after)?;
        whoever_does_not_answer_is_looked_at(seen, checks)?;
        refusals_are_right(seen)?;
        deletions_are_due(seen, &config)?;
        only_what_was_there_drains(seen)?;
        if seen.after.kernel.is_read {
            for (name, service) in seen.after.services.iter() {
                for (family, pool) in service.pools.iter() {
                    pool_is_right(seen, (&**name, service), (*family, pool), checks)?;
                }
            }
        }
        self.announcements.are_right(seen, &config)?;
        nothing_is_left_over(seen, &config)?;
        // It makes a thousand texts, and they change slowly.
        if self.steps.is_multiple_of(16) { everything_has_a_reason(seen) } else { Ok(()) }
    }

    fn nothing_is_written_before_sources_speak(&self, seen: &Seen<'_>) -> Outcome {
        for action in seen.actions {
            match action {
                Action::SyncIpvs(wanted) => {
                    ensure!(self.has_read_kernel, "1 sources first", "written before the kernel was read");
                    for (key, entry) in wanted.table.iter() {
                        let is_new = seen.before.wanted.table.get(key) != Some(entry);
                        let is_adopted = seen.after.kernel.table.get(key) == Some(entry);
                        // The service of a mark is made when its users are listed.
                        let is_marks = seen.after.marks.has_key(key);
                        let may = !is_new || is_adopted || is_marks || self.spoken.contains(key);
                        ensure!(may, "1 sources first", "{key} is written, its sources have not spoken");
                    }
                }
                Action::SetAddresses(wanted) => {
                    let spoken = |vip: &IpAddr| self.spoken.iter().any(|key| is_on(key, *vip));
                    let known = |vip: &IpAddr| {
                        let present = seen.after.kernel.addresses.as_ref();
                        present.is_some_and(|present| present.contains(vip))
                            || seen.after.wanted.table.keys().any(|key| is_on(key, *vip))
                    };
                    let stranger = wanted.iter().find(|vip| !spoken(vip) && !known(vip));
                    ensure!(
                        stranger.is_none(),
                        "1 sources first",
                        "{stranger:?} is set, nothing has spoken for it"
                    );
                }
                _ => {}
            }
        }
        Ok(())
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

/// What a source says is obeyed unless it takes out too much at once; a source that fails changes nothing.
fn large_changes_are_held_back(seen: &Seen<'_>) -> Outcome {
    match seen.event {
        Event::Several(events) => {
            events.iter().try_for_each(|event| a_large_change_is_held_back(&Seen { event, ..*seen }))
        }
        _ => a_large_change_is_held_back(seen),
    }
}

fn a_large_change_is_held_back(seen: &Seen<'_>) -> Outcome {
    let Event::PoolRead { pool: id, outcome } = seen.event else { return Ok(()) };
    let obeyed = |state: &State| state.inventory.pool(id).and_then(|pool| pool.backends.clone());
    let (Some(before), after) = (obeyed(seen.before), obeyed(seen.after)) else { return Ok(()) };
    let serves =
        |backend: &&crate::config::Backend| backend.pooled == Admin::Pooled && backend.weight > Weight::ZERO;
    let is_obeyed = match outcome {
        Err(_) => false,
        Ok(new) => {
            let serving: Vec<_> = before.iter().filter(serves).collect();
            let staying = |host: &str| new.iter().filter(serves).any(|backend| *backend.host == *host);
            let lost = serving.iter().filter(|backend| !staying(&backend.host)).count();
            let users = seen.after.services.values().filter(|s| s.config.pool.sources().contains(id));
            let share = users.map(|s| s.config.max_change.permille()).min().unwrap_or(500);
            lost <= 1 || lost * 1000 <= serving.len() * usize::from(share)
        }
    };
    let expected = if is_obeyed { outcome.clone().ok() } else { Some((*before).clone()) };
    ensure!(after.as_deref() == expected.as_ref(), "2 sources", "{id}: obeyed is {after:?}");
    Ok(())
}

/// What is held back takes out too much, by the settings of now.
fn only_large_changes_are_held_back(state: &State) -> Outcome {
    for path in super::incident::FILES {
        let id = PoolId::File(path.into());
        let file = state.inventory.pool(&id);
        let Some((before, held)) = file.and_then(|file| file.backends.as_ref().zip(file.held.as_ref()))
        else {
            continue;
        };
        let users = state.services.values().filter(|s| s.config.pool.sources().contains(&id));
        let most = users.map(|service| service.config.max_change).min().unwrap_or(Threshold::HALF);
        let is_large = guard::too_much(before, held, most).is_some();
        ensure!(is_large, "2 sources", "{path} is held back, and {} may go", most.permille());
    }
    Ok(())
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

/// What an operator may not do changes nothing; what is done leaves as many serving as are needed.
fn refusals_are_right(seen: &Seen<'_>) -> Outcome {
    let Event::Operator(request) = seen.event else { return Ok(()) };
    let answer = seen.actions.iter().find_map(|action| match action {
        Action::Reply { id, answer } if *id == request.id => Some(answer),
        _ => None,
    });
    let Some(answer) = answer else { return Err(Broken::new("operators", "a request is not answered")) };
    if answer.is_err() {
        // What nothing can serve is no word of an operator's, and may be found out late.
        let (mut before, after) = (seen.before.saved.clone(), &seen.after.saved);
        before.withdrawn.clone_from(&after.withdrawn);
        ensure!(before == *after, "3 refusals", "refused, but it is kept");
        let is_sync = seen.actions.iter().any(|action| matches!(action, Action::SyncIpvs(_)));
        ensure!(!is_sync, "3 refusals", "refused, but the kernel is written");
        return Ok(());
    }
    let (host, leaves) = match &request.command {
        Command::TakeOut { host, to, note } if !note.force => (host, to.admin() == Admin::Inactive),
        Command::TakeOut { .. }
        | Command::Pool { .. }
        | Command::Weigh { .. }
        | Command::ChangeSource { .. }
        | Command::Confirm { .. }
        | Command::Vip { .. }
        | Command::DrainBalancer { .. }
        | Command::UndrainBalancer => return Ok(()),
    };
    for (name, service) in seen.before.services.iter() {
        for pool in service.pools.values() {
            let serves = |m: &Member| m.decision.standing.can_serve() && m.decision.weight > Weight::ZERO;
            let Some(_) = pool.members.get(host.as_str()).filter(|member| serves(member)) else { continue };
            let total =
                pool.members.values().filter(|m| m.admin != Admin::Inactive).count() - usize::from(leaves);
            let left = pool.members.iter().filter(|(other, m)| ***other != **host && serves(m)).count();
            let needed = service.config.depool_threshold.needed(total);
            ensure!(
                left >= needed,
                "3 refusals",
                "{host} is taken out of {name}, {left} of {total} are left, {needed} are needed"
            );
        }
    }
    Ok(())
}

/// A destination leaves only with weight 0 and drained, or with UDP; a service only when its time is over.
fn deletions_are_due(seen: &Seen<'_>, config: &Config) -> Outcome {
    let configured: BTreeSet<ServiceKey> =
        config.services.values().flat_map(|service| service_keys(service)).map(|(_, key)| key).collect();
    for (key, until) in seen.after.leaving.iter().filter(|(key, _)| seen.before.leaving.get(key).is_none()) {
        let is_long = *until >= seen.now + config.daemon.shutdown_delay;
        ensure!(is_long, "7 deletions", "{key} is to be deleted before the routers can move its traffic");
    }
    for (key, before) in seen.before.wanted.table.iter() {
        // The service of a mark serves nobody.
        if seen.before.marks.has_key(key) {
            continue;
        }
        let Some(after) = seen.after.wanted.table.get(key) else {
            let is_due = seen.before.leaving.get(key).is_some_and(|until| *until <= seen.now);
            ensure!(is_due && !configured.contains(key), "7 deletions", "{key} is deleted too early");
            continue;
        };
        for (destination, was) in
            before.destinations.iter().filter(|(d, _)| !after.destinations.contains_key(d))
        {
            // With UDP there is nothing to wait for.
            if matches!(key, ServiceKey::Address { protocol: Protocol::Udp, .. }) {
                continue;
            }
            let what = format!("{destination} of {key}");
            ensure!(
                was.weight == Weight::ZERO,
                "7 deletions",
                "{what} is deleted with weight {}",
                was.weight
            );
            let drains = seen.before.services.values().filter(|s| s.keys().any(|(_, of)| of == *key));
            let since = drains
                .filter_map(|s| s.pools.get(&key.family())?.draining.get(destination))
                .map(|draining| draining.since)
                .next();
            let Some(since) = since else {
                return Err(Broken::new("7 deletions", format!("{what} is deleted and has not drained")));
            };
            let age = seen.now.since(since);
            let is_empty = match seen.event {
                Event::KernelRead { connections, .. } => !connections
                    .iter()
                    .any(|count| count.service == *key && count.destination == *destination),
                _ => false,
            };
            let is_drained =
                age >= config.daemon.drain_timeout || (is_empty && age >= Duration::from_secs(1));
            ensure!(is_drained, "7 deletions", "{what} is deleted after {age:?} with connections");
        }
    }
    Ok(())
}

/// What drains is what the kernel was to have, or has: nothing is added to be deleted.
fn only_what_was_there_drains(seen: &Seen<'_>) -> Outcome {
    for (name, service) in seen.after.services.iter() {
        for (family, pool) in service.pools.iter() {
            for address in pool.draining.keys() {
                let is_there =
                    service.keys().filter(|(vip, _)| Family::of(*vip) == *family).any(|(_, key)| {
                        let tables =
                            [&seen.before.wanted.table, &seen.before.kernel.table, &seen.after.kernel.table];
                        tables
                            .into_iter()
                            .filter_map(|table| table.get(&key))
                            .any(|entry| entry.destinations.contains_key(address))
                    });
                // A pool goes on under another VIP, with what drains.
                let drained =
                    seen.before.services.get(name).and_then(|s| s.pools.get(family)?.draining.get(address));
                ensure!(
                    is_there || drained.is_some(),
                    "7 deletions",
                    "{name}: {address} is added only to drain"
                );
            }
        }
    }
    Ok(())
}

/// Whatever is kept is about something that is configured, or leaves.
fn nothing_is_left_over(seen: &Seen<'_>, config: &Config) -> Outcome {
    let after = seen.after;
    let is_configured = |name: &Arc<str>| config.services.contains_key(&**name);
    let rule = "13 bounds";
    let names: Vec<&str> = after.services.keys().map(|name| &**name).collect();
    ensure!(names.iter().eq(config.services.keys()), rule, "services {names:?}");
    ensure!(after.rising.keys().all(is_configured), rule, "rising {:?}", after.rising);
    ensure!(after.draining.iter().all(is_configured), rule, "draining {:?}", after.draining);
    let mut users = after.check_users.values().flatten();
    ensure!(users.all(|name| config.services.contains_key(&**name)), rule, "users of checks that are gone");
    let has_vip = |vip: &IpAddr| config.services.values().any(|service| service.vips.contains(vip));
    ensure!(
        after.vips.keys().all(has_vip) && after.vip_users.keys().all(has_vip),
        rule,
        "VIPs {:?}",
        after.vips.keys()
    );
    ensure!(
        after.saved.withdrawn.iter().all(has_vip) || !after.is_ready(),
        rule,
        "withdrawn {:?}",
        after.saved.withdrawn
    );
    for path in super::incident::FILES {
        let id = PoolId::File(path.into());
        let is_wanted = after.emitted.pools.as_ref().is_none_or(|wanted| wanted.pools.contains(&id));
        ensure!(is_wanted || after.inventory.pool(&id).is_none(), rule, "{path} is still known");
    }
    for host in super::incident::NAMES {
        let is_wanted = after.emitted.names.as_ref().is_none_or(|names| names.contains(host));
        ensure!(is_wanted || after.inventory.name(host).is_none(), rule, "{host} is still known");
    }
    let keys: BTreeSet<ServiceKey> =
        config.services.values().flat_map(|service| service_keys(service)).map(|(_, key)| key).collect();
    for key in after.wanted.table.keys() {
        ensure!(
            keys.contains(key) || after.leaving.get(key).is_some() || after.marks.has_key(key),
            rule,
            "{key} is wanted and not configured"
        );
    }
    ensure!(!after.leaving_vips.keys().any(has_vip), rule, "leaving VIPs {:?}", after.leaving_vips);
    ensure!(after.notices.is_empty(), rule, "notices that nobody hears");
    Ok(())
}
