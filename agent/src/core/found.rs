//! Services that sources have by themselves, beside those of the configuration.
//!
//! One whose settings are wrong goes on as it was understood last, and that is told: what is wrong takes nothing away.
//! The configuration goes first: what it names or listens on no source takes from it. Among the services of sources the older
//! goes first ([`conflicts`]). What is refused is told with the reason, and tried again with every change.

mod conflicts;

use super::Timestamp;
use super::inventory::{Kept, Snapshots};
use crate::config::{Config, Service, SourceSettings};
use ipvs::ServiceKey;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use conflicts::Conflicts;
use conflicts::{Claim, keys};

/// What a source says of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundService {
    /// Its name, unlike that of any other service: by custom `SOURCE.NAMESPACE.NAME.PORT`.
    pub name: String,
    /// What becomes of it.
    pub finding: Finding,
    /// Since when the object is there that it is made of, by the source's own clock, if that tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
}

/// What becomes of a service of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It is balanced so.
    Served(Arc<Service>),
    /// Its settings are wrong: the last ones that were understood stay in force.
    Wrong {
        /// What is wrong, and where.
        why: String,
        /// With these.
        last: LastGood,
    },
    /// It cannot be served, and why.
    Refused(String),
    /// It is not there any more.
    Gone,
}

/// A service with the settings that were understood last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastGood {
    /// It is this.
    Is(Arc<Service>),
    /// The source does not know them. What the core has of it, from an earlier process too, goes on if all its listeners are
    /// among these; else it is refused.
    ListensAt(BTreeSet<ServiceKey>),
}

/// What is known of a service of a source, and its age.
#[derive(Clone, Debug)]
struct Known {
    is: Is,
    created: Option<Timestamp>,
}

/// What is known of a service.
#[derive(Clone, Debug)]
enum Is {
    Served(Arc<Service>),
    /// With its former settings, and why.
    Former(Arc<Service>, String),
    /// It is not served, and why.
    Refused(String),
}

impl Is {
    fn former(service: Arc<Service>, why: &str) -> Self {
        Self::Former(service, format!("{why}; {FORMER}"))
    }
}

impl Known {
    /// The service, if it is to be served.
    fn service(&self) -> Option<&Arc<Service>> {
        match &self.is {
            Is::Served(service) | Is::Former(service, _) => Some(service),
            Is::Refused(_) => None,
        }
    }
}

/// What is said of a service whose settings are wrong and that is served.
pub const FORMER: &str = "its former settings stay in force";

/// Services that one source has, by name.
type ByName = BTreeMap<String, Known>;

/// A service that is in conflict with another: its source, its name, and why.
type Conflict = (Arc<str>, String, String);

/// What the sources have.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// By source and name.
    sources: BTreeMap<Arc<str>, ByName>,
    /// Whole lists that miss too many services to be obeyed at once, and the numbers; changes since are in them.
    held: BTreeMap<Arc<str>, (ByName, String)>,
    /// Those that have said their whole list to this process.
    spoken: BTreeSet<Arc<str>>,
    conflicts: Conflicts,
}

impl Found {
    /// Begins with what an earlier process had found.
    pub(super) fn restore(&mut self, snapshots: &Snapshots) {
        for (source, Kept { service, created }) in snapshots.services() {
            let its = self.sources.entry(Arc::clone(source)).or_default();
            let known = Known { is: Is::Served(Arc::clone(service)), created: *created };
            its.insert(service.name.to_string(), known);
        }
    }

    /// Takes what a source says; `whole`: whatever it does not name is gone. A whole list without more than half of what is served
    /// is held back: then the numbers. One service may always go, and each that is said to be gone does.
    pub(super) fn said(
        &mut self,
        source: &Arc<str>,
        services: Vec<FoundService>,
        whole: bool,
    ) -> Option<&str> {
        let its = self.sources.entry(Arc::clone(source)).or_default();
        if !whole {
            for found in services {
                let before = service_of(its, &found.name);
                if let Some((held, _)) = self.held.get_mut(source) {
                    take(held, found.clone(), before.clone());
                }
                take(its, found, before);
            }
            self.ease(source);
            return None;
        }
        self.spoken.insert(Arc::clone(source));
        let mut list = ByName::new();
        for found in services {
            if matches!(found.finding, Finding::Gone) {
                its.remove(&found.name);
                continue;
            }
            let before = service_of(its, &found.name);
            take(&mut list, found, before);
        }
        let loss = Loss::of(its, &list);
        if loss.missing <= (loss.served / 2).max(1) {
            self.held.remove(source);
            // A tree that has grown in order is half empty.
            *its = list.into_iter().collect();
            return None;
        }
        self.held.insert(Arc::clone(source), (list, loss.words(source)));
        self.held(source)
    }

