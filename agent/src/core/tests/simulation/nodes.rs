//! The nodes of a simulated cluster, their routes in the kernel, and the rules about these.

use super::incident::Node;
use super::rules::{Outcome, Seen};
use super::{Broken, ensure};
use crate::core::action::WatchedCluster;
use crate::core::nodes::{Cluster, ClusterNode, Learned, Seen as Spoken, SessionSeen};
use crate::core::{Action, Event};
use crate::fib::{FibRoute, Report, Routes};
use bgp::Prefix;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The configuration's pool, its blocks' length, and addresses of services.
const POOL: (&str, u8) = ("10.67.0.0/16", 26);
const SERVICES: &str = "10.96.0.0/12";

/// Networks that nodes have no business to tell routes to, or that are nobody's block.
pub(super) const STRANGE: [&str; 6] =
    ["0.0.0.0/0", "10.67.0.0/16", "10.67.9.0/26", "10.96.1.0/24", "192.0.2.10/32", "10.64.0.0/25"];

fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

fn address(node: u8) -> IpAddr {
    [10, 64, 0, 20 + node].into()
}

fn block(node: u8) -> Prefix {
    prefix(&format!("10.67.{node}.0/26"))
}

pub(super) struct Nodes {
    /// Those in the cluster's file, if it can be read.
    listed: Option<Vec<u8>>,
    up: Vec<u8>,
    /// So many of those that are up have told their routes.
    told: usize,
    strange: BTreeSet<(u8, &'static str)>,
    connected: Vec<&'static str>,
    is_watched: bool,
    /// Whether sessions are kept with nodes.
    is_peer: bool,
    /// The routes of ours in the kernel.
    fib: Routes,
    /// How often they were changed.
    pub(super) writes: usize,
}

impl Nodes {
    pub(super) fn new() -> Self {
        Self {
            listed: Some(vec![1, 2]),
            up: vec![1, 2],
            told: 2,
            strange: BTreeSet::new(),
            connected: vec!["10.64.0.0/24"],
            is_watched: false,
            is_peer: false,
            fib: Routes::new(),
            writes: 0,
        }
    }

    /// A new process asks for nothing yet.
    pub(super) fn process_begins(&mut self) {
        (self.is_watched, self.is_peer) = (false, false);
    }

    /// What a process hears first.
    pub(super) fn first(&self) -> [Event; 2] {
        [Event::FibSynced(Report { left: self.fib.clone(), ..self.report() }), self.networks()]
    }

    pub(super) fn happens(&mut self, what: &Node) -> Option<Event> {
        match what {
            Node::Listed(listed) => {
                self.listed.clone_from(listed);
                self.is_watched.then(|| self.cluster())
            }
            Node::Up { nodes, told } => {
                (self.up, self.told) = (nodes.clone(), *told);
                self.is_peer.then(|| self.spoken())
            }
            Node::Tells { node, prefix } => {
                self.strange.insert((*node, *prefix));
                self.is_peer.then(|| self.spoken())
            }
            Node::Connected(networks) => {
                self.connected.clone_from(networks);
                Some(self.networks())
            }
        }
    }

    /// What follows from an action about nodes, if it is one.
    pub(super) fn act(&mut self, action: &Action) -> Option<Event> {
        match action {
            Action::WatchCluster(place) => {
                self.is_watched = matches!(place, Some(WatchedCluster::File(_)));
                self.is_watched.then(|| self.cluster())
            }
            Action::SetNodePeers(peers) => {
                self.is_peer = peers.is_some();
                self.is_peer.then(|| self.spoken())
            }
            Action::SetFib(routes) => {
                self.writes += usize::from(self.fib != *routes);
                self.fib.clone_from(routes);
                Some(Event::FibSynced(self.report()))
            }
            _ => None,
        }
    }

    /// Three nodes are there and tell what is theirs.
    pub(super) fn settle(&mut self) -> Vec<Event> {
        (self.listed, self.up, self.told) = (Some(vec![1, 2, 3]), vec![1, 2, 3], 3);
        self.strange.clear();
        let whole = [Node::Listed(self.listed.clone()), Node::Up { nodes: vec![1, 2, 3], told: 3 }];
        let connected = Node::Connected(vec!["10.64.0.0/24"]);
        whole.iter().chain([&connected]).filter_map(|what| self.happens(what)).collect()
    }

    /// The kernel has the nodes' routes and no others.
    pub(super) fn are_settled(&self) -> Outcome {
        let route = |node| (block(node), FibRoute { next_hop: address(node) });
        let expected: Routes = [1, 2, 3].map(route).into();
        ensure!(self.fib == expected, "settled", "of nodes the kernel has {:?}, not {expected:?}", self.fib);
        Ok(())
    }

