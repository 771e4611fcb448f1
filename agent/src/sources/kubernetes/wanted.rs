//! What a pool of the configuration asks of a cluster.

use super::model::Key;
use super::pools::{Behind, Wanted};
use super::selector::SelectorError;
use crate::config::{KubernetesSettings, Query, ServiceQuery};

/// Reads a query.
///
/// # Errors
/// Why it can never be answered.
pub(super) fn read(query: &Query, settings: &KubernetesSettings) -> Result<Wanted, String> {
    match query {
        Query::Path(path) => Err(format!("a cluster has no pool {path}: name a service or nodes")),
        Query::Nodes { selector } => {
            selector.parse().map(Wanted::Nodes).map_err(|error: SelectorError| error.to_string())
        }
        Query::Service(asked) => {
            let ServiceQuery { namespace, name, port, front } = &**asked;
            let service = Key { namespace: namespace.clone(), name: name.clone() };
            if !settings.namespaces.is_empty() && !settings.namespaces.contains(namespace) {
                return Err(format!("{service}: {namespace} is none of the namespaces that are read"));
            }
            // Who names a node port in the configuration has put the VIPs on the nodes, as on every real server.
            Ok(Wanted::Service(Behind {
                service,
                port: port.clone(),
                front: front.clone(),
                is_on_nodes: true,
            }))
        }
    }
}
