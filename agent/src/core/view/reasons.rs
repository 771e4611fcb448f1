//! `lvsctl why`: the reason for what a host has, and for a service that is not served.

use super::pools::{backend_view, source_error};
use super::{BackendView, CanaryView, RefusedView, canary, check};
use crate::core::action::Refusal;
use crate::core::operator::{canonical, services_of};
use crate::core::state::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to `lvsctl why NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Why {
    /// The host, or the service.
    pub host: String,
    /// One entry for each service that the host is a backend of.
    pub services: Vec<WhyService>,
    /// Services of that name that are not served as they should be, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedView>,
}

/// Why a host has its standing in one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhyService {
    /// The service.
    pub service: String,
    /// Its backends of that name, one for each family.
    pub backends: Vec<BackendView>,
    /// Why it has no usable address, if so.
    pub unusable: Option<String>,
    /// What the service's canaries say, which is not of this host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canaries: Vec<CanaryView>,
}

/// Why a host has its standing, in every service that it is a backend of; or why a service of that name is not served.
pub fn why(state: &State, name: &str) -> Result<Why, Refusal> {
    let host = &canonical(name);
    let services = match services_of(state, host) {
        Ok(services) => services,
        Err(unknown) => {
            let refused = refused_of(state, name);
            let why = Why { host: name.to_owned(), services: Vec::new(), refused };
            return if why.refused.is_empty() { Err(unknown) } else { Ok(why) };
        }
    };
    let services = services
        .into_iter()
        .filter_map(|name| {
            let service = state.services.get(&name)?;
            let members = service.pools.values().filter_map(|pool| pool.members.get(host.as_str()));
            Some(WhyService {
                backends: members
                    .map(|member| {
                        let checks = check::checks(state, member);
                        BackendView { checks, ..backend_view(state, &name, host, member) }
                    })
                    .collect(),
                unusable: service.unusable.get(host).cloned(),
                canaries: canary::canaries(service),
                service: name,
            })
        })
        .collect();
    Ok(Why { host: host.clone(), services, refused: Vec::new() })
}

/// The services of a name that are not served as they should be: those of sources that are refused or have their former settings, by
/// their whole name or by that of the object that they are made of (`prod/web`), and one that goes on without what its source says.
fn refused_of(state: &State, name: &str) -> Vec<RefusedView> {
    let view = |name: &str, reason: &str| RefusedView { name: name.into(), reason: reason.into() };
    let own = state.services.get(name).map(|service| {
        let reason = source_error(state, service).or_else(|| service.waiting.clone());
        let reason =
            reason.unwrap_or_else(|| format!("nothing is wrong with it; see `lvsctl status {name}`"));
        view(name, &reason)
    });
    let object = name.split_once('/').map(|(namespace, name)| format!("{namespace}.{name}"));
    let is_meant = |(source, refused, _): &(&str, &str, &str)| {
        let below = refused.strip_prefix(source).and_then(|rest| rest.strip_prefix('.'));
        let port = below.zip(object.as_deref()).and_then(|(below, object)| below.strip_prefix(object));
        *refused == name || port.is_some_and(|port| port.is_empty() || port.starts_with('.'))
    };
    // One that is served says so itself if it is asked for by its own name.
    let former = state.found.former().filter(|(_, served, _)| *served != name);
    let told = state.found.refused().chain(former).filter(is_meant);
    own.into_iter().chain(told.map(|(_, name, reason)| view(name, reason))).collect()
}
