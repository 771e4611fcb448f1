//! `[source.NAME]`: where pools are read from beside files. The type decides the other settings.

mod etcd;
mod http;
pub(super) mod kubernetes;
mod tls;

pub use etcd::{Endpoint, EtcdSettings, EtcdVersion, Login};
pub(super) use etcd::{KEYS as ETCD_KEYS, is_directory};
pub use http::HttpSettings;
pub(super) use http::KEYS as HTTP_KEYS;
pub use kubernetes::{AddressPool, AddressRange, Cordon, KubernetesSettings, Lease, WholeServices};
pub use tls::TlsFiles;

use super::model::{Config, PoolId, Query};
use super::value::is_name;
use super::walk::{Node, Run, Section, shortened};
use super::{ConfigError, Problem};
use crate::suggest::suggest;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const NAME: &str = "a name of 1 to 64 of a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or digit";

/// The types of sources as the configuration spells them.
const TYPES: &str = "\"etcd\", \"http\" or \"kubernetes\"";

/// The settings of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceSettings {
    /// Pools in etcd, as conftool writes them.
    Etcd(EtcdSettings),
    /// Pool files on a web server.
    Http(HttpSettings),
    /// A cluster's API.
    Kubernetes(KubernetesSettings),
}

impl SourceSettings {
    /// The type as the configuration spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Etcd(_) => "etcd",
            Self::Http(_) => "http",
            Self::Kubernetes(_) => "kubernetes",
        }
    }

    /// Why it knows no nodes of a cluster, for `[nodes]`; none when it does.
    pub fn without_nodes(&self) -> Option<&'static str> {
        match self {
            Self::Http(_) => Some("is of type \"http\" and knows no nodes"),
            Self::Etcd(EtcdSettings { version: EtcdVersion::V2, .. }) => {
                Some("has version = 2, and Calico writes its nodes by version 3 of etcd's API")
            }
            Self::Etcd(_) | Self::Kubernetes(_) => None,
        }
    }

    /// Whether it has services of its own that are served.
    pub fn has_services(&self) -> bool {
        match self {
            Self::Etcd(_) | Self::Http(_) => false,
            Self::Kubernetes(settings) => settings.services.is_some(),
        }
    }

    /// Whether it can be asked this.
    pub fn takes(&self, query: &Query) -> bool {
        match self {
            Self::Etcd(_) | Self::Http(_) => matches!(query, Query::Path(_)),
            Self::Kubernetes(_) => matches!(query, Query::Service(_) | Query::Nodes { .. }),
        }
    }
}

/// Reads a table; `None` when a part without a default is wrong, which is then reported.
pub(super) fn read(node: &Node<'_>, name: &str) -> Option<(Arc<str>, SourceSettings)> {
    if !is_name(name, false) {
        let (expected, found) = (NAME.to_owned(), format!("{:?}", shortened(name)));
        node.report_key(Problem::Expected { expected, found });
    }
    // Its keys are known once its type is.
    let Some(kind) = node.peek("type") else {
        node.report_key(Problem::Missing { expected: format!("type = {TYPES}") });
        return None;
    };
    let settings = match kind.string(TYPES)? {
        "etcd" => etcd::read(node).map(SourceSettings::Etcd),
        "http" => http::read(node).map(SourceSettings::Http),
        "kubernetes" => kubernetes::read(node).map(SourceSettings::Kubernetes),
        _ => {
            kind.unexpected(TYPES);
            None
        }
    };
    Some((name.into(), settings?))
}

/// Reports services whose pools are in sources that are not there, or that do not have such pools.
pub(super) fn check_strangers(config: &Config, run: &Run<'_>) {
    let broken: Vec<String> = run.errors().iter().map(|error| error.key.clone()).collect();
    let is_wrong = |source: &str| {
        let its = |key: &String| {
            key.strip_prefix("source.").is_some_and(|key| key.split('.').next() == Some(source))
        };
        broken.iter().any(its)
    };
    for service in config.services.values() {
        for pool in service.pool.sources() {
            let PoolId::Remote { source, query } = pool else { continue };
            let problem = match config.sources.get(source) {
                // It is there, and what is wrong with it was said.
                None if is_wrong(source) => continue,
                None => {
                    let names = config.sources.keys().map(|name| &**name);
                    let hint = suggest(source, names).first().map(|near| format!("; did you mean {near}?"));
                    format!("there is no [source.{source}]{}", hint.unwrap_or_default())
                }
                Some(settings) if !settings.takes(query) => {
                    format!("[source.{source}] is of type {:?} and has no {query}", settings.kind())
                }
                Some(_) => continue,
            };
            run.errors().push(ConfigError::new(
                service.origin.clone(),
                format!("service.{}.pool", service.name),
                Problem::Conflict(problem),
            ));
        }
    }
}

/// The setting at `key` as `read` has it, or its default; the inner `None` is an error that was reported.
fn given<T>(
    section: &Section<'_>,
    key: &str,
    default: T,
    read: impl FnOnce(&Node<'_>) -> Option<T>,
) -> Option<T> {
    section.get(key).map_or(Some(default), |node| read(&node))
}
