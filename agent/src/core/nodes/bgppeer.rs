//! What nodes have to be told of us: Calico's objects, as YAML.

use serde::Serialize;
use std::fmt;
use std::net::IpAddr;

/// The API of Calico's objects where they are kept as resources of Kubernetes.
pub const CRD: &str = "crd.projectcalico.org/v1";

/// The filter by which nodes take no route from us, and tell us their own alone.
const FILTER: &str = "lvs-import-none";

/// What the objects are to say.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The balancer's name.
    pub name: &'a str,
    /// Which nodes they are for.
    pub selector: &'a str,
    /// Their API.
    pub api: &'a str,
    /// We are the nodes' route reflector: they have to take what we tell them, and need no mesh.
    pub is_reflector: bool,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    api_version: String,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Metadata {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Spec {
    #[serde(rename_all = "camelCase")]
    Peer {
        #[serde(rename = "peerIP")]
        peer_ip: IpAddr,
        as_number: u32,
        node_selector: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        filters: Option<[&'static str; 1]>,
    },
    #[serde(rename_all = "camelCase")]
    Filter { import_v4: [Rule; 1], export_v4: [Rule; 1], import_v6: [Rule; 1], export_v6: [Rule; 1] },
    #[serde(rename_all = "camelCase")]
    Cluster { as_number: u32, node_to_node_mesh_enabled: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Rule {
    action: &'static str,
    /// Of which routes, of all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
}

impl Rule {
    /// Nothing passes.
    const NOTHING: Self = Self { action: "Reject", source: None };
    /// What the node has heard from others does not pass.
    const OTHERS: Self = Self { action: "Reject", source: Some("RemotePeers") };
}

/// As a mapping of YAML in one line.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{action: {}", self.action)?;
        if let Some(source) = self.source {
            write!(f, ", source: {source}")?;
        }
        f.write_str("}")
    }
}

/// A peer for each of our addresses; the filter of all of them, by which nodes take nothing and tell nothing of others, or
/// for those whose reflector we are the end of their mesh.
pub fn objects(wanted: &Wanted<'_>, asn: u32, addresses: &[IpAddr]) -> Vec<Object> {
    let object = |kind, name: String, spec| Object {
        api_version: wanted.api.to_owned(),
        kind,
        metadata: Metadata { name },
        spec,
    };
    let peer = |address: &IpAddr| {
        let family = crate::config::Family::of(*address);
        let node_selector = wanted.selector.to_owned();
        let filters = (!wanted.is_reflector).then_some([FILTER]);
        let spec = Spec::Peer { peer_ip: *address, as_number: asn, node_selector, filters };
        object("BGPPeer", format!("{}-{family}", of_dns(wanted.name)), spec)
    };
    let last = match wanted.is_reflector {
        false => {
            let (import, export) = ([Rule::NOTHING], [Rule::OTHERS]);
            let spec =
                Spec::Filter { import_v4: import, export_v4: export, import_v6: import, export_v6: export };
            object("BGPFilter", FILTER.to_owned(), spec)
        }
        true => {
            let spec = Spec::Cluster { as_number: asn, node_to_node_mesh_enabled: false };
            object("BGPConfiguration", "default".to_owned(), spec)
        }
    };
    addresses.iter().map(peer).chain([last]).collect()
}

/// A name that Kubernetes takes (RFC 1123).
fn of_dns(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(letter).collect();
    name.trim_matches(['-', '.']).to_owned()
}

/// What stands before an object that is not to be applied without a thought.
fn hint(kind: &str) -> &'static str {
    match kind {
        "BGPConfiguration" => {
            "# Ends the nodes' mesh: not before `lvsctl nodes` has every session as\n\
             # Established, on each balancer. Nodes with an AS number of their own need\n\
             # this one.\n"
        }
        "BGPFilter" => {
            "# The export rules keep nodes from telling one another's routes. Leave them\n\
             # out where `kubectl explain bgpfilters.spec.exportV4` shows no `source`\n\
             # (Calico before 3.28 may not): they would reject everything; and where\n\
             # only the nodes' route reflectors talk to the balancer.\n"
        }
        _ => "",
    }
}

/// The objects as one YAML stream. Texts are quoted as JSON does, which is YAML, too.
pub fn yaml(objects: &[Object]) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let document = |object: &Object| {
        let Object { api_version, kind, metadata, spec } = object;
        let head = hint(kind).to_owned()
            + &format!(
                "apiVersion: {api_version}\nkind: {kind}\nmetadata:\n  name: {}\nspec:\n",
                metadata.name
            );
        head + &match spec {
            Spec::Peer { peer_ip, as_number, node_selector, filters } => {
                let filters = filters.map_or_else(String::new, |[filter]| format!("  filters: [{filter}]\n"));
                let (address, selector) = (quoted(&peer_ip.to_string()), quoted(node_selector));
                format!("  peerIP: {address}\n  asNumber: {as_number}\n  nodeSelector: {selector}\n{filters}")
            }
            Spec::Filter { import_v4: [in4], export_v4: [out4], import_v6: [in6], export_v6: [out6] } => {
                format!(
                    "  importV4: [{in4}]\n  exportV4: [{out4}]\n  importV6: [{in6}]\n  exportV6: [{out6}]\n"
                )
            }
            Spec::Cluster { as_number, node_to_node_mesh_enabled } => {
                format!("  asNumber: {as_number}\n  nodeToNodeMeshEnabled: {node_to_node_mesh_enabled}\n")
            }
        }
    };
    objects.iter().map(document).collect::<Vec<_>>().join("---\n")
}
