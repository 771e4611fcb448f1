//! The last good content of each pool, and the services that sources have, for a later process.

use crate::config::{Backend, PoolId, Service};
use crate::core::Timestamp;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Contents by pool. A persistent map: thousands of pools are handed to who writes them down at the cost of what changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshots {
    pools: OrdMap<PoolId, Arc<Vec<Backend>>>,
    /// By source and name.
    services: OrdMap<(Arc<str>, Arc<str>), Kept>,
    /// Whether something changed since it was last asked.
    is_changed: bool,
}

/// A service that a source has, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The service.
    pub service: Arc<Service>,
    /// Since when the object is there that it is made of, if the source has told.
    pub created: Option<Timestamp>,
}

impl Snapshots {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// The content of a pool.
    pub fn get(&self, id: &PoolId) -> Option<&Arc<Vec<Backend>>> {
        self.pools.get(id)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&PoolId, &Arc<Vec<Backend>>)> {
        self.pools.iter()
    }

    /// Pools that are others here than in `before`, with what they are now, if they are there.
    pub fn changed_since<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a PoolId, Option<&'a Arc<Vec<Backend>>>)> {
        before.pools.diff(&self.pools).map(|change| match change {
            DiffItem::Add(id, now) | DiffItem::Update { new: (id, now), .. } => (id, Some(now)),
            DiffItem::Remove(id, _) => (id, None),
        })
    }

    /// The services that sources have, each with its source.
    pub fn services(&self) -> impl Iterator<Item = (&Arc<str>, &Kept)> {
        self.services.iter().map(|((source, _), kept)| (source, kept))
    }

    /// Services that are others here than in `before`, by source and name, with what they are now, if they are there.
    pub fn services_changed_since<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<str>, Option<&'a Kept>)> {
        before.services.diff(&self.services).map(|change| match change {
            DiffItem::Add((source, name), now) | DiffItem::Update { new: ((source, name), now), .. } => {
                (source, name, Some(now))
            }
            DiffItem::Remove((source, name), _) => (source, name, None),
        })
    }

    /// Adds services that were read from where an earlier process had written them.
    pub fn add_services(&mut self, services: impl IntoIterator<Item = (Arc<str>, Kept)>) {
        let keyed =
            services.into_iter().map(|(source, kept)| ((source, Arc::clone(&kept.service.name)), kept));
        self.services.extend(keyed);
    }

    /// Keeps exactly these services.
    pub(super) fn keep_services(&mut self, services: impl Iterator<Item = (Arc<str>, Kept)>) {
        let keyed = services.map(|(source, kept)| ((source, Arc::clone(&kept.service.name)), kept));
        let services: OrdMap<_, _> = keyed.collect();
        if self.services != services {
            self.services = services;
            self.is_changed = true;
        }
    }

    /// Keeps this content of a pool.
    pub(super) fn keep(&mut self, id: &PoolId, backends: Arc<Vec<Backend>>) {
        if self.pools.get(id) != Some(&backends) {
            self.pools.insert(id.clone(), backends);
            self.is_changed = true;
        }
    }

    /// Forgets pools that are not among these.
    pub(super) fn forget_others<V>(&mut self, wanted: &BTreeMap<PoolId, V>) {
        let gone: Vec<PoolId> = self.pools.keys().filter(|id| !wanted.contains_key(id)).cloned().collect();
        for id in gone {
            self.pools.remove(&id);
            self.is_changed = true;
        }
    }

    /// Itself, if something changed since it was last asked.
    pub(super) fn changed(&mut self) -> Option<Self> {
        std::mem::take(&mut self.is_changed).then(|| self.clone())
    }
}

impl FromIterator<(PoolId, Arc<Vec<Backend>>)> for Snapshots {
    fn from_iter<I: IntoIterator<Item = (PoolId, Arc<Vec<Backend>>)>>(pools: I) -> Self {
        Self { pools: pools.into_iter().collect(), ..Self::default() }
    }
}

/// How they are written down.
#[derive(Serialize, Deserialize)]
struct Written {
    pools: Vec<(PoolId, Arc<Vec<Backend>>)>,
    #[serde(default)]
    services: Vec<WrittenService>,
}

/// One whose age is not known is as recordings of before have it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenService {
    Dated(Arc<str>, Arc<Service>, Timestamp),
    Undated(Arc<str>, Arc<Service>),
}

impl WrittenService {
    fn new(source: &Arc<str>, Kept { service, created }: &Kept) -> Self {
        let (source, service) = (Arc::clone(source), Arc::clone(service));
        match created {
            Some(created) => Self::Dated(source, service, *created),
            None => Self::Undated(source, service),
        }
    }

    fn kept(self) -> (Arc<str>, Kept) {
        match self {
            Self::Dated(source, service, created) => (source, Kept { service, created: Some(created) }),
            Self::Undated(source, service) => (source, Kept { service, created: None }),
        }
    }
}

impl Serialize for Snapshots {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pools = self.iter().map(|(id, backends)| (id.clone(), Arc::clone(backends))).collect();
        let services = self.services().map(|(source, kept)| WrittenService::new(source, kept)).collect();
        Written { pools, services }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Snapshots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { pools, services } = Written::deserialize(deserializer)?;
        let mut snapshots: Self = pools.into_iter().collect();
        snapshots.add_services(services.into_iter().map(WrittenService::kept));
        Ok(snapshots)
    }
}
