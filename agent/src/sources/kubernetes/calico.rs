//! What Calico and Kubernetes know of a cluster's nodes, from its API.
//!
//! Nodes (with Calico's annotations, and `podCIDRs`), IP pools, block affinities and the BGP configuration are watched, as
//! `crd.projectcalico.org/v1` has them, or `projectcalico.org/v3` where only that is served. What is kept of each is what
//! [`objects`](crate::core::nodes::objects) reads.

use super::client::{self, Access};
use super::reader::{SETTLED, next, wait};
use crate::config::KubernetesSettings;
use crate::sources::calico::{Gathered, Message, Object};
use crate::sources::{Said, Source};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Groups of Calico's objects, the first that is served.
const GROUPS: [(&str, &str); 2] = [("crd.projectcalico.org", "v1"), ("projectcalico.org", "v3")];

/// Calico's objects: kind and plural.
const KINDS: [(&str, &str); 3] =
    [("IPPool", "ippools"), ("BlockAffinity", "blockaffinities"), ("BGPConfiguration", "bgpconfigurations")];

/// What Calico writes down on Kubernetes' nodes.
const ANNOTATION: &str = "projectcalico.org/";

/// A cluster's API as a source of its nodes.
#[derive(Debug)]
pub struct CalicoNodes(Gathered);

impl CalicoNodes {
    /// A source that has not asked yet. Needs tokio's runtime.
    pub fn new(settings: KubernetesSettings) -> Self {
        let settings = Arc::new(settings);
        let kinds = KINDS.iter().map(|(kind, _)| *kind).chain(["Node"]);
        Self(Gathered::spawn(kinds, |kind, said| read(kind, Arc::clone(&settings), said)))
    }
}

impl Source for CalicoNodes {
    fn next(&mut self) -> impl Future<Output = Said> + Send {
        self.0.next()
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
            Ok(access) => follow(kind, access, &settings, &said, &mut failures).await,
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
async fn resource(
    kind: &'static str,
    Access { client, place }: &Access,
) -> Result<Option<ApiResource>, String> {
    let Some((_, plural)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        return Ok(Some(ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", kind), "nodes")));
    };
    let groups = client.list_api_groups().await;
    let groups = groups.map_err(|error| format!("list the API's groups: {}", place.words(&error)))?;
    let served: BTreeSet<&str> = groups.groups.iter().map(|group| group.name.as_str()).collect();
    let found = GROUPS.iter().find(|(group, _)| served.contains(group));
    Ok(found.map(|(group, version)| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }))
}

/// Lists and watches until something breaks.
async fn follow(
    kind: &'static str,
    access: Access,
    settings: &KubernetesSettings,
    said: &mpsc::Sender<Message>,
    failures: &mut u32,
) -> End {
    let resource = match resource(kind, &access).await {
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
    let api: Api<DynamicObject> = Api::all_with(access.client, &resource);
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
            Err(error) => return End::Broken(access.place.watch_words(&plural, None, &error)),
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
    listed: &mut BTreeMap<String, Object>,
    settles: &mut Option<Instant>,
) -> Option<Message> {
    match event {
        Event::Init => {
            listed.clear();
            None
        }
        Event::InitApply(object) => {
            listed.insert(object.name_any(), Ok(kept(kind, &object)));
            None
        }
        Event::InitDone => {
            *settles = Some(Instant::now() + SETTLED);
            Some(Message::All(kind, std::mem::take(listed)))
        }
        Event::Apply(object) => Some(Message::Set(kind, object.name_any(), Ok(kept(kind, &object)))),
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
