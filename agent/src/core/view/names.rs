//! What became of the names of a service's backends.

use crate::core::state::{ServiceState, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A backend and what is wrong with its address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnusableView {
    /// Its host name.
    pub host: String,
    /// Why.
    pub reason: String,
}

/// Backends that go on at the last addresses of their names.
pub(super) fn stale(state: &State, service: &ServiceState) -> Vec<UnusableView> {
    let stale = state.inventory.stale_names(&service.config.name);
    stale.map(|(host, reason)| UnusableView { host: host.into(), reason: reason.into() }).collect()
}
