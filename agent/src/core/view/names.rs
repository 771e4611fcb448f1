//! What became of the names of a service's backends.

use super::UnusableView;
use crate::core::state::{ServiceState, State};

/// Backends that go on at the last addresses of their names.
pub(super) fn stale(state: &State, service: &ServiceState) -> Vec<UnusableView> {
    let stale = state.inventory.stale_names(&service.config.name);
    stale.map(|(host, reason)| UnusableView { host: host.into(), reason: reason.into() }).collect()
}
