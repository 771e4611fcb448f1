//! The API's objects as they come over the wire, read leniently and made small at once.
//!
//! A field that is not understood leaves out what it says, not the object: the API server has checked objects already,
//! and a newer one may say more than is known here.

use super::metadata::slim;
use super::model::{
    Endpoint, Ingress, IpMode, Key, Kind, Node, Out, Policy, Port, Service, Slice, SlicePort, Texts,
};
use super::names::Names;
use super::pods::Pods;
use crate::config::Family;
use kube::api::ObjectMeta;
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What annotations for us begin with.
pub const ANNOTATION: &str = "lvsd/";

/// What keeps a Service until its status is taken back (KEP-980).
pub const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// The error of each port of a Service that is refused, in its status.
pub const REFUSED: &str = "lvsd/Refused";

/// The Service of a slice.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A node with it is to get nothing from outside.
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// The cluster autoscaler sets it before it deletes a node.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// As long as a client stays with its endpoint when nothing else is said: three hours (Service v1).
const AFFINITY: Duration = Duration::from_secs(10_800);

/// An object that is there as null is there as nothing.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

macro_rules! resource {
    ($name:ident, $kind:literal, $group:literal, $plural:literal) => {
        impl kube::Resource for $name {
            type DynamicType = ();
            // One that leaves open whether there is a namespace in the path.
            type Scope = DynamicResourceScope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                "v1".into()
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource!(ServiceObject, "Service", "", "services");
resource!(SliceObject, "EndpointSlice", "discovery.k8s.io", "endpointslices");
resource!(NodeObject, "Node", "", "nodes");

/// An object that something small can be made of.
pub trait Compact: kube::Resource<DynamicType = (), Scope = DynamicResourceScope> {
    /// What is kept of it.
    type Kept: Send + 'static;

    /// Makes it small; nothing where it is of no use.
    fn compact(self, names: &mut Names) -> Option<Self::Kept>;
}

/// A Service, v1.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceObject {
    /// Its metadata, as far as it is of use.
    #[serde(deserialize_with = "slim")]
    pub metadata: ObjectMeta,
    #[serde(deserialize_with = "nullable")]
    spec: ServiceSpec,
    #[serde(deserialize_with = "nullable")]
    status: ServiceStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceSpec {
    r#type: Option<String>,
    load_balancer_class: Option<String>,
    #[serde(deserialize_with = "nullable")]
    ports: Vec<PortObject>,
    #[serde(rename = "externalIPs", deserialize_with = "nullable")]
    external_ips: Vec<String>,
    #[serde(rename = "loadBalancerIP")]
    load_balancer_ip: Option<String>,
    external_traffic_policy: Option<String>,
    health_check_node_port: Option<i64>,
    session_affinity: Option<String>,
    session_affinity_config: Option<AffinityConfig>,
    #[serde(deserialize_with = "nullable")]
    ip_families: Vec<String>,
    ip_family_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PortObject {
    name: Option<String>,
    protocol: Option<String>,
    port: i64,
    node_port: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AffinityConfig {
    #[serde(rename = "clientIP")]
    client_ip: Option<ClientIp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClientIp {
    timeout_seconds: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceStatus {
    #[serde(deserialize_with = "nullable")]
    load_balancer: LoadBalancer,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    #[serde(deserialize_with = "nullable")]
    ingress: Vec<IngressObject>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IngressObject {
    ip: Option<String>,
    ip_mode: Option<String>,
    #[serde(deserialize_with = "nullable")]
    ports: Vec<PortStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PortStatus {
    error: Option<String>,
}

impl Compact for ServiceObject {
    type Kept = Service;

    fn compact(self, names: &mut Names) -> Option<Service> {
        let (meta, spec) = (self.metadata, self.spec);
        let ingress = self.status.load_balancer.ingress.into_iter();
        Some(Service {
            key: key(&meta, names)?,
            kind: spec.kind(),
            policy: spec.policy(),
            affinity: spec.affinity(),
            created: meta.creation_timestamp.map(|time| SystemTime::from(time.0).into()),
            uid: meta.uid.unwrap_or_default().into(),
            class: spec.load_balancer_class.map(|class| names.share(&class)),
            ports: spec.ports.into_iter().filter_map(|port| port.compact(names)).collect(),
            external_ips: spec.external_ips.iter().filter_map(|text| text.parse().ok()).collect(),
            ingress: ingress.filter_map(IngressObject::compact).collect(),
            asked_for: spec.load_balancer_ip.and_then(|text| text.parse().ok()),
            health_check_port: spec.health_check_node_port.and_then(port),
            families: families(&spec.ip_families),
            needs_both: spec.ip_family_policy.as_deref() == Some("RequireDualStack"),
            annotations: shared(meta.annotations, names),
            is_deleting: meta.deletion_timestamp.is_some(),
        })
    }
}

impl ServiceSpec {
    fn kind(&self) -> Kind {
        match self.r#type.as_deref() {
            Some("NodePort") => Kind::NodePort,
            Some("LoadBalancer") => Kind::LoadBalancer,
            Some("ExternalName") => Kind::ExternalName,
            Some(_) | None => Kind::ClusterIp,
        }
    }

    fn policy(&self) -> Policy {
        match self.external_traffic_policy.as_deref() {
            Some("Local") => Policy::Local,
            Some(_) | None => Policy::Cluster,
        }
    }

    fn affinity(&self) -> Option<Duration> {
        if self.session_affinity.as_deref() != Some("ClientIP") {
            return None;
        }
        let config = self.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        let seconds = config.and_then(|config| config.timeout_seconds);
        Some(seconds.map_or(AFFINITY, Duration::from_secs))
    }
}

impl IngressObject {
    /// Nothing of one that is known by its name only.
    fn compact(self) -> Option<Ingress> {
        let mode = match self.ip_mode.as_deref() {
            Some("Proxy") => IpMode::Proxy,
            Some(_) | None => IpMode::Vip,
        };
        let is_refused = self.ports.iter().any(|port| port.error.as_deref() == Some(REFUSED));
        Some(Ingress { address: self.ip?.parse().ok()?, mode, is_refused })
    }
}

impl PortObject {
    fn compact(self, names: &mut Names) -> Option<Port> {
        Some(Port {
            name: names.share(&self.name.unwrap_or_default()),
            protocol: protocol(self.protocol.as_deref()),
            port: port(self.port)?,
            node_port: self.node_port.and_then(port),
        })
    }
}

/// An EndpointSlice, discovery.k8s.io/v1.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SliceObject {
    /// Its metadata, as far as it is of use.
    #[serde(deserialize_with = "slim")]
    pub metadata: ObjectMeta,
    address_type: Option<String>,
    #[serde(deserialize_with = "nullable")]
    ports: Vec<SlicePortObject>,
    #[serde(deserialize_with = "nullable")]
    endpoints: Vec<EndpointObject>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SlicePortObject {
    name: Option<String>,
    protocol: Option<String>,
    port: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EndpointObject {
    #[serde(deserialize_with = "nullable")]
    addresses: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    conditions: Conditions,
    node_name: Option<String>,
    target_ref: Option<TargetRef>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TargetRef {
    kind: Option<String>,
    name: Option<String>,
}

impl Compact for SliceObject {
    type Kept = Slice;

    /// A slice of names (FQDN), or of no Service, belongs to nobody.
    fn compact(self, names: &mut Names) -> Option<Slice> {
        let own = key(&self.metadata, names)?;
        let named = self.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME));
        let family = self.address_type.as_deref().and_then(family);
        let service = named.map(String::as_str).filter(|_| family.is_some()).unwrap_or_default();
        let endpoints = self.endpoints.into_iter().filter_map(|endpoint| endpoint.compact(names));
        let (endpoints, pods): (Vec<Endpoint>, Vec<Option<String>>) = endpoints.unzip();
        Some(Slice {
            service: Key { namespace: own.namespace, name: service.into() },
            name: own.name,
            family: family.unwrap_or(Family::Ipv4),
            ports: self.ports.into_iter().filter_map(|port| port.compact(names)).collect(),
            endpoints: endpoints.into(),
            pods: Pods::new(&pods),
        })
    }
}

impl SlicePortObject {
    fn compact(self, names: &mut Names) -> Option<SlicePort> {
        Some(SlicePort {
            name: names.share(&self.name.unwrap_or_default()),
            protocol: protocol(self.protocol.as_deref()),
            port: port(self.port?)?,
        })
    }
}

impl EndpointObject {
    /// It, and the pod that it is. The addresses are alternatives of one endpoint, and consumers take the first (EndpointSlice v1).
    fn compact(self, names: &mut Names) -> Option<(Endpoint, Option<String>)> {
        let endpoint = Endpoint {
            address: self.addresses.first()?.parse().ok()?,
            is_ready: self.conditions.ready.unwrap_or(true),
            is_serving: self.conditions.serving.unwrap_or(true),
            is_terminating: self.conditions.terminating.unwrap_or(false),
            node: self.node_name.map(|name| names.share(&name)),
        };
        let pod = self.target_ref.filter(|target| target.kind.as_deref() == Some("Pod"));
        Some((endpoint, pod.and_then(|target| target.name)))
    }
}

/// A Node, v1.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeObject {
    /// Its metadata, as far as it is of use.
    #[serde(deserialize_with = "slim")]
    pub metadata: ObjectMeta,
    #[serde(deserialize_with = "nullable")]
    spec: NodeSpec,
    #[serde(deserialize_with = "nullable")]
    status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    unschedulable: Option<bool>,
    #[serde(deserialize_with = "nullable")]
    taints: Vec<Taint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Taint {
    key: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    #[serde(deserialize_with = "nullable")]
    addresses: Vec<NodeAddress>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeAddress {
    r#type: String,
    address: String,
}

impl Compact for NodeObject {
    type Kept = Node;

    fn compact(self, _names: &mut Names) -> Option<Node> {
        let labels: BTreeMap<Arc<str>, Arc<str>> = texts(self.metadata.labels);
        let excluded = labels.get(EXCLUDE).is_some_and(|value| is_true(value));
        let to_be_deleted = self.spec.taints.iter().any(|taint| taint.key == TO_BE_DELETED);
        let out = match (self.metadata.deletion_timestamp.is_some(), to_be_deleted, excluded) {
            (true, _, _) => Some(Out::Deleting),
            (false, true, _) => Some(Out::ToBeDeleted),
            (false, false, true) => Some(Out::Excluded),
            (false, false, false) => None,
        };
        Some(Node {
            name: self.metadata.name?.into(),
            addresses: self.status.internal().into(),
            labels,
            is_cordoned: self.spec.unschedulable.unwrap_or(false),
            out,
        })
    }
}

impl NodeStatus {
    /// The first internal address of each family.
    fn internal(&self) -> Vec<IpAddr> {
        let mut found: Vec<IpAddr> = Vec::new();
        let internal = self.addresses.iter().filter(|address| address.r#type == "InternalIP");
        for address in internal.filter_map(|address| address.address.parse::<IpAddr>().ok()) {
            if !found.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
                found.push(address);
            }
        }
        found
    }
}

/// Whether a label of a node is set: a truth value as Go reads it, and anything else means that it is.
fn is_true(value: &str) -> bool {
    !matches!(value, "0" | "f" | "F" | "false" | "False" | "FALSE")
}

fn key(meta: &ObjectMeta, names: &mut Names) -> Option<Key> {
    let (namespace, name) = (meta.namespace.as_deref()?, meta.name.as_deref()?);
    Some(Key { namespace: names.share(namespace), name: name.into() })
}

/// Keys and texts that many Services have in common, as they do.
fn shared(all: Option<BTreeMap<String, String>>, names: &mut Names) -> Texts {
    all.unwrap_or_default().iter().map(|(key, text)| (names.share(key), names.share(text))).collect()
}

fn texts(all: Option<BTreeMap<String, String>>) -> BTreeMap<Arc<str>, Arc<str>> {
    all.unwrap_or_default().into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

fn family(text: &str) -> Option<Family> {
    match text {
        "IPv4" => Some(Family::Ipv4),
        "IPv6" => Some(Family::Ipv6),
        _ => None,
    }
}

/// The families of a Service in its order. There are no others than these, so that none has to be kept.
fn families(texts: &[String]) -> &'static [Family] {
    use Family::{Ipv4, Ipv6};
    let mut found = texts.iter().filter_map(|text| family(text));
    match (found.next(), found.next()) {
        (None, _) => &[],
        (Some(Ipv4), Some(Ipv6)) => &[Ipv4, Ipv6],
        (Some(Ipv6), Some(Ipv4)) => &[Ipv6, Ipv4],
        (Some(Ipv4), Some(Ipv4) | None) => &[Ipv4],
        (Some(Ipv6), Some(Ipv6) | None) => &[Ipv6],
    }
}

fn protocol(text: Option<&str>) -> Option<ipvs::Protocol> {
    match text {
        Some("TCP") | None => Some(ipvs::Protocol::Tcp),
        Some("UDP") => Some(ipvs::Protocol::Udp),
        Some("SCTP") => Some(ipvs::Protocol::Sctp),
        Some(_) => None,
    }
}

fn port(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port > 0)
}
