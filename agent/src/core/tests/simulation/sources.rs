//! The sources of a simulated balancer beside its files: a store that operators write, a web server, and a cluster that has
//! services by itself.
//!
//! They say what those of the daemon say: whole contents first, then what changed; what is ready at the same time is said
//! together, and who is not followed says nothing.

use super::configurations::{self, found};
use super::incident::{FileIs, ServiceIs, SourceIs};
use crate::config::{Admin, Backend, PoolId, Query, SourceSettings};
use crate::core::action::WantedPools;
use crate::core::change::{Object, Stored, Word, WriteOrder, Written, in_source};
use crate::core::found::{Finding, FoundService, LastGood};
use crate::core::inventory::Progress;
use crate::core::state::service_keys;
use crate::core::{Event, Timestamp};
use ipvs::Weight;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The sources by name: etcd, a web server, Kubernetes.
pub(super) const SOURCES: [&str; 3] = ["conftool", "static", "k8s"];

/// Pools in etcd.
pub(super) const PATHS: [&str; 2] = ["eqiad/web", "codfw/web"];

/// Services of the cluster by name. The fourth is in the way of one of the configuration, the last of the third.
pub(super) const SERVICES: [&str; 5] = configurations::FOUND;

/// Where a pool is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) source: &'static str,
    /// A path, or a Service of Kubernetes.
    pub(super) name: &'static str,
}

impl Place {
    pub(super) const ALL: [Self; 5] = [
        Self { source: SOURCES[0], name: PATHS[0] },
        Self { source: SOURCES[0], name: PATHS[1] },
        Self { source: SOURCES[1], name: "other" },
        Self { source: SOURCES[2], name: "prod/site" },
        Self { source: SOURCES[2], name: "prod/blog" },
    ];
}

/// Where something is kept, whoever follows it.
struct Store {
    is: SourceIs,
    pools: BTreeMap<String, FileIs>,
    /// What the cluster has, by number.
    services: [ServiceIs; SERVICES.len()],
    revision: u64,
}

/// All of them, and who is followed in what.
pub(super) struct Sources {
    stores: BTreeMap<&'static str, Store>,
    followed: BTreeMap<Arc<str>, (SourceSettings, BTreeSet<Query>)>,
}

impl Sources {
    pub(super) fn new() -> Self {
        let store = |name| {
            let services = [ServiceIs::Gone; SERVICES.len()];
            (name, Store { is: SourceIs::Live, pools: BTreeMap::new(), services, revision: 1 })
        };
        Self { stores: SOURCES.map(store).into(), followed: BTreeMap::new() }
    }

    /// A new process follows nothing yet.
    pub(super) fn process_begins(&mut self) {
        self.followed.clear();
    }

    /// Exactly these are followed. One whose settings are others begins anew.
    pub(super) fn follow(&mut self, wanted: WantedPools) -> Vec<Event> {
        let mut queries: BTreeMap<Arc<str>, BTreeSet<Query>> = BTreeMap::new();
        for pool in wanted.pools {
            if let PoolId::Remote { source, query } = pool {
                queries.entry(source).or_default().insert(query);
            }
        }
        let before = std::mem::take(&mut self.followed);
        let mut said = Vec::new();
        for (name, settings) in wanted.sources {
            let queries = queries.remove(&name).unwrap_or_default();
            let known = before.get(&name).filter(|(known, _)| *known == settings);
            let new: BTreeSet<Query> = match known {
                Some((_, known)) => queries.difference(known).cloned().collect(),
                None => queries.clone(),
            };
            if known.is_none() || !new.is_empty() {
                said.extend(self.speaks(&name, &settings, &new));
            }
            self.followed.insert(name, (settings, queries));
        }
        said
    }

    /// What a source says of these pools, and of itself.
    fn speaks(&self, name: &str, settings: &SourceSettings, queries: &BTreeSet<Query>) -> Option<Event> {
        let store = &self.stores[name];
        let source: Arc<str> = name.into();
        match store.is {
            SourceIs::Silent => None,
            SourceIs::Away => {
                let outcome = Err(format!("{name}: connection refused"));
                Some(Event::SourceSaid { source, outcome })
            }
            SourceIs::Live => {
                let mut all: Vec<Event> = queries.iter().map(|query| store.read(&source, query)).collect();
                if settings.has_services() {
                    all.push(store.list(&source));
                }
                all.push(store.seen(&source));
                all.push(Event::SourceSaid { source, outcome: Ok(()) });
                Some(Event::Several(all))
            }
        }
    }

