//! What `lvsctl nodes` and `lvsctl routes` show: plain data.

use super::state::NodesState;
use crate::config::{BlockCheck, Config, Family, NodeMode, NodeRoutes};
use crate::core::Timestamp;
use crate::core::state::State;
use crate::fib::Report;
use bgp::Prefix;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// The nodes and all that concerns them as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodesView {
    /// Where they are found.
    pub mode: NodeMode,
    /// Where their routes come from.
    pub routes: NodeRoutes,
    /// How blocks are checked.
    pub blocks: BlockCheck,
    /// Our own AS.
    pub local_asn: u32,
    /// Our end of sessions with nodes, one a family, as far as the configuration says it.
    pub local_addresses: Vec<IpAddr>,
    /// The file that says what is in the cluster.
    pub source: Option<String>,
    /// Why its latest content is not used.
    pub source_error: Option<String>,
    /// What is waited for.
    pub waiting: Option<String>,
    /// What the cluster's nodes were told of us that does not fit, and what they tell of one another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peering: Vec<String>,
    /// The cluster that we are the nodes' route reflector of, if we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reflector: Option<Ipv4Addr>,
    /// IP pools, with the length of their blocks.
    pub pools: Vec<String>,
    /// Every node, by name.
    pub nodes: Vec<NodeView>,
    /// What somebody has to look at.
    pub alarms: Vec<String>,
    /// Routes that are taken.
    pub accepted: usize,
    /// Routes that are refused.
    pub refused: usize,
    /// Routes that the kernel has of ours.
    pub installed: usize,
    /// Routes in our table that are not ours and left alone.
    pub foreign: usize,
    /// What went wrong with the kernel.
    pub failures: Vec<String>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its AS.
    pub asn: Option<u32>,
    /// One for each family, unless there is to be none.
    pub sessions: Vec<NodeSessionView>,
    /// Blocks that the cluster says it has.
    pub blocks: Vec<Prefix>,
    /// Routes that lead to it.
    pub routes: usize,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// A session with a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeSessionView {
    /// Its name.
    pub name: String,
    /// Its family.
    pub family: Family,
    /// The node's address.
    pub address: IpAddr,
    /// Where it stands; filled in by the shell.
    pub state: String,
    /// Since when; filled in by the shell.
    pub since: Option<Timestamp>,
    /// Why it ended last; filled in by the shell.
    pub last_error: Option<String>,
    /// Routes that it brought, taken or not.
    pub learned: usize,
    /// Those of them that are kept though the node is away; filled in by the shell.
    pub stale: usize,
    /// Other nodes' routes that it holds of us, where we are their reflector; filled in by the shell.
    #[serde(default)]
    pub told: usize,
}

/// One route of `lvsctl routes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteView {
    /// Where to.
    pub prefix: Prefix,
    /// Whether it is taken.
    pub taken: bool,
    /// Why the kernel does not have it all the same.
    pub not_installed: Option<String>,
    /// By which way, when it is taken.
    pub next_hop: Option<IpAddr>,
    /// The node behind it.
    pub node: Option<String>,
    /// The session that it came over, or `datastore`.
    pub from: String,
    /// Why it is refused, or what is odd about it.
    pub reason: Option<String>,
}

/// Everything about the nodes; none without `[nodes]`.
pub fn nodes(state: &State) -> Option<NodesView> {
    let config: &Config = state.config.as_ref()?;
    let settings = config.nodes.as_ref()?;
    let nodes = &state.nodes;
    let waiting = match (nodes.known.is_complete, &nodes.connected, nodes.settles_at) {
        (false, _, _) => Some("the cluster has not been read yet; the kernel's routes stay as they are"),
        (true, None, _) => Some("this host's own networks have not been read yet"),
        (true, Some(_), Some(_)) => {
            Some("nodes have time to tell their routes again; until then none is deleted")
        }
        (true, Some(_), None) => None,
    };
    let unread = Report::default();
    let kernel = nodes.kernel.as_ref().unwrap_or(&unread);
    Some(NodesView {
        mode: settings.mode,
        routes: settings.routes,
        blocks: settings.blocks,
        local_asn: config.bgp.as_ref().map_or(0, |bgp| bgp.local_asn),
        local_addresses: local_addresses(config),
        source: settings.cluster.as_ref().map(ToString::to_string),
        source_error: nodes.error.clone(),
        waiting: waiting.map(Into::into),
        peering: shared(nodes).into_iter().chain(peering(nodes, config)).collect(),
        reflector: reflector(config),
        pools: nodes.known.pools.iter().map(|(cidr, size)| format!("{cidr} in blocks of /{size}")).collect(),
        nodes: each(nodes, foreign_to(config)),
        alarms: nodes.judged.alarms.iter().cloned().collect(),
        accepted: nodes.judged.accepted.len(),
        refused: nodes.judged.refused.len(),
        installed: kernel.installed,
        foreign: kernel.foreign,
        failures: kernel.failures.clone(),
    })
}

