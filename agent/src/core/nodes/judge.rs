//! The rules: which of the nodes' routes are taken, and why others are not.
//!
//! A route is taken when it is inside an IP pool, no shorter than the pool's blocks, with the node itself as next hop (a
//! known node behind a reflector), and touches neither a VIP, nor services' addresses, nor a network that we are in
//! ourselves. Of several routes to one prefix that may be taken one by the block's owner is; else the best, and it is named
//! when they lead to several nodes: nodes with a mesh among them tell whom is in another AS one another's routes, with
//! themselves as next hop, and no attribute says who had it first. What cannot be taken is named, never dropped in silence.

use super::known::Known;
use super::prefixes::PrefixMap;
use crate::config::{BlockCheck, Family, NodeRoutes, Nodes};
use bgp::Prefix;
use bgp::rib::Way;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// A route that somebody offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    /// Where to.
    pub prefix: Prefix,
    /// By which way.
    pub next_hop: IpAddr,
    /// The session that it came over, or `datastore`.
    pub from: &'a str,
    /// The other end of the session; of a route of the datastore its next hop.
    pub neighbour: IpAddr,
}

/// A route that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// By which way.
    pub next_hop: IpAddr,
    /// The node that has this address.
    pub node: Option<String>,
    /// The session that it came over, or `datastore`.
    pub from: String,
    /// What is odd about it.
    pub warning: Option<String>,
    /// Other nodes tell it as well, and the cluster's blocks do not say whose it is.
    pub is_shared: bool,
    /// It is of a block that is not the node's.
    pub is_odd: bool,
}

/// What is said of a route that is [shared](Accepted::is_shared).
const SHARED: &str = "other nodes tell it as well, and nothing says whose it is";

impl Accepted {
    fn new(known: &Known, offer: &Offer<'_>, odd: Option<&Refusal>, check: BlockCheck) -> Self {
        Self {
            next_hop: offer.next_hop,
            node: known.names.get(&offer.next_hop).cloned(),
            from: offer.from.to_owned(),
            warning: odd.filter(|_| check != BlockCheck::Off).map(ToString::to_string),
            is_shared: false,
            is_odd: odd.is_some(),
        }
    }

    /// Another offer that is no better leads to another node.
    fn share(&mut self) {
        if !self.is_shared {
            self.is_shared = true;
            let odd = self.warning.take().map_or_else(String::new, |odd| format!("{odd}; "));
            self.warning = Some(odd + SHARED);
        }
    }
}

/// Why a route is not taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It is everything.
    Default,
    /// It touches a VIP of ours.
    Vip(IpAddr),
    /// It touches addresses of services.
    Service(Prefix),
    /// It touches a network that we are in.
    Connected(Prefix),
    /// It is in no IP pool.
    OutsidePools,
    /// It is more than a block.
    TooShort {
        /// The pool.
        pool: Prefix,
        /// The length of its blocks.
        block_size: u8,
    },
    /// Its next hop is not the node.
    NextHop(IpAddr),
    /// Its block is another node's.
    NotOwner {
        /// The block.
        block: Prefix,
        /// Whose it is.
        owner: String,
    },
    /// Its block is nobody's.
    NoOwner,
}

impl Refusal {
    /// One word for metrics and programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Vip(_) => "vip",
            Self::Service(_) => "service",
            Self::Connected(_) => "connected",
            Self::OutsidePools => "outside-pools",
            Self::TooShort { .. } => "too-short",
            Self::NextHop(_) => "next-hop",
            Self::NotOwner { .. } => "not-owner",
            Self::NoOwner => "no-owner",
        }
    }

    /// Every word.
    pub const WORDS: [&'static str; 9] = [
        "default",
        "vip",
        "service",
        "connected",
        "outside-pools",
        "too-short",
        "next-hop",
        "not-owner",
        "no-owner",
    ];
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("it is a default route"),
            Self::Vip(vip) => write!(f, "it would take the traffic of our own VIP {vip}"),
            Self::Service(cidr) => write!(f, "it is of the services' addresses {cidr}"),
            Self::Connected(network) => write!(f, "{network} is a network of our own"),
            Self::OutsidePools => f.write_str("it is in no IP pool"),
            Self::TooShort { pool, block_size } => {
                write!(f, "it is more than a block: those of the pool {pool} are /{block_size}")
            }
            Self::NextHop(hop) => write!(f, "its next hop {hop} is not the node"),
            Self::NotOwner { block, owner } => write!(f, "the block {block} is that of {owner}"),
            Self::NoOwner => f.write_str("no node has a block there"),
        }
    }
}

/// What decides beside the offers.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The settings.
    pub config: &'a Nodes,
    /// The cluster.
    pub known: &'a Known,
    /// Our VIPs.
    pub vips: &'a BTreeSet<IpAddr>,
    /// The networks that we are in.
    pub connected: &'a BTreeSet<Prefix>,
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// What is taken.
    pub accepted: BTreeMap<Prefix, Accepted>,
    /// What is not, by whom it is offered.
    pub refused: BTreeMap<(Prefix, String), Refusal>,
    /// Everything that may be taken, by whom, where we are the nodes' reflector: they are told the best of it.
    pub passable: BTreeMap<Prefix, BTreeSet<Way>>,
    /// What somebody has to look at.
    pub alarms: BTreeSet<String>,
}

