//! A cluster as Kubernetes and Calico write it down: a list of objects, as `kubectl get … -o json` prints it.
//!
//! Read are `Node` (of Kubernetes with Calico's annotations, and of Calico itself), `IPPool`, `BlockAffinity`,
//! `BGPConfiguration` and `BGPPeer`, as `crd.projectcalico.org/v1` and `projectcalico.org/v3` have them; others are passed over.

use super::{Cluster, ClusterNode, NodesNeighbour};
use crate::config::IpPool;
use bgp::Prefix;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The lengths of blocks when a pool says none (Calico, IPPool `blockSize`).
const BLOCK_SIZES: [u8; 2] = [26, 122];

/// Why a list cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// It is no JSON.
    #[error("line {line}, column {column}: {problem}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        problem: String,
    },
    /// It is no list.
    #[error("expected a list of objects, {{\"items\": […]}}, as kubectl get … -o json prints it")]
    NoList,
    /// An object is not as it should be.
    #[error("item {index} ({kind} {name}): {field}: expected {expected}, found {found}")]
    Object {
        /// Its place in the list, from 0.
        index: usize,
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// The field.
        field: String,
        /// What was expected.
        expected: &'static str,
        /// What is there.
        found: String,
    },
}

/// Reads a list.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn cluster(text: &[u8]) -> Result<Cluster, ListError> {
    let list: Value = serde_json::from_slice(text).map_err(|error| ListError::Json {
        line: error.line(),
        column: error.column(),
        problem: error.to_string(),
    })?;
    of_items(list.get("items").and_then(Value::as_array).ok_or(ListError::NoList)?)
}

/// Reads objects.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn of_items<'a>(items: impl IntoIterator<Item = &'a Value>) -> Result<Cluster, ListError> {
    let mut reader = Reader::default();
    for (index, item) in items.into_iter().enumerate() {
        let text = |key: &str| item.pointer(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let object = Object { index, kind: text("/kind"), name: text("/metadata/name"), item };
        reader.take(&object)?;
    }
    Ok(reader.finish())
}

#[derive(Default)]
struct Reader {
    cluster: Cluster,
    /// Blocks that follow from `Node.spec.podCIDRs`, where there is no IPAM of Calico's.
    pod_cidrs: BTreeMap<Prefix, String>,
    has_affinities: bool,
}

