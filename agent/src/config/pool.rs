//! A service's pool: `[[service.NAME.backends]]`, `pool` or `pool_file`, and `[service.NAME.addresses]`.

mod reference;

pub(super) use reference::KEYS as REFERENCE_KEYS;

use super::Problem;
use super::model::{Admin, Backend, ConnectionLimits, Front, HostAddresses, Pool, PoolId};
use super::twice::Seen;
use super::value::{CONNECTIONS, LOWER_ABOVE_UPPER, MAX_WEIGHT, WEIGHT, address, host};
use super::walk::{Node, Section};
use crate::suggest::suggest;
use ipvs::{Scheduler, Weight};
use std::collections::BTreeSet;
use std::net::IpAddr;

pub(super) const KEYS: &[&str] =
    &["host", "addresses", "weight", "pooled", "upper_threshold", "lower_threshold"];

/// How many unknown hosts of a service are compared with all known ones: a table of another service is full of
/// them, and each comparison costs the product of the names' lengths.
const MAX_HINTS: usize = 20;

const HOST: &str = "a host name or an IP address";
const ADDRESS: &str = "an IPv4 or IPv6 address of the host";
const ADDRESSES: &str = "an array of one or more addresses of the host";
const POOL_FILE: &str = "the path of a JSON file";

/// Hosts whose addresses are given, and what must be unique among them.
#[derive(Debug, Default)]
pub(super) struct Addresses<'a> {
    by_host: HostAddresses,
    /// The entries of the table, for those that belong to nobody.
    entries: Vec<(String, Node<'a>)>,
    hosts: Seen<String>,
    addresses: Seen<IpAddr>,
}

impl Addresses<'_> {
    /// Takes the addresses of a host.
    fn add(&mut self, host: &str, node: &Node<'_>) {
        let Some(items) = node.array(ADDRESSES) else {
            return;
        };
        if items.is_empty() {
            node.unexpected(ADDRESSES);
        }
        if host.parse::<IpAddr>().is_ok() {
            let reason = "the host is an address already: give it a name, or no addresses";
            node.report_key(Problem::Conflict(reason.to_owned()));
        }
        let named = self.hosts.first_key(node, &host.to_owned(), || format!("addresses of {host}"));
        let found = items.iter().filter_map(|item| self.address(item)).collect();
        if named {
            self.by_host.insert(host.into(), found);
        }
    }

    fn address(&mut self, item: &Node<'_>) -> Option<IpAddr> {
        let found = address(item, ADDRESS)?;
        self.addresses.first(item, &found, || format!("address {found}")).then_some(found)
    }
}

/// Reads `[service.NAME.addresses]`.
pub(super) fn addresses<'a>(section: &Section<'a>) -> Addresses<'a> {
    let mut addresses = Addresses::default();
    let entries = section.get("addresses").and_then(|node| node.entries()).unwrap_or_default();
    for (name, node) in entries {
        match host(name) {
            Ok(host) => {
                addresses.add(&host, &node);
                addresses.entries.push((host, node));
            }
            Err(found) => node.report_key(Problem::Expected { expected: HOST.to_owned(), found }),
        }
    }
    addresses
}

/// Reads where the backends come from; with it all addresses that are given.
pub(super) fn read(
    section: &Section<'_>,
    scheduler: Option<&ipvs::Service>,
    mut addresses: Addresses<'_>,
    front: &Front,
) -> Option<(Pool, HostAddresses)> {
    let inline = section.get("backends");
    let backends = inline.as_ref().map(|node| backends(node, scheduler, &mut addresses).map(Pool::Inline));
    let file = section.get("pool_file");
    let in_file =
        file.as_ref().map(|node| node.path(POOL_FILE).map(|file| Pool::Sources(vec![PoolId::File(file)])));
    let elsewhere = section.get("pool");
    let in_sources = elsewhere.as_ref().map(|node| reference::read(node, front).map(Pool::Sources));
    let given: Vec<_> = [("backends", inline), ("pool_file", file), ("pool", elsewhere)]
        .into_iter()
        .filter_map(|(key, node)| Some((key, node?)))
        .collect();
    let pool = match &given[..] {
        [] => {
            let node = section.node();
            let expected =
                format!("pool, pool_file, or one or more backends as [[{}.backends]]", node.name());
            node.report_key(Problem::Missing { expected });
            None
        }
        [_] => backends.or(in_file).or(in_sources).flatten(),
        [(first, place), others @ ..] => {
            for (key, node) in others {
                let reason =
                    format!("{key} and {first} exclude each other; the other is at {}", place.place());
                node.report_key(Problem::Conflict(reason));
            }
            None
        }
    };
    let mut pool = pool?;
    if let Pool::Inline(backends) = &mut pool {
        // All that are given are of its backends.
        for backend in backends {
            backend.addresses = addresses.by_host.remove(&backend.host);
        }
    }
    Some((pool, addresses.by_host))
}

