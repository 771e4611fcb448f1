//! What nodes have to be told of us: Calico's objects, as YAML.

use serde::Serialize;
use std::net::IpAddr;

/// The API of Calico's objects where they are kept as resources of Kubernetes.
pub const CRD: &str = "crd.projectcalico.org/v1";

/// The filter by which nodes take no route from us.
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
        filters: [&'static str; 1],
    },
    #[serde(rename_all = "camelCase")]
    Filter { import_v4: [Rule; 1], import_v6: [Rule; 1] },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Rule {
    action: &'static str,
}

/// A peer for each of our addresses, and the filter of all of them.
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
        let spec = Spec::Peer { peer_ip: *address, as_number: asn, node_selector, filters: [FILTER] };
        object("BGPPeer", format!("{}-{family}", of_dns(wanted.name)), spec)
    };
    let nothing = [Rule { action: "Reject" }];
    let filter =
        object("BGPFilter", FILTER.to_owned(), Spec::Filter { import_v4: nothing, import_v6: nothing });
    addresses.iter().map(peer).chain([filter]).collect()
}

/// A name that Kubernetes takes (RFC 1123).
fn of_dns(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(letter).collect();
    name.trim_matches(['-', '.']).to_owned()
}

/// The objects as one YAML stream. Texts are quoted as JSON does, which is YAML, too.
pub fn yaml(objects: &[Object]) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let document = |object: &Object| {
        let Object { api_version, kind, metadata, spec } = object;
        let head =
            format!("apiVersion: {api_version}\nkind: {kind}\nmetadata:\n  name: {}\nspec:\n", metadata.name);
        head + &match spec {
            Spec::Peer { peer_ip, as_number, node_selector, filters } => format!(
                "  peerIP: {}\n  asNumber: {as_number}\n  nodeSelector: {}\n  filters: [{}]\n",
                quoted(&peer_ip.to_string()),
                quoted(node_selector),
                filters[0]
            ),
            Spec::Filter { import_v4: [v4], import_v6: [v6] } => {
                format!("  importV4: [{{action: {}}}]\n  importV6: [{{action: {}}}]\n", v4.action, v6.action)
            }
        }
    };
    objects.iter().map(document).collect::<Vec<_>>().join("---\n")
}
