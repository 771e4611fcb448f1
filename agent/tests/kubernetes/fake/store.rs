//! What the small API server has: objects by version, what has become of them since, and what a server from 1.31 refuses.

use super::change;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Resources: plural, kind and API version.
const RESOURCES: [(&str, &str, &str); 5] = [
    ("nodes", "Node", "v1"),
    ("services", "Service", "v1"),
    ("events", "Event", "v1"),
    ("endpointslices", "EndpointSlice", "discovery.k8s.io/v1"),
    ("leases", "Lease", "coordination.k8s.io/v1"),
];

/// The kind and API version of a resource.
pub(super) fn kind(resource: &str) -> Option<(&'static str, &'static str)> {
    RESOURCES.iter().find(|(plural, ..)| *plural == resource).map(|(_, kind, version)| (*kind, *version))
}

/// An object's place: resource, namespace (empty where there is none), name.
pub(super) type Place = (String, String, String);

/// Why something is not done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Failure {
    pub(super) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into() }
    }

    fn conflict(name: &str, why: &str) -> Self {
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {name:?}: {why}"))
    }

    fn invalid(what: &str) -> Self {
        Self::new(422, "Invalid", what)
    }

    pub(super) fn status(&self) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": self.code,
            "reason": self.reason, "message": self.message})
    }
}

type Outcome = Result<Value, Failure>;

/// How an object is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patch {
    Merge,
    Strategic,
}

/// What those who watch are told.
#[derive(Clone, Debug)]
pub(super) struct Logged {
    pub(super) version: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    Event(Place, &'static str, Value),
    /// So far all were told of everything.
    Bookmark,
}

/// All objects.
#[derive(Debug)]
pub(crate) struct Store {
    pub(super) version: u64,
    objects: BTreeMap<Place, Value>,
    pub(super) log: Vec<Logged>,
    /// Nobody is told any more of what was before.
    pub(super) forgotten: u64,
    made: u64,
}

/// Nothing; versions begin at 1.
impl Default for Store {
    fn default() -> Self {
        Self { version: 1, objects: BTreeMap::new(), log: Vec::new(), forgotten: 1, made: 0 }
    }
}

impl Store {
    pub(super) fn get(&self, place: &Place) -> Option<&Value> {
        self.objects.get(place)
    }

    /// The objects of a resource in a namespace, or everywhere.
    pub(super) fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Value> {
        let is_meant =
            |(of, within, _): &Place| of == resource && namespace.is_none_or(|only| within == only);
        self.objects.iter().filter(|(place, _)| is_meant(place)).map(|(_, object)| object.clone()).collect()
    }

    /// Has exactly these objects of a resource, and tells nobody who watches.
    pub(super) fn put_silently(&mut self, resource: &str, objects: Vec<Value>) {
        self.objects.retain(|(of, ..), _| of != resource);
        self.version += 1;
        self.forgotten = self.version;
        for mut object in objects {
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
            self.objects.insert((resource.into(), text("namespace"), text("name")), object);
        }
    }

    pub(super) fn create(&mut self, resource: &str, namespace: &str, mut object: Value) -> Outcome {
        self.made += 1;
        let metadata = &mut object["metadata"];
        if let (Some(begin), None) = (metadata["generateName"].as_str(), metadata["name"].as_str()) {
            metadata["name"] = json!(format!("{begin}{:05x}", self.made));
        }
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        let place = (resource.to_owned(), namespace.to_owned(), name);
        if self.objects.contains_key(&place) {
            return Err(Failure::new(
                409,
                "AlreadyExists",
                format!("{resource} {:?} already exists", place.2),
            ));
        }
        if !namespace.is_empty() {
            metadata["namespace"] = json!(namespace);
        }
        metadata["uid"] = json!(format!("5f0c61a2-0000-4000-8000-{:012x}", self.made));
        metadata["creationTimestamp"] = json!("2026-02-03T04:05:06Z");
        check(&object, None)?;
        Ok(self.set(place, "ADDED", object))
    }

    /// Puts an object in the place of the one that is there, which must be of the version that the new one names.
    pub(super) fn replace(&mut self, place: &Place, object: Value) -> Outcome {
        let before = self.existing(place)?;
        if object["metadata"]["resourceVersion"].is_null() {
            return Err(Failure::invalid("metadata.resourceVersion: must be specified for an update"));
        }
        unchanged(&before, &object["metadata"], &place.2)?;
        check(&object, Some(&before))?;
        Ok(self.set(place.clone(), "MODIFIED", object))
    }

