//! Calico's own datastore: the nodes of a cluster whose Calico keeps its objects in etcd, not in Kubernetes.
//!
//! A directory for each kind, listed and then watched; workloads, policies and the pods' own addresses, of which there are
//! many more, are not read:
//!
//! ```text
//! /calico/resources/v3/projectcalico.org/nodes/NODE             {"kind":"Node","spec":{"bgp":{"ipv4Address":…}}}
//! /calico/resources/v3/projectcalico.org/ippools/NAME           {"kind":"IPPool",…}
//! /calico/resources/v3/projectcalico.org/bgpconfigurations/NAME {"kind":"BGPConfiguration",…}
//! /calico/resources/v3/projectcalico.org/bgppeers/NAME          {"kind":"BGPPeer",…}
//! /calico/ipam/v2/host/NODE/ipv4/block/10.67.128.0-26           {"state":"confirmed","deleted":false}, or nothing
//! ```
//!
//! Each directory has a connection of its own, so that one server's answer to a listing holds up no other. A watch that ends
//! is never taken up again by its revision: the directory is listed anew, as in [`v3`](super::v3).

use super::store::{Change, Shelf, Store, Trouble};
use super::v3::V3;
use super::{STEADY, pause};
use crate::config::EtcdSettings;
use crate::sources::calico::{Gathered, Message, Object};
use crate::sources::{Said, Source};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// Kinds and where they are. Calico's keys begin with `/calico` always.
const DIRECTORIES: [(&str, &str); 5] = [
    ("BGPPeer", "/calico/resources/v3/projectcalico.org/bgppeers/"),
    ("Node", "/calico/resources/v3/projectcalico.org/nodes/"),
    ("IPPool", "/calico/resources/v3/projectcalico.org/ippools/"),
    ("BGPConfiguration", "/calico/resources/v3/projectcalico.org/bgpconfigurations/"),
    (AFFINITY, "/calico/ipam/v2/host/"),
];

/// The one kind that its keys tell more of than its values.
const AFFINITY: &str = "BlockAffinity";

/// Calico's etcd as a source of a cluster's nodes.
#[derive(Debug)]
pub struct CalicoKeys(Gathered);

impl CalicoKeys {
    /// A source that has not asked yet. Needs tokio's runtime.
    pub fn new(settings: EtcdSettings) -> Self {
        let settings = Arc::new(settings);
        let kinds = DIRECTORIES.map(|(kind, _)| kind);
        Self(Gathered::spawn(kinds, |kind, said| read(kind, Arc::clone(&settings), said)))
    }
}

impl Source for CalicoKeys {
    fn next(&mut self) -> impl Future<Output = Said> + Send {
        self.0.next()
    }
}

/// Nobody listens any more.
struct Unheard;

/// Reads one kind for ever, from one server after another.
async fn read(kind: &'static str, settings: Arc<EtcdSettings>, said: mpsc::Sender<Message>) {
    let Some((_, directory)) = DIRECTORIES.iter().find(|(known, _)| *known == kind) else { return };
    let (mut rounds, mut errors) = (0, Vec::new());
    for endpoint in settings.endpoints.iter().cycle() {
        let begin = Instant::now();
        let ended = match V3::connect(&settings, endpoint).await {
            Ok(store) => follow(kind, directory, store, &said).await,
            Err(trouble) => Ok(trouble),
        };
        let Ok(trouble) = ended else { return };
        if begin.elapsed() >= STEADY {
            (rounds, errors) = (0, Vec::new());
        }
        let why = super::hinted(trouble.why(), endpoint.is_secured && settings.tls.identity.is_none());
        tracing::warn!(directory, %endpoint, why, "Calico's etcd cannot be read here");
        errors.push(format!("{endpoint}: {why}"));
        // Another server is asked at once, unless all of them were.
        if errors.len() >= settings.endpoints.len() {
            rounds += 1;
            let why = std::mem::take(&mut errors).join("; ");
            if said.send(Message::Failed(kind, why, rounds)).await.is_err() {
                return;
            }
            tokio::time::sleep(pause(rounds)).await;
        }
    }
}

/// Lists and watches until there is trouble with the server.
async fn follow(
    kind: &'static str,
    directory: &str,
    mut store: impl Store,
    said: &mpsc::Sender<Message>,
) -> Result<Trouble, Unheard> {
    loop {
        let mut listing = Listing { kind, directory, objects: BTreeMap::new() };
        let lost = match store.list(directory, &mut listing).await {
            Ok(()) => {
                say(said, Message::All(kind, listing.objects)).await?;
                say(said, Message::Stands(kind)).await?;
                watch(kind, directory, &mut store, said).await?
            }
            Err(trouble) => trouble,
        };
        match lost {
            Trouble::Lost(why) => {
                tracing::info!(directory, why, "Calico's etcd is listed again");
                tokio::time::sleep(pause(0)).await;
            }
            away @ Trouble::Away(_) => return Ok(away),
        }
    }
}

