//! Runs the sources that are wanted, and reports what they say.

use super::etcd::{self, Etcd};
use super::files::Files;
use super::http::Http;
use super::kubernetes::Kubernetes;
use super::report::report;
use crate::config::{PoolId, Query, SourceSettings};
use crate::core::Event;
use crate::core::action::WantedPools;
use crate::core::change::{Object, WriteOrder, Written};
use crate::core::found::Conflicts;
use crate::engine::Inbox;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Pool files are one source, whose name nobody sees.
const FILES: &str = "files";

/// The sources that run.
#[derive(Debug)]
pub struct Handle {
    inbox: Inbox,
    files: watch::Sender<BTreeSet<PathBuf>>,
    /// Reads the files.
    reading: JoinHandle<()>,
    running: BTreeMap<Arc<str>, Running>,
    /// What is in the way of services of sources.
    conflicts: Conflicts,
    writing: JoinSet<()>,
}

/// A source at work.
#[derive(Debug)]
struct Running {
    settings: SourceSettings,
    wanted: watch::Sender<BTreeSet<Query>>,
    conflicts: watch::Sender<BTreeMap<String, String>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Handle {
    /// Starts with no sources.
    ///
    /// # Errors
    /// When the kernel gives no inotify instance.
    pub fn spawn(inbox: Inbox) -> std::io::Result<Self> {
        let (files, wanted) = watch::channel(BTreeSet::new());
        let reading = tokio::spawn(report(Files::new(wanted)?, FILES.into(), inbox.clone()));
        let (running, conflicts, writing) = Default::default();
        Ok(Self { inbox, files, reading, running, conflicts, writing })
    }

    /// Follows exactly these pools. A source whose settings are others begins anew.
    pub fn set(&mut self, wanted: WantedPools) {
        let mut files = BTreeSet::new();
        let mut queries: BTreeMap<Arc<str>, BTreeSet<Query>> = BTreeMap::new();
        for pool in wanted.pools {
            match pool {
                PoolId::File(path) => drop(files.insert(path)),
                PoolId::Remote { source, query } => drop(queries.entry(source).or_default().insert(query)),
            }
        }
        self.files.send_replace(files);
        self.running.retain(|name, running| wanted.sources.get(name) == Some(&running.settings));
        for (name, settings) in wanted.sources {
            let queries = queries.remove(&name).unwrap_or_default();
            match self.running.get(&name) {
                Some(running) => drop(running.wanted.send_replace(queries)),
                None => {
                    let conflicts = self.conflicts.get(&name).cloned().unwrap_or_default();
                    let running =
                        start(Arc::clone(&name), settings, (queries, conflicts), self.inbox.clone());
                    self.running.insert(name, running);
                }
            }
        }
    }

    /// Tells each source which of its services others are in the way of.
    pub fn tell(&mut self, conflicts: Conflicts) {
        for (name, running) in &self.running {
            let its = conflicts.get(name).cloned().unwrap_or_default();
            running.conflicts.send_if_modified(|told| {
                let is_news = *told != its;
                *told = its;
                is_news
            });
        }
        self.conflicts = conflicts;
    }

    /// Changes what a source says, and reports what came of it.
    pub fn write(&mut self, order: WriteOrder) {
        // Those that have ended are let go of; the core bounds how many there are.
        while self.writing.try_join_next().is_some() {}
        let settings = order.objects.first().and_then(|object| self.running.get(&object.source));
        let settings = settings.map(|running| running.settings.clone());
        let inbox = self.inbox.clone();
        self.writing.spawn(async move {
            let written = match settings {
                Some(SourceSettings::Etcd(settings)) => etcd::write(&settings, &order).await,
                Some(_) | None => not_written(&order),
            };
            inbox.event(Event::SourceWritten { id: order.id, written }).await;
        });
    }

    /// Ends all of them.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// A reload has taken the source away meanwhile.
fn not_written(order: &WriteOrder) -> Vec<Written> {
    let gone = |object: &Object| Written {
        object: object.clone(),
        outcome: Err(format!("there is no etcd {} any more", object.source)),
    };
    order.objects.iter().map(gone).collect()
}

fn start(
    name: Arc<str>,
    settings: SourceSettings,
    (queries, conflicts): (BTreeSet<Query>, BTreeMap<String, String>),
    inbox: Inbox,
) -> Running {
    let (wanted, receiver) = watch::channel(queries);
    let (conflicts, told) = watch::channel(conflicts);
    let task = match settings.clone() {
        SourceSettings::Etcd(settings) => {
            let etcd = Etcd::new(Arc::clone(&name), settings, receiver);
            tokio::spawn(report(etcd, name, inbox))
        }
        SourceSettings::Kubernetes(settings) => {
            let kubernetes = Kubernetes::new(Arc::clone(&name), settings, receiver, told);
            tokio::spawn(report(kubernetes, name, inbox))
        }
        SourceSettings::Http(settings) => tokio::spawn(report(Http::new(settings, receiver), name, inbox)),
    };
    Running { settings, wanted, conflicts, task }
}
