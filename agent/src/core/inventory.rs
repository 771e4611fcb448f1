//! What the sources say: which backends each service has, and at which addresses.

use super::{Timestamp, guard};
use crate::config::{Backend, Config, Pool as PoolSource, Service, Threshold};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The last word of each source.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    files: BTreeMap<PathBuf, PoolFile>,
    names: BTreeMap<String, Name>,
    /// What an earlier process had read of files that were not read yet.
    earlier: Snapshots,
}

/// The last good content of pool files.
pub type Snapshots = BTreeMap<PathBuf, Arc<Vec<Backend>>>;

/// A pool file: its last good content and, if the last read failed or was held back, why.
#[derive(Clone, Debug, Default)]
pub struct PoolFile {
    /// The last good content; none until the first.
    pub backends: Option<Arc<Vec<Backend>>>,
    /// What the file says but is not obeyed yet, because it takes too much out at once.
    pub held: Option<Arc<Vec<Backend>>>,
    /// Why the last read failed or was held back; the last good content goes on.
    pub error: Option<String>,
    /// Whether the content is that of an earlier process, because the file could not be read since.
    pub is_stale: bool,
    /// Reads that failed or were held back, since start.
    pub errors: u64,
    /// When the content last changed.
    pub since: Timestamp,
}

impl PoolFile {
    fn obey(&mut self, backends: Arc<Vec<Backend>>, now: Timestamp) {
        (self.error, self.held, self.is_stale) = (None, None, false);
        if self.backends.as_ref() != Some(&backends) {
            self.backends = Some(backends);
            self.since = now;
        }
    }
}

/// A host name: its last good addresses and, if the last look-up failed, why.
#[derive(Clone, Debug, Default)]
pub struct Name {
    /// The last good addresses, sorted; none until the first.
    pub addresses: Option<BTreeSet<IpAddr>>,
    /// Why the last look-up failed.
    pub error: Option<String>,
}

/// What a service's sources say about it.
#[derive(Debug)]
pub enum Listing<'a> {
    /// Some source has not answered yet; nothing may be concluded.
    Waiting(String),
    /// Every source has answered.
    Known(Vec<Listed<'a>>),
}

/// A backend of a service and its addresses.
#[derive(Clone, Debug)]
pub struct Listed<'a> {
    /// As the source has it.
    pub backend: Backend,
    /// Its addresses, or why there are none.
    pub addresses: Result<Addresses<'a>, String>,
}

/// The addresses of a host.
#[derive(Clone, Copy, Debug)]
pub enum Addresses<'a> {
    /// As they are configured.
    Given(&'a [IpAddr]),
    /// The host is an address itself.
    Itself(IpAddr),
    /// As the name was looked up.
    Found(&'a BTreeSet<IpAddr>),
}

impl Addresses<'_> {
    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let (given, itself, found) = match self {
            Self::Given(given) => (Some(given.iter()), None, None),
            Self::Itself(address) => (None, Some(*address), None),
            Self::Found(found) => (None, None, Some(found.iter())),
        };
        given.into_iter().flatten().chain(found.into_iter().flatten()).copied().chain(itself)
    }
}

impl Inventory {
    /// Begins with what an earlier process had read. It is used when the source fails, and is what its first
    /// content is held against.
    pub fn restore(&mut self, snapshots: Snapshots) {
        for (path, backends) in snapshots {
            self.earlier.insert(path, backends);
        }
    }

    /// Takes a pool file's content or failure. Content that takes out more than `max_change` of the pool is held
    /// back.
    pub fn pool_read(
        &mut self,
        path: &Path,
        outcome: Result<Vec<Backend>, String>,
        max_change: Threshold,
        now: Timestamp,
    ) {
        let earlier = self.earlier.remove(path);
        let file = self.files.entry(path.into()).or_default();
        let outcome = outcome.and_then(|backends| {
            let before = file.backends.as_ref().or(earlier.as_ref());
            match before.and_then(|before| guard::too_much(before, &backends, max_change)) {
                None => Ok(Arc::new(backends)),
                Some(numbers) => {
                    file.held = Some(Arc::new(backends));
                    Err(format!("{}: held back: {numbers}", path.display()))
                }
            }
        });
        match outcome {
            Ok(backends) => file.obey(backends, now),
            Err(error) => {
                file.errors += 1;
                file.error = Some(error);
                if let (None, Some(earlier)) = (&file.backends, earlier) {
                    file.backends = Some(earlier);
                    file.is_stale = true;
                    file.since = now;
                }
            }
        }
    }

