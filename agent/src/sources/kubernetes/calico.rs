//! What Calico and Kubernetes know of a cluster's nodes, from its API.
//!
//! Nodes (with Calico's annotations, and `podCIDRs`), IP pools, block affinities and the BGP configuration are watched, as
//! `crd.projectcalico.org/v1` has them, or `projectcalico.org/v3` where only that is served. What is kept of each is what
//! [`objects`](crate::core::nodes::objects) reads.

use super::client;
use super::reader::{SETTLED, next, wait};
use crate::config::KubernetesSettings;
use crate::core::nodes::{Cluster, objects};
use crate::sources::cluster::ClusterSource;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Groups of Calico's objects, the first that is served.
const GROUPS: [(&str, &str); 2] = [("crd.projectcalico.org", "v1"), ("projectcalico.org", "v3")];

/// Calico's objects: kind and plural.
const KINDS: [(&str, &str); 3] =
    [("IPPool", "ippools"), ("BlockAffinity", "blockaffinities"), ("BGPConfiguration", "bgpconfigurations")];

/// What Calico writes down on Kubernetes' nodes.
const ANNOTATION: &str = "projectcalico.org/";

const MESSAGES: usize = 256;

/// A failure is told when it is not over at the second attempt.
const PATIENCE: u32 = 2;

