//! What outlives the process: operators' changes, and which kernel entries are ours.

use super::Timestamp;
use ipvs::ServiceKey;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The content of the state file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// Operators' depools by host name.
    #[serde(default)]
    pub depools: BTreeMap<String, Depool>,
    /// Services that we put, or were about to put, into the kernel: known before the kernel knows them, so that
    /// one that the configuration lost while lvsd was down is still ours to remove.
    #[serde(default)]
    pub owned: BTreeSet<ServiceKey>,
}

/// An operator's depool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Depool {
    /// Who did it.
    pub who: String,
    /// When.
    pub at: Timestamp,
    /// Why, as the operator said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
