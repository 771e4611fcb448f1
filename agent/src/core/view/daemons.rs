//! The daemons that share connections with other balancers.

use crate::core::state::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A daemon that shares connections with other balancers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SyncDaemonView {
    /// `master` or `backup`.
    pub role: String,
    /// Interface, group and the rest, in words; none when it is to be stopped.
    pub settings: Option<String>,
    /// Whether it runs, as the kernel said last.
    pub running: bool,
}

/// Those that are configured or ours.
pub(super) fn sync_daemons(state: &State) -> Vec<SyncDaemonView> {
    let wanted = &state.wanted.settings;
    let view = |role: &ipvs::DaemonRole| SyncDaemonView {
        role: role.to_string(),
        settings: wanted.settings.daemon(*role).map(ToString::to_string),
        running: state.kernel.daemons.contains(role),
    };
    wanted.owned.iter().map(view).collect()
}
