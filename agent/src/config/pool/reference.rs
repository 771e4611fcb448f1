//! `pool`: one or several pools that are kept elsewhere.

use crate::config::Problem;
use crate::config::model::{Front, PoolId, Query, ServiceQuery, Target};
use crate::config::twice::Seen;
use crate::config::walk::{Node, Section};
use std::sync::Arc;

pub(in crate::config) const KEYS: &[&str] = &["file", "source", "path", "service", "port", "to", "nodes"];

/// What says which of a source's pools is meant.
const QUERIES: [&str; 3] = ["path", "service", "nodes"];

const POOL: &str =
    "a table, such as { source = \"conftool\", path = \"eqiad/cache/text\" }, or an array of them";
const FILE: &str = "the path of a pool file";
const SOURCE: &str = "the name of a source, [source.NAME]";
const PATH: &str = "the path of a pool below what its source is set to, such as \"eqiad/cache/text\"";
const SERVICE: &str = "a Kubernetes Service as \"NAMESPACE/NAME\"";
const PORT: &str = "the name or the number of one of the Service's ports";
const TO: &str = "\"nodes\" or \"pods\"";
const NODES: &str = "a selector of nodes' labels, such as \"role=ingress,!gpu\"; \"\" for all nodes";

/// Pools of a service: who needs more has one that says it all.
const MAX_POOLS: usize = 16;

/// Reads one table or an array of them; `None` when something is wrong, which is then reported. `front` is what they are for.
pub(super) fn read(node: &Node<'_>, front: &Front) -> Option<Vec<PoolId>> {
    if node.is_table() {
        return Some(vec![pool(node, front)?]);
    }
    let items = node.array(POOL)?;
    if items.is_empty() || items.len() > MAX_POOLS {
        node.unexpected(format!("1 to {MAX_POOLS} pools"));
        return None;
    }
    let mut seen = Seen::default();
    let pools: Vec<PoolId> = items
        .iter()
        .filter_map(|item| {
            let pool = pool(item, front)?;
            seen.first(item, &pool, || format!("pool {pool}")).then_some(pool)
        })
        .collect();
    (pools.len() == items.len()).then_some(pools)
}

fn pool(node: &Node<'_>, front: &Front) -> Option<PoolId> {
    let section = node.section(KEYS)?;
    match (section.get("file"), section.get("source")) {
        (Some(file), None) => {
            for other in QUERIES.iter().chain(&["port", "to"]).filter_map(|key| section.get(key)) {
                other.report_key(Problem::Conflict("a pool file has all of its pool".to_owned()));
            }
            file.path(FILE).map(PoolId::File)
        }
        (Some(file), Some(_)) => {
            let reason = "file and source exclude each other: a pool is in one place";
            file.report_key(Problem::Conflict(reason.to_owned()));
            None
        }
        (None, Some(source)) => {
            let name = source.parsed(SOURCE, |text| (!text.is_empty()).then_some(text));
            let query = query(&section, front);
            Some(PoolId::Remote { source: name?.into(), query: query? })
        }
        (None, None) => {
            section.required("source", SOURCE);
            None
        }
    }
}

fn query(section: &Section<'_>, front: &Front) -> Option<Query> {
    let mut given = QUERIES.iter().filter_map(|key| Some((*key, section.get(key)?)));
    let (Some((key, node)), second) = (given.next(), given.next()) else {
        section.required("path", PATH);
        return None;
    };
    if let Some((other, node)) = second {
        node.report_key(Problem::Conflict(format!("{key} and {other} exclude each other")));
        return None;
    }
    if key != "service" {
        for (key, what) in [("port", "only a service has ports"), ("to", "only a service has nodes and pods")]
        {
            section.get(key).iter().for_each(|node| node.report_key(Problem::Conflict(what.to_owned())));
        }
    }
    match key {
        "path" => node.parsed(PATH, path).map(Query::Path),
        "service" => {
            let (namespace, name) = node.parsed(SERVICE, service)?;
            let port = match section.get("port") {
                Some(node) => Some(port(&node)?),
                None => None,
            };
            let to = match section.get("to") {
                Some(node) => to(&node, front.to)?,
                None => front.to,
            };
            let front = Front { to, ..front.clone() };
            let (namespace, name) = (namespace.into(), name.into());
            Some(Query::Service(ServiceQuery { namespace, name, port, front }.into()))
        }
        _ => node.parsed(NODES, selector).map(|selector| Query::Nodes { selector: selector.into() }),
    }
}

/// Segments that a URL and a key of etcd can have, without ways out of what they are below.
fn path(text: &str) -> Option<Arc<str>> {
    let segment = |segment: &str| {
        let plain =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '+' | '@' | ':');
        !segment.is_empty() && segment != "." && segment != ".." && segment.chars().all(plain)
    };
    (text.len() <= 512 && text.split('/').all(segment)).then(|| text.into())
}

/// Names of Kubernetes' objects (RFC 1123).
fn service(text: &str) -> Option<(&str, &str)> {
    let is_name = |name: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        name.len() <= 253 && name.starts_with(ends) && name.ends_with(ends) && name.chars().all(plain)
    };
    text.split_once('/').filter(|(namespace, name)| is_name(namespace) && is_name(name))
}

fn port(node: &Node<'_>) -> Option<Arc<str>> {
    if let Some(number) = node.as_integer().filter(|number| (1..=65_535).contains(number)) {
        return Some(number.to_string().into());
    }
    node.parsed(PORT, |text| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ((1..=63).contains(&text.len()) && text.chars().all(plain)).then(|| text.into())
    })
}

/// Nodes or pods, as far as packets get there as they are: `usual` says whether they are rewritten.
fn to(node: &Node<'_>, usual: Target) -> Option<Target> {
    let is_rewritten = matches!(usual, Target::Pods | Target::NodePorts);
    node.parsed(TO, |text| match (text, is_rewritten) {
        ("nodes", true) => Some(Target::NodePorts),
        ("nodes", false) => Some(Target::Nodes),
        ("pods", true) => Some(Target::Pods),
        ("pods", false) => Some(Target::HostPods),
        _ => None,
    })
}

/// Only that it can be one: the source understands it.
fn selector(text: &str) -> Option<&str> {
    (text.len() <= 1024 && !text.chars().any(char::is_control)).then_some(text)
}
