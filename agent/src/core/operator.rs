//! What an operator asks for: done with a record of who and why, or refused with the numbers.

use super::action::{Answer, Done, Refusal};
use super::event::{Command, Note, Request, TakenOut};
use super::member::Pool;
use super::saved::{Change, SetWeight, VipWord};
use super::state::{ServiceState, State};
use super::{Timestamp, nodes, orders, unheard};
use crate::config::{Admin, Family, Pool as PoolSource, PoolId, Service, Threshold};
use crate::suggest::suggest;
use ipvs::Weight;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Changes that are kept of hosts that no pool has: such a host may come back, and its depool must hold then. Pools that
/// autoscaling fills have new names for ever; a week of a busy one has a few hundred.
pub const MAX_ABSENT: usize = 1024;

/// Carries a request out. The answer says what was done; the services of [`Done`] have to be listed anew.
pub fn command(state: &mut State, request: &Request, now: Timestamp) -> Answer {
    match &request.command {
        Command::TakeOut { host, to, note } => {
            let change = change(*to, &request.who, note, now);
            take_out(state, &canonical(host), change, note.force)
        }
        Command::Pool { host } => pool(state, &canonical(host)),
        Command::Weigh { host, to: Some(weight), note } => {
            let change = change(*weight, &request.who, note, now);
            weigh(state, &canonical(host), change, note.force)
        }
        Command::Weigh { host, to: None, .. } => unweigh(state, &canonical(host)),
        Command::ChangeSource { objects, .. } => {
            let message = format!("{} objects are changed by what changes sources", objects.len());
            Err(Refusal::Nothing { message })
        }
        Command::Confirm { service } => confirm(state, service, now),
        Command::Vip { vip, to, note } => {
            let always = matches!(to, Some(VipWord::Announced)) && note.force;
            let to = if always { Some(VipWord::AnnouncedAlways) } else { *to };
            orders::vip(state, vip, to, change((), &request.who, note, now))
        }
        Command::DrainBalancer { note } => orders::drain(state, &request.who, note, now),
        Command::UndrainBalancer => orders::undrain(state),
    }
}

fn change<T>(to: T, who: &str, note: &Note, now: Timestamp) -> Change<T> {
    let until = note.lasts.map(|lasts| now + lasts);
    Change { to, who: who.into(), at: now, reason: note.reason.clone(), until }
}

fn take_out(state: &mut State, host: &str, change: Change<TakenOut>, force: bool) -> Answer {
    let services = services_of(state, host)?;
    let leaves_denominator = change.to == TakenOut::Inactive;
    check_threshold(state, &BTreeSet::from([host]), &services, leaves_denominator, force)?;
    let admin = change.to.admin();
    let message = format!("{host} is {}", admin.as_str());
    let Change { who, at, reason, until, .. } = change;
    let message = match state.saved.admin.insert(host.into(), Change { to: admin, who, at, reason, until }) {
        Some(before) => format!("{message}; it was {} {before}", before.to.as_str()),
        None => message,
    };
    Ok(Done { host: host.into(), services, message, ..Done::default() })
}

fn pool(state: &mut State, host: &str) -> Answer {
    let was_out = state.saved.admin.contains_key(host);
    let services = match services_of(state, host) {
        // An operator's word outlives its backend's absence, and must be removable then as well.
        Err(_) if was_out => Vec::new(),
        other => other?,
    };
    let source = out_by_source(state, host, &services);
    if let (Some(message), false) = (&source, was_out) {
        return Err(Refusal::NotOurs { message: message.clone() });
    }
    state.saved.admin.remove(host);
    let message = match source {
        Some(source) => format!("the operator's word on {host} is taken back, but {source}"),
        None if was_out => format!("{host} may be pooled again; its checks decide"),
        None => format!("{host} was not taken out"),
    };
    Ok(Done { host: host.into(), services, message, ..Done::default() })
}

fn weigh(state: &mut State, host: &str, change: Change<SetWeight>, force: bool) -> Answer {
    let services = services_of(state, host)?;
    if matches!(change.to, SetWeight::Absolute(Weight::ZERO) | SetWeight::Percent(0)) {
        check_threshold(state, &BTreeSet::from([host]), &services, false, force)?;
    }
    let message = format!("{host} gets the weight {}", change.to);
    state.saved.weights.insert(host.into(), change);
    Ok(Done { host: host.into(), services, message, ..Done::default() })
}

