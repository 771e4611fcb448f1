//! `[pybal]` and `pybal_names`: what was written for PyBal and goes on finding it.

use super::model::{Config, Family};
use super::twice::Seen;
use super::value::{boolean, is_name, port_address};
use super::walk::{Node, Run, Section};
use super::{ConfigError, Problem};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub(super) const KEYS: &[&str] = &["http", "metrics"];

const ADDRESS: &str = "an address with a port, such as \"127.0.0.1:9090\"";
const ADDRESSES: &str = "an address with a port, such as \"127.0.0.1:9090\", or an array of them";
const NAME: &str = "a name of 1 to 64 letters, digits, \"_\", \".\" or \"-\", the first a letter or digit";
const FAMILY: &str = "\"ipv4\", \"ipv6\" or \"both\"";

/// What was written for PyBal and goes on finding it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pybal {
    /// Further addresses at which the pages of [`http`](super::Daemon::http) are served, PyBal's among them.
    pub http: Vec<SocketAddr>,
    /// Whether metrics have PyBal's names as well.
    pub metrics: bool,
}

impl Pybal {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// PyBal's names for a service's pools, and which family's each is; none: both as one.
pub type PybalNames = BTreeMap<Arc<str>, Option<Family>>;

/// Reads the table; what is wrong with it is reported and stands at its default.
pub(super) fn read(node: &Node<'_>) -> Pybal {
    let Some(section) = node.section(KEYS) else {
        return Pybal::default();
    };
    Pybal {
        http: section.get("http").map(|node| listeners(&node)).unwrap_or_default(),
        metrics: section.get("metrics").and_then(|node| boolean(&node)).unwrap_or_default(),
    }
}

fn listeners(node: &Node<'_>) -> Vec<SocketAddr> {
    let address = |node: &Node<'_>| port_address(node, ADDRESS);
    if node.as_string().is_some() {
        return address(node).into_iter().collect();
    }
    let mut seen = Seen::default();
    let items = node.array(ADDRESSES).unwrap_or_default();
    let read = |item: &Node<'_>| {
        let found = address(item)?;
        seen.first(item, &found, || found.to_string()).then_some(found)
    };
    items.iter().filter_map(read).collect()
}

/// Reads `pybal_names` of a service.
pub(super) fn names(section: &Section<'_>) -> PybalNames {
    let entries = section.get("pybal_names").and_then(|node| node.entries()).unwrap_or_default();
    let mut names = PybalNames::new();
    for (name, node) in entries {
        if !is_name(name, true) {
            let found = format!("{:?}", super::walk::shortened(name));
            node.report_key(Problem::Expected { expected: NAME.to_owned(), found });
        }
        let family = node.parsed(FAMILY, |text| match text {
            "ipv4" => Some(Some(Family::Ipv4)),
            "ipv6" => Some(Some(Family::Ipv6)),
            "both" => Some(None),
            _ => None,
        });
        names.extend(family.map(|family| (Arc::from(name), family)));
    }
    names
}

/// Reports pools of two services that have one name. Without `pybal_names` a pool has its service's.
pub(super) fn check_names(config: &Config, run: &Run<'_>) {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for service in config.services.values() {
        for name in service.names_of_pools() {
            let Some(other) = first.insert(name, &service.name) else { continue };
            let what = format!("{name} is a name of service {other}'s pool already");
            run.errors().push(ConfigError::new(
                service.origin.clone(),
                format!("service.{}.pybal_names", service.name),
                Problem::Conflict(what),
            ));
        }
    }
}