/// What `[nodes]` says, or else what sessions with routers have, or else the router id, which mostly is an address.
fn local_addresses(config: &Config) -> Vec<IpAddr> {
    let (Some(bgp), Some(settings)) = (&config.bgp, &config.nodes) else { return Vec::new() };
    let own = settings.local_ipv4.map(IpAddr::from).into_iter().chain(settings.local_ipv6.map(IpAddr::from));
    let others = bgp.peers.iter().filter_map(|peer| peer.local_address).chain([bgp.router_id.into()]);
    let all: Vec<IpAddr> = own.chain(others).collect();
    let of = |family: &Family| all.iter().copied().find(|address| Family::of(*address) == *family);
    settings.families.iter().filter_map(of).collect()
}

/// Nodes tell one another's routes, and of some nobody says whose they are.
fn shared(nodes: &NodesState) -> Option<String> {
    let mut shared = nodes.judged.accepted.iter().filter(|(_, route)| route.is_shared);
    let (first, _) = shared.next()?;
    let count = shared.count() + 1;
    Some(format!(
        "several nodes tell the same route ({count} of them, {first} for one), and nothing says whose it is: traffic may take a \
         detour; the export rules that `lvsctl calico print-bgppeer` prints end that"
    ))
}

/// What the cluster's `BGPPeer`s say of our addresses that does not fit. Where the kernel chooses the address nothing is known.
fn peering(nodes: &NodesState, config: &Config) -> Vec<String> {
    let (Some(bgp), Some(settings)) = (&config.bgp, &config.nodes) else { return Vec::new() };
    let told = nodes.cluster.as_ref().and_then(|cluster| cluster.peers.as_ref());
    let Some(told) = told.filter(|_| settings.routes == NodeRoutes::Bgp) else { return Vec::new() };
    let v4 = settings.local_ipv4.filter(|_| settings.families.contains(&Family::Ipv4)).map(IpAddr::from);
    let v6 = settings.local_ipv6.filter(|_| settings.families.contains(&Family::Ipv6)).map(IpAddr::from);
    let said = |own: IpAddr| {
        let of_us: Vec<_> = told.iter().filter(|(_, peer)| peer.address == own).collect();
        if of_us.is_empty() {
            return vec![format!(
                "no BGPPeer of the cluster has {own}: its nodes do not talk to us; `lvsctl calico print-bgppeer` prints one"
            )];
        }
        let others = of_us.into_iter().filter_map(|(name, peer)| Some((name, peer.asn?)));
        let wrong = others.filter(|(_, asn)| *asn != bgp.local_asn);
        wrong
            .map(|(name, asn)| {
                format!("BGPPeer {name} says that {own} is in AS {asn}, and we are in {}", bgp.local_asn)
            })
            .collect()
    };
    v4.into_iter().chain(v6).flat_map(said).collect()
}

/// The cluster that we are the reflector of.
fn reflector(config: &Config) -> Option<Ipv4Addr> {
    let (bgp, settings) = (config.bgp.as_ref()?, config.nodes.as_ref()?);
    settings.reflector.then(|| settings.cluster_id.unwrap_or(bgp.router_id))
}

/// The AS outside of which no node is told of others, where we are their reflector.
fn foreign_to(config: &Config) -> Option<u32> {
    reflector(config).and(config.bgp.as_ref()).map(|bgp| bgp.local_asn)
}

fn each(nodes: &NodesState, reflected_in: Option<u32>) -> Vec<NodeView> {
    let mut learned: BTreeMap<&str, usize> = BTreeMap::new();
    nodes.seen.routes.iter().for_each(|route| *learned.entry(&route.session).or_default() += 1);
    let mut led: BTreeMap<&str, usize> = BTreeMap::new();
    let named = nodes.judged.accepted.values().filter_map(|route| route.node.as_deref());
    named.for_each(|node| *led.entry(node).or_default() += 1);
    let mut refused: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((prefix, from), refusal) in &nodes.judged.refused {
        refused.entry(from).or_default().push(format!("{prefix} is refused: {refusal}"));
    }
    let mut sessions: BTreeMap<&str, Vec<NodeSessionView>> = BTreeMap::new();
    for (name, one) in &nodes.sessions {
        sessions.entry(&one.node).or_default().push(session(name, one.address, &learned));
    }
    let mut blocks: BTreeMap<&str, Vec<Prefix>> = BTreeMap::new();
    nodes.known.blocks.iter().for_each(|(block, owner)| blocks.entry(owner).or_default().push(block));
    let view = |(name, node): (&String, &super::known::KnownNode)| {
        let sessions = sessions.remove(name.as_str()).unwrap_or_default();
        let mut problems: Vec<String> = nodes.without.get(name).cloned().into_iter().collect();
        problems.extend(reflected_in.and_then(|own| foreign(node.asn, own)));
        problems.extend(sessions.iter().flat_map(|session| refused.remove(session.name.as_str())).flatten());
        NodeView {
            name: name.clone(),
            addresses: node.addresses.clone(),
            asn: Some(node.asn),
            sessions,
            blocks: blocks.remove(name.as_str()).unwrap_or_default(),
            routes: led.get(name.as_str()).copied().unwrap_or_default(),
            problems,
        }
    };
    let mut views: Vec<NodeView> = nodes.known.nodes.iter().map(view).collect();
    views.extend(strangers(nodes, &learned, &mut refused));
    views
}

