//! Services of a cluster that are served whole, and the `[[source.NAME.address_pool]]` that they get VIPs of.

use super::{is_label, namespaces};
use crate::config::Problem;
use crate::config::twice::Seen;
use crate::config::value::boolean;
use crate::config::walk::{Node, Section};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

pub(in crate::config) const POOL_KEYS: &[&str] = &["name", "addresses", "auto", "namespaces"];

const CLASS: &str = "a loadBalancerClass, such as \"example.org/lvsd\"";
const LEASE: &str = "a Lease as \"NAMESPACE/NAME\"";
const RANGE: &str = "a prefix or a range of addresses, such as \"192.0.2.0/28\" or \"192.0.2.10-192.0.2.20\"";
const RANGES: &str = "an array of one or more prefixes or ranges of addresses";
const POOLS: &str = "an array of [[address_pool]]";

/// Services of the cluster that are served without a `[service.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholeServices {
    /// Those of type `LoadBalancer` of this class.
    pub class: Option<Arc<str>>,
    /// Those with external addresses of ours.
    pub external_ips: bool,
    /// Those with node ports, and VIPs in an annotation.
    pub node_ports: bool,
    /// Whether every node has the VIPs itself.
    pub vips_on_nodes: bool,
    /// The Lease by which one balancer of a fleet is chosen to give addresses and write them down; nobody does without.
    pub lease: Option<Lease>,
    /// Which VIPs Services may have; at least one.
    pub pools: Vec<AddressPool>,
}

/// A Lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// VIPs that Services of the cluster may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPool {
    /// Its name.
    pub name: Arc<str>,
    /// The addresses; at least one range.
    pub ranges: Vec<AddressRange>,
    /// Whether Services get addresses of it that ask for none.
    pub auto: bool,
    /// Whose Services may have them; those of all namespaces when empty.
    pub namespaces: BTreeSet<Arc<str>>,
}

/// Addresses from one to another, both among them and of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AddressRange {
    /// The lowest.
    pub first: IpAddr,
    /// The highest.
    pub last: IpAddr,
}

impl AddressRange {
    /// Whether an address is among them.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&address)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Not a range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {RANGE}")]
pub struct RangeError;

impl std::str::FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let error = |_| RangeError;
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => {
                (first.trim().parse().map_err(error)?, last.trim().parse().map_err(error)?)
            }
            None => {
                let prefix: bgp::Prefix = text.parse().map_err(|_| RangeError)?;
                (prefix.address(), last_of(prefix))
            }
        };
        let fits = first.is_ipv4() == last.is_ipv4() && first <= last;
        fits.then_some(Self { first, last }).ok_or(RangeError)
    }
}

fn last_of(prefix: bgp::Prefix) -> IpAddr {
    let hosts = u32::from(prefix.family().bits()) - u32::from(prefix.len());
    match prefix.address() {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() | (u32::MAX.checked_shr(32 - hosts).unwrap_or(0))).into()),
        IpAddr::V6(v6) => {
            IpAddr::V6((v6.to_bits() | (u128::MAX.checked_shr(128 - hosts).unwrap_or(0))).into())
        }
    }
}

/// The settings of whole services. None of them is of use without VIPs that Services may have.
pub(super) fn read(section: &Section<'_>) -> Option<WholeServices> {
    let truth = |key| section.get(key).and_then(|node| boolean(&node)).unwrap_or(false);
    let class = section.get("class").and_then(|node| node.parsed(CLASS, class));
    let services = WholeServices {
        class,
        external_ips: truth("external_ips"),
        node_ports: truth("node_ports"),
        vips_on_nodes: truth("vips_on_nodes"),
        lease: section.get("lease").and_then(|node| node.parsed(LEASE, lease)),
        pools: section.get("address_pool").map(|node| pools(&node)).unwrap_or_default(),
    };
    let takes = services.class.is_some() || services.external_ips || services.node_ports;
    let report = |key: &str, what: &str| {
        if let Some(node) = section.get(key) {
            node.report_key(Problem::Conflict(what.to_owned()));
        }
    };
    if !takes {
        let what =
            "no Service of the cluster is served: set class, external_ips or node_ports, or take this out";
        ["lease", "address_pool"].iter().for_each(|key| report(key, what));
        return None;
    }
    if services.pools.is_empty() && section.get("address_pool").is_none() {
        let what = "Services get no VIP: say which they may have, as [[source.NAME.address_pool]]";
        ["class", "external_ips", "node_ports"].iter().for_each(|key| report(key, what));
    }
    if services.lease.is_some() && services.class.is_none() {
        report("lease", "only Services of a class get addresses: set class, or take this out");
    }
    if services.node_ports && !services.vips_on_nodes {
        report(
            "node_ports",
            "nodes take node ports at their own addresses only: put the VIPs on lo of every node and set vips_on_nodes = true",
        );
    }
    Some(services)
}

fn class(text: &str) -> Option<Arc<str>> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'));
    ((1..=253).contains(&text.len()) && plain).then(|| text.into())
}

fn lease(text: &str) -> Option<Lease> {
    let (namespace, name) = text.split_once('/')?;
    (is_label(namespace) && is_label(name)).then(|| Lease { namespace: namespace.into(), name: name.into() })
}

fn pools(node: &Node<'_>) -> Vec<AddressPool> {
    let mut names = Seen::default();
    let items = node.array(POOLS).unwrap_or_default();
    let read = |item: &Node<'_>| {
        let section = item.section(POOL_KEYS)?;
        let name = section.required("name", "a name").and_then(|node| {
            let name = node.parsed("a name of 1 to 63 of a-z, 0-9 and \"-\"", |text| {
                is_label(text).then(|| text.to_owned())
            })?;
            names.first(&node, &name, || format!("address pool {name}")).then_some(name)
        });
        let ranges = section.required("addresses", RANGES).and_then(|node| ranges(&node));
        let auto = section.get("auto").and_then(|node| boolean(&node)).unwrap_or(true);
        let namespaces = section.get("namespaces").map(|node| namespaces(&node)).unwrap_or_default();
        Some(AddressPool { name: name?.into(), ranges: ranges?, auto, namespaces })
    };
    items.iter().filter_map(read).collect()
}

fn ranges(node: &Node<'_>) -> Option<Vec<AddressRange>> {
    let items = node.array(RANGES)?;
    if items.is_empty() {
        node.unexpected(RANGES);
    }
    Some(items.iter().filter_map(|item| item.parsed(RANGE, |text| text.parse().ok())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_prefixes_or_from_one_to_another() {
        for (text, first, last) in [
            ("192.0.2.0/28", "192.0.2.0", "192.0.2.15"),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.7"),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("192.0.2.10-192.0.2.20", "192.0.2.10", "192.0.2.20"),
            ("2001:db8::/126", "2001:db8::", "2001:db8::3"),
            ("2001:db8::1 - 2001:db8::1", "2001:db8::1", "2001:db8::1"),
        ] {
            let range: AddressRange = text.parse().expect(text);
            assert_eq!((range.first.to_string().as_str(), range.last.to_string().as_str()), (first, last));
            assert!(range.contains(range.first) && range.contains(range.last));
        }
        for text in ["", "192.0.2.1/28", "192.0.2.9-192.0.2.1", "192.0.2.1-2001:db8::1", "a-b"] {
            assert_eq!(text.parse::<AddressRange>(), Err(RangeError), "{text}");
        }
    }
}