/// What a watch says of its kind.
enum Message {
    /// All that there is.
    All(&'static str, BTreeMap<String, Value>),
    /// One that is new or different.
    Set(&'static str, String, Value),
    /// One that is gone.
    Gone(&'static str, String),
    /// It was listed, and its watch stands.
    Stands(&'static str),
    /// It cannot be read, so many times in a row.
    Failed(&'static str, String, u32),
}

/// A cluster's API as a source of its nodes.
#[derive(Debug)]
pub struct CalicoNodes {
    kinds: BTreeMap<&'static str, BTreeMap<String, Value>>,
    failing: BTreeMap<&'static str, String>,
    /// Whether something is to be said.
    is_news: bool,
    inbox: mpsc::Receiver<Message>,
    _tasks: JoinSet<()>,
}

impl CalicoNodes {
    /// A source that has not asked yet. Needs tokio's runtime.
    pub fn new(settings: KubernetesSettings) -> Self {
        let (sender, inbox) = mpsc::channel(MESSAGES);
        let (settings, mut tasks) = (Arc::new(settings), JoinSet::new());
        let kinds = KINDS.iter().map(|(kind, _)| *kind).chain(["Node"]);
        for kind in kinds {
            tasks.spawn(read(kind, Arc::clone(&settings), sender.clone()));
        }
        Self { kinds: BTreeMap::new(), failing: BTreeMap::new(), is_news: false, inbox, _tasks: tasks }
    }

    fn take(&mut self, message: Message) {
        self.is_news = true;
        match message {
            Message::All(kind, all) => {
                self.is_news = self.kinds.get(kind) != Some(&all);
                self.kinds.insert(kind, all);
            }
            Message::Stands(kind) => self.is_news = self.failing.remove(kind).is_some(),
            Message::Set(kind, name, object) => {
                let before = self.kinds.entry(kind).or_default().insert(name, object.clone());
                self.is_news = before.as_ref() != Some(&object);
            }
            Message::Gone(kind, name) => {
                self.is_news = self.kinds.entry(kind).or_default().remove(&name).is_some();
            }
            Message::Failed(kind, why, failures) => {
                self.is_news = failures == PATIENCE;
                if failures >= PATIENCE {
                    self.failing.insert(kind, why);
                }
            }
        }
    }

    /// The cluster, once all kinds were listed.
    fn outcome(&self) -> Option<Result<Cluster, String>> {
        if let Some(why) = self.failing.values().next() {
            return Some(Err(why.clone()));
        }
        if self.kinds.len() <= KINDS.len() {
            return None;
        }
        let items: Vec<&Value> = self.kinds.values().flat_map(BTreeMap::values).collect();
        let text = json!({ "items": items }).to_string();
        Some(objects::cluster(text.as_bytes()).map_err(|error| error.to_string()))
    }
}

impl ClusterSource for CalicoNodes {
    async fn next(&mut self) -> Result<Cluster, String> {
        loop {
            // What waits is taken first: a list of nodes is one change.
            while let Ok(message) = self.inbox.try_recv() {
                let was_news = self.is_news;
                self.take(message);
                self.is_news |= was_news;
            }
            if self.is_news
                && let Some(outcome) = self.outcome()
            {
                self.is_news = false;
                return outcome;
            }
            self.is_news = false;
            // Can be dropped: a message that was not taken is still there.
            match self.inbox.recv().await {
                Some(message) => self.take(message),
                None => std::future::pending().await,
            }
        }
    }
}

/// Why a kind is not followed any more.
enum End {
    /// Nobody listens.
    Unheard,
    /// Nothing broke: it is to be looked at again.
    Again,
    /// Something broke.
    Broken(String),
}

/// Reads one kind for ever.
async fn read(kind: &'static str, settings: Arc<KubernetesSettings>, said: mpsc::Sender<Message>) {
    let mut failures = 0;
    loop {
        let end = match client::connect(&settings).await {
            Ok(client) => follow(kind, client, &settings, &said, &mut failures).await,
            Err(why) => End::Broken(why),
        };
        let why = match end {
            End::Unheard => return,
            End::Again => continue,
            End::Broken(why) => why,
        };
        failures += 1;
        if said.send(Message::Failed(kind, why, failures)).await.is_err() {
            return;
        }
        tokio::time::sleep(wait(failures, settings.max_backoff)).await;
    }
}

/// Where a kind is served, if it is.
async fn resource(kind: &'static str, client: &Client) -> Result<Option<ApiResource>, String> {
    let Some((_, plural)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        return Ok(Some(ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", kind), "nodes")));
    };
    let groups = client.list_api_groups().await;
    let groups = groups.map_err(|error| format!("list the API's groups: {}", client::words(&error)))?;
    let served: BTreeSet<&str> = groups.groups.iter().map(|group| group.name.as_str()).collect();
    let found = GROUPS.iter().find(|(group, _)| served.contains(group));
    Ok(found.map(|(group, version)| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }))
}

/// Lists and watches until something breaks.
async fn follow(
    kind: &'static str,
    client: Client,
    settings: &KubernetesSettings,
    said: &mpsc::Sender<Message>,
    failures: &mut u32,
) -> End {
    let resource = match resource(kind, &client).await {
        Ok(Some(resource)) => resource,
        // A cluster without Calico: its nodes have podCIDRs. Somebody may install it.
        Ok(None) => {
            *failures = 0;
            for message in [Message::All(kind, BTreeMap::new()), Message::Stands(kind)] {
                if said.send(message).await.is_err() {
                    return End::Unheard;
                }
            }
            tokio::time::sleep(settings.watch_timeout).await;
            return End::Again;
        }
        Err(why) => return End::Broken(why),
    };
    let plural = resource.plural.clone();
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let timeout = u32::try_from(settings.watch_timeout.as_secs()).unwrap_or(u32::MAX);
    let mut events = pin!(watcher(api, watcher::Config::default().timeout(timeout)));
    let mut listed = BTreeMap::new();
    let mut settles = None;
    loop {
        let Some(event) = next(&mut events, &mut settles).await else {
            *failures = 0;
            if said.send(Message::Stands(kind)).await.is_err() {
                return End::Unheard;
            }
            continue;
        };
        let Some(event) = event else { return End::Broken(format!("watch {plural}: it ended")) };
        let message = match event {
            Ok(event) => message(kind, event, &mut listed, &mut settles),
            Err(watcher::Error::WatchError(status)) if status.code == 410 => {
                tokio::time::sleep(wait(1, settings.max_backoff)).await;
                None
            }
            Err(error) => return End::Broken(client::watch_words(&plural, None, &error)),
        };
        if let Some(message) = message
            && said.send(message).await.is_err()
        {
            return End::Unheard;
        }
    }
}

/// What an event says; what is listed is gathered until the list is whole.
fn message(
    kind: &'static str,
    event: Event<DynamicObject>,
    listed: &mut BTreeMap<String, Value>,
    settles: &mut Option<Instant>,
) -> Option<Message> {
    match event {
        Event::Init => {
            listed.clear();
            None
        }
        Event::InitApply(object) => {
            listed.insert(object.name_any(), kept(kind, &object));
            None
        }
        Event::InitDone => {
            *settles = Some(Instant::now() + SETTLED);
            Some(Message::All(kind, std::mem::take(listed)))
        }
        Event::Apply(object) => Some(Message::Set(kind, object.name_any(), kept(kind, &object))),
        Event::Delete(object) => Some(Message::Gone(kind, object.name_any())),
    }
}

/// What is read of an object.
fn kept(kind: &str, object: &DynamicObject) -> Value {
    let annotations: Map<String, Value> = object
        .annotations()
        .iter()
        .filter(|(key, _)| key.starts_with(ANNOTATION))
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect();
    let spec = match kind {
        "Node" => json!({ "podCIDRs": object.data.pointer("/spec/podCIDRs") }),
        _ => object.data.get("spec").cloned().unwrap_or_default(),
    };
    json!({ "kind": kind, "metadata": { "name": object.name_any(), "annotations": annotations }, "spec": spec })
}
