//! A service's canaries as `lvsctl status` shows them.

use crate::core::Timestamp;
use crate::core::canary::{Canary, Song};
use crate::core::state::ServiceState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A service's canary on one VIP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CanaryView {
    /// The VIP.
    pub vip: IpAddr,
    /// `up`, `down`, `unknown`, or `silent` while it is not asked.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

pub(super) fn canaries(service: &ServiceState) -> Vec<CanaryView> {
    let view = |(vip, canary): (&IpAddr, &Canary)| CanaryView {
        vip: *vip,
        state: canary.song.as_str().into(),
        since: canary.since,
        reason: reason(canary),
    };
    service.canaries.iter().map(view).collect()
}

fn reason(canary: &Canary) -> String {
    match (&canary.song, &canary.check) {
        (Song::Silent(why), _) => format!("it is not asked: {why}"),
        (Song::Down(why), _) => why.clone(),
        (Song::Up, Some(check)) => format!("{check} comes through IPVS"),
        (Song::Unknown, Some(check)) => format!("waiting for the first result of {check}"),
        (Song::Up | Song::Unknown, None) => "it is not asked".into(),
    }
}
