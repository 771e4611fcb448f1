//! What is written to the cluster: the addresses that Services of our class have got, the finalizer that keeps a Service until they
//! are taken back, and why one is refused. One balancer of the fleet does so, who has the Lease.

use super::client::{self, Access};
use super::lease::{Candidate, PERIOD};
use super::model::Key;
use super::objects::{ANNOTATION, FINALIZER, REFUSED, ServiceObject};
use crate::config::{KubernetesSettings, Lease};
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};

/// Who we are to the cluster.
const NAME: &str = "lvsd";

/// What is to be written of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// It has these addresses.
    Addresses(Vec<IpAddr>),
    /// It has none of ours any more, and may go.
    Release,
    /// What it says is refused; with its ports, where it has addresses of ours in its status.
    Refusal {
        /// Why.
        complaint: Complaint,
        /// Its addresses.
        addresses: Vec<IpAddr>,
        /// Its ports.
        ports: Vec<(u16, &'static str)>,
    },
}

/// Why a Service is not served as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// In a word, for programs: the `reason` of the Event.
    pub(super) reason: &'static str,
    /// In words.
    pub(super) why: Box<str>,
}

/// What is to be written, by Service and uid.
pub(super) type Writes = BTreeMap<(Key, Arc<str>), Write>;

/// What the publisher says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// Whether the Lease is ours.
    Holder(bool),
    /// The last attempt to write something, or to see the Lease, failed; none: it did not.
    Failed(Option<String>),
}

/// Writes for ever.
pub(super) async fn run(
    settings: Arc<KubernetesSettings>,
    lease: Lease,
    mut wanted: watch::Receiver<Writes>,
    said: mpsc::Sender<Published>,
) {
    let mut publisher = Publisher { candidate: Candidate::new(lease, identity()), done: BTreeMap::new() };
    let (mut was_holder, mut failure) = (false, None);
    let mut access = None;
    loop {
        let outcome = match connected(&settings, &mut access).await {
            Ok(access) => publisher.round(&access, &mut wanted).await,
            Err(why) => Err(why),
        };
        if outcome.is_err() {
            // Its credentials may be the reason: they are read anew.
            access = None;
        }
        let is_left = matches!(outcome, Ok(Left(true)));
        let is_holder = publisher.candidate.until().is_some();
        if is_holder != was_holder && said.send(Published::Holder(is_holder)).await.is_err() {
            return;
        }
        was_holder = is_holder;
        let now = outcome.err();
        if now != failure {
            if let Some(why) = &now {
                tracing::warn!(%why, "the cluster cannot be written to");
            }
            if said.send(Published::Failed(now.clone())).await.is_err() {
                return;
            }
            failure = now;
        }
        if is_left {
            continue;
        }
        // Both can be dropped: what is wanted is seen the next time.
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            changed = wanted.changed(), if is_holder && failure.is_none() => if changed.is_err() { return },
        }
    }
}

async fn connected(settings: &KubernetesSettings, access: &mut Option<Access>) -> Result<Access, String> {
    if let Some(access) = access {
        return Ok(access.clone());
    }
    Ok(access.insert(client::connect(settings).await?).clone())
}

/// Different for each host and process.
fn identity() -> String {
    use std::hash::{BuildHasher, RandomState};
    let host = Some(crate::host::name()).filter(|name| !name.is_empty()).unwrap_or_else(|| NAME.to_owned());
    let chance = RandomState::new().hash_one(std::process::id());
    format!("{host}-{chance:016x}")
}

struct Publisher {
    candidate: Candidate,
    /// What was written already.
    done: Writes,
}

/// Whether something is left to be written that had no time.
struct Left(bool);

