//! `[source.NAME]` with `type = "kubernetes"`: a cluster's API.

mod services;

pub(in crate::config) use services::POOL_KEYS;

pub use services::{AddressPool, AddressRange, Lease, WholeServices};

use crate::config::value::duration_or;
use crate::config::walk::Node;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(in crate::config) const KEYS: &[&str] = &[
    "type",
    "kubeconfig",
    "context",
    "namespaces",
    "cordon",
    "connect_timeout",
    "watch_timeout",
    "max_backoff",
    "class",
    "external_ips",
    "node_ports",
    "vips_on_nodes",
    "lease",
    "address_pool",
];

const CORDON: &str = "\"ignore\", \"drain\" or \"remove\"";
const NAMESPACE: &str = "a namespace: 1 to 63 of a-z, 0-9 and \"-\"";
const NAMESPACES: &str = "an array of one or more namespaces";
const CONTEXT: &str = "the name of a context of the kubeconfig";

/// As long as a packet or two may be lost on the way.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that died without a word is noticed within it and 5 s more; each costs one request.
const DEFAULT_WATCH_TIMEOUT: Duration = Duration::from_secs(60);

/// What is waited at most between two attempts.
const DEFAULT_BACKOFF: Duration = Duration::from_secs(10);

const TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

/// How a cluster is read, and what is taken from it beside pools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesSettings {
    /// The file that says where the API is and who we are; `$KUBECONFIG` or the pod's own account without.
    pub kubeconfig: Option<PathBuf>,
    /// Its context; the current one without.
    pub context: Option<String>,
    /// The namespaces that are read; all without.
    pub namespaces: BTreeSet<Arc<str>>,
    /// What a cordon means.
    pub cordon: Cordon,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a watch lasts before it is asked for anew, in whole seconds.
    pub watch_timeout: Duration,
    /// The longest wait between two attempts.
    pub max_backoff: Duration,
    /// The Services that are served whole, if any are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<WholeServices>,
}

/// What becomes of a node that gets no new pods (`kubectl cordon`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cordon {
    /// Nothing: those that it has go on.
    #[default]
    Ignore,
    /// It gets no new connections.
    Drain,
    /// It leaves the pool.
    Remove,
}

/// Reads the table; what is wrong with it is reported.
pub(in crate::config) fn read(node: &Node<'_>) -> Option<KubernetesSettings> {
    let section = node.section(KEYS)?;
    let cordon = section.get("cordon").and_then(|node| cordon(&node));
    let seconds = |key, default| Duration::from_secs(duration_or(&section, key, TIMES, default).as_secs());
    Some(KubernetesSettings {
        kubeconfig: section.get("kubeconfig").and_then(|node| node.credential("the path of a kubeconfig")),
        context: section.get("context").and_then(|node| node.parsed(CONTEXT, named)),
        namespaces: section.get("namespaces").map(|node| namespaces(&node)).unwrap_or_default(),
        cordon: cordon.unwrap_or_default(),
        connect_timeout: duration_or(&section, "connect_timeout", TIMES, DEFAULT_CONNECT_TIMEOUT),
        watch_timeout: seconds("watch_timeout", DEFAULT_WATCH_TIMEOUT),
        max_backoff: duration_or(&section, "max_backoff", TIMES, DEFAULT_BACKOFF),
        services: services::read(&section),
    })
}

fn cordon(node: &Node<'_>) -> Option<Cordon> {
    node.parsed(CORDON, |text| match text {
        "ignore" => Some(Cordon::Ignore),
        "drain" => Some(Cordon::Drain),
        "remove" => Some(Cordon::Remove),
        _ => None,
    })
}

fn named(text: &str) -> Option<String> {
    (!text.is_empty() && text.len() <= 253).then(|| text.to_owned())
}

/// A name as Kubernetes gives namespaces (RFC 1123, a label).
pub(in crate::config) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn namespaces(node: &Node<'_>) -> BTreeSet<Arc<str>> {
    let items = node.array(NAMESPACES).unwrap_or_default();
    if items.is_empty() {
        node.unexpected(NAMESPACES);
    }
    let read = |item: &Node<'_>| item.parsed(NAMESPACE, |text| is_label(text).then(|| text.into()));
    items.iter().filter_map(read).collect()
}
