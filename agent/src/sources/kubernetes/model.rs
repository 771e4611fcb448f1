//! What is kept of a cluster's objects: as little as the rules need, because there are a hundred thousand of them.

use super::pods::Pods;
use crate::config::Family;
use crate::core::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The name of an object in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// `prod/web`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Texts by their keys, in the order of these. Whoever keeps a copy shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts(Arc<[(Arc<str>, Arc<str>)]>);

impl Texts {
    /// The text of a key.
    pub fn get(&self, key: &str) -> Option<&Arc<str>> {
        let place = self.0.binary_search_by(|(own, _)| (**own).cmp(key)).ok()?;
        self.0.get(place).map(|(_, text)| text)
    }

    /// Whether there is a text of this key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter().map(|(key, text)| (key, text))
    }
}

/// The last text of a key counts.
impl FromIterator<(Arc<str>, Arc<str>)> for Texts {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Arc<str>)>>(all: I) -> Self {
        Self(all.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect())
    }
}

/// What `spec.type` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// An address of the cluster's own.
    #[default]
    ClusterIp,
    /// A port of every node.
    NodePort,
    /// Somebody outside balances.
    LoadBalancer,
    /// A name in the DNS; nothing is behind it.
    ExternalName,
}

/// Where packets that come from outside go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Any node passes them on to any endpoint.
    #[default]
    Cluster,
    /// A node gives them to its own endpoints, and drops them without any.
    Local,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name; empty where the Service has one port only.
    pub name: Arc<str>,
    /// Its protocol; none is one that IPVS does not know.
    pub protocol: Option<ipvs::Protocol>,
    /// The port at the Service's addresses.
    pub port: u16,
    /// The port at every node.
    pub node_port: Option<u16>,
}

/// `https (443/TCP)`.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.name.is_empty() {
            write!(f, "{} ", self.name)?;
        }
        write!(f, "{}", self.port)
    }
}

/// What a node does with packets to an address in `status.loadBalancer`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpMode {
    /// kube-proxy takes them.
    #[default]
    Vip,
    /// They come to the node with the node's own address as their destination.
    Proxy,
}

/// An address in `status.loadBalancer.ingress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// The address.
    pub address: IpAddr,
    /// What nodes do with packets to it.
    pub mode: IpMode,
    /// Whether one of its ports has the error that we write.
    pub is_refused: bool,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub key: Key,
    /// What tells it from one that had the name before.
    pub uid: Arc<str>,
    /// Since when it is there, by the API server's clock.
    pub created: Option<Timestamp>,
    /// Its type.
    pub kind: Kind,
    /// `spec.loadBalancerClass`.
    pub class: Option<Arc<str>>,
    /// Its ports, in its order.
    pub ports: Box<[Port]>,
    /// `spec.externalIPs`.
    pub external_ips: Box<[IpAddr]>,
    /// `status.loadBalancer.ingress`, those with an address.
    pub ingress: Box<[Ingress]>,
    /// `spec.loadBalancerIP`.
    pub asked_for: Option<IpAddr>,
    /// `spec.externalTrafficPolicy`.
    pub policy: Policy,
    /// `spec.healthCheckNodePort`.
    pub health_check_port: Option<u16>,
    /// How long a client stays with its endpoint (`spec.sessionAffinity: ClientIP`).
    pub affinity: Option<Duration>,
    /// The families that it is served in; empty where it does not say.
    pub families: &'static [Family],
    /// It is nothing without addresses of both families (`spec.ipFamilyPolicy: RequireDualStack`).
    pub needs_both: bool,
    /// Annotations that are for us, without their prefix.
    pub annotations: Texts,
    /// It waits for its finalizers.
    pub is_deleting: bool,
}

/// An endpoint of a Service, as one slice has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// It takes connections.
    pub is_ready: bool,
    /// It would take connections, if it were not to end.
    pub is_serving: bool,
    /// It is about to end.
    pub is_terminating: bool,
    /// The node that it is on.
    pub node: Option<Arc<str>>,
}

/// A port of a slice's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// The name of the Service's port.
    pub name: Arc<str>,
    /// Its protocol; none is one that IPVS does not know.
    pub protocol: Option<ipvs::Protocol>,
    /// Where the endpoints listen.
    pub port: u16,
}

/// An EndpointSlice: some of a Service's endpoints, all of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The Service that it belongs to; one without a name when it belongs to none.
    pub service: Key,
    /// Its own name.
    pub name: Arc<str>,
    /// The family of its addresses.
    pub family: Family,
    /// Its ports.
    pub ports: Box<[SlicePort]>,
    /// Its endpoints.
    pub endpoints: Box<[Endpoint]>,
    /// The pods that they are.
    pub pods: Pods,
}

impl Slice {
    /// The name of the slice itself.
    pub fn own_key(&self) -> Key {
        Key { namespace: Arc::clone(&self.service.namespace), name: Arc::clone(&self.name) }
    }

    /// Whether it belongs to a Service.
    pub fn has_service(&self) -> bool {
        !self.service.name.is_empty()
    }
}

/// A Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Its addresses in the cluster, at most one a family. Every pool that it is in has these.
    pub addresses: Arc<[IpAddr]>,
    /// Its labels.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// No new pods are put there (`kubectl cordon`).
    pub is_cordoned: bool,
    /// Why it is to get no traffic, if it is not.
    pub out: Option<Out>,
}

/// Why a node is to get no traffic from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// It is being deleted.
    Deleting,
    /// The cluster autoscaler is about to delete it.
    ToBeDeleted,
    /// Its label says so.
    Excluded,
}

impl fmt::Display for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deleting => "it is being deleted",
            Self::ToBeDeleted => "it has the taint ToBeDeletedByClusterAutoscaler",
            Self::Excluded => "it has the label node.kubernetes.io/exclude-from-external-load-balancers",
        })
    }
}
