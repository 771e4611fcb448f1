//! Rule 2: a source that fails keeps its last word, and one that takes out too much at once is not obeyed.

use super::super::{Broken, ensure};
use super::{Outcome, Seen};
use crate::config::{Admin, SourceSettings, Threshold};
use crate::core::found::{Finding, FoundService, LastGood};
use crate::core::inventory::Listing;
use crate::core::state::{Phase, ServiceState};
use crate::core::{Event, State, guard};
use ipvs::Weight;
use std::collections::BTreeSet;

const RULE: &str = "2 sources";

/// What a source says is obeyed unless it takes out too much at once; a source that fails changes nothing.
pub(super) fn words_are_obeyed(seen: &Seen<'_>) -> Outcome {
    only_large_changes_are_held_back(seen.after)?;
    match seen.event {
        Event::Several(events) => {
            events.iter().try_for_each(|event| a_large_change_is_held_back(&Seen { event, ..*seen }))
        }
        Event::ServicesSaid { source, services, whole: true } => a_list_is_obeyed(seen, source, services),
        Event::SourceSaid { outcome: Err(_), .. } | Event::Resolved { outcome: Err(_), .. } => {
            a_failure_takes_nobody_out(seen)
        }
        Event::PoolRead { outcome, .. } => {
            a_large_change_is_held_back(seen)?;
            if outcome.is_err() { a_failure_takes_nobody_out(seen) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

/// Whoever serves goes on.
fn a_failure_takes_nobody_out(seen: &Seen<'_>) -> Outcome {
    // Other things end with the start: the time for ways to be seen, and for what the kernel had to be confirmed.
    if seen.before.phase == Phase::Starting {
        return Ok(());
    }
    // Who waits for a first word, if only for one of several, is listed anew by the failure that ends it.
    let was_known = |service: &&ServiceState| {
        let before = seen.before.services.get(&service.config.name);
        before.is_some_and(|before| before.waiting.is_none())
            && matches!(seen.before.inventory.listing(&service.config), Listing::Known(_))
    };
    for service in seen.after.services.values().filter(was_known) {
        ensure!(service.waiting.is_none(), RULE, "{} waits after a failure", service.config.name);
        for (_, key) in service.keys() {
            let Some(before) = seen.before.wanted.table.get(&key) else { continue };
            let after = seen.after.wanted.table.get(&key);
            for (destination, was) in before.destinations.iter().filter(|(_, was)| was.weight > Weight::ZERO)
            {
                let is = after.and_then(|entry| entry.destinations.get(destination));
                let serves = is.is_some_and(|is| is.weight > Weight::ZERO);
                ensure!(serves, RULE, "a source fails, and {destination} of {key} had {}", was.weight);
            }
        }
    }
    Ok(())
}

/// A whole list of services is obeyed, unless it misses more than half of those that are served.
fn a_list_is_obeyed(seen: &Seen<'_>, source: &str, list: &[FoundService]) -> Outcome {
    let names = |state: &State| -> BTreeSet<String> {
        let its = state.found.services().filter(|(of, _)| ***of == *source);
        its.map(|(_, service)| service.name.to_string()).collect()
    };
    let (before, after) = (names(seen.before), names(seen.after));
    let settings = seen.after.configured.as_ref().and_then(|config| config.sources.get(source));
    if !settings.is_some_and(SourceSettings::has_services) {
        return Ok(());
    }
    let is_held = seen.after.found.held(source).is_some();
    let listed = |found: &&FoundService| found.finding != Finding::Gone;
    let all: BTreeSet<&str> = list.iter().filter(listed).map(|found| found.name.as_str()).collect();
    let missing = before.iter().filter(|name| !all.contains(name.as_str())).count();
    if missing > (before.len() / 2).max(1) {
        ensure!(before == after, RULE, "a list without {missing} of {before:?} is obeyed: {after:?}");
        ensure!(is_held, RULE, "nobody is told that a list is held back");
    } else {
        // One whose settings are wrong goes on, and does not begin.
        let good = list.iter().filter(|found| match &found.finding {
            Finding::Served(_) | Finding::Wrong { last: LastGood::Is(_), .. } => true,
            Finding::Wrong { last: LastGood::ListensAt(_), .. } => before.contains(&found.name),
            Finding::Refused(_) | Finding::Gone => false,
        });
        let good: BTreeSet<String> = good.map(|found| found.name.clone()).collect();
        ensure!(after == good && !is_held, RULE, "{good:?} are listed, {after:?} are kept");
    }
    Ok(())
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
    ensure!(after.as_deref() == expected.as_ref(), RULE, "{id}: obeyed is {after:?}");
    Ok(())
}

/// What is held back takes out too much, by the settings of now.
fn only_large_changes_are_held_back(state: &State) -> Outcome {
    for id in state.pool_users.keys() {
        let file = state.inventory.pool(id);
        let Some((before, held)) = file.and_then(|file| file.backends.as_ref().zip(file.held.as_ref()))
        else {
            continue;
        };
        let users = state.services.values().filter(|s| s.config.pool.sources().contains(id));
        let most = users.map(|service| service.config.max_change).min().unwrap_or(Threshold::HALF);
        let is_large = guard::too_much(before, held, most).is_some();
        ensure!(is_large, RULE, "{id} is held back, and {} may go", most.permille());
    }
    Ok(())
}