    /// All that a source has, if it is followed.
    fn says_all(&self, name: &str) -> Option<Event> {
        let (settings, queries) = self.followed.get(name)?;
        self.speaks(name, settings, queries)
    }

    /// A source can be read from now on, or not.
    pub(super) fn set(&mut self, name: &'static str, is: SourceIs) -> Option<Event> {
        let store = self.stores.get_mut(name).expect("a source");
        let was = std::mem::replace(&mut store.is, is);
        if was == is { None } else { self.says_all(name) }
    }

    /// What a source had said before a reload took it away: heard although nobody follows it.
    pub(super) fn late(&self, name: &str) -> Option<Event> {
        let config = configurations::most();
        let settings = config.sources.get(name)?;
        let queries = self.followed.get(name).map(|(_, queries)| queries.clone()).unwrap_or_default();
        self.speaks(name, settings, &queries)
    }

    /// A pool is like this from now on.
    pub(super) fn put(&mut self, Place { source, name }: Place, is: FileIs) -> Option<Event> {
        let store = self.stores.get_mut(source).expect("a source");
        store.pools.insert(name.into(), is);
        store.revision += 1;
        self.says_of(source, name)
    }

    /// What a source says of one pool, if that is followed.
    fn says_of(&self, source: &str, name: &str) -> Option<Event> {
        let store = &self.stores[source];
        let (_, queries) = self.followed.get(source).filter(|_| store.is == SourceIs::Live)?;
        let source: Arc<str> = source.into();
        let read = queries.iter().filter(|query| name_of(query) == name);
        let read: Vec<Event> = read.map(|query| store.read(&source, query)).collect();
        (!read.is_empty()).then(|| Event::Several(read.into_iter().chain([store.seen(&source)]).collect()))
    }

    /// Services of the cluster are like this from now on.
    pub(super) fn put_services(&mut self, are: &[(usize, ServiceIs)], whole: bool) -> Option<Event> {
        let store = self.stores.get_mut(SOURCES[2]).expect("a source");
        are.iter().for_each(|(number, is)| store.services[*number] = *is);
        let (settings, _) = self.followed.get(SOURCES[2]).filter(|_| store.is == SourceIs::Live)?;
        let source: Arc<str> = SOURCES[2].into();
        let some = || are.iter().map(|(number, _)| service(*number, store.services[*number])).collect();
        settings.has_services().then(|| match whole {
            true => store.list(&source),
            false => Event::ServicesSaid { source, services: some(), whole },
        })
    }

    /// An operator's order is carried out, or is not.
    pub(super) fn write(&mut self, order: &WriteOrder) -> Vec<Event> {
        let name =
            order.objects.first().map(|object| Arc::clone(&object.source)).expect("an order has objects");
        let is_followed = self.followed.contains_key(&name);
        let store = self.stores.get_mut(&*name).expect("a source");
        let mut changed = BTreeSet::new();
        let mut write = |object: &Object| {
            if store.is != SourceIs::Live || !is_followed {
                return Err("connection refused".to_owned());
            }
            let Some(FileIs::Good(pool)) = store.pools.get_mut(&*object.path) else {
                return Err("it holds no host".to_owned());
            };
            let host = pool.iter_mut().find(|backend| backend.host == object.host).ok_or("no such key")?;
            store.revision += 1;
            changed.insert(object.path.to_string());
            let was = change(host, order.to);
            Ok(Stored { was, is: format!("{:?}", order.to), revision: store.revision })
        };
        let written =
            order.objects.iter().map(|object| Written { object: object.clone(), outcome: write(object) });
        let written = Event::SourceWritten { id: order.id, written: written.collect() };
        // Its watch may be quicker than its answer.
        let is_quick = store.revision.is_multiple_of(2);
        let mut said: Vec<Event> = changed.iter().filter_map(|path| self.says_of(&name, path)).collect();
        said.insert(if is_quick { said.len() } else { 0 }, written);
        said
    }

