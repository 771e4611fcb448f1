//! `[vip."ADDRESS"]`: how one VIP is announced.

use super::model::Config;
use super::value::duration;
use super::walk::Node;
use super::{Attributes, Problem, attributes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

pub(super) const KEYS: &[&str] = &[
    "announce",
    "withdraw_hold",
    "announce_hold",
    "med",
    "local_pref",
    "prepend",
    "communities",
    "large_communities",
];

const ANNOUNCE: &str = "\"any\", \"all\" or \"always\"";

/// What is held longer than an hour is configured, not held.
const HOLD: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);

/// How one VIP is announced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vip {
    /// When.
    pub announce: Announce,
    /// How long it stays announced when nothing on it can serve any more; [`Bgp::withdraw_hold`](super::Bgp::withdraw_hold) when absent.
    pub withdraw_hold: Option<Duration>,
    /// How long something on it must have been able to serve before it is announced again.
    pub announce_hold: Duration,
    /// With what.
    #[serde(flatten)]
    pub attributes: Attributes,
}

/// When a VIP is announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Announce {
    /// While any service on it can serve: one that fails takes no other down.
    #[default]
    Any,
    /// While all services on it can serve.
    All,
    /// Whether they can serve or not, once the kernel has it.
    Always,
}

/// Reads the table of one VIP; what is wrong with it is reported.
pub(super) fn read(node: &Node<'_>, name: &str) -> Option<(IpAddr, Vip)> {
    let Ok(address) = name.parse::<IpAddr>() else {
        let (expected, found) =
            ("an IPv4 or IPv6 address".to_owned(), format!("{:?}", super::walk::shortened(name)));
        node.report_key(Problem::Expected { expected, found });
        return None;
    };
    let section = node.section(KEYS)?;
    let hold = |key: &str| section.get(key).and_then(|node| duration(&node, HOLD));
    let announce = section.get("announce").and_then(|node| announce(&node));
    let vip = Vip {
        announce: announce.unwrap_or_default(),
        withdraw_hold: hold("withdraw_hold"),
        announce_hold: hold("announce_hold").unwrap_or_default(),
        attributes: attributes::read(&section),
    };
    Some((address, vip))
}

fn announce(node: &Node<'_>) -> Option<Announce> {
    node.parsed(ANNOUNCE, |text| match text {
        "any" => Some(Announce::Any),
        "all" => Some(Announce::All),
        "always" => Some(Announce::Always),
        _ => None,
    })
}

/// Reports tables of addresses on which no service is: a slip of the pen that would change nothing.
pub(super) fn check_strangers(config: &Config, nodes: &[(IpAddr, Node<'_>)]) {
    for (address, node) in nodes {
        if !config.services.values().any(|service| service.vips.contains(address)) {
            node.report_key(Problem::Conflict(format!("no service has the VIP {address}")));
        }
    }
}
