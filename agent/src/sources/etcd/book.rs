//! What is known of the pools that are wanted: listings and changes in, what is to be said of them out. Pure.
//!
//! A value that cannot be read takes nobody out: its host keeps the last one that could be, the rest of the pool
//! goes on, and the pool has an error that names the key. A pool of which nothing was known before is refused
//! until all of its values can be read.

use super::store::Shelf;
use super::value::{self, Value};
use crate::config::value::host;
use crate::config::{Backend, ConnectionLimits, Query};
use crate::sources::Said;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most hosts of one pool. A directory of users' files, named by mistake, must not fill the memory.
const MAX_HOSTS: usize = 50_000;

/// How many keys an error names.
const MAX_NAMED: usize = 3;

/// The pools under a directory of etcd.
#[derive(Debug)]
pub(super) struct Book {
    /// The directory of all pools, without a slash at its end.
    prefix: Arc<str>,
    /// What is wanted, by its path below the prefix.
    pools: BTreeMap<Arc<str>, Pool>,
    /// Pools of which something may have to be said.
    touched: BTreeSet<Arc<str>>,
}

/// A pool, by its hosts' keys.
#[derive(Debug, Default)]
struct Pool {
    hosts: BTreeMap<Box<str>, Host>,
    /// More hosts than are taken.
    is_too_large: bool,
    /// What was said last.
    said: LastSaid,
}

#[derive(Debug, Default)]
struct LastSaid {
    /// The content, once there was one.
    content: Option<Vec<Backend>>,
    /// The error, if it was the last word.
    error: Option<String>,
}

/// What a key says of its host.
#[derive(Debug, Default)]
struct Host {
    /// The last value that could be read.
    good: Option<Value>,
    /// What is wrong with the present one.
    bad: Option<String>,
    /// Whether the listing that is being read has it.
    is_listed: bool,
}

impl Book {
    /// Nothing is known yet of what is under `prefix`.
    pub(super) fn new(prefix: Arc<str>) -> Self {
        Self { prefix, pools: BTreeMap::new(), touched: BTreeSet::new() }
    }

    /// What is wanted from now on. What is wanted for longer keeps what is known of it.
    pub(super) fn want(&mut self, wanted: &BTreeSet<Query>) {
        let paths: BTreeSet<&Arc<str>> = wanted.iter().filter_map(path).collect();
        self.pools.retain(|path, _| paths.contains(path));
        self.touched.retain(|path| paths.contains(path));
        for path in paths {
            self.pools.entry(Arc::clone(path)).or_default();
        }
    }

    /// The narrowest directory that holds every pool that is wanted, with a slash at its end; none when nothing is
    /// wanted.
    ///
    /// One listing and one watch serve all of them, however many they are. A balancer that has a few pools of one
    /// site reads that site, one that has pools everywhere reads everything: some 150 bytes a host.
    pub(super) fn directory(&self) -> Option<String> {
        let mut paths = self.pools.keys();
        let mut shared: Vec<&str> = paths.next()?.split('/').collect();
        for path in paths {
            let alike = shared.iter().zip(path.split('/')).take_while(|(one, other)| *one == other).count();
            shared.truncate(alike);
        }
        let below = shared.iter().map(|name| format!("{name}/")).collect::<String>();
        Some(format!("{}/{below}", self.prefix))
    }

    /// A listing of everything begins.
    pub(super) fn begin(&mut self) {
        for pool in self.pools.values_mut() {
            pool.is_too_large = false;
            pool.hosts.values_mut().for_each(|host| host.is_listed = false);
        }
    }

    /// The listing is over: what it did not have is gone.
    pub(super) fn end(&mut self) {
        for pool in self.pools.values_mut() {
            pool.hosts.retain(|_, host| host.is_listed);
        }
        self.touched.extend(self.pools.keys().cloned());
    }

    /// A key is gone.
    pub(super) fn delete(&mut self, key: &str) {
        let Some((path, pool, name)) = self.pool_of(key) else { return };
        if pool.hosts.remove(name).is_some() {
            self.touched.insert(path);
        }
    }

    /// A directory is gone, with everything in it.
    pub(super) fn delete_below(&mut self, directory: &str) {
        let is_inside = |path: &str| {
            let whole = format!("{}/{path}/", self.prefix);
            whole.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
        };
        for (path, pool) in self.pools.iter_mut().filter(|(path, _)| is_inside(path)) {
            pool.hosts.clear();
            self.touched.insert(Arc::clone(path));
        }
    }

