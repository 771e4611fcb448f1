//! The source: what readers say goes into the index, and what of it concerns pools is said.

use super::index::{Change, Concerned, Index, Objects, Resource};
use super::model::Key;
use super::objects::{NodeObject, ServiceObject, SliceObject};
use super::pools::{self, Wanted};
use super::publish::{self, Published, Writes};
use super::reader::{Message, Reader};
use super::services::Services;
use super::wanted;
use crate::config::{Front, KubernetesSettings, Query, ServiceQuery, Target};
use crate::sources::{Said, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Messages of readers that wait to be taken: a reader that is ahead waits.
const MESSAGES: usize = 256;

/// A failure is told when it is not over at the second attempt: an API server that is replaced is away for a moment.
const PATIENCE: u32 = 2;

/// A cluster's API as a source of pools.
#[derive(Debug)]
pub struct Kubernetes {
    settings: Arc<KubernetesSettings>,
    wanted: watch::Receiver<BTreeSet<Query>>,
    conflicts: watch::Receiver<BTreeMap<String, String>>,
    index: Index,
    readers: BTreeSet<Reader>,
    /// Those that have listed everything since they last failed.
    synced: BTreeSet<Reader>,
    /// Those that have ever listed everything.
    known: BTreeSet<Reader>,
    failing: BTreeMap<Reader, String>,
    /// The pools that are wanted, each with a digest of what was said of it: the core has all of it already.
    pools: BTreeMap<Query, Option<u64>>,
    /// Pools that may have changed.
    dirty: BTreeSet<Query>,
    /// Makes digests.
    digests: RandomState,
    standing: Standing,
    /// Services that are served whole, if any are, and what is written of them.
    services: Option<Services>,
    writes: watch::Sender<Writes>,
    published: mpsc::Receiver<Published>,
    sender: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
    tasks: JoinSet<()>,
}

/// What was last said of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Unsaid,
    Live,
    Stale,
}

impl Kubernetes {
    /// A source that has not asked yet. `conflicts`: those of its services that others are in the way of, and why. Needs tokio's
    /// runtime.
    pub fn new(
        name: Arc<str>,
        settings: KubernetesSettings,
        wanted: watch::Receiver<BTreeSet<Query>>,
        conflicts: watch::Receiver<BTreeMap<String, String>>,
    ) -> Self {
        let (sender, inbox) = mpsc::channel(MESSAGES);
        let (writes, to_write) = watch::channel(Writes::new());
        let (says, published) = mpsc::channel(MESSAGES);
        let (settings, mut tasks) = (Arc::new(settings), JoinSet::new());
        if let Some(lease) = settings.services.as_ref().and_then(|services| services.lease.clone()) {
            tasks.spawn(publish::run(Arc::clone(&settings), lease, to_write, says));
        }
        let services = settings.services.clone().map(|services| Services::new(name, services));
        let mut source = Self {
            settings,
            wanted,
            conflicts,
            index: Index::default(),
            readers: BTreeSet::new(),
            synced: BTreeSet::new(),
            known: BTreeSet::new(),
            failing: BTreeMap::new(),
            pools: BTreeMap::new(),
            dirty: BTreeSet::new(),
            digests: RandomState::new(),
            standing: Standing::Unsaid,
            services,
            writes,
            published,
            sender,
            inbox,
            tasks,
        };
        let conflicts = source.conflicts.borrow_and_update();
        source.services.iter_mut().for_each(|services| services.in_conflict(&conflicts));
        drop(conflicts);
        source.want();
        source
    }

    /// Takes over which pools are wanted.
    fn want(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        self.dirty.retain(|query| wanted.contains(query));
        self.dirty.extend(wanted.iter().filter(|query| !self.pools.contains_key(query)).cloned());
        // Made as a whole: a tree that grows in order is half empty.
        let said = |query: Query| (query.clone(), self.pools.remove(&query).flatten());
        self.pools = wanted.into_iter().map(said).collect();
        let wanted = self.pools.keys().filter_map(|query| wanted::read(query, &self.settings).ok());
        let needed: BTreeSet<Resource> = wanted.flat_map(|wanted| needs(&wanted)).copied().collect();
        let whole = self.services.is_some().then_some(Resource::Services);
        needed.into_iter().chain(whole).for_each(|resource| self.read(resource));
    }

    /// Reads a resource from now on, in each namespace that is to be read.
    fn read(&mut self, resource: Resource) {
        let namespaces = match resource {
            Resource::Nodes => BTreeSet::new(),
            Resource::Services | Resource::Slices => self.settings.namespaces.clone(),
        };
        let everywhere = namespaces.is_empty().then_some(None);
        for namespace in namespaces.into_iter().map(Some).chain(everywhere) {
            let reader = Reader { resource, namespace };
            if !self.readers.insert(reader.clone()) {
                continue;
            }
            let (settings, sender) = (Arc::clone(&self.settings), self.sender.clone());
            match resource {
                Resource::Services => self.tasks.spawn(reader.run::<ServiceObject>(settings, sender)),
                Resource::Slices => self.tasks.spawn(reader.run::<SliceObject>(settings, sender)),
                Resource::Nodes => self.tasks.spawn(reader.run::<NodeObject>(settings, sender)),
            };
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Failed(reader, why, failures) => {
                tracing::debug!(%why, failures, "the cluster cannot be read");
                self.synced.remove(&reader);
                if failures >= PATIENCE {
                    self.failing.insert(reader, why);
                }
            }
            Message::Stands(reader) => {
                self.failing.remove(&reader);
                self.synced.insert(reader);
            }
            Message::Changed(change) => {
                if let Change::All { namespace, objects } = &change {
                    let resource = match objects {
                        Objects::Services(_) => Resource::Services,
                        Objects::Slices(_) => Resource::Slices,
                        Objects::Nodes(_) => Resource::Nodes,
                    };
                    let reader = Reader { resource, namespace: namespace.clone() };
                    if self.known.insert(reader) {
                        self.dirty.extend(self.pools.keys().cloned());
                    }
                }
                for concerned in self.index.apply(change) {
                    self.concern(&concerned);
                }
            }
        }
    }