/// What keeps a node from being told of others.
fn foreign(asn: u32, own: u32) -> Option<String> {
    (asn != own)
        .then(|| format!("it is in AS {asn}, not in ours ({own}): it is told nothing, nor are others of it"))
}

/// A session as far as it is known here; the speaker knows the rest.
fn session(name: &str, address: IpAddr, learned: &BTreeMap<&str, usize>) -> NodeSessionView {
    NodeSessionView {
        name: name.to_owned(),
        family: Family::of(address),
        address,
        state: "Idle".into(),
        since: None,
        last_error: None,
        learned: learned.get(name).copied().unwrap_or_default(),
        stale: 0,
        told: 0,
    }
}

/// Nodes that connected and that nobody has named, by their address.
fn strangers(
    nodes: &NodesState,
    learned: &BTreeMap<&str, usize>,
    refused: &mut BTreeMap<&str, Vec<String>>,
) -> Vec<NodeView> {
    let unknown = nodes.seen.sessions.keys().filter(|name| !nodes.sessions.contains_key(*name));
    let view = |name: &String| {
        let address: IpAddr = name.rsplit('/').next()?.parse().ok()?;
        let routes = nodes.judged.accepted.values().filter(|route| route.next_hop == address).count();
        Some(NodeView {
            name: nodes.known.names.get(&address).cloned().unwrap_or_else(|| address.to_string()),
            addresses: vec![address],
            asn: None,
            sessions: vec![session(name, address, learned)],
            blocks: Vec::new(),
            routes,
            problems: refused.remove(name.as_str()).unwrap_or_default(),
        })
    };
    unknown.filter_map(view).collect()
}

/// Every route, or those around and inside a prefix.
pub fn routes(state: &State, prefix: Option<Prefix>) -> Option<Vec<RouteView>> {
    state.config.as_ref()?.nodes.as_ref()?;
    let concerns =
        |other: &Prefix| prefix.is_none_or(|prefix| prefix.contains(*other) || other.contains(prefix));
    let (judged, kernel) = (&state.nodes.judged, state.nodes.kernel.as_ref());
    let accepted =
        judged.accepted.iter().filter(|(prefix, _)| concerns(prefix)).map(|(prefix, route)| RouteView {
            prefix: *prefix,
            taken: true,
            not_installed: kernel.and_then(|kernel| kernel.refused.get(prefix).cloned()),
            next_hop: Some(route.next_hop),
            node: route.node.clone(),
            from: route.from.clone(),
            reason: route.warning.clone(),
        });
    let node = |from: &str| state.nodes.sessions.get(from).map(|session| session.node.clone());
    let refused =
        judged.refused.iter().filter(|((prefix, _), _)| concerns(prefix)).map(|((prefix, from), why)| {
            RouteView {
                prefix: *prefix,
                taken: false,
                not_installed: None,
                next_hop: None,
                node: node(from),
                from: from.clone(),
                reason: Some(why.to_string()),
            }
        });
    let mut routes: Vec<RouteView> = accepted.chain(refused).collect();
    routes.sort_by(|a, b| (a.prefix, !a.taken, &a.from).cmp(&(b.prefix, !b.taken, &b.from)));
    Some(routes)
}

/// The nodes in numbers, for metrics.
#[derive(Clone, Debug, Default)]
pub struct NodesNumbers {
    /// Nodes that are known.
    pub nodes: usize,
    /// Sessions that there are to be.
    pub sessions: usize,
    /// Those of them that are established.
    pub established: usize,
    /// Routes that are taken.
    pub accepted: usize,
    /// Routes that are refused, by the word of the reason.
    pub refused: BTreeMap<&'static str, usize>,
    /// What somebody has to look at.
    pub alarms: usize,
    /// Whether the source's latest content is not used.
    pub source_failed: bool,
}

/// The nodes in numbers; none without `[nodes]`.
pub fn numbers(state: &State) -> Option<NodesNumbers> {
    state.config.as_ref()?.nodes.as_ref()?;
    let nodes = &state.nodes;
    let mut refused: BTreeMap<&'static str, usize> = super::Refusal::WORDS.map(|word| (word, 0)).into();
    nodes.judged.refused.values().for_each(|why| *refused.entry(why.word()).or_default() += 1);
    Some(NodesNumbers {
        nodes: nodes.known.nodes.len(),
        sessions: nodes.sessions.len(),
        established: nodes.seen.sessions.values().filter(|seen| seen.is_up).count(),
        accepted: nodes.judged.accepted.len(),
        refused,
        alarms: nodes.judged.alarms.len(),
        source_failed: nodes.error.is_some(),
    })
}
