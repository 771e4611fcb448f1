//! What the sources say: which backends each service has, and at which addresses.

mod listing;
mod snapshots;

pub use listing::{Addresses, Listed, Listing};
pub use snapshots::{Kept, Snapshots};

use super::uses::Users;
use super::{Timestamp, guard};
use crate::config::{Backend, PoolId, Service, Threshold};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The last word of each source.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    pools: BTreeMap<PoolId, KnownPool>,
    sources: BTreeMap<Arc<str>, KnownSource>,
    names: BTreeMap<String, Name>,
    /// Which services have backends of these names to be looked up.
    name_users: BTreeMap<Arc<str>, Users>,
    /// The names of each service that has any.
    names_of: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// What each pool is obeyed with, and what an earlier process had read of those that were not read yet.
    kept: Snapshots,
}

/// A pool that is kept elsewhere: its last good content and, if the last reading failed or was held back, why.
#[derive(Clone, Debug, Default)]
pub struct KnownPool {
    /// The last good content; none until the first.
    pub backends: Option<Arc<Vec<Backend>>>,
    /// What the source says but is not obeyed yet, because it takes too much out at once.
    pub held: Option<Arc<Vec<Backend>>>,
    /// Why the last reading failed or was held back; the last good content goes on.
    pub error: Option<String>,
    /// Whether the content is that of an earlier process, because the pool could not be read since.
    pub is_stale: bool,
    /// Readings that failed or were held back, since start.
    pub errors: u64,
    /// When the content last changed.
    pub since: Timestamp,
}

impl KnownPool {
    fn obey(&mut self, backends: Arc<Vec<Backend>>, now: Timestamp) {
        (self.error, self.held, self.is_stale) = (None, None, false);
        if self.backends.as_ref() != Some(&backends) {
            self.backends = Some(backends);
            self.since = now;
        }
    }

    /// Goes on with what an earlier process had read, if nothing else is known. True when that changed something.
    fn fall_back(&mut self, earlier: Option<Arc<Vec<Backend>>>, now: Timestamp) -> bool {
        let is_used = self.backends.is_none() && earlier.is_some();
        if is_used {
            self.backends = earlier;
            self.is_stale = true;
            self.since = now;
        }
        is_used
    }
}

/// A source of several pools.
#[derive(Clone, Debug, Default)]
pub struct KnownSource {
    /// Why it cannot be read, if so; what it said goes on.
    pub error: Option<String>,
    /// How often it could not be read, since start.
    pub outages: u64,
    /// How far it is heard, if it has revisions and has said so.
    pub progress: Option<Progress>,
    /// Since when it is live, or cannot be read.
    pub since: Timestamp,
}

/// How far a source of revisions is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// All up to this was said: a revision of etcd's v3 API, or an index of v2.
    pub revision: u64,
    /// How often everything was listed.
    pub listings: u64,
    /// How often a server did not do what it is there for.
    pub errors: u64,
}

/// A host name: its last good addresses and, if the last look-up failed, why.
#[derive(Clone, Debug, Default)]
pub struct Name {
    /// The last good addresses, sorted; none until the first.
    pub addresses: Option<BTreeSet<IpAddr>>,
    /// Why the last look-up failed.
    pub error: Option<String>,
}

/// How the sources of a service are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Why one of them could not be read last, or is held back.
    pub error: Option<String>,
    /// Whether something is as an earlier process had read it.
    pub is_stale: bool,
    /// Whether a large change is held back.
    pub is_held: bool,
    /// Readings that failed or were held back, since start.
    pub errors: u64,
}

impl Inventory {
    /// Begins with what an earlier process had read. It is used when the source fails, and is what its first
    /// content is held against.
    pub fn restore(&mut self, snapshots: Snapshots) {
        self.kept = snapshots;
    }

    /// Takes a pool's content or failure. Content that takes out more than `max_change` of the pool is held back.
    pub fn pool_read(
        &mut self,
        id: &PoolId,
        outcome: Result<Vec<Backend>, String>,
        max_change: Threshold,
        now: Timestamp,
    ) {
        let pool = self.pools.entry(id.clone()).or_default();
        let outcome = outcome.and_then(|mut backends| {
            // It is kept for as long as it holds.
            backends.shrink_to_fit();
            let before = pool.backends.as_ref().or_else(|| self.kept.get(id));
            match before.and_then(|before| guard::too_much(before, &backends, max_change)) {
                None => Ok(Arc::new(backends)),
                Some(numbers) => {
                    pool.held = Some(Arc::new(backends));
                    Err(format!("{id}: held back: {numbers}"))
                }
            }
        });
        match outcome {
            Ok(backends) => {
                pool.obey(Arc::clone(&backends), now);
                self.kept.keep(id, backends);
            }
            Err(error) => {
                pool.errors += 1;
                pool.error = Some(error);
                pool.fall_back(self.kept.get(id).cloned(), now);
            }
        }
    }

