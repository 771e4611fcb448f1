//! How the sources are.

use crate::core::Timestamp;
use crate::core::inventory::Progress;
use crate::core::state::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A source of several pools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceView {
    /// Its name.
    pub name: String,
    /// Its type, as the configuration spells it.
    pub kind: String,
    /// `live`, `away`, or `silent` when it has not said anything yet.
    pub state: String,
    /// Since when; none while it is silent.
    pub since: Option<Timestamp>,
    /// Why it cannot be read, while it is away; or why its list of services is held back.
    pub error: Option<String>,
    /// Whether its list of services is held back.
    #[serde(default)]
    pub is_held: bool,
    /// How often it could not be read, since start.
    pub outages: u64,
    /// How far it is heard, if it has revisions.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// The pools that are wanted of it.
    pub pools: usize,
    /// Services that it has by itself and that are served.
    pub services: usize,
    /// Services that it has and that are not served.
    pub refused: Vec<RefusedView>,
}

/// A service of a source that is not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedView {
    /// Its name.
    pub name: String,
    /// Why it is not.
    pub reason: String,
}

/// How each source is, by name: `live`, `silent`, or why it is away.
pub fn standings(state: &State) -> impl Iterator<Item = (String, String)> + '_ {
    let sources = state.configured.iter().flat_map(|config| config.sources.keys());
    sources.map(|name| (name.to_string(), error(state, name).unwrap_or_else(|| standing(state, name).into())))
}

fn standing(state: &State, name: &str) -> &'static str {
    match state.inventory.source(name) {
        None => "silent",
        Some(known) if known.error.is_some() => "away",
        Some(_) => "live",
    }
}

fn error(state: &State, name: &str) -> Option<String> {
    let error = state.inventory.source(name).and_then(|known| known.error.clone());
    error.or_else(|| state.found.held(name).map(Into::into))
}

/// Every source, by name.
pub fn sources(state: &State) -> Vec<SourceView> {
    let Some(config) = &state.configured else { return Vec::new() };
    let view = |(name, settings): (&std::sync::Arc<str>, &crate::config::SourceSettings)| {
        let known = state.inventory.source(name);
        let is_its = |id: &&crate::config::PoolId| id.source() == Some(name);
        let refused = state.found.refused().filter(|(source, ..)| *source == &**name);
        let refused: Vec<RefusedView> = refused
            .map(|(_, name, reason)| RefusedView { name: name.into(), reason: reason.into() })
            .collect();
        SourceView {
            name: name.to_string(),
            kind: settings.kind().into(),
            state: standing(state, name).into(),
            since: known.map(|known| known.since),
            error: error(state, name),
            is_held: state.found.held(name).is_some(),
            outages: known.map_or(0, |known| known.outages),
            progress: known.and_then(|known| known.progress),
            pools: state.pool_users.keys().filter(is_its).count(),
            services: state.found.services().filter(|(source, _)| *source == name).count()
                - state.found.conflicts_of(name),
            refused,
        }
    };
    config.sources.iter().map(view).collect()
}