    /// Obeys what is held back of a pool file if `max_change` lets it through; true when it does.
    pub fn judge_held(&mut self, path: &Path, max_change: Threshold, now: Timestamp) -> bool {
        let Some(file) = self.files.get(path) else { return false };
        let (Some(before), Some(held)) = (&file.backends, &file.held) else { return false };
        guard::too_much(before, held, max_change).is_none() && self.confirm(path, now)
    }

    /// Lets what is held back of a pool file through. False when nothing is.
    pub fn confirm(&mut self, path: &Path, now: Timestamp) -> bool {
        let Some(file) = self.files.get_mut(path) else { return false };
        let Some(held) = file.held.take() else { return false };
        file.obey(held, now);
        true
    }

    /// The content that each pool file is obeyed with, for a later process.
    pub fn snapshots(&self) -> Snapshots {
        let files = self.files.iter().filter_map(|(path, file)| Some((path.clone(), file.backends.clone()?)));
        let unread = self.earlier.iter().map(|(path, backends)| (path.clone(), Arc::clone(backends)));
        unread.chain(files).collect()
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

    /// A pool file's state, if it was ever read.
    pub fn file(&self, path: &Path) -> Option<&PoolFile> {
        self.files.get(path)
    }

    /// A name's state, if it was ever looked up.
    pub fn name(&self, host: &str) -> Option<&Name> {
        self.names.get(host)
    }

    /// Whether a service has a backend whose name has to be looked up.
    pub fn uses(&self, service: &Service, host: &str) -> bool {
        fixed_addresses(service, host).is_none()
            && self.backends(service).unwrap_or_default().iter().any(|backend| *backend.host == *host)
    }

    /// Whether a service's pool file could not be read, so that waiting for it is over.
    pub fn has_failed(&self, service: &Service) -> bool {
        match &service.pool {
            PoolSource::File(path) => self.files.get(path).is_some_and(|file| file.error.is_some()),
            PoolSource::Inline(_) => false,
        }
    }

    /// What is known about a service's backends.
    pub fn listing<'a>(&'a self, service: &'a Service) -> Listing<'a> {
        let Some(backends) = self.backends(service) else {
            return Listing::Waiting("its pool file has not been read yet".into());
        };
        let mut listed = Vec::with_capacity(backends.len());
        for backend in backends {
            let addresses = match fixed_addresses(service, &backend.host) {
                Some(fixed) => Ok(fixed),
                None => match self.names.get(&*backend.host) {
                    None => return Listing::Waiting(format!("{} has not been looked up yet", backend.host)),
                    Some(Name { addresses: Some(addresses), .. }) => Ok(Addresses::Found(addresses)),
                    Some(Name { error, .. }) => Err(error.clone().unwrap_or_default()),
                },
            };
            listed.push(Listed { backend: backend.clone(), addresses });
        }
        Listing::Known(listed)
    }

    /// The pool files that the configuration names.
    pub fn wanted_files(config: &Config) -> BTreeSet<PathBuf> {
        config
            .services
            .values()
            .filter_map(|service| match &service.pool {
                PoolSource::File(path) => Some(path.clone()),
                PoolSource::Inline(_) => None,
            })
            .collect()
    }

    /// The names that have to be looked up.
    pub fn wanted_names(&self, config: &Config) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for service in config.services.values() {
            for backend in self.backends(service).unwrap_or_default() {
                if fixed_addresses(service, &backend.host).is_none() {
                    names.insert(backend.host.to_string());
                }
            }
        }
        names
    }

    /// Forgets files and names that nobody wants any more.
    pub fn forget_others(&mut self, files: &BTreeSet<PathBuf>, names: &BTreeSet<String>) {
        self.files.retain(|path, _| files.contains(path));
        self.earlier.retain(|path, _| files.contains(path));
        self.names.retain(|name, _| names.contains(name));
    }

    fn backends<'a>(&'a self, service: &'a Service) -> Option<&'a [Backend]> {
        match &service.pool {
            PoolSource::Inline(backends) => Some(backends),
            PoolSource::File(path) => self.files.get(path)?.backends.as_deref().map(Vec::as_slice),
        }
    }
}

/// Addresses that need no look-up: configured ones, or a host that is an address itself.
fn fixed_addresses<'a>(service: &'a Service, host: &str) -> Option<Addresses<'a>> {
    match service.addresses.get(host) {
        Some(addresses) => Some(Addresses::Given(addresses)),
        None => host.parse().ok().map(Addresses::Itself),
    }
}