    /// Takes a source's word on how it is. Gives those of `pools`, which are its, that go on with what an earlier process had
    /// read.
    pub fn source_said<'a>(
        &mut self,
        source: &Arc<str>,
        outcome: Result<(), String>,
        pools: impl Iterator<Item = &'a PoolId>,
        now: Timestamp,
    ) -> Vec<PoolId> {
        let known = self
            .sources
            .entry(Arc::clone(source))
            .or_insert_with(|| KnownSource { since: now, ..KnownSource::default() });
        let was_away = known.error.is_some();
        known.outages += u64::from(outcome.is_err() && !was_away);
        if was_away != outcome.is_err() {
            known.since = now;
        }
        known.error = outcome.err();
        if known.error.is_none() {
            // All that is wanted was read, and a tree that has grown in order is half empty.
            self.pools = std::mem::take(&mut self.pools).into_iter().collect();
            return Vec::new();
        }
        let mut fallen_back = Vec::new();
        for id in pools {
            let pool = self.pools.entry(id.clone()).or_default();
            if pool.fall_back(self.kept.get(id).cloned(), now) {
                fallen_back.push(id.clone());
            }
        }
        fallen_back
    }

    /// Takes how far a source is heard. One that never said how it is, is not kept.
    pub fn source_seen(&mut self, source: &str, progress: Progress) {
        if let Some(known) = self.sources.get_mut(source) {
            known.progress = Some(progress);
        }
    }

    /// Obeys what is held back of a pool if `max_change` lets it through; true when it does.
    pub fn judge_held(&mut self, id: &PoolId, max_change: Threshold, now: Timestamp) -> bool {
        let Some(pool) = self.pools.get(id) else { return false };
        let (Some(before), Some(held)) = (&pool.backends, &pool.held) else { return false };
        guard::too_much(before, held, max_change).is_none() && self.confirm(id, now)
    }

    /// Lets what is held back of a pool through. False when nothing is.
    pub fn confirm(&mut self, id: &PoolId, now: Timestamp) -> bool {
        let Some(pool) = self.pools.get_mut(id) else { return false };
        let Some(held) = pool.held.take() else { return false };
        pool.obey(Arc::clone(&held), now);
        self.kept.keep(id, held);
        true
    }

    /// Keeps these services of sources for a later process.
    pub fn keep_services(&mut self, services: impl Iterator<Item = (Arc<str>, Kept)>) {
        self.kept.keep_services(services);
    }

    /// The content that each pool is obeyed with, for a later process, if it is not what was last given so.
    pub fn unkept(&mut self) -> Option<Snapshots> {
        self.kept.changed()
    }

    /// Takes a name's addresses or failure. True when something a service may wait for or use changed.
    pub fn resolved(&mut self, host: String, outcome: Result<Vec<IpAddr>, String>) -> bool {
        let first = !self.names.contains_key(&host);
        let name = self.names.entry(host).or_default();
        match outcome {
            Ok(addresses) => {
                name.error = None;
                let addresses = Some(addresses.into_iter().collect());
                let changed = name.addresses != addresses;
                name.addresses = addresses;
                changed || first
            }
            Err(error) => {
                name.error = Some(error);
                first
            }
        }
    }

    /// What is known of a pool, if it was ever read.
    pub fn pool(&self, id: &PoolId) -> Option<&KnownPool> {
        self.pools.get(id)
    }

    /// What is known of a source, if it ever said how it is.
    pub fn source(&self, name: &str) -> Option<&KnownSource> {
        self.sources.get(name)
    }

    /// A name's state, if it was ever looked up.
    pub fn name(&self, host: &str) -> Option<&Name> {
        self.names.get(host)
    }

    /// The services that have a backend whose name is looked up.
    pub fn users_of_name(&self, host: &str) -> impl Iterator<Item = &Arc<str>> {
        self.name_users.get(host).into_iter().flatten()
    }

    /// Names that could not be looked up the last time.
    pub fn failed_names(&self) -> usize {
        self.names.values().filter(|name| name.error.is_some()).count()
    }

    /// How a service's sources are.
    pub fn trouble(&self, service: &Service) -> Trouble {
        let mut trouble = Trouble::default();
        for id in service.pool.sources() {
            if let Some(pool) = self.pools.get(id) {
                trouble.error = trouble.error.or_else(|| pool.error.clone());
                trouble.is_stale |= pool.is_stale;
                trouble.is_held |= pool.held.is_some();
                trouble.errors += pool.errors;
            }
            trouble.error = trouble.error.or_else(|| self.outage(id));
        }
        trouble
    }

    /// Whether a pool of a service could not be read, so that waiting for it is over.
    pub fn has_failed(&self, service: &Service) -> bool {
        service.pool.sources().iter().any(|id| {
            self.pools.get(id).is_some_and(|pool| pool.error.is_some()) || self.outage(id).is_some()
        })
    }

    /// Why the source of a pool cannot be read, if it cannot.
    fn outage(&self, id: &PoolId) -> Option<String> {
        let source = id.source()?;
        self.sources.get(source)?.error.as_ref().map(|error| format!("{source}: {error}"))
    }

    /// Forgets pools and sources that nobody wants any more.
    pub fn forget_others<V, W>(&mut self, pools: &BTreeMap<PoolId, V>, sources: &BTreeMap<Arc<str>, W>) {
        self.pools.retain(|id, _| pools.contains_key(id));
        self.sources.retain(|name, _| sources.contains_key(name));
        self.kept.forget_others(pools);
    }

    /// The names that have to be looked up.
    pub fn wanted_names(&self) -> BTreeSet<String> {
        self.name_users.keys().map(ToString::to_string).collect()
    }
}