/// Says what changes, until that does not go on.
async fn watch(
    kind: &'static str,
    directory: &str,
    store: &mut impl Store,
    said: &mpsc::Sender<Message>,
) -> Result<Trouble, Unheard> {
    loop {
        let changes = match store.changes().await {
            Ok(changes) => changes,
            Err(trouble) => return Ok(trouble),
        };
        for change in changes {
            match change {
                Change::Put { key, value } => {
                    if let Some((name, object)) = object(kind, directory, &key, &value) {
                        say(said, Message::Set(kind, name, object)).await?;
                    }
                }
                Change::Delete(key) => {
                    if let Some(name) = key.strip_prefix(directory) {
                        say(said, Message::Gone(kind, name.to_owned())).await?;
                    }
                }
                // The API of version 3 has no directories.
                Change::DeleteBelow(_) => {}
            }
        }
    }
}

async fn say(said: &mpsc::Sender<Message>, message: Message) -> Result<(), Unheard> {
    said.send(message).await.map_err(|_| Unheard)
}

/// What a listing has.
struct Listing<'a> {
    kind: &'static str,
    directory: &'a str,
    objects: BTreeMap<String, Object>,
}

impl Shelf for Listing<'_> {
    fn put(&mut self, key: &str, value: &[u8]) {
        self.objects.extend(object(self.kind, self.directory, key, value));
    }
}

/// An object by its key below the directory; none when the key is of something else. What is kept is what
/// [`objects`](crate::core::nodes::objects) reads.
fn object(kind: &'static str, directory: &str, key: &str, value: &[u8]) -> Option<(String, Object)> {
    let name = key.strip_prefix(directory)?;
    let wrong = |why: &dyn std::fmt::Display| format!("{key}: {why}");
    let read = |value: &[u8]| serde_json::from_slice::<Value>(value).map_err(|error| wrong(&error));
    let spec = match kind {
        AFFINITY => {
            let block = Block::of(name)?;
            // Calico before 3.0 wrote no value.
            let value = if value.is_empty() { Ok(Value::Null) } else { read(value) };
            value.map(|value| {
                json!({ "cidr": block.cidr, "node": block.node, "state": value.get("state"), "deleted": value.get("deleted") })
            })
        }
        _ => read(value).and_then(|value| {
            value.get("spec").cloned().ok_or_else(|| wrong(&"expected an object with a spec"))
        }),
    };
    let object = spec.map(|spec| json!({ "kind": kind, "metadata": { "name": name }, "spec": spec }));
    Some((name.to_owned(), object))
}

/// What a key says of a block: `NODE/ipv4/block/10.67.128.0-26`.
struct Block<'a> {
    node: &'a str,
    cidr: String,
}

impl<'a> Block<'a> {
    fn of(name: &'a str) -> Option<Self> {
        let mut parts = name.split('/');
        let (node, family, what, block) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_block = matches!(family, "ipv4" | "ipv6") && what == "block" && parts.next().is_none();
        is_block.then(|| Self { node, cidr: block.replacen('-', "/", 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affinity(name: &str, value: &str) -> Option<Object> {
        let (_, directory) = DIRECTORIES[4];
        object(AFFINITY, directory, &format!("{directory}{name}"), value.as_bytes()).map(|(_, object)| object)
    }

    #[test]
    fn a_block_is_its_key_and_its_state_the_value() {
        let confirmed = affinity("n1/ipv4/block/10.67.1.0-26", r#"{"state":"confirmed","deleted":false}"#);
        let spec = confirmed.unwrap().unwrap()["spec"].clone();
        assert_eq!(spec, json!({"cidr":"10.67.1.0/26","node":"n1","state":"confirmed","deleted":false}));
        let old = affinity("n1/ipv6/block/fd00:67::40-122", "").unwrap().unwrap();
        assert_eq!(old["spec"], json!({"cidr":"fd00:67::40/122","node":"n1","state":null,"deleted":null}));
    }

    #[test]
    fn other_keys_are_passed_over_and_a_value_that_is_no_json_is_an_error_with_its_key() {
        assert_eq!(affinity("n1/ipv4/tunnel", "{}"), None);
        assert_eq!(affinity("n1", "{}"), None);
        let why = affinity("n1/ipv4/block/10.67.1.0-26", "{").unwrap().unwrap_err();
        assert!(
            why.starts_with("/calico/ipam/v2/host/n1/ipv4/block/10.67.1.0-26: EOF while parsing"),
            "{why}"
        );
        let (_, directory) = DIRECTORIES[1];
        let (name, node) = object("Node", directory, &format!("{directory}n1"), b"[]").unwrap();
        assert_eq!(name, "n1");
        assert!(node.unwrap_err().contains("nodes/n1: expected an object with a spec"));
    }
}
