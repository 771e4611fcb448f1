//! What Calico's datastores have in common: objects of a few kinds, each read by a task of its own, gathered until all
//! are there, and said again whenever one of them differs.
//!
//! Reading order: this file, then a datastore: [`kubernetes`](crate::sources::kubernetes::CalicoNodes),
//! [`etcd`](crate::sources::etcd::CalicoKeys).

use super::{Said, Source};
use crate::core::nodes::{Cluster, objects};
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Messages that wait to be heard; who reads a datastore waits then.
const MESSAGES: usize = 256;

/// A failure is told when it is not over at the second attempt.
const PATIENCE: u32 = 2;

/// An object as [`objects`] reads it, or why it cannot be read, which nobody takes for its end.
pub(in crate::sources) type Object = Result<Value, String>;

/// What a task says of its kind.
#[derive(Debug)]
pub(in crate::sources) enum Message {
    /// All that there is.
    All(&'static str, BTreeMap<String, Object>),
    /// One that is new or different.
    Set(&'static str, String, Object),
    /// One that is gone.
    Gone(&'static str, String),
    /// It was listed, and its watch stands.
    Stands(&'static str),
    /// It cannot be read, so many times in a row.
    Failed(&'static str, String, u32),
}

/// A datastore as a source of a cluster's nodes.
#[derive(Debug)]
pub(in crate::sources) struct Gathered {
    /// How many kinds there are.
    expected: usize,
    kinds: BTreeMap<&'static str, BTreeMap<String, Object>>,
    failing: BTreeMap<&'static str, String>,
    /// Whether something is to be said.
    is_news: bool,
    inbox: mpsc::Receiver<Message>,
    _tasks: JoinSet<()>,
}

impl Gathered {
    /// Starts a task for each kind; they end with this. Needs tokio's runtime.
    pub(in crate::sources) fn spawn<Reading: Future<Output = ()> + Send + 'static>(
        kinds: impl IntoIterator<Item = &'static str>,
        reading: impl Fn(&'static str, mpsc::Sender<Message>) -> Reading,
    ) -> Self {
        let (sender, inbox) = mpsc::channel(MESSAGES);
        let mut tasks = JoinSet::new();
        for kind in kinds {
            tasks.spawn(reading(kind, sender.clone()));
        }
        let (expected, kinds, failing) = (tasks.len(), BTreeMap::new(), BTreeMap::new());
        Self { expected, kinds, failing, is_news: false, inbox, _tasks: tasks }
    }

    fn take(&mut self, message: Message) {
        self.is_news |= match message {
            Message::All(kind, all) => {
                let is_news = self.kinds.get(kind) != Some(&all);
                self.kinds.insert(kind, all);
                is_news
            }
            Message::Stands(kind) => self.failing.remove(kind).is_some(),
            Message::Set(kind, name, object) => {
                let before = self.kinds.entry(kind).or_default().insert(name, object.clone());
                before.as_ref() != Some(&object)
            }
            Message::Gone(kind, name) => self.kinds.entry(kind).or_default().remove(&name).is_some(),
            Message::Failed(kind, why, failures) => {
                failures >= PATIENCE && self.failing.insert(kind, why).is_none()
            }
        };
    }

    /// The cluster, once all kinds were listed.
    fn outcome(&self) -> Option<Result<Cluster, String>> {
        if let Some(why) = self.failing.values().next() {
            return Some(Err(why.clone()));
        }
        if self.kinds.len() < self.expected {
            return None;
        }
        let all = self.kinds.values().flat_map(BTreeMap::values);
        let items: Result<Vec<&Value>, &String> = all.map(Result::as_ref).collect();
        Some(match items {
            Ok(items) => {
                objects::of_items(items).map(|cluster| self.known(cluster)).map_err(|error| error.to_string())
            }
            Err(why) => Err(why.clone()),
        })
    }
}

impl Gathered {
    /// Where peers are read, to have none is known, too.
    fn known(&self, mut cluster: Cluster) -> Cluster {
        if self.kinds.contains_key("BGPPeer") {
            cluster.peers.get_or_insert_default();
        }
        cluster
    }
}

impl Source for Gathered {
    async fn next(&mut self) -> Said {
        loop {
            // What waits is taken first: a list of nodes is one change.
            while let Ok(message) = self.inbox.try_recv() {
                self.take(message);
            }
            if std::mem::take(&mut self.is_news)
                && let Some(outcome) = self.outcome()
            {
                return Said::Cluster(outcome);
            }
            // Can be dropped: a message that was not taken is still there.
            match self.inbox.recv().await {
                Some(message) => self.take(message),
                None => std::future::pending().await,
            }
        }
    }
}
