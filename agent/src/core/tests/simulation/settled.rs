//! What holds once nothing goes wrong any more.

use super::host::Host;
use super::rules::Outcome;
use super::{Broken, announcements, configurations, ensure};
use crate::core::state::ServiceState;
use crate::core::{State, settings};
use std::collections::BTreeSet;
use std::net::IpAddr;

const RULE: &str = "settled";

/// Everything works and nothing waits any more: the world is as it is wanted.
pub(super) fn is_as_wanted(host: &Host) -> Outcome {
    the_kernel_is(host)?;
    nothing_leaves_or_waits(host)?;
    services_are_those_that_are_said(host)?;
    if host.config().nodes.is_some() {
        host.nodes.are_settled()?;
    }
    // A pool that sh has no room for waits for a smaller one.
    let services = &host.state.services;
    let waits = |service: &ServiceState| service.waiting.clone().filter(|why| !why.contains("sh has 256"));
    let waiting = services.iter().find_map(|(name, service)| Some((name, waits(service)?)));
    ensure!(waiting.is_none(), RULE, "{waiting:?} waits");
    if services.values().any(|service| service.waiting.is_some()) {
        return Ok(());
    }
    vips_are_announced(host)
}

pub(super) fn a_restart_wrote_nothing(host: &Host) -> Outcome {
    let writes: Vec<String> = host.kernel.writes.iter().map(ToString::to_string).collect();
    ensure!(writes.is_empty(), "6 restarts", "nothing has changed and it writes {writes:?}");
    let routes = host.nodes.writes;
    ensure!(routes == 0, "6 restarts", "nothing has changed and routes of nodes are written {routes} times");
    Ok(())
}

fn the_kernel_is(host: &Host) -> Outcome {
    let wanted = &host.state.wanted;
    for (key, entry) in wanted.table.iter() {
        let has = host.kernel.table.get(key);
        ensure!(has == Some(entry), RULE, "{key} is to be {entry:?}, the kernel has {has:?}");
    }
    for key in host.kernel.table.keys().filter(|key| !wanted.table.contains_key(key)) {
        let is_anothers = host.kernel.foreign.contains_key(key) || host.rules.orphans.contains(key);
        ensure!(is_anothers, RULE, "{key} is left over in the kernel");
    }
    for (key, entry) in host.kernel.foreign.iter() {
        ensure!(host.kernel.table.get(key) == Some(entry), "5 foreign services", "{key} was changed");
    }
    let is_owned = wanted.table.keys().eq(wanted.owned.iter()) && host.saved.owned == wanted.owned;
    ensure!(is_owned, RULE, "owned are {:?}, saved as owned {:?}", wanted.owned, host.saved.owned);
    let wants = settings::running(&host.config().ipvs);
    let mut run = settings::running(&host.kernel.settings);
    run.retain(|role| wants.contains(role) || !host.rules.orphaned_daemons.contains(role));
    let ours = &host.saved.sync_daemons;
    ensure!(run == wants && *ours == wants, RULE, "{run:?} run, ours are {ours:?}, wanted {wants:?}");
    Ok(())
}

fn nothing_leaves_or_waits(host: &Host) -> Outcome {
    let State { draining, leaving, leaving_vips, rising, changes, unclaimed, .. } = &host.state;
    ensure!(draining.is_empty(), RULE, "draining {draining:?}");
    let is_gone = leaving.is_empty() && leaving_vips.is_empty();
    ensure!(is_gone, RULE, "leaving {leaving:?} {leaving_vips:?}");
    ensure!(rising.is_empty(), RULE, "rising {rising:?}");
    ensure!(changes.is_empty(), "13 bounds", "requests that nobody answers: {changes:?}");
    let nobodys: Vec<_> = unclaimed.keys().collect();
    ensure!(nobodys.is_empty(), RULE, "every source has spoken, and nobody has {nobodys:?}");
    Ok(())
}

/// Those of the files, and those that the cluster has, as far as they are not in one another's way.
fn services_are_those_that_are_said(host: &Host) -> Outcome {
    let configured = host.config();
    let (said, wrong) = (host.sources.served(), host.sources.wrong());
    for (name, _) in host.state.services.iter() {
        let is_said =
            configured.services.contains_key(&**name) || said.contains(&**name) || wrong.contains(&**name);
        ensure!(is_said, "2 sources", "{name} is served, and nothing says that it is there");
    }
    let refused: BTreeSet<&str> = host.state.found.refused().map(|(_, name, _)| name).collect();
    let missing =
        said.iter().find(|name| !host.state.services.contains_key(name) && !refused.contains(*name));
    ensure!(missing.is_none(), "2 sources", "{missing:?} is there, and neither served nor refused");
    // Of two for one VIP and port the older has it.
    let [older, younger] = [configurations::FOUND[2], configurations::FOUND[4]];
    let is_served = |name: &str| host.state.services.contains_key(name);
    let is_unfair = is_served(younger) && (said.contains(older) || is_served(older));
    ensure!(!is_unfair, RULE, "{younger} is served, and {older} is older");
    Ok(())
}

fn vips_are_announced(host: &Host) -> Outcome {
    let config = host.config();
    let services = host.state.services.values();
    let vips: BTreeSet<IpAddr> = services.flat_map(|service| service.config.vips.iter().copied()).collect();
    ensure!(host.device.present == vips, RULE, "on the device are {:?}", host.device.present);
    let is_wanted = |vip: &&IpAddr| {
        announcements::policy(&host.state, &config, **vip, host.now)
            .is_some_and(|policy| announcements::may_be(&host.state, **vip, policy))
    };
    let wanted: BTreeSet<IpAddr> = vips.iter().filter(is_wanted).copied().collect();
    let told: Option<BTreeSet<IpAddr>> =
        host.routes.as_ref().map(|routes| routes.keys().map(|prefix| prefix.address()).collect());
    ensure!(told.as_ref() == Some(&wanted), RULE, "routers have {told:?}, announced is to be {wanted:?}");
    Ok(())
}