impl Reader {
    fn take(&mut self, object: &Object<'_>) -> Result<(), ListError> {
        match object.kind.as_str() {
            "Node" => self.node(object),
            "IPPool" => self.pool(object),
            "BlockAffinity" => self.affinity(object),
            "BGPConfiguration" => self.configuration(object),
            "BGPPeer" => self.peer(object),
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> Cluster {
        if !self.has_affinities {
            self.cluster.blocks = self.pod_cidrs;
        }
        self.cluster
    }

    /// What Kubernetes and Calico say of one node is put together.
    fn node(&mut self, object: &Object<'_>) -> Result<(), ListError> {
        let mut found = ClusterNode::default();
        let sources = [
            ["/metadata/annotations/projectcalico.org~1IPv4Address", "/spec/bgp/ipv4Address"],
            ["/metadata/annotations/projectcalico.org~1IPv6Address", "/spec/bgp/ipv6Address"],
        ];
        for field in sources.into_iter().flatten() {
            found.addresses.extend(object.read(field, "an address with a prefix length", |text| {
                text.split('/').next().and_then(|address| address.parse::<IpAddr>().ok())
            })?);
        }
        for field in ["/metadata/annotations/projectcalico.org~1ASNumber", "/spec/bgp/asNumber"] {
            found.asn = object.asn(field)?.or(found.asn);
        }
        let clusters = [
            "/metadata/annotations/projectcalico.org~1RouteReflectorClusterID",
            "/spec/bgp/routeReflectorClusterID",
        ];
        found.is_reflector = clusters.iter().any(|field| object.text(field).is_some_and(|id| !id.is_empty()));
        for cidr in object.item.pointer("/spec/podCIDRs").and_then(Value::as_array).into_iter().flatten() {
            let read = || cidr.as_str().and_then(|text| text.parse::<Prefix>().ok());
            let cidr = read().ok_or_else(|| object.wrong("/spec/podCIDRs", "prefixes", cidr))?;
            self.pod_cidrs.insert(cidr, object.name.clone());
        }
        let node = self.cluster.nodes.entry(object.name.clone()).or_default();
        for address in found.addresses {
            if !node.addresses.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
                node.addresses.push(address);
            }
        }
        node.asn = found.asn.or(node.asn);
        node.is_reflector |= found.is_reflector;
        Ok(())
    }

    /// One with an address, perhaps with a port; others select nodes as peers of nodes.
    fn peer(&mut self, object: &Object<'_>) -> Result<(), ListError> {
        let peers = self.cluster.peers.get_or_insert_default();
        let address = |text: &str| {
            let with_port = text.parse().map(|address: SocketAddr| address.ip());
            text.parse().or(with_port).ok()
        };
        if let Some(address) = object.text("/spec/peerIP").and_then(address) {
            let asn = object.asn("/spec/asNumber")?;
            peers.insert(object.name.clone(), NodesNeighbour { address, asn });
        }
        Ok(())
    }

    fn pool(&mut self, object: &Object<'_>) -> Result<(), ListError> {
        let cidr = object.prefix("/spec/cidr")?;
        let default = BLOCK_SIZES[usize::from(!cidr.address().is_ipv4())].max(cidr.len());
        let fits = |size: &u64| (u64::from(cidr.len())..=u64::from(cidr.family().bits())).contains(size);
        let block_size = match object.item.pointer("/spec/blockSize") {
            None | Some(Value::Null) => default,
            Some(size) => {
                let found = size.as_u64().filter(fits).and_then(|size| u8::try_from(size).ok());
                found
                    .ok_or_else(|| object.wrong("/spec/blockSize", "a length of blocks in the pool", size))?
            }
        };
        self.cluster.pools.insert(IpPool { cidr, block_size });
        Ok(())
    }

    /// Those that are confirmed; the name of one is cut and hashed and says nothing.
    fn affinity(&mut self, object: &Object<'_>) -> Result<(), ListError> {
        self.has_affinities = true;
        let is_deleted = match object.item.pointer("/spec/deleted") {
            Some(Value::String(text)) => text == "true",
            Some(other) => other.as_bool().unwrap_or(false),
            None => false,
        };
        let is_confirmed = object.text("/spec/state").is_none_or(|state| state == "confirmed");
        let is_virtual = object.text("/spec/type").is_some_and(|kind| kind == "virtual");
        if is_deleted || !is_confirmed || is_virtual {
            return Ok(());
        }
        let block = object.prefix("/spec/cidr")?;
        let node = object.text("/spec/node").filter(|node| !node.is_empty());
        let node = node.ok_or_else(|| object.wrong("/spec/node", "the name of a node", &Value::Null))?;
        self.cluster.blocks.insert(block, node.to_owned());
        Ok(())
    }

    /// The one for all nodes; others are of single nodes and say nothing of this.
    fn configuration(&mut self, object: &Object<'_>) -> Result<(), ListError> {
        if object.name != "default" {
            return Ok(());
        }
        self.cluster.asn = object.asn("/spec/asNumber")?;
        for field in ["/spec/serviceClusterIPs", "/spec/serviceExternalIPs", "/spec/serviceLoadBalancerIPs"] {
            for block in object.item.pointer(field).and_then(Value::as_array).into_iter().flatten() {
                let cidr =
                    block.get("cidr").and_then(Value::as_str).and_then(|text| text.parse::<Prefix>().ok());
                let cidr = cidr.ok_or_else(|| object.wrong(field, "prefixes as {\"cidr\": …}", block))?;
                self.cluster.service_cidrs.insert(cidr);
            }
        }
        Ok(())
    }
}

struct Object<'a> {
    index: usize,
    kind: String,
    name: String,
    item: &'a Value,
}

impl Object<'_> {
    fn text(&self, field: &str) -> Option<&str> {
        self.item.pointer(field).and_then(Value::as_str)
    }

    /// A field that may be absent or empty.
    fn read<T>(
        &self,
        field: &str,
        expected: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ListError> {
        match self.item.pointer(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(value) => {
                value.as_str().and_then(read).map(Some).ok_or_else(|| self.wrong(field, expected, value))
            }
        }
    }

    fn prefix(&self, field: &str) -> Result<Prefix, ListError> {
        let found = self.read(field, "a prefix", |text| text.parse().ok())?;
        found.ok_or_else(|| self.wrong(field, "a prefix", &Value::Null))
    }

    /// An AS number as Calico has it: a number, its digits, or `HIGH.LOW`.
    fn asn(&self, field: &str) -> Result<Option<u32>, ListError> {
        const EXPECTED: &str = "an AS number";
        if let Some(Value::Number(number)) = self.item.pointer(field) {
            let asn = number.as_u64().and_then(|asn| u32::try_from(asn).ok());
            return asn.map(Some).ok_or_else(|| self.wrong(field, EXPECTED, &Value::Number(number.clone())));
        }
        self.read(field, EXPECTED, |text| match text.split_once('.') {
            None => text.parse().ok(),
            Some((high, low)) => {
                let (high, low): (u16, u16) = (high.parse().ok()?, low.parse().ok()?);
                Some((u32::from(high) << 16) | u32::from(low))
            }
        })
    }

    fn wrong(&self, field: &str, expected: &'static str, found: &Value) -> ListError {
        let field = field.trim_start_matches('/').replace('/', ".").replace("~1", "/");
        let found = match found {
            Value::Null => "nothing".to_owned(),
            other => crate::config::walk::shortened(&other.to_string()),
        };
        let (index, kind, name) = (self.index, self.kind.clone(), self.name.clone());
        ListError::Object { index, kind, name, field, expected, found }
    }
}
