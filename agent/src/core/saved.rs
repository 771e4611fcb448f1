//! What outlives the process: operators' changes, what agents asked for, and which kernel entries are ours.

use super::Timestamp;
use super::marks::Bearer;
use crate::config::Admin;
use health::{Advice, Check, Mode};
use imbl::OrdSet;
use ipvs::{DaemonRole, ServiceKey, Weight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

/// The content of the state file. It is handed on with each change: what grows with the services is shared with the one
/// before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// Backends that operators have taken out, by host name.
    #[serde(default)]
    pub admin: BTreeMap<String, Change<Admin>>,
    /// Weights that operators have set, by host name.
    #[serde(default)]
    pub weights: BTreeMap<String, Change<SetWeight>>,
    /// What operators want of VIPs in place of what their services say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vips: BTreeMap<IpAddr, Change<VipWord>>,
    /// That an operator has drained the whole balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained: Option<Box<Change<Balancer>>>,
    /// VIPs that were withdrawn because nothing could serve: what the kernel has for them is held for the threshold's
    /// sake, and is not to be announced before checks have spoken.
    #[serde(default)]
    pub withdrawn: OrdSet<IpAddr>,
    /// Services that we put, or were about to put, into the kernel: known before the kernel knows them, so that
    /// one that the configuration lost while lvsd was down is still ours to remove.
    #[serde(default)]
    pub owned: Arc<BTreeSet<ServiceKey>>,
    /// Sync daemons that we started, or were about to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sync_daemons: BTreeSet<DaemonRole>,
    /// Drain and maintenance that agents have asked for and not taken back, by check: an agent need not say it again.
    /// Its share of the weight is not kept, as it is a measure of the moment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<String, Mode>,
    /// Whose the marks are by which lvsd asks through IPVS.
    #[serde(default, skip_serializing_if = "is_without")]
    pub marks: Arc<BTreeMap<NonZeroU32, Bearer>>,
}

fn is_without<K, T>(map: &Arc<BTreeMap<K, T>>) -> bool {
    map.is_empty()
}

impl Saved {
    /// Takes in what a target says of how much it wants to be given, or said to an earlier process and has not taken
    /// back. Gives both together, and whether there is something to be saved.
    pub fn remember(&mut self, check: &Check, advice: Advice) -> (Advice, bool) {
        if advice.mode.is_none() && self.agents.is_empty() {
            return (advice, false);
        }
        let name = check.to_string();
        let before = self.agents.get(&name).copied();
        let mode = advice.mode.or(before);
        match mode {
            Some(mode @ (Mode::Drain | Mode::Maintenance)) => drop(self.agents.insert(name.clone(), mode)),
            Some(Mode::Ready) | None => drop(self.agents.remove(&name)),
        }
        (Advice { mode, ..advice }, self.agents.get(&name).copied() != before)
    }

    /// Forgets what the target of a check has asked for. True when there was something.
    pub fn forget_agent(&mut self, check: &Check) -> bool {
        !self.agents.is_empty() && self.agents.remove(&check.to_string()).is_some()
    }

    /// Forgets what the targets of checks have asked for that are not wanted any more. True when there were some.
    pub fn forget_agents<'a>(&mut self, wanted: impl Iterator<Item = &'a Check>) -> bool {
        if self.agents.is_empty() {
            return false;
        }
        let wanted: BTreeSet<String> = wanted.map(ToString::to_string).collect();
        let before = self.agents.len();
        self.agents.retain(|name, _| wanted.contains(name));
        self.agents.len() < before
    }

    /// Takes out the operators' changes that are over. Gives what they were about.
    pub fn expire(&mut self, now: Timestamp) -> Expired {
        let mut hosts = BTreeSet::new();
        hosts.extend(expire(&mut self.admin, now));
        hosts.extend(expire(&mut self.weights, now));
        let drain = self.drained.take_if(|change| change.is_over(now)).is_some();
        Expired { hosts, vips: expire(&mut self.vips, now), drain }
    }

    /// When the next change is over.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        let admin = self.admin.values().filter_map(|change| change.until);
        let weights = self.weights.values().filter_map(|change| change.until);
        let vips = self.vips.values().filter_map(|change| change.until);
        let drained = self.drained.iter().filter_map(|change| change.until);
        admin.chain(weights).chain(vips).chain(drained).min()
    }
}

fn expire<K: Ord + Clone, T>(changes: &mut BTreeMap<K, Change<T>>, now: Timestamp) -> Vec<K> {
    let over: Vec<K> =
        changes.iter().filter(|(_, change)| change.is_over(now)).map(|(about, _)| about.clone()).collect();
    over.iter().for_each(|about| drop(changes.remove(about)));
    over
}

/// What operators' changes were about that are over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Hosts.
    pub hosts: BTreeSet<String>,
    /// VIPs.
    pub vips: Vec<IpAddr>,
    /// Whether the balancer was drained.
    pub drain: bool,
}

/// What an operator wants of a VIP, in place of what its services say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VipWord {
    /// Not announced, whatever they say.
    Withdrawn,
    /// Announced while anything on it can serve, at once.
    Announced,
    /// Announced whether or not anything on it can serve.
    AnnouncedAlways,
}

/// What an operator wants of the balancer as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balancer {
    /// Nothing is announced.
    Drained,
}

/// An operator's change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change<T> {
    /// What is wanted.
    pub to: T,
    /// Who did it.
    pub who: String,
    /// When.
    pub at: Timestamp,
    /// Why, as the operator said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when; for good when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl<T> Change<T> {
    /// Whether its time has passed.
    fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Who, when, until when and why: `by root at 2026-02-03T04:05:06.789Z until …: "disk"`.
impl<T> fmt::Display for Change<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by {} at {}", self.who, self.at)?;
        if let Some(until) = self.until {
            write!(f, " until {until}")?;
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason:?}"),
            None => f.write_str(": no reason was given"),
        }
    }
}

/// A weight that an operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetWeight {
    /// This one.
    Absolute(#[schemars(with = "u32", range(max = Weight::MAX.get()))] Weight),
    /// A share of the weight that the source gives, 0 to 100; a share above zero is never rounded down to nothing.
    Percent(#[schemars(range(max = 100))] u8),
}

impl SetWeight {
    /// The weight that follows from the source's.
    pub fn apply(self, source: Weight) -> Weight {
        match self {
            Self::Absolute(weight) => weight,
            Self::Percent(percent) => {
                let share = u64::from(source.get()) * u64::from(percent.min(100));
                // At most the source's weight, so it is one.
                u32::try_from(share.div_ceil(100)).ok().and_then(|w| Weight::new(w).ok()).unwrap_or(source)
            }
        }
    }
}

impl fmt::Display for SetWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(weight) => write!(f, "{weight}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_a_weight_is_rounded_up_and_zero_is_zero() {
        let ten = Weight::new(10).unwrap();
        let apply = |percent| SetWeight::Percent(percent).apply(ten).get();
        assert_eq!([apply(0), apply(1), apply(10), apply(55), apply(100)], [0, 1, 1, 6, 10]);
    }
}
