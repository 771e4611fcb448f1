//! A service's backends, from all of its sources, with their addresses.

use super::{Inventory, Name};
use crate::config::{Backend, Pool, PoolId, Service};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

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
#[derive(Clone, Debug)]
pub enum Addresses<'a> {
    /// As they are configured.
    Given(&'a [IpAddr]),
    /// As its source has them.
    Said(Arc<[IpAddr]>),
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
            Self::Said(said) => (Some(said.iter()), None, None),
            Self::Itself(address) => (None, Some(*address), None),
            Self::Found(found) => (None, None, Some(found.iter())),
        };
        given.into_iter().flatten().chain(found.into_iter().flatten()).copied().chain(itself)
    }
}

impl Inventory {
    /// What is known about a service's backends.
    pub fn listing<'a>(&'a self, service: &'a Service) -> Listing<'a> {
        let backends = match self.backends(service) {
            Ok(backends) => backends,
            Err(waiting) => return Listing::Waiting(waiting),
        };
        let mut listed = Vec::with_capacity(backends.len());
        for backend in backends.iter() {
            let addresses = match fixed_addresses(service, backend) {
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

    /// Those of a service's names that could not be looked up the last time, and why, and that keep the addresses they had.
    pub fn stale_names(&self, service: &str) -> impl Iterator<Item = (&str, &str)> {
        self.names_of.get(service).into_iter().flatten().filter_map(|host| {
            let name = self.names.get(&**host).filter(|name| name.addresses.is_some())?;
            Some((&**host, name.error.as_deref()?))
        })
    }

    /// What is known of each pool of a service; without an id what the configuration itself says.
    pub fn contents<'a>(
        &'a self,
        service: &'a Service,
    ) -> impl Iterator<Item = (Option<&'a PoolId>, &'a [Backend])> {
        let inline: Option<&[Backend]> = match &service.pool {
            Pool::Inline(backends) => Some(backends),
            Pool::Sources(_) => None,
        };
        let pools = service.pool.sources().iter().filter_map(|id| {
            let backends = self.pools.get(id)?.backends.as_ref()?;
            Some((Some(id), backends.as_slice()))
        });
        inline.map(|backends| (None, backends)).into_iter().chain(pools)
    }

    /// Notes which names of a service's backends have to be looked up. True when that changes which are in all.
    pub fn note_names(&mut self, service: &Service) -> bool {
        let backends = self.backends(service).unwrap_or_default();
        let unknown = backends.iter().filter(|backend| fixed_addresses(service, backend).is_none());
        let names: BTreeSet<Arc<str>> = unknown.map(|backend| Arc::clone(&backend.host)).collect();
        self.replace_names(&service.name, names)
    }

    /// Forgets the names of services that are gone. True when that changes which are to be looked up.
    pub fn forget_names_of_others(&mut self, is_there: impl Fn(&str) -> bool) -> bool {
        let gone: Vec<Arc<str>> = self.names_of.keys().filter(|name| !is_there(name)).cloned().collect();
        gone.iter().fold(false, |is_news, name| self.replace_names(name, BTreeSet::new()) | is_news)
    }

    /// Forgets what is known of names that nobody wants any more. Not before all services have said which they want: what
    /// one leaves and another takes up is still known.
    pub fn forget_unused_names(&mut self) {
        let users = &self.name_users;
        self.names.retain(|name, _| users.contains_key(name.as_str()));
    }

    fn replace_names(&mut self, service: &Arc<str>, names: BTreeSet<Arc<str>>) -> bool {
        let before = self.names_of.remove(service).unwrap_or_default();
        let mut is_news = false;
        for name in names.difference(&before) {
            let users = self.name_users.entry(Arc::clone(name)).or_default();
            is_news |= users.is_empty();
            users.insert(Arc::clone(service));
        }
        for name in before.difference(&names) {
            let Some(users) = self.name_users.get_mut(name) else { continue };
            users.remove(service);
            if users.is_empty() {
                self.name_users.remove(name);
                is_news = true;
            }
        }
        if !names.is_empty() {
            self.names_of.insert(Arc::clone(service), names);
        }
        is_news
    }

    /// The backends of a service by host, or what is waited for.
    fn backends<'a>(&'a self, service: &'a Service) -> Result<Cow<'a, [Backend]>, String> {
        let of = |id| {
            let known = self.pools.get(id).and_then(|pool| pool.backends.as_ref());
            known.ok_or_else(|| match self.outage(id) {
                Some(error) => format!("its pool {id} has not been read yet: {error}"),
                None => format!("its pool {id} has not been read yet"),
            })
        };
        match &service.pool {
            Pool::Inline(backends) => Ok(Cow::Borrowed(backends)),
            Pool::Sources(ids) => match &ids[..] {
                [id] => Ok(Cow::Borrowed(of(id)?)),
                ids => {
                    let mut merged: BTreeMap<&str, &Backend> = BTreeMap::new();
                    for id in ids {
                        for backend in of(id)?.iter() {
                            merged.entry(&backend.host).or_insert(backend);
                        }
                    }
                    Ok(merged.into_values().cloned().collect())
                }
            },
        }
    }
}

/// Addresses that need no look-up: configured ones, those of the source, or a host that is an address itself.
fn fixed_addresses<'a>(service: &'a Service, backend: &Backend) -> Option<Addresses<'a>> {
    match (service.addresses.get(&backend.host), &backend.addresses) {
        (Some(addresses), _) => Some(Addresses::Given(addresses)),
        (None, Some(addresses)) => Some(Addresses::Said(Arc::clone(addresses))),
        (None, None) => backend.host.parse().ok().map(Addresses::Itself),
    }
}