fn backends(
    node: &Node<'_>,
    scheduler: Option<&ipvs::Service>,
    addresses: &mut Addresses<'_>,
) -> Option<Vec<Backend>> {
    let expected = format!("one or more backends as [[{}]]", node.name());
    let items = node.array(&expected)?;
    if items.is_empty() {
        node.unexpected(expected);
    }
    let mut hosts = Seen::default();
    // Thousands of pools are kept: none has room for more than it has.
    let mut backends = Vec::with_capacity(items.len());
    backends.extend(items.iter().filter_map(|item| backend(item, &mut hosts, addresses)));
    let whole = backends.len() == items.len();
    if whole {
        check_strangers(&backends, addresses);
    }
    if scheduler.is_some_and(|service| *service.scheduler() == Scheduler::Sh) {
        let weights = backends.iter().map(|backend| backend.weight);
        if let Err(error) = ipvs::sh::divisor(weights) {
            node.report(Problem::Conflict(error.to_string()));
        }
    }
    backends.sort_by(|one, other| one.host.cmp(&other.host));
    whole.then_some(backends)
}

fn backend(node: &Node<'_>, hosts: &mut Seen<String>, addresses: &mut Addresses<'_>) -> Option<Backend> {
    let section = node.section(KEYS)?;
    let host = section.required("host", HOST).and_then(|node| {
        let host = backend_host(&node)?;
        // An address that is there twice is told as such.
        match host.parse::<IpAddr>() {
            Ok(address) => addresses.addresses.first(&node, &address, || format!("address {address}")),
            Err(_) => hosts.first(&node, &host, || format!("host {host}")),
        }
        .then_some(host)
    });
    if let (Some(node), Some(host)) = (section.get("addresses"), &host) {
        addresses.add(host, &node);
    }
    let weight = section.get("weight").map_or(Some(1), |node| node.integer(WEIGHT, 0..=MAX_WEIGHT));
    let pooled = section.get("pooled").map_or(Some(Admin::Pooled), |node| pooled(&node));
    let limits = limits(&section);
    Some(Backend {
        host: host?.into(),
        weight: Weight::new(weight?).ok()?,
        pooled: pooled?,
        limits: limits?,
        addresses: None,
    })
}

fn limits(section: &Section<'_>) -> Option<ConnectionLimits> {
    let read = |key| match section.get(key) {
        Some(node) => node.integer(CONNECTIONS, 0..=u32::MAX),
        None => Some(0),
    };
    let (upper, lower) = (read("upper_threshold"), read("lower_threshold"));
    let limits = ConnectionLimits { upper: upper?, lower: lower? };
    if let (Some(node), true) = (section.get("lower_threshold"), limits.lower > limits.upper) {
        node.report(Problem::Conflict(LOWER_ABOVE_UPPER.to_owned()));
        return None;
    }
    Some(limits)
}

fn backend_host(node: &Node<'_>) -> Option<String> {
    match host(node.string(HOST)?) {
        Ok(host) => Some(host),
        Err(found) => {
            node.report(Problem::Expected { expected: HOST.to_owned(), found });
            None
        }
    }
}

fn pooled(node: &Node<'_>) -> Option<Admin> {
    let read = node.as_boolean().map(Admin::from).or_else(|| node.as_string().and_then(Admin::from_word));
    read.or_else(|| {
        node.unexpected(Admin::WORDS);
        None
    })
}

/// Addresses for a host that is no backend are a slip of the pen: the backend meant is looked up in the DNS.
fn check_strangers(backends: &[Backend], addresses: &Addresses<'_>) {
    let hosts: BTreeSet<_> = backends.iter().map(|backend| &*backend.host).collect();
    let strangers = addresses.entries.iter().filter(|(host, _)| !hosts.contains(host.as_str()));
    for (index, (host, node)) in strangers.enumerate() {
        let near = if index < MAX_HINTS { suggest(host, hosts.iter().copied()) } else { Vec::new() };
        let hint = near.first().map_or_else(String::new, |near| format!("; did you mean {near}?"));
        node.report_key(Problem::Conflict(format!("no backend of the service is called {host}{hint}")));
    }
}
