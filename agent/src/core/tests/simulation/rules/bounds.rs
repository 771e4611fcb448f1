//! Rule 13: whatever is kept is about something that is there.

use super::super::incident::{FILES, NAMES};
use super::super::sources::SOURCES;
use super::super::{Broken, ensure};
use super::{Outcome, Seen};
use crate::config::{Config, PoolId, SourceSettings};
use crate::core::change::MAX_PENDING;
use crate::core::state::service_keys;
use ipvs::ServiceKey;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

const RULE: &str = "13 bounds";

/// Whatever is kept is about something that is configured, or leaves.
pub(super) fn nothing_is_left_over(seen: &Seen<'_>, config: &Config) -> Outcome {
    let after = seen.after;
    let is_configured = |name: &Arc<str>| config.services.contains_key(&**name);
    let names: Vec<&str> = after.services.keys().map(|name| &**name).collect();
    ensure!(names.iter().eq(config.services.keys()), RULE, "services {names:?}");
    ensure!(after.rising.keys().all(is_configured), RULE, "rising {:?}", after.rising);
    ensure!(after.draining.iter().all(is_configured), RULE, "draining {:?}", after.draining);
    let mut users = after.check_users.values().flatten();
    ensure!(users.all(|name| config.services.contains_key(&**name)), RULE, "users of checks that are gone");
    let has_vip = |vip: &IpAddr| config.services.values().any(|service| service.vips.contains(vip));
    let is_known = |vip: &IpAddr| has_vip(vip) || after.unclaimed.vips().any(|other| other == *vip);
    ensure!(
        after.vips.keys().all(is_known) && after.vip_users.keys().all(is_known),
        RULE,
        "VIPs {:?}",
        after.vips.keys()
    );
    ensure!(
        after.saved.withdrawn.iter().all(is_known) || !after.is_ready(),
        RULE,
        "withdrawn {:?}",
        after.saved.withdrawn
    );
    let keys: BTreeSet<ServiceKey> =
        config.services.values().flat_map(|service| service_keys(service)).map(|(_, key)| key).collect();
    for key in after.wanted.table.keys() {
        ensure!(
            keys.contains(key)
                || after.leaving.get(key).is_some()
                || after.marks.has_key(key)
                || after.unclaimed.has(key),
            RULE,
            "{key} is wanted and not configured"
        );
    }
    ensure!(!after.leaving_vips.keys().any(has_vip), RULE, "leaving VIPs {:?}", after.leaving_vips);
    ensure!(after.notices.is_empty(), RULE, "notices that nobody hears");
    sources_are_those_of_the_configuration(seen, config)
}

fn sources_are_those_of_the_configuration(seen: &Seen<'_>, config: &Config) -> Outcome {
    let after = seen.after;
    let wanted = after.emitted.pools.clone().unwrap_or_default().pools;
    for path in FILES {
        let id = PoolId::File(path.into());
        let is_wanted = after.emitted.pools.is_none() || wanted.contains(&id);
        ensure!(is_wanted || after.inventory.pool(&id).is_none(), RULE, "{path} is still known");
    }
    for host in NAMES {
        let is_wanted = after.emitted.names.as_ref().is_none_or(|names| names.contains(host));
        ensure!(is_wanted || after.inventory.name(host).is_none(), RULE, "{host} is still known");
    }
    let known = SOURCES.iter().filter(|name| after.inventory.source(name).is_some());
    let stranger = known.copied().find(|name| !config.sources.contains_key(*name));
    ensure!(stranger.is_none(), RULE, "source {stranger:?} is still known");
    for id in seen.before.pool_users.keys().filter(|id| !wanted.contains(id)) {
        ensure!(after.inventory.pool(id).is_none(), RULE, "{id} is still known");
    }
    let has_services = |source: &str| config.sources.get(source).is_some_and(SourceSettings::has_services);
    let stranger = after.found.services().find(|(source, _)| !has_services(source));
    ensure!(stranger.is_none(), RULE, "a service of a source that is not asked for any: {stranger:?}");
    ensure!(after.changes.len() <= MAX_PENDING, RULE, "{} requests wait", after.changes.len());
    let stranger = after.unclaimed.keys().find(|key| !after.wanted.owned.contains(key));
    ensure!(stranger.is_none(), RULE, "{stranger:?} is unclaimed and not ours");
    Ok(())
}