/// The offers that follow from the blocks alone.
fn of_datastore(known: &Known) -> impl Iterator<Item = Offer<'_>> {
    known.blocks.iter().filter_map(|(prefix, owner)| {
        let family = if prefix.address().is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        let next_hop = known.nodes.get(owner)?.address(family)?;
        Some(Offer { prefix, next_hop, from: "datastore", neighbour: next_hop })
    })
}

/// Decides about all offers; of those to one prefix the better come first.
pub fn judge<'a>(ground: &'a Ground<'a>, offers: impl IntoIterator<Item = Offer<'a>>) -> Judged {
    let vips: PrefixMap<()> = ground.vips.iter().map(|vip| (Prefix::host(*vip), ())).collect();
    let connected: PrefixMap<()> = ground.connected.iter().map(|network| (*network, ())).collect();
    let mut judged = Judged { alarms: misplaced(ground), ..Judged::default() };
    let mut take = |offer: Offer<'_>| match verdict(ground, &vips, &connected, &offer) {
        Ok(odd) => judged.take(ground, &offer, odd.as_ref()),
        Err(refusal) => {
            if let Refusal::Vip(vip) = &refusal {
                let Offer { prefix, from, .. } = &offer;
                judged.alarms.insert(format!(
                    "{from} offers {prefix}, which would take the traffic of our own VIP {vip}"
                ));
            }
            judged.refused.insert((offer.prefix, offer.from.to_owned()), refusal);
        }
    };
    match ground.config.routes {
        NodeRoutes::Bgp => offers.into_iter().for_each(&mut take),
        NodeRoutes::Datastore => of_datastore(ground.known).for_each(&mut take),
    }
    judged
}

impl Judged {
    /// One more that may be taken: it is when it is the first, or the first of which nothing is odd.
    fn take(&mut self, ground: &Ground<'_>, offer: &Offer<'_>, odd: Option<&Refusal>) {
        let Offer { prefix, next_hop, from, .. } = *offer;
        let check = ground.config.blocks;
        match self.accepted.get_mut(&prefix) {
            Some(held) if !held.is_odd && odd.is_some() => return,
            Some(held) if held.is_odd == odd.is_some() => {
                if held.next_hop != next_hop && check != BlockCheck::Off {
                    held.share();
                }
            }
            Some(_) | None => {
                self.accepted.insert(prefix, Accepted::new(ground.known, offer, odd, check));
                self.passable.remove(&prefix);
            }
        }
        if ground.config.reflector {
            let way = Way { peer: from.to_owned(), next_hop };
            self.passable.entry(prefix).or_default().insert(way);
        }
    }
}

/// VIPs that nodes would announce, too: whoever asks for one might get the cluster instead.
fn misplaced(ground: &Ground<'_>) -> BTreeSet<String> {
    let within = |vip: &IpAddr| Some((*vip, ground.known.services.around(Prefix::host(*vip))?.0));
    let found = ground.vips.iter().filter_map(within);
    found
        .map(|(vip, cidr)| {
            format!("the VIP {vip} is of the services' addresses {cidr}, which nodes announce")
        })
        .collect()
}

/// Whether an offer can be taken, and what is odd about it then.
fn verdict(
    ground: &Ground<'_>,
    vips: &PrefixMap<()>,
    connected: &PrefixMap<()>,
    offer: &Offer<'_>,
) -> Result<Option<Refusal>, Refusal> {
    let (known, prefix) = (ground.known, offer.prefix);
    if prefix.len() == 0 {
        return Err(Refusal::Default);
    }
    if let Some((vip, ())) = vips.overlapping(prefix) {
        return Err(Refusal::Vip(vip.address()));
    }
    if let Some((cidr, ())) = known.services.overlapping(prefix) {
        return Err(Refusal::Service(cidr));
    }
    if let Some((network, ())) = connected.overlapping(prefix) {
        return Err(Refusal::Connected(network));
    }
    let Some((pool, block_size)) = known.pools.around(prefix) else { return Err(Refusal::OutsidePools) };
    if prefix.len() < *block_size {
        return Err(Refusal::TooShort { pool, block_size: *block_size });
    }
    if !is_way(known, offer) {
        return Err(Refusal::NextHop(offer.next_hop));
    }
    match (wrong_owner(known, offer), ground.config.blocks) {
        (odd, BlockCheck::Off | BlockCheck::Warn) => Ok(odd),
        (None, BlockCheck::Enforce) => Ok(None),
        (Some(refusal), BlockCheck::Enforce) => Err(refusal),
    }
}

/// The next hop is the node itself, or any known one when the node passes on what others announce.
fn is_way(known: &Known, offer: &Offer<'_>) -> bool {
    let names = &known.names;
    let passes_on = || {
        let node = names.get(&offer.neighbour).and_then(|name| known.nodes.get(name));
        node.is_some_and(|node| node.is_reflector) && names.contains_key(&offer.next_hop)
    };
    offer.next_hop == offer.neighbour || passes_on()
}

/// The block is another's. A single address of another's block is borrowed, as Calico does when a node's own are full.
fn wrong_owner(known: &Known, offer: &Offer<'_>) -> Option<Refusal> {
    if !known.has_blocks {
        return None;
    }
    let is_single = offer.prefix.len() == offer.prefix.family().bits();
    match known.blocks.around(offer.prefix) {
        None => Some(Refusal::NoOwner),
        Some((_, owner)) if is_single || known.names.get(&offer.next_hop) == Some(owner) => None,
        Some((block, owner)) => Some(Refusal::NotOwner { block, owner: owner.clone() }),
    }
}