fn unweigh(state: &mut State, host: &str) -> Answer {
    let was_set = state.saved.weights.remove(host).is_some();
    let services = match services_of(state, host) {
        Err(_) if was_set => Vec::new(),
        other => other?,
    };
    let message =
        if was_set { "gets the weight of its source again" } else { "had the weight of its source" };
    let message = format!("{host} {message}");
    Ok(Done { host: host.into(), services, message, ..Done::default() })
}

/// Hosts that operators' changes are about and that no pool has.
pub fn absent(state: &State) -> BTreeSet<&str> {
    let saved = &state.saved;
    let mut hosts: BTreeSet<&str> =
        saved.admin.keys().chain(saved.weights.keys()).map(String::as_str).collect();
    for service in state.services.values() {
        if hosts.is_empty() {
            break;
        }
        hosts.retain(|host| !has(service, host));
    }
    hosts
}

/// Forgets the oldest changes of hosts that no pool has, where there are too many. Gives the hosts.
pub fn forget_absent(state: &mut State) -> Vec<String> {
    // A host of a source that has not spoken is not gone.
    let is_known = state.services.values().all(|service| service.waiting.is_none());
    if state.saved.admin.len() + state.saved.weights.len() <= MAX_ABSENT || !is_known {
        return Vec::new();
    }
    let saved = &state.saved;
    let changed = |host: &str| {
        let weight = saved.weights.get(host).map(|change| change.at);
        saved.admin.get(host).map(|change| change.at).max(weight)
    };
    let mut absent: Vec<_> = absent(state).into_iter().map(|host| (changed(host), host.to_owned())).collect();
    absent.sort_unstable();
    absent.truncate(absent.len().saturating_sub(MAX_ABSENT));
    for (_, host) in &absent {
        state.saved.admin.remove(host);
        state.saved.weights.remove(host);
    }
    absent.into_iter().map(|(_, host)| host).collect()
}

/// Whether a service has a backend of this name.
fn has(service: &ServiceState, host: &str) -> bool {
    service.unusable.contains_key(host) || service.pools.values().any(|pool| pool.members.contains_key(host))
}

/// Lets through what is held back of a service's source, for all services that share it.
fn confirm(state: &mut State, name: &str, now: Timestamp) -> Answer {
    let Some(service) = state.services.get(name) else {
        if state.found.confirm(name) {
            let message = format!("the services that {name} says are obeyed now");
            return Ok(Done { host: name.into(), message, ..Done::default() });
        }
        if name == nodes::CONFIRMED_AS && state.nodes.confirm() {
            let message = "what is said of the cluster's nodes is obeyed now".to_owned();
            return Ok(Done { host: name.into(), message, ..Done::default() });
        }
        let near = suggest(name, state.services.keys().map(|name| &**name));
        let near = near.into_iter().map(Into::into).collect();
        return Err(Refusal::UnknownService { service: name.into(), near });
    };
    let PoolSource::Sources(pools) = service.config.pool.clone() else {
        return Err(Refusal::Nothing {
            message: format!("{name} has its backends in the configuration itself"),
        });
    };
    let confirmed: Vec<&PoolId> = pools.iter().filter(|id| state.inventory.confirm(id, now)).collect();
    if confirmed.is_empty() {
        return Err(Refusal::Nothing { message: format!("nothing of {} is held back", in_words(&pools)) });
    }
    let users = confirmed.iter().filter_map(|id| state.pool_users.get(*id)).flatten();
    let services: BTreeSet<String> = users.map(ToString::to_string).collect();
    let message = format!("what {} says is obeyed now", in_words(confirmed));
    Ok(Done { host: name.into(), services: services.into_iter().collect(), message, ..Done::default() })
}

