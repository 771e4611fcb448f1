//! Rule 7: what leaves has had its time.

use super::super::{Broken, ensure};
use super::{Outcome, Seen};
use crate::config::Config;
use crate::core::Event;
use crate::core::state::service_keys;
use ipvs::{DestinationKey, Family, Protocol, ServiceKey, Weight};
use std::collections::BTreeSet;
use std::time::Duration;

/// A destination leaves only with weight 0 and drained, or with UDP; a service only when its time is over.
pub(super) fn deletions_are_due(seen: &Seen<'_>, config: &Config) -> Outcome {
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
            let is_empty = age >= Duration::from_secs(1) && is_empty(seen.event, key, destination);
            let is_drained = age >= config.daemon.drain_timeout || is_empty;
            ensure!(is_drained, "7 deletions", "{what} is deleted after {age:?} with connections");
        }
    }
    Ok(())
}

/// Whether the kernel has just said that a destination has no connections.
fn is_empty(event: &Event, service: &ServiceKey, destination: &DestinationKey) -> bool {
    let Event::KernelRead { connections, .. } = event else { return false };
    !connections.iter().any(|count| count.service == *service && count.destination == *destination)
}

/// What drains is what the kernel was to have, or has: nothing is added to be deleted.
pub(super) fn only_what_was_there_drains(seen: &Seen<'_>) -> Outcome {
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
