//! Who has a VIP and port that several services listen at.
//!
//! ```text
//! the configuration ─▶ older objects ─▶ younger ones; as old: by source, then by name
//! ```
//!
//! The order is made of what every balancer sees of the objects themselves, not of what one has heard first: balancers with
//! other histories, and one that starts anew, come to the same, and a newcomer takes nothing from who is older. One whose age
//! is not known goes before those that say theirs: it is left from an earlier release, and is being served.

use crate::config::{Config, Service};
use crate::core::Timestamp;
use ipvs::ServiceKey;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why services are not served that their sources would have served, by source and name: others are in their way.
pub type Conflicts = BTreeMap<Arc<str>, BTreeMap<String, String>>;

/// A service of a source that is to be served where nobody is in its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) source: &'a Arc<str>,
    pub(super) service: &'a Arc<Service>,
    /// Since when the object is there that it is made of.
    pub(super) created: Option<Timestamp>,
}

impl Claim<'_> {
    /// Less goes first.
    fn place(&self) -> (Option<Timestamp>, &str, &str) {
        (self.created, self.source, &self.service.name)
    }

    /// Why it goes before another.
    fn before(&self, other: &Self) -> String {
        match (self.created, other.created) {
            (Some(own), Some(others)) if own < others => {
                format!("which is older: it is there since {own}, this one since {others}")
            }
            (Some(own), Some(_)) => {
                format!("which is as old, there since {own}, and goes first by its source and name")
            }
            (None, Some(_)) => "which was there before its age was told".into(),
            (_, None) => "which goes first by its source and name: the age of neither is known".into(),
        }
    }
}

/// Who listens somewhere.
enum Holder<'a> {
    Configuration(&'a Arc<Service>),
    Source(Claim<'a>),
}

impl Holder<'_> {
    /// Why a service does not get a listener.
    fn why(&self, key: ServiceKey, claim: &Claim<'_>) -> String {
        match self {
            Self::Configuration(service) => {
                format!("{key} is the service {}'s, and the configuration goes first", service.name)
            }
            Self::Source(holder) => {
                format!("{key} is the service {}'s, {}", holder.service.name, holder.before(claim))
            }
        }
    }
}

/// The configuration with the services of sources, and those that others are in the way of.
pub(super) fn merge(configured: &Config, mut claims: Vec<Claim<'_>>) -> (Config, Conflicts) {
    claims.sort_by(|one, other| one.place().cmp(&other.place()));
    let mut merged = configured.clone();
    let mut holders: BTreeMap<ServiceKey, Holder<'_>> = BTreeMap::new();
    for service in configured.services.values() {
        holders.extend(keys(service).map(|key| (key, Holder::Configuration(service))));
    }
    let mut conflicts = Conflicts::new();
    for claim in claims {
        let name = &claim.service.name;
        let why = match merged.services.contains_key(&**name) {
            true => Some(format!("there is a service {name} already")),
            false => keys(claim.service).find_map(|key| Some(holders.get(&key)?.why(key, &claim))),
        };
        if let Some(why) = why {
            conflicts.entry(Arc::clone(claim.source)).or_default().insert(name.to_string(), why);
            continue;
        }
        holders.extend(keys(claim.service).map(|key| (key, Holder::Source(claim))));
        merged.services.insert(name.to_string(), Arc::clone(claim.service));
    }
    (merged, conflicts)
}

/// Where a service listens.
pub(super) fn keys(service: &Service) -> impl Iterator<Item = ServiceKey> + '_ {
    service.vips.iter().map(|vip| service.key(*vip))
}