    fn pool_of<'k>(&mut self, key: &'k str) -> Option<(Arc<str>, &mut Pool, &'k str)> {
        let below = key.strip_prefix(&*self.prefix)?.strip_prefix('/')?;
        let (path, name) = below.rsplit_once('/')?;
        let (path, _) = self.pools.get_key_value(path)?;
        let path = Arc::clone(path);
        let pool = self.pools.get_mut(&path)?;
        Some((path, pool, name))
    }

    /// What has to be said of the pools since the last time: what changed, and nothing else.
    pub(super) fn say(&mut self) -> Vec<Said> {
        let mut all = Vec::new();
        for path in std::mem::take(&mut self.touched) {
            let directory = format!("{}/{path}/", self.prefix);
            let Some(pool) = self.pools.get_mut(&path) else { continue };
            let said = |outcome| Said::Pool { query: Query::Path(Arc::clone(&path)), outcome };
            all.extend(pool.say(&directory).into_iter().map(said));
        }
        all
    }
}

impl Shelf for Book {
    /// A key has a value. One that is no host of a pool that is wanted is passed over.
    fn put(&mut self, key: &str, bytes: &[u8]) {
        let Some((path, pool, name)) = self.pool_of(key) else { return };
        if pool.hosts.len() >= MAX_HOSTS && !pool.hosts.contains_key(name) {
            pool.is_too_large = true;
        } else {
            let known = pool.hosts.entry(name.into()).or_default();
            known.is_listed = true;
            match checked(name, bytes) {
                Ok(value) => (known.good, known.bad) = (Some(value), None),
                Err(why) => known.bad = Some(why),
            }
        }
        self.touched.insert(path);
    }
}

impl Pool {
    /// First the content, if it changed, then what is wrong with it, if anything is: the last word stands.
    fn say(&mut self, directory: &str) -> Vec<Result<Vec<Backend>, String>> {
        let (content, error) = self.stand(directory);
        let mut all = Vec::new();
        let is_cured = error.is_none() && self.said.error.is_some();
        if let Some(content) = content.filter(|it| is_cured || self.said.content.as_ref() != Some(it)) {
            self.said.content = Some(content.clone());
            self.said.error = None;
            all.push(Ok(content));
        }
        if let Some(error) = error.filter(|it| self.said.error.as_ref() != Some(it)) {
            self.said.error = Some(error.clone());
            all.push(Err(error));
        }
        all
    }

    /// The content that is to be used, if there is one, and what is wrong, if anything is.
    fn stand(&self, directory: &str) -> (Option<Vec<Backend>>, Option<String>) {
        if self.is_too_large {
            return (
                None,
                Some(format!("{directory} holds more than {MAX_HOSTS} hosts, which no pool does")),
            );
        }
        if self.hosts.is_empty() {
            let advice = "an empty pool is refused; to take hosts out, set pooled to \"no\" on them";
            return (None, Some(format!("{directory} holds no host: {advice}")));
        }
        let (backends, twice) = self.backends();
        let wrong = self.hosts.iter().filter_map(|(name, host)| Some((name, host.bad.clone()?)));
        let twice = twice.iter().map(|name| (name, "the host is there twice".to_owned()));
        let mut wrong = wrong.chain(twice).map(|(name, why)| format!("{directory}{name}: {why}"));
        let named: Vec<_> = wrong.by_ref().take(MAX_NAMED).collect();
        let error = match wrong.count() {
            0 if named.is_empty() => None,
            0 => Some(named.join("; ")),
            more => Some(format!("{}; and {more} more", named.join("; "))),
        };
        // Of a pool that was never whole nobody knows who is missing.
        let is_known = self.said.content.is_some() || error.is_none();
        (Some(backends).filter(|backends| is_known && !backends.is_empty()), error)
    }

    /// The hosts whose value is or was good, sorted, and the keys that name a host for the second time.
    fn backends(&self) -> (Vec<Backend>, Vec<Box<str>>) {
        let (mut backends, mut twice) = (BTreeMap::new(), Vec::new());
        for (name, known) in &self.hosts {
            let (Some(Value { weight, pooled }), Ok(host)) = (known.good, host(name)) else { continue };
            let host: Arc<str> = host.into();
            if backends.contains_key(&host) {
                twice.push(name.clone());
                continue;
            }
            let backend = Backend {
                host: Arc::clone(&host),
                weight,
                pooled,
                limits: ConnectionLimits::default(),
                addresses: None,
            };
            backends.insert(host, backend);
        }
        (backends.into_values().collect(), twice)
    }
}

/// The path of a query of this kind of source; others are never asked of it.
fn path(query: &Query) -> Option<&Arc<str>> {
    match query {
        Query::Path(path) => Some(path),
        Query::Service(_) | Query::Nodes { .. } => None,
    }
}

fn checked(name: &str, bytes: &[u8]) -> Result<Value, String> {
    host(name).map_err(|found| format!("expected a host name or an IP address, found {found}"))?;
    value::parse(bytes)
}

#[cfg(test)]
mod tests;
