//! What is decided about a pool, as its rules in words have it.

use super::rules::{Checks, Outcome, Seen};
use super::{Broken, ensure};
use crate::config::Admin;
use crate::core::Timestamp;
use crate::core::member::{Member, Pool};
use crate::core::pool::{Health, Standing};
use crate::core::state::ServiceState;
use health::Verdict;
use ipvs::{DestinationKey, Family, Weight};
use std::collections::BTreeMap;

/// The pool as its rules in words have it, from what the checks, the source and the operators said.
pub(super) fn pool_is_right(
    seen: &Seen<'_>,
    (name, service): (&str, &ServiceState),
    (family, pool): (Family, &Pool),
    checks: &Checks,
) -> Outcome {
    let is_listed = service.waiting.is_none() && service.refused.is_none();
    let (mut total, mut eligible, mut pooled, mut held) = (0, 0, 0, 0);
    for (host, member) in &pool.members {
        let what = format!("{name}: {host} ({family:?})");
        let is_awaited = seen.after.paths.is_awaited(&service.config, member.address, seen.now);
        let heard = |check| checks.get(check).copied().flatten().filter(|_| !is_awaited);
        let mut said: Vec<Option<Verdict>> = member.checks.iter().map(heard).collect();
        said.extend(is_awaited.then_some(None));
        let is_down = said.contains(&Some(Verdict::Down));
        let is_up = said.iter().all(|verdict| *verdict == Some(Verdict::Up));
        let port = if service.config.fwmark.is_some() { 80 } else { service.config.backend_port };
        let strays = member.checks.iter().find(|check| check.target.port() != port);
        ensure!(strays.is_none(), "3 pool", "{what} serves on {port}, {strays:?} decides");
        let (weight, standing) = (member.decision.weight, member.decision.standing);
        let by_operator = seen.after.saved.admin.get(&**host).map_or(Admin::Pooled, |change| change.to);
        if is_listed {
            ensure!(
                member.admin >= by_operator,
                "3 operators",
                "{what} is {:?}, the operator says {by_operator:?}",
                member.admin
            );
        }
        total += usize::from(member.admin != Admin::Inactive);
        pooled += usize::from(weight > Weight::ZERO);
        held += usize::from(standing == Standing::HeldThoughDown);
        if member.admin != Admin::Pooled {
            ensure!(
                weight == Weight::ZERO,
                "3 operators",
                "{what} is {:?} and has weight {weight}",
                member.admin
            );
            continue;
        }
        let known = seen.after.paths.get(member.address);
        ensure!(
            member.path.as_ref() == known,
            "3 paths",
            "{what} has the path {:?}, {known:?} is known",
            member.path
        );
        if service.config.require_on_link && known.is_some_and(|known| !known.path.is_on_link()) {
            ensure!(
                weight == Weight::ZERO && standing == Standing::OffLink,
                "3 paths",
                "{what} is behind a gateway, {standing:?}, weight {weight}"
            );
            continue;
        }
        match (is_down, is_up) {
            (true, _) => {
                ensure!(
                    matches!(member.health, Health::Down { .. }),
                    "3 pool",
                    "{what} is not known to be down"
                );
                eligible += usize::from(member.weight > Weight::ZERO);
                ensure!(
                    weight == Weight::ZERO || standing == Standing::HeldThoughDown,
                    "3 pool",
                    "{what} is down and {standing:?}"
                );
            }
            (false, true) => {
                eligible += usize::from(member.weight > Weight::ZERO);
                let is_whole =
                    weight == member.weight || (member.rising_since.is_some() && weight <= member.weight);
                ensure!(
                    standing == Standing::Pooled && is_whole,
                    "3 pool",
                    "{what} is up, {standing:?}, weight {weight}"
                );
                ensure!(
                    member.weight == Weight::ZERO || weight > Weight::ZERO,
                    "3 pool",
                    "{what} is up without weight"
                );
            }
            (false, false) => {
                eligible += usize::from(member.adopted.is_some_and(|adopted| adopted > Weight::ZERO));
                ensure!(
                    matches!(standing, Standing::Adopted | Standing::AwaitingChecks),
                    "3 pool",
                    "{what} has not spoken and is {standing:?}"
                );
            }
        }
    }
    let needed = service.config.depool_threshold.needed(total);
    ensure!(
        pooled >= needed.min(eligible),
        "3 threshold",
        "{name} ({family:?}): {pooled} of {total} pooled, {needed} needed, {eligible} could be"
    );
    ensure!(
        held == 0 || pooled <= needed,
        "3 threshold",
        "{name} ({family:?}): {held} held, {pooled} pooled, {needed} needed"
    );
    let down: Vec<_> =
        pool.members.iter().filter_map(|(host, member)| Some((fell(member)?, host, member))).collect();
    for (since, host, _) in down.iter().filter(|(.., member)| is_held(member)) {
        let better = down.iter().find(|(other, name, member)| {
            !is_held(member) && (std::cmp::Reverse(other), name) < (std::cmp::Reverse(since), host)
        });
        ensure!(better.is_none(), "3 held", "{name} ({family:?}): {host} is held, {better:?} failed later");
    }
    entries_are_right(seen, (name, service), (family, pool))
}

fn is_held(member: &Member) -> bool {
    member.decision.standing == Standing::HeldThoughDown
}

/// Since when a member is down that could be held.
fn fell(member: &Member) -> Option<Timestamp> {
    match member.health {
        Health::Down { since }
            if member.admin == Admin::Pooled
                && member.weight > Weight::ZERO
                && member.decision.standing != Standing::OffLink =>
        {
            Some(since)
        }
        Health::Down { .. } | Health::Unknown | Health::Up { .. } => None,
    }
}

/// The kernel is to have what was decided, nothing else.
fn entries_are_right(
    seen: &Seen<'_>,
    (name, service): (&str, &ServiceState),
    (family, pool): (Family, &Pool),
) -> Outcome {
    if service.waiting.is_some() {
        return Ok(());
    }
    let members = pool.members.values().filter(|member| member.admin != Admin::Inactive);
    let mut expected: BTreeMap<DestinationKey, Weight> =
        pool.draining.keys().map(|key| (*key, Weight::ZERO)).collect();
    let port = service.config.backend_port;
    expected.extend(members.map(|m| (DestinationKey { address: m.address, port }, m.decision.weight)));
    for (_, key) in service.keys().filter(|(vip, _)| Family::of(*vip) == family) {
        let entry = seen.after.wanted.table.get(&key);
        let found: BTreeMap<DestinationKey, Weight> =
            entry.iter().flat_map(|e| &e.destinations).map(|(key, d)| (*key, d.weight)).collect();
        ensure!(found == expected, "3 table", "{name}: {key} is to be {found:?}, decided is {expected:?}");
    }
    Ok(())
}
