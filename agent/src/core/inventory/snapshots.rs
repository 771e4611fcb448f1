//! The last good content of each pool, for a later process.

use crate::config::{Backend, PoolId};
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Contents by pool. A persistent map: thousands of pools are handed to who writes them down at the cost of what changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshots {
    pools: OrdMap<PoolId, Arc<Vec<Backend>>>,
    /// Whether something changed since it was last asked.
    is_changed: bool,
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
        Self { pools: pools.into_iter().collect(), is_changed: false }
    }
}

/// A list of pools with their contents.
impl Serialize for Snapshots {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.pools.iter())
    }
}

impl<'de> Deserialize<'de> for Snapshots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pools: Vec<(PoolId, Arc<Vec<Backend>>)> = Vec::deserialize(deserializer)?;
        Ok(pools.into_iter().collect())
    }
}