    /// Obeys a list that is held back once it has all that is served: what has changed since is in it. Until then its numbers follow;
    /// that some are back is no reason to let the others go.
    fn ease(&mut self, source: &Arc<str>) {
        let (Some(its), Some((list, numbers))) = (self.sources.get(source), self.held.get_mut(source)) else {
            return;
        };
        let loss = Loss::of(its, list);
        *numbers = loss.words(source);
        if loss.missing == 0 {
            self.confirm(source);
        }
    }

    /// A source that may have services and whose whole list was not said to this process, or is held back.
    pub(super) fn awaited<'a>(&self, config: &'a Config) -> Option<&'a Arc<str>> {
        let is_known = |source: &str| self.spoken.contains(source) && !self.held.contains_key(source);
        let may_have = config.sources.iter().filter(|(_, settings)| settings.has_services());
        may_have.map(|(source, _)| source).find(|source| !is_known(source))
    }

    /// Sources that may have services and have not said their whole list to this process.
    pub(super) fn unsaid<'a>(&self, config: &'a Config) -> impl Iterator<Item = &'a Arc<str>> {
        let may_have = config.sources.iter().filter(|(_, settings)| settings.has_services());
        may_have.map(|(source, _)| source).filter(|source| !self.spoken.contains(*source))
    }

    /// Why a source's list is held back, if it is.
    pub fn held(&self, source: &str) -> Option<&str> {
        self.held.get(source).map(|(_, numbers)| numbers.as_str())
    }

    /// Lets a list that is held back through. False when none is.
    pub(super) fn confirm(&mut self, source: &str) -> bool {
        let Some((source, (list, _))) = self.held.remove_entry(source) else { return false };
        self.sources.insert(source, list);
        true
    }

    /// Forgets sources that are not there any more, or are not asked for services: such a source never says that it has none.
    pub(super) fn forget_others(&mut self, wanted: &BTreeMap<Arc<str>, SourceSettings>) {
        let may_have = |source: &Arc<str>| wanted.get(source).is_some_and(SourceSettings::has_services);
        self.sources.retain(|source, _| may_have(source));
        self.held.retain(|source, _| may_have(source));
        self.spoken.retain(may_have);
    }

    /// The services that are to be served, by source.
    pub(super) fn services(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Service>)> {
        self.claims().map(|claim| (claim.source, claim.service))
    }

    fn claims(&self) -> impl Iterator<Item = Claim<'_>> {
        self.sources.iter().flat_map(|(source, services)| {
            services.values().filter_map(move |known| {
                Some(Claim { source, service: known.service()?, created: known.created })
            })
        })
    }

    /// What a later process begins with.
    pub(super) fn kept(&self) -> impl Iterator<Item = (Arc<str>, Kept)> {
        let kept = |claim: Claim<'_>| Kept { service: Arc::clone(claim.service), created: claim.created };
        self.claims().map(move |claim| (Arc::clone(claim.source), kept(claim)))
    }

    /// What is in the way of services that sources have.
    pub(super) fn conflicts(&self) -> &Conflicts {
        &self.conflicts
    }

    /// How many services of a source are in conflict with others.
    pub fn conflicts_of(&self, source: &str) -> usize {
        self.conflicts.get(source).map_or(0, BTreeMap::len)
    }

    /// The services that are not served, with source, name and reason.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let by_source = self.sources.iter().flat_map(|(source, services)| {
            services.iter().filter_map(move |(name, known)| match &known.is {
                Is::Refused(why) => Some((&**source, name.as_str(), why.as_str())),
                Is::Served(_) | Is::Former(..) => None,
            })
        });
        let by_us = self.conflicts.iter().flat_map(|(source, services)| {
            services.iter().map(move |(name, why)| (&**source, name.as_str(), why.as_str()))
        });
        by_source.chain(by_us)
    }

    /// The services that are served with their former settings, because what their source says now is wrong: with source, name
    /// and what is wrong.
    pub fn former(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.sources.iter().flat_map(move |(source, services)| {
            services.iter().filter_map(move |(name, known)| match &known.is {
                Is::Former(_, why) if !self.is_in_conflict(source, name) => {
                    Some((&**source, name.as_str(), why.as_str()))
                }
                Is::Served(_) | Is::Former(..) | Is::Refused(_) => None,
            })
        })
    }

    /// What is wrong with what a source says of a service that is served with its former settings.
    pub fn former_of(&self, name: &str) -> Option<&str> {
        self.sources.iter().find_map(|(source, services)| match &services.get(name)?.is {
            Is::Former(_, why) if !self.is_in_conflict(source, name) => Some(why.as_str()),
            Is::Served(_) | Is::Former(..) | Is::Refused(_) => None,
        })
    }

    fn is_in_conflict(&self, source: &Arc<str>, name: &str) -> bool {
        self.conflicts.get(source).is_some_and(|services| services.contains_key(name))
    }

    /// The configuration with the services of the sources. Gives those that are in conflict now and were not before.
    pub(super) fn merge(&mut self, configured: &Arc<Config>) -> (Arc<Config>, Vec<Conflict>) {
        let before = std::mem::take(&mut self.conflicts);
        let claims: Vec<Claim<'_>> = self.claims().collect();
        if claims.is_empty() {
            return (Arc::clone(configured), Vec::new());
        }
        let (merged, conflicts) = conflicts::merge(configured, claims);
        self.conflicts = conflicts;
        let told = |source: &Arc<str>, name: &str| before.get(source).and_then(|services| services.get(name));
        let all = self.conflicts.iter().flat_map(|(source, services)| {
            services.iter().map(move |(name, why)| (Arc::clone(source), name.clone(), why.clone()))
        });
        let new = all.filter(|(source, name, why)| told(source, name) != Some(why)).collect();
        (Arc::new(merged), new)
    }
}

