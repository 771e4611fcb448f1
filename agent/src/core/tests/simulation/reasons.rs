//! Every decision carries its reason.

use super::rules::{Outcome, Seen};
use super::{Broken, ensure};
use crate::core::view;

pub(super) fn everything_has_a_reason(seen: &Seen<'_>) -> Outcome {
    let status = view::status(seen.after, None).map_err(|error| Broken::new("9 reasons", error))?;
    for service in &status.services {
        for backend in service.pools.iter().flat_map(|pool| &pool.backends) {
            ensure!(!backend.reason.is_empty(), "9 reasons", "{} in {} has none", backend.host, service.name);
            ensure!(backend.since <= seen.now, "9 reasons", "{} is so since later", backend.host);
        }
        for canary in &service.canaries {
            ensure!(!canary.reason.is_empty(), "9 reasons", "a canary of {} has none", service.name);
            ensure!(canary.since <= seen.now, "9 reasons", "a canary of {} is so since later", service.name);
        }
        for unusable in &service.unusable {
            ensure!(!unusable.reason.is_empty(), "9 reasons", "{} is unusable without one", unusable.host);
        }
    }
    for vip in &status.vips {
        ensure!(!vip.reason.is_empty(), "9 reasons", "{} has none", vip.address);
    }
    Ok(())
}
