//! What an operator asks for: done with a record of who and why, or refused with the numbers.

use super::Timestamp;
use super::action::{Answer, Done, Refusal};
use super::event::{Command, Request};
use super::member::Pool;
use super::pool::Standing;
use super::saved::Depool;
use super::state::State;
use crate::config::{Admin, Pool as PoolSource, Service, Threshold};
use crate::suggest::suggest;
use ipvs::Weight;
use std::net::IpAddr;

/// Carries a request out. The answer says what was done; the services of [`Done`] have to be decided anew.
pub fn command(state: &mut State, request: &Request, now: Timestamp) -> Answer {
    match &request.command {
        Command::Depool { host, reason, force } => {
            depool(state, &request.who, &canonical(host), reason.as_deref(), *force, now)
        }
        Command::Pool { host } => pool(state, &canonical(host)),
    }
}

fn depool(
    state: &mut State,
    who: &str,
    host: &str,
    reason: Option<&str>,
    force: bool,
    now: Timestamp,
) -> Answer {
    let services = services_of(state, host)?;
    let broken: Vec<String> = services
        .iter()
        .filter_map(|name| state.services.get(name).map(|service| (name, service)))
        .flat_map(|(name, service)| {
            service.pools.iter().filter_map(move |(family, pool)| {
                shortfall(pool, service.config.depool_threshold, host)
                    .map(|numbers| format!("{name} ({family}): {numbers}"))
            })
        })
        .collect();
    if !force && !broken.is_empty() {
        return Err(Refusal::BelowThreshold {
            message: format!(
                "depooling {host} would break the depool threshold of {}; --force does it all the same",
                broken.join("; ")
            ),
        });
    }
    let depool = Depool { who: who.into(), at: now, reason: reason.map(Into::into) };
    let again = state.saved.depools.insert(host.into(), depool).is_some();
    let message = format!(
        "{host} {}",
        if again { "was depooled already; who, when and why are new" } else { "is depooled" }
    );
    Ok(Done { host: host.into(), services, message })
}

fn pool(state: &mut State, host: &str) -> Answer {
    let was_depooled = state.saved.depools.contains_key(host);
    let services = match services_of(state, host) {
        // A depool outlives its backend's absence, and must be removable then as well.
        Err(_) if was_depooled => Vec::new(),
        other => other?,
    };
    if let Some(message) = depooled_by_source(state, host, &services).filter(|_| !was_depooled) {
        return Err(Refusal::NotOurs { message });
    }
    state.saved.depools.remove(host);
    let message = match depooled_by_source(state, host, &services) {
        Some(source) => format!("the operator's depool of {host} is taken back, but {source}"),
        None if was_depooled => format!("{host} may be pooled again; its checks decide"),
        None => format!("{host} was not depooled"),
    };
    Ok(Done { host: host.into(), services, message })
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
        .filter(|(_, s)| {
            s.unusable.contains_key(host) || s.pools.values().any(|p| p.members.contains_key(host))
        })
        .map(|(name, _)| name.clone())
        .collect();
    if !services.is_empty() {
        return Ok(services);
    }
    let hosts = state.services.values().flat_map(|s| {
        s.unusable.keys().chain(s.pools.values().flat_map(|p| p.members.keys())).map(String::as_str)
    });
    let near = suggest(host, hosts).into_iter().map(Into::into).collect();
    Err(Refusal::UnknownHost { host: host.into(), near })
}

/// The numbers, when the pool serves with fewer than its threshold asks for once `host` is gone. A backend that does
/// not serve on its own merit is no loss.
fn shortfall(pool: &Pool, threshold: Threshold, host: &str) -> Option<String> {
    let member = pool.members.get(host)?;
    if !member.decision.standing.can_serve() || member.decision.weight == Weight::ZERO {
        return None;
    }
    let counts = pool.counts(threshold);
    let left = counts.serving - 1;
    (left < counts.needed).then(|| {
        format!("{left} of {} backends would be left serving, {} are needed", counts.total, counts.needed)
    })
}

/// Says which source has depooled a host, if one has.
fn depooled_by_source(state: &State, host: &str, services: &[String]) -> Option<String> {
    services.iter().filter_map(|name| state.services.get(name)).find_map(|service| {
        let member = service.pools.values().find_map(|pool| pool.members.get(host))?;
        let word = match member.admin {
            Admin::Pooled => return None,
            Admin::Depooled => Standing::Depooled.as_str(),
            Admin::Inactive => Standing::Inactive.as_str(),
        };
        Some(format!("{host} is {word} in {}: change it there", source_of(&service.config)))
    })
}

/// Where a service's backends are written down.
pub fn source_of(service: &Service) -> String {
    match &service.pool {
        PoolSource::File(path) => path.display().to_string(),
        PoolSource::Inline(_) => service.origin.to_string(),
    }
}