/// What a list takes out of what is served.
struct Loss {
    /// Services that are served.
    served: usize,
    /// Those of them that the list does not serve.
    missing: usize,
    /// Those of these that it has, and why one of them is not to be served.
    refused: usize,
    why: Option<String>,
}

impl Loss {
    fn of(its: &ByName, list: &ByName) -> Self {
        let mut loss = Self { served: 0, missing: 0, refused: 0, why: None };
        for (name, _) in its.iter().filter(|(_, known)| known.service().is_some()) {
            loss.served += 1;
            match list.get(name).map(|known| &known.is) {
                Some(Is::Served(_) | Is::Former(..)) => {}
                Some(Is::Refused(why)) => {
                    loss.missing += 1;
                    loss.refused += 1;
                    loss.why.get_or_insert_with(|| format!("{name}: {why}"));
                }
                None => loss.missing += 1,
            }
        }
        loss
    }

    fn words(&self, source: &str) -> String {
        let Self { served, missing, refused, why } = self;
        let why = why.as_ref().map(|why| format!(", {refused} of which it has but not to be served ({why})"));
        format!(
            "held back: its list misses {missing} of {served} services that are served{}; `lvsctl confirm {source}` lets it through",
            why.unwrap_or_default()
        )
    }
}

fn service_of(list: &ByName, name: &str) -> Option<Arc<Service>> {
    list.get(name).and_then(Known::service).map(Arc::clone)
}

/// Takes one service into a list. `before`: as it is served until now.
fn take(list: &mut ByName, found: FoundService, before: Option<Arc<Service>>) {
    let FoundService { name, finding, created } = found;
    let is = match finding {
        Finding::Served(service) => Is::Served(service),
        Finding::Wrong { why, last: LastGood::Is(service) } => Is::former(service, &why),
        Finding::Wrong { why, last: LastGood::ListensAt(there) } => {
            match before.filter(|before| keys(before).all(|key| there.contains(&key))) {
                Some(before) => Is::former(before, &why),
                None => Is::Refused(why),
            }
        }
        Finding::Refused(why) => Is::Refused(why),
        Finding::Gone => return drop(list.remove(&name)),
    };
    list.insert(name, Known { is, created });
}