    fn report(&self) -> Report {
        Report { installed: self.fib.len(), ..Report::default() }
    }

    fn networks(&self) -> Event {
        Event::ConnectedSeen(self.connected.iter().map(|network| prefix(network)).collect())
    }

    fn cluster(&self) -> Event {
        Event::ClusterRead(match &self.listed {
            None => Err("/c.json: not JSON".into()),
            Some(listed) => Ok(Cluster {
                nodes: listed.iter().map(|node| (format!("n{node}"), cluster_node(*node))).collect(),
                blocks: listed.iter().map(|node| (block(*node), format!("n{node}"))).collect(),
                ..Cluster::default()
            }),
        })
    }

    fn spoken(&self) -> Event {
        let session = |node: &u8| format!("node/n{node}/ipv4");
        let is_told = |place| place < self.told;
        let up = || self.up.iter().enumerate();
        let sessions = up().map(|(place, node)| {
            (session(node), SessionSeen { is_up: true, is_told: is_told(place), is_restarting: false })
        });
        let own = up().filter(|(place, _)| is_told(*place)).map(|(_, node)| (*node, block(*node)));
        let strange = self.strange.iter().filter(|(node, _)| self.up.contains(node));
        let strange = strange.map(|(node, network)| (*node, prefix(network)));
        let learned = |(node, prefix)| Learned {
            prefix,
            next_hop: address(node),
            session: session(&node),
            neighbour: address(node),
        };
        let mut routes: Vec<Learned> = own.chain(strange).map(learned).collect();
        routes.sort_by(|one, other| (one.prefix, &one.session).cmp(&(other.prefix, &other.session)));
        Event::NodesSeen(Spoken { sessions: sessions.collect::<BTreeMap<_, _>>(), routes })
    }
}

fn cluster_node(node: u8) -> ClusterNode {
    ClusterNode { addresses: vec![address(node)], ..ClusterNode::default() }
}

/// What has to be remembered to judge what is done about nodes.
#[derive(Default)]
pub(super) struct RoutesOfNodes {
    /// What an earlier process has left in the kernel, once that is known.
    left: Option<Routes>,
    connected: Option<BTreeSet<Prefix>>,
    /// Whether the cluster's file was read by those who follow it now.
    has_cluster: bool,
}

impl RoutesOfNodes {
    pub(super) fn hears(&mut self, event: &Event) {
        match event {
            Event::FibSynced(report) => {
                self.left.get_or_insert_with(|| report.left.clone());
            }
            Event::ConnectedSeen(networks) => self.connected = Some(networks.clone()),
            Event::ClusterRead(Ok(_)) => self.has_cluster = true,
            _ => {}
        }
    }

    /// Nothing is written before everything is known, and nothing that touches what is ours; a file that cannot be read, and
    /// a stop, change nothing.
    pub(super) fn are_right(&mut self, seen: &Seen<'_>) -> Outcome {
        let set = seen.actions.iter().find_map(|action| match action {
            Action::SetFib(routes) => Some(routes),
            _ => None,
        });
        let is_asked = seen.after.config.as_ref().is_some_and(|config| config.nodes.is_some());
        if let Some(routes) = set.filter(|_| is_asked) {
            self.may_be(seen, routes)?;
            let is_no_word = matches!(seen.event, Event::ClusterRead(Err(_)));
            ensure!(!is_no_word, "2 sources", "the cluster's file is bad, and routes change: {routes:?}");
        }
        // Whoever follows it later has to hear it first.
        self.has_cluster &= is_asked;
        Ok(())
    }

    fn may_be(&self, seen: &Seen<'_>, routes: &Routes) -> Outcome {
        let (Some(left), Some(connected), true) = (&self.left, &self.connected, self.has_cluster) else {
            return Err(Broken::new("1 sources first", format!("not everything has spoken: {routes:?}")));
        };
        let (pool, block_size) = POOL;
        let vips = seen.after.vip_users.keys().map(|vip| Prefix::host(*vip));
        let ours: Vec<Prefix> = vips.chain(connected.iter().copied()).chain([prefix(SERVICES)]).collect();
        for to in routes.keys().filter(|to| !left.contains_key(to)) {
            let is_inside = prefix(pool).contains(*to) && to.len() >= block_size;
            ensure!(is_inside, "5 routes", "{to} is no block of {pool}");
            let touched = ours.iter().find(|own| own.contains(*to) || to.contains(**own));
            ensure!(touched.is_none(), "5 routes", "{to} touches {touched:?}, which is ours");
        }
        Ok(())
    }
}
