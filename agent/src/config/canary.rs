//! `[service.NAME.canary]`, and the marks by which lvsd asks through IPVS itself.

use super::check;
use super::model::{CheckPath, Config, Service};
use super::walk::{Node, Run};
use super::{ConfigError, Problem};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Asks through IPVS as the service's clients do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// What is asked, of the service's own port on each VIP.
    pub kind: health::Kind,
    /// How often it is asked and when the answer counts.
    pub timing: health::Timing,
}

/// Marks that are lvsd's: one for each canary and for each server that is asked through IPVS. Ten thousand services with
/// canaries and as many servers have room.
pub const IPVS_MARKS: u32 = 0x1_0000;

/// Nothing else that is known to set marks uses this range; it reads "lw" in ASCII, and follows that of `[probes]`.
const DEFAULT_FIRST_MARK: u32 = 0x6c77_0000;

pub(super) const FIRST_MARK: &str = "a mark 1-4294901759";

/// Where the range can begin.
pub(super) const FIRST_MARKS: RangeInclusive<u32> = 1..=u32::MAX - IPVS_MARKS;

/// The default, as serde wants it.
pub(super) fn default_first_mark() -> u32 {
    DEFAULT_FIRST_MARK
}

impl Service {
    /// Whether something of it is asked through IPVS itself.
    pub fn asks_through_ipvs(&self) -> bool {
        self.canary.is_some() || self.checks.iter().any(|check| check.path == CheckPath::Ipvs)
    }
}

/// Reads the table; what is wrong with it is reported.
pub(super) fn read(node: &Node<'_>, has_fwmark: bool) -> Option<Canary> {
    let canary = check::canary(node);
    if has_fwmark {
        let reason =
            "the firewall says which packets have the fwmark: there is no port that a canary could ask";
        node.report_key(Problem::Conflict(reason.to_owned()));
        return None;
    }
    canary.map(|(kind, timing)| Canary { kind, timing })
}

/// Reports services whose own mark lies among those that are lvsd's, where any is used.
pub(super) fn check_marks(config: &Config, run: &Run<'_>) {
    let services = || config.services.values();
    if !services().any(|service| service.asks_through_ipvs()) {
        return;
    }
    let (first, last) = (config.first_mark, config.first_mark.saturating_add(IPVS_MARKS - 1));
    for service in services() {
        let Some(mark) = service.fwmark.filter(|mark| (first..=last).contains(&mark.get())) else { continue };
        let what = format!(
            "{mark} is among the marks {first}-{last} by which checks go through IPVS: choose another, or another \
             ipvs.first_mark"
        );
        run.errors().push(ConfigError::new(
            service.origin.clone(),
            format!("service.{}.fwmark", service.name),
            Problem::Conflict(what),
        ));
    }
}