/// Refuses what would leave a pool with fewer serving backends than its threshold asks for.
pub(super) fn check_threshold(
    state: &State,
    hosts: &BTreeSet<&str>,
    services: &[String],
    leaves_denominator: bool,
    force: bool,
) -> Result<(), Refusal> {
    let broken: Vec<String> = services
        .iter()
        .filter_map(|name| state.services.get(name).map(|service| (name, service)))
        .flat_map(|(name, service)| {
            let (threshold, going) =
                (service.config.depool_threshold, unheard::going(state, &service.config));
            let numbers = move |(family, pool): (&ipvs::Family, &Pool)| {
                let numbers = shortfall(pool, threshold, (hosts, &going), leaves_denominator)?;
                Some(format!("{name} ({}): {numbers}", Family::from(*family)))
            };
            service.pools.iter().filter_map(numbers)
        })
        .collect();
    if force || broken.is_empty() {
        return Ok(());
    }
    let who = hosts.iter().copied().collect::<Vec<_>>().join(", ");
    let message = format!(
        "without {who} the depool threshold would be broken in {}; --force does it all the same",
        broken.join("; ")
    );
    Err(Refusal::BelowThreshold { message })
}

/// A host name as the configuration holds it: in lower case, an address in its canonical form.
pub fn canonical(host: &str) -> String {
    host.parse::<IpAddr>().map_or_else(|_| host.to_lowercase(), |address| address.to_string())
}

/// The services that have a backend of this name, or the names that are near.
pub fn services_of(state: &State, host: &str) -> Result<Vec<String>, Refusal> {
    let services: Vec<String> = state
        .services
        .iter()
        .filter(|(_, service)| has(service, host))
        .map(|(name, _)| name.to_string())
        .collect();
    if !services.is_empty() {
        return Ok(services);
    }
    let hosts = state.services.values().flat_map(|s| {
        s.unusable
            .keys()
            .map(String::as_str)
            .chain(s.pools.values().flat_map(|p| p.members.keys().map(|host| &**host)))
    });
    let near = suggest(host, hosts).into_iter().map(Into::into).collect();
    Err(Refusal::UnknownHost { host: host.into(), near })
}

/// The numbers, when the pool serves with fewer than its threshold asks for once `hosts` are gone, and those that are going
/// already. A backend that does not serve on its own merit is no loss.
fn shortfall(
    pool: &Pool,
    threshold: Threshold,
    (hosts, going): (&BTreeSet<&str>, &BTreeSet<&str>),
    leaves_denominator: bool,
) -> Option<String> {
    let serves = |host: &&&str| {
        let member = pool.members.get(**host);
        member.is_some_and(|member| {
            member.decision.standing.can_serve() && member.decision.weight > Weight::ZERO
        })
    };
    if !hosts.iter().any(|host| serves(&host)) {
        return None;
    }
    let others = going.difference(hosts).filter(serves).count();
    let counts = pool.counts(threshold);
    let left = counts.serving.saturating_sub(hosts.iter().filter(serves).count() + others);
    // Also those of them that do not serve.
    let counting = |host: &&&str| pool.members.get(**host).is_some_and(|m| m.admin != Admin::Inactive);
    let leaving = if leaves_denominator { hosts.iter().filter(counting).count() } else { 0 };
    let total = counts.total.saturating_sub(leaving);
    let needed = threshold.needed(total);
    let already = if others > 0 { format!(" ({others} are being taken out already)") } else { String::new() };
    (left < needed)
        .then(|| format!("{left} of {total} backends would be left serving{already}, {needed} are needed"))
}

/// Says which source has taken a host out, if one has.
fn out_by_source(state: &State, host: &str, services: &[String]) -> Option<String> {
    services.iter().filter_map(|name| state.services.get(name)).find_map(|service| {
        let member = service.pools.values().find_map(|pool| pool.members.get(host))?;
        let word = member.by_source.as_str();
        let source = source_of(&service.config);
        (member.by_source != Admin::Pooled).then(|| format!("{host} is {word} in {source}: change it there"))
    })
}

/// Where a service's backends are written down.
pub fn source_of(service: &Service) -> String {
    match &service.pool {
        PoolSource::Sources(pools) => in_words(pools),
        PoolSource::Inline(_) => service.origin.to_string(),
    }
}

/// Pools in one line, in their order.
fn in_words<'a>(pools: impl IntoIterator<Item = &'a PoolId>) -> String {
    pools.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