    /// Changes an object, or its status and metadata only.
    pub(super) fn patch(&mut self, place: &Place, is_status: bool, (how, patch): (Patch, &Value)) -> Outcome {
        let before = self.existing(place)?;
        unchanged(&before, &patch["metadata"], &place.2)?;
        let mut object = before.clone();
        match how {
            Patch::Merge => change::merge(&mut object, patch),
            Patch::Strategic => change::strategic(&mut object, patch),
        }
        let kept = if is_status { "spec" } else { "status" };
        object[kept] = before[kept].clone();
        tidy(&mut object);
        check(&object, Some(&before))?;
        if object == before {
            return Ok(before);
        }
        let metadata = &object["metadata"];
        if !metadata["deletionTimestamp"].is_null() && metadata["finalizers"].is_null() {
            return Ok(self.remove(place, object));
        }
        Ok(self.set(place.clone(), "MODIFIED", object))
    }

    /// Deletes an object, as soon as nobody's finalizer is on it.
    pub(super) fn delete(&mut self, place: &Place) -> Outcome {
        let mut object = self.existing(place)?;
        if object["metadata"]["finalizers"].is_null() {
            return Ok(self.remove(place, object));
        }
        object["metadata"]["deletionTimestamp"] = json!("2026-02-03T05:06:07Z");
        object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        Ok(self.set(place.clone(), "MODIFIED", object))
    }

    /// Those who watch learn up to where they were told of everything.
    pub(super) fn bookmark(&mut self) {
        self.log.push(Logged { version: self.version, what: What::Bookmark });
    }

    fn existing(&self, place: &Place) -> Outcome {
        let missing = || Failure::new(404, "NotFound", format!("{} {:?} not found", place.0, place.2));
        self.objects.get(place).cloned().ok_or_else(missing)
    }

    fn set(&mut self, place: Place, event: &'static str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let what = What::Event(place.clone(), event, object.clone());
        self.log.push(Logged { version: self.version, what });
        self.objects.insert(place, object.clone());
        object
    }

    fn remove(&mut self, place: &Place, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let what = What::Event(place.clone(), "DELETED", object.clone());
        self.log.push(Logged { version: self.version, what });
        self.objects.remove(place);
        object
    }
}

/// Whether an object is the one, and of the version, that who changes it has in mind.
fn unchanged(before: &Value, asked: &Value, name: &str) -> Result<(), Failure> {
    for (key, why) in [
        ("uid", "Precondition failed: UID in precondition differs from UID in object meta"),
        ("resourceVersion", "the object has been modified; please apply your changes to the latest version"),
    ] {
        if !asked[key].is_null() && asked[key] != before["metadata"][key] {
            return Err(Failure::conflict(name, why));
        }
    }
    Ok(())
}

/// What is empty is not there.
fn tidy(object: &mut Value) {
    for key in ["finalizers", "annotations"] {
        let list = &object["metadata"][key];
        let is_empty =
            list.as_array().is_some_and(Vec::is_empty) || list.as_object().is_some_and(|map| map.is_empty());
        if is_empty || list.is_null() {
            object["metadata"].as_object_mut().unwrap().remove(key);
        }
    }
}

/// What a server from 1.31 refuses of Services, as far as it is about load balancers.
fn check(object: &Value, before: Option<&Value>) -> Result<(), Failure> {
    if object["kind"] != "Service" {
        return Ok(());
    }
    let is_balanced = object["spec"]["type"] == "LoadBalancer";
    let class = &object["spec"]["loadBalancerClass"];
    if !class.is_null() && !is_balanced {
        return Err(Failure::invalid(
            "spec.loadBalancerClass: may only be used when `type` is 'LoadBalancer'",
        ));
    }
    let was_balanced = |before: &&Value| before["spec"]["type"] == "LoadBalancer" && is_balanced;
    if before.filter(was_balanced).is_some_and(|before| before["spec"]["loadBalancerClass"] != *class) {
        return Err(Failure::invalid("spec.loadBalancerClass: may not change once set"));
    }
    let ingress = object["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
    if !ingress.is_empty() && !is_balanced {
        return Err(Failure::invalid(
            "status.loadBalancer.ingress: may only be used when `spec.type` is \"LoadBalancer\"",
        ));
    }
    for one in ingress {
        if one["ip"].is_null() && !one["ipMode"].is_null() {
            return Err(Failure::invalid(
                "status.loadBalancer.ingress[0].ipMode: may not be specified when `ip` is not set",
            ));
        }
        if !matches!(one["ipMode"].as_str(), None | Some("VIP" | "Proxy")) {
            return Err(Failure::invalid(
                "status.loadBalancer.ingress[0].ipMode: supported values: \"VIP\", \"Proxy\"",
            ));
        }
    }
    Ok(())
}