    /// Everything can be read, and has what can be used.
    pub(super) fn settle(&mut self, good: &[Backend]) -> Vec<Event> {
        for place in Place::ALL {
            let store = self.stores.get_mut(place.source).expect("a source");
            let pool = store.pools.entry(place.name.into()).or_insert(FileIs::Broken);
            if !matches!(pool, FileIs::Good(_)) {
                *pool = FileIs::Good(good.to_vec());
            }
        }
        self.stores.values_mut().for_each(|store| store.is = SourceIs::Live);
        SOURCES.iter().filter_map(|name| self.says_all(name)).collect()
    }

    /// The cluster's services that can be served, if lvsd asks for them.
    pub(super) fn served(&self) -> BTreeSet<&'static str> {
        self.services_that(|is| matches!(is, ServiceIs::There | ServiceIs::Moved))
    }

    /// Those that go on if they were served before.
    pub(super) fn wrong(&self) -> BTreeSet<&'static str> {
        self.services_that(|is| is == ServiceIs::Wrong)
    }

    fn services_that(&self, is_it: impl Fn(ServiceIs) -> bool) -> BTreeSet<&'static str> {
        let is_asked = self.followed.get(SOURCES[2]).is_some_and(|(settings, _)| settings.has_services());
        let are = SERVICES.iter().zip(&self.stores[SOURCES[2]].services);
        let there = are.filter(|(_, is)| is_asked && is_it(**is));
        there.map(|(name, _)| *name).collect()
    }
}

impl Store {
    fn read(&self, source: &Arc<str>, query: &Query) -> Event {
        let outcome = match self.pools.get(&name_of(query)) {
            Some(FileIs::Good(backends)) => Ok(backends.clone()),
            Some(FileIs::Broken | FileIs::Silent) | None => Err(format!("{source}: {query} holds no host")),
        };
        Event::PoolRead { pool: PoolId::Remote { source: Arc::clone(source), query: query.clone() }, outcome }
    }

    fn list(&self, source: &Arc<str>) -> Event {
        let all = self.services.iter().enumerate().filter(|(_, is)| **is != ServiceIs::Gone);
        let services = all.map(|(number, is)| service(number, *is)).collect();
        Event::ServicesSaid { source: Arc::clone(source), services, whole: true }
    }

    fn seen(&self, source: &Arc<str>) -> Event {
        let progress = Progress { revision: self.revision, ..Progress::default() };
        Event::SourceSeen { source: Arc::clone(source), progress }
    }
}

/// What a query asks for, by name.
fn name_of(query: &Query) -> String {
    match query {
        Query::Path(path) => path.to_string(),
        Query::Service(asked) => format!("{}/{}", asked.namespace, asked.name),
        Query::Nodes { selector } => selector.to_string(),
    }
}

fn service(number: usize, is: ServiceIs) -> FoundService {
    let finding = match is {
        ServiceIs::Gone => Finding::Gone,
        ServiceIs::Refused => Finding::Refused("it has ipMode Proxy".to_owned()),
        ServiceIs::Wrong => {
            let there = service_keys(&found(number, false)).map(|(_, key)| key).collect();
            Finding::Wrong { why: "no such scheduler".to_owned(), last: LastGood::ListensAt(there) }
        }
        ServiceIs::There => Finding::Served(found(number, false)),
        ServiceIs::Moved => Finding::Served(found(number, true)),
    };
    let created = Some(Timestamp::from_micros(configurations::CREATED[number] * 1_000_000));
    FoundService { name: SERVICES[number].into(), finding, created }
}

/// Does to a host what was asked for; gives what was there.
fn change(host: &mut Backend, to: Word) -> String {
    match to {
        Word::Pooled(admin) => {
            let was = std::mem::replace(&mut host.pooled, admin);
            // No is what etcd has of a drained one, too.
            host.pooled = if admin == Admin::Drained { Admin::Depooled } else { admin };
            format!("pooled {}", in_source(was))
        }
        Word::Weight(weight) => {
            let was = std::mem::replace(&mut host.weight, Weight::new(weight.into()).expect("a weight"));
            format!("weight {}", was.get())
        }
    }
}
