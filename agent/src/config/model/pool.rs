//! Where a service's backends are written down, and what is said of each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// Where a service's backends come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// From the configuration itself, sorted by host; never empty.
    Inline(Vec<Backend>),
    /// From pools that are kept elsewhere, at least one and none twice. Of a host that several list, the first one's word
    /// counts.
    Sources(Vec<PoolId>),
}

impl Pool {
    /// The pools that are kept elsewhere.
    pub fn sources(&self) -> &[PoolId] {
        match self {
            Self::Inline(_) => &[],
            Self::Sources(pools) => pools,
        }
    }
}

/// A pool that is kept outside the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolId {
    /// In a pool file, see [`crate::pool_file`].
    File(PathBuf),
    /// In a source of [`Config::sources`](super::Config::sources).
    Remote {
        /// The source's name.
        source: Arc<str>,
        /// Which of its pools.
        query: Query,
    },
}

impl PoolId {
    /// The source that it is in, if it is in one.
    pub fn source(&self) -> Option<&Arc<str>> {
        match self {
            Self::File(_) => None,
            Self::Remote { source, .. } => Some(source),
        }
    }
}

impl From<PathBuf> for PoolId {
    fn from(file: PathBuf) -> Self {
        Self::File(file)
    }
}

/// The path of a file, or `SOURCE:QUERY`.
impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Remote { source, query } => write!(f, "{source}:{query}"),
        }
    }
}

/// What a source is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// A pool by its path below what the source is set to: of etcd and HTTP.
    Path(Arc<str>),
    /// The endpoints of a Kubernetes Service, or the nodes that serve it. Kept once: thousands of them are keys of several maps.
    Service(Arc<ServiceQuery>),
    /// Kubernetes' nodes with these labels.
    Nodes {
        /// A label selector as `kubectl get -l` takes it; empty: all nodes.
        selector: Arc<str>,
    },
}

/// What is asked for of a Kubernetes Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceQuery {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The name or number of one of its ports; its only one when absent.
    pub port: Option<Arc<str>>,
    /// What it is for.
    pub front: Front,
}

/// Where a service's clients come, and what its packets are by the time that they arrive at its backends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Front {
    /// The service's VIPs.
    pub vips: Arc<[IpAddr]>,
    /// Its protocol.
    pub protocol: ipvs::Protocol,
    /// The port at the backends.
    pub backend_port: u16,
    /// What the backends are.
    pub to: Target,
}

/// What the backends of a Kubernetes Service are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Nodes, which take what comes to the VIPs: by direct routing or a tunnel.
    Nodes,
    /// Nodes, which get packets for their own addresses at the Service's node port (NAT).
    NodePorts,
    /// Pods, which get packets for their own addresses (NAT).
    Pods,
    /// Pods in their node's network, where the VIPs are: by direct routing or a tunnel.
    HostPods,
}

/// `eqiad/cache/text`, `service prod/web port https at tcp 192.0.2.10:443` or `nodes role=ingress`.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(path),
            Self::Service(asked) => {
                let ServiceQuery { namespace, name, port, front } = &**asked;
                write!(f, "service {namespace}/{name}")?;
                if let Some(port) = port {
                    write!(f, " port {port}")?;
                }
                // No two services have a VIP and port in common, so that this names one of them.
                let vip = front.vips.first().map(|vip| SocketAddr::new(*vip, front.backend_port));
                vip.map_or(Ok(()), |vip| write!(f, " at {} {vip}", front.protocol))
            }
            Self::Nodes { selector } if selector.is_empty() => f.write_str("all nodes"),
            Self::Nodes { selector } => write!(f, "nodes {selector}"),
        }
    }
}

/// Addresses of hosts, at least one each. Services that have a host in common share them.
pub type HostAddresses = BTreeMap<Arc<str>, Arc<[IpAddr]>>;

/// One backend of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backend {
    /// Host name in lower case, or an IP address in its canonical form.
    pub host: Arc<str>,
    /// Its share of new connections, 0 to 65535.
    pub weight: ipvs::Weight,
    /// What its source says of it.
    pub pooled: Admin,
    /// When it has enough connections.
    #[serde(default)]
    pub limits: ConnectionLimits,
    /// Its addresses, if the source knows them; looked up by the host's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Arc<[IpAddr]>>,
}

/// When a backend gets no more connections, and when some again. The kernel counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConnectionLimits {
    /// With so many connections it gets no more; 0: no limit.
    pub upper: u32,
    /// Below so many it gets some again; at most `upper`, 0: three quarters of it.
    pub lower: u32,
}

/// The administrative state of a backend, from the least strict to the strictest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    /// It is to serve: `true` or `"yes"`.
    #[default]
    Pooled,
    /// It is to get no new connections; those that it has finish. An operator's word only.
    Drained,
    /// It is to get no new connections: `false` or `"no"`.
    Depooled,
    /// It is no part of the pool: `"inactive"`.
    Inactive,
}

impl Admin {
    /// The state in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pooled => "pooled",
            Self::Drained => "drained",
            Self::Depooled => "depooled",
            Self::Inactive => "inactive",
        }
    }

    /// The states as sources spell them.
    pub(crate) const WORDS: &str = "true, false, \"yes\", \"no\" or \"inactive\"";

    /// The state that a word stands for.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        match word {
            "yes" => Some(Self::Pooled),
            "no" => Some(Self::Depooled),
            "inactive" => Some(Self::Inactive),
            _ => None,
        }
    }
}

impl From<bool> for Admin {
    /// `true` is to serve, `false` is not to.
    fn from(pooled: bool) -> Self {
        if pooled { Self::Pooled } else { Self::Depooled }
    }
}