    fn concern(&mut self, concerned: &Concerned) {
        match concerned {
            Concerned::Service(key) | Concerned::Listed(key) => {
                self.dirty.extend(behind(&self.pools, key).cloned());
                let is_listed = matches!(concerned, Concerned::Listed(_));
                self.services.iter_mut().for_each(|services| services.concern(key, is_listed));
            }
            // A Service is what it is whatever its endpoints are.
            Concerned::Endpoints(key) => self.dirty.extend(behind(&self.pools, key).cloned()),
            Concerned::Nodes => self.dirty.extend(self.pools.keys().cloned()),
        }
    }

    /// What there is to be said.
    fn say(&mut self) -> Option<Said> {
        if let (Some(why), true) = (self.failing.values().next(), self.standing != Standing::Stale) {
            let others = match self.failing.len() {
                1 => String::new(),
                more => format!(" (and {} more)", more - 1),
            };
            self.standing = Standing::Stale;
            return Some(Said::Stale(format!("{why}{others}")));
        }
        if let Some(said) = self.say_services() {
            return Some(said);
        }
        while let Some(query) = self.dirty.pop_first() {
            if let Some(said) = self.say_pool(query) {
                return Some(said);
            }
        }
        let is_whole = self.failing.is_empty() && self.synced.len() == self.readers.len();
        if is_whole && self.standing != Standing::Live {
            self.standing = Standing::Live;
            return Some(Said::Live);
        }
        None
    }

    /// The services that are served whole, once all Services are known.
    fn say_services(&mut self) -> Option<Said> {
        let mut readers = self.readers.iter().filter(|reader| reader.resource == Resource::Services);
        let is_known = readers.all(|reader| self.known.contains(reader));
        let services = self.services.as_mut().filter(|_| is_known)?;
        let said = services.say(&self.index);
        self.writes.send_if_modified(|writes| {
            let is_news = writes != services.writes();
            if is_news {
                writes.clone_from(services.writes());
            }
            is_news
        });
        said
    }

    /// A pool, if all is known that it depends on, and it is not what was said of it.
    fn say_pool(&mut self, query: Query) -> Option<Said> {
        let said = self.pools.get_mut(&query)?;
        let outcome = match wanted::read(&query, &self.settings) {
            Ok(wanted) => {
                let is_known = |resource: &Resource| {
                    let mut readers = self.readers.iter().filter(|reader| reader.resource == *resource);
                    readers.all(|reader| self.known.contains(reader))
                };
                if !needs(&wanted).iter().all(is_known) {
                    return None;
                }
                pools::backends(&self.index, &wanted, self.settings.cordon)
            }
            Err(why) => Err(why),
        };
        let digest = Some(self.digests.hash_one(&outcome));
        if *said == digest {
            return None;
        }
        *said = digest;
        Some(Said::Pool { query, outcome })
    }
}

/// The pools that a Service is behind. They are one after the other: its name is the first that tells pools apart.
fn behind<'a>(pools: &'a BTreeMap<Query, Option<u64>>, service: &Key) -> impl Iterator<Item = &'a Query> {
    let Key { namespace, name } = service.clone();
    // Less than any: each has VIPs.
    let front = Front { vips: [].into(), protocol: ipvs::Protocol::Tcp, backend_port: 0, to: Target::Nodes };
    let first = Query::Service(ServiceQuery { namespace, name, port: None, front }.into());
    let service = service.clone();
    let is_its = move |query: &&Query| match query {
        Query::Service(asked) => asked.namespace == service.namespace && asked.name == service.name,
        Query::Path(_) | Query::Nodes { .. } => false,
    };
    pools.range(first..).map(|(query, _)| query).take_while(is_its)
}

/// What has to be read for a pool.
fn needs(wanted: &Wanted) -> &'static [Resource] {
    match wanted {
        Wanted::Nodes(_) => &[Resource::Nodes],
        Wanted::Service(_) => &[Resource::Services, Resource::Slices, Resource::Nodes],
    }
}

impl Source for Kubernetes {
    async fn next(&mut self) -> Said {
        loop {
            if let Some(said) = self.say() {
                return said;
            }
            // All can be dropped: a message that was not taken is still there, and so is a change of what is wanted.
            tokio::select! {
                Some(message) = self.inbox.recv() => {
                    self.take(message);
                    // What readers have ready is taken together, and what follows from it is done once.
                    for _ in 0..MESSAGES {
                        let Ok(message) = self.inbox.try_recv() else { break };
                        self.take(message);
                    }
                }
                Some(published) = self.published.recv() => {
                    self.services.iter_mut().for_each(|services| services.published(published.clone()));
                }
                Ok(()) = self.conflicts.changed() => {
                    let conflicts = self.conflicts.borrow_and_update();
                    self.services.iter_mut().for_each(|services| services.in_conflict(&conflicts));
                }
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.want(),
                    // Nobody wants anything any more: there is nothing to be said, ever.
                    Err(_) => std::future::pending().await,
                },
            }
        }
    }
}