impl Publisher {
    /// Looks at the Lease, and writes what is to be written if it is ours, until it is to be renewed. Goes on after failures, and
    /// gives the first.
    async fn round(&mut self, access: &Access, wanted: &mut watch::Receiver<Writes>) -> Result<Left, String> {
        self.candidate.look(access).await?;
        let Some(until) = self.candidate.until() else {
            self.done.clear();
            return Ok(Left(false));
        };
        let begun = Instant::now();
        let wanted = wanted.borrow_and_update().clone();
        self.done.retain(|service, done| wanted.get(service) == Some(done));
        let mut first = Ok(());
        for (service, write) in wanted {
            if self.done.contains_key(&service) {
                continue;
            }
            if begun.elapsed() > PERIOD {
                return first.map(|()| Left(true));
            }
            // Whoever has the Lease next is not to meet what was written before.
            let written = tokio::time::timeout_at(until.into(), write_one(access, &service, &write)).await;
            match written {
                Ok(Ok(())) => drop(self.done.insert(service, write)),
                Ok(Err(why)) => first = first.and(Err(why)),
                Err(_) => {
                    let why = access.place.silent(begun.elapsed());
                    return first.and(Err(format!("write of {}: {why}", service.0)));
                }
            }
        }
        first.map(|()| Left(false))
    }
}

async fn write_one(access: &Access, (key, uid): &(Key, Arc<str>), write: &Write) -> Result<(), String> {
    match write {
        Write::Addresses(addresses) => {
            let ingress: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP"})).collect();
            let change = json!({
                "metadata": {"uid": uid, "finalizers": [FINALIZER], "annotations": {(served()): "true"}},
                "status": {"loadBalancer": {"ingress": ingress}}
            });
            patch(access, key, change).await
        }
        Write::Release => {
            let change = json!({
                "metadata": {"uid": uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER], "annotations": {(served()): null}},
                "status": {"loadBalancer": {"ingress": null}}
            });
            patch(access, key, change).await
        }
        Write::Refusal { complaint, addresses, ports } => {
            if !addresses.is_empty() {
                let ports: Vec<Value> = ports
                    .iter()
                    .map(|(port, protocol)| json!({"port": port, "protocol": protocol, "error": REFUSED}))
                    .collect();
                let ingress: Vec<Value> =
                    addresses.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP", "ports": ports})).collect();
                let change =
                    json!({"metadata": {"uid": uid}, "status": {"loadBalancer": {"ingress": ingress}}});
                patch(access, key, change).await?;
            }
            tell(access, key, uid, complaint).await
        }
    }
}

fn served() -> String {
    format!("{ANNOTATION}served")
}

/// Changes a Service's status; by it also its finalizers, as Kubernetes' own controllers do. One that is gone needs nothing.
async fn patch(Access { client, place }: &Access, key: &Key, change: Value) -> Result<(), String> {
    let api: Api<ServiceObject> = Api::all(client.clone()).constrain(&key.namespace);
    // The type has no way to be written, so that nothing but the change is.
    let request = kube::core::Request::new(api.resource_url().to_owned());
    let patch = Patch::Strategic(change);
    let request = request
        .patch_subresource("status", &key.name, &PatchParams::default(), &patch)
        .map_err(|error| error.to_string())?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(()),
        // Another one of the same name (409) is written of by itself.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(format!("patch services/status of {key}: {}", place.words(&error))),
    }
}

/// Says on a Service why it is not served as it says.
async fn tell(
    Access { client, place }: &Access,
    key: &Key,
    uid: &str,
    Complaint { reason, why }: &Complaint,
) -> Result<(), String> {
    let now = Time(Timestamp::now());
    let event = Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}.", key.name)),
            namespace: Some(key.namespace.to_string()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Service".into()),
            name: Some(key.name.to_string()),
            namespace: Some(key.namespace.to_string()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        },
        reason: Some((*reason).to_owned()),
        message: Some(why.chars().take(1000).collect()),
        type_: Some("Warning".into()),
        source: Some(k8s_openapi::api::core::v1::EventSource { component: Some(NAME.into()), host: None }),
        reporting_component: Some(NAME.into()),
        first_timestamp: Some(now.clone()),
        last_timestamp: Some(now),
        count: Some(1),
        ..Event::default()
    };
    let api: Api<Event> = Api::namespaced(client.clone(), &key.namespace);
    match api.create(&PostParams::default(), &event).await {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("create events in {}: {}", key.namespace, place.words(&error))),
    }
}
