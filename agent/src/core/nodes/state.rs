//! What the core keeps of the nodes, and what follows when any of it changes.

use super::guard::{self, Doubt};
use super::judge::{self, Ground, Judged, Offer, Refusal};
use super::known::Known;
use super::sessions::{NodePeers, max_prefixes, sessions};
use super::{Cluster, NodeSession};
use crate::config::{ClusterPlace, Config, NodeMode, NodeRoutes, Nodes};
use crate::core::Timestamp;
use crate::core::action::{Action, Level, Notice, WatchedCluster};
use crate::core::state::{Phase, State};
use crate::fib::{FibRoute, Report, Routes};
use bgp::Prefix;
use bgp::rib::{Complete, Permits};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// How long after a start the kernel keeps routes that no node has told again, should some node not come back: as long as
/// nodes, and other routers, wait for us in a graceful restart.
pub const RETURN_GRACE: Duration = Duration::from_secs(120);

/// Lines of the log for one change; how many more there are is said.
const LINES: usize = 20;

/// Everything that the speaker knows of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Sessions by name.
    pub sessions: BTreeMap<String, SessionSeen>,
    /// Their routes; of those to one prefix the best comes first.
    pub routes: Vec<Learned>,
}

/// One session, as far as it decides anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSeen {
    /// It is established.
    pub is_up: bool,
    /// The node has told all its routes.
    pub is_told: bool,
    /// It restarts itself: as our client it tells its routes when it has heard from us that there are no more.
    #[serde(default)]
    pub is_restarting: bool,
}

/// A route that a node told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// Where to.
    pub prefix: Prefix,
    /// By which way.
    pub next_hop: IpAddr,
    /// The session's name.
    pub session: String,
    /// The other end of the session.
    pub neighbour: IpAddr,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct NodesState {
    /// What the source said last that could be used.
    pub(super) cluster: Option<Cluster>,
    /// Its latest word, if that is held back.
    held: Option<Cluster>,
    /// Why its latest word could not be.
    pub(super) error: Option<String>,
    pub(super) seen: Seen,
    /// The networks that we are in; none until they were looked at.
    pub(super) connected: Option<BTreeSet<Prefix>>,
    pub(super) known: Known,
    pub(super) sessions: BTreeMap<String, NodeSession>,
    /// Nodes without a session, and why.
    pub(super) without: BTreeMap<String, String>,
    pub(super) judged: Judged,
    /// What the kernel had of ours when we came, until nodes have had the time to tell it again.
    pub(super) adopted: Routes,
    /// What the kernel said last; none before it was read.
    pub(super) kernel: Option<Report>,
    /// When nodes have had their time; none once it is over.
    pub(in crate::core) settles_at: Option<Timestamp>,
    peers: Option<NodePeers>,
    permits: Permits,
    watched: Option<WatchedCluster>,
    fib: Option<Routes>,
}

impl NodesState {
    /// A configuration came: nodes get their time when it is the first.
    pub(in crate::core) fn configured(&mut self, is_first: bool, now: Timestamp) {
        if is_first {
            self.settles_at = Some(now + RETURN_GRACE);
        }
    }

    /// The source has spoken, or could not be read. What cannot be meant is not obeyed.
    pub(in crate::core) fn cluster_read(&mut self, outcome: Result<Cluster, String>) -> Option<Notice> {
        self.held = None;
        let outcome = outcome.and_then(|cluster| {
            match self.cluster.as_ref().and_then(|before| guard::doubt(before, &cluster)) {
                None => Ok(cluster),
                Some(Doubt::Never(why)) => Err(why),
                Some(Doubt::Held(why)) => {
                    self.held = Some(cluster);
                    Err(why)
                }
            }
        });
        match outcome {
            Ok(cluster) => {
                self.cluster = Some(cluster);
                self.error = None;
                None
            }
            Err(error) => {
                let is_new = self.error.as_ref() != Some(&error);
                self.error = Some(error.clone());
                is_new.then(|| {
                    notice(Level::Error, None, "the cluster cannot be read; what is known of it stays", error)
                })
            }
        }
    }

    /// Lets what is held back through. False when nothing is.
    pub(in crate::core) fn confirm(&mut self) -> bool {
        let Some(held) = self.held.take() else { return false };
        self.cluster = Some(held);
        self.error = None;
        true
    }

    /// The speaker says what it knows. True when that is new.
    pub(in crate::core) fn seen(&mut self, seen: Seen) -> bool {
        let is_new = self.seen != seen;
        self.seen = seen;
        is_new
    }

    /// The networks that we are in were looked at. True when they are others.
    pub(in crate::core) fn connected(&mut self, connected: BTreeSet<Prefix>) -> bool {
        let is_new = self.connected.as_ref() != Some(&connected);
        self.connected = Some(connected);
        is_new
    }

    /// The kernel was read or written; the first time what an earlier process left is known. True when that decides
    /// anything.
    pub(in crate::core) fn synced(&mut self, mut report: Report) -> bool {
        let is_first = self.kernel.is_none();
        if is_first {
            // It may be before the configuration is; what comes too late is dropped when it is next decided.
            self.adopted = std::mem::take(&mut report.left);
        }
        self.kernel = Some(report);
        is_first
    }

    /// Whether every node has told what it has, or had the time to.
    fn settle(&mut self, config: &Nodes, now: Timestamp) {
        let Some(until) = self.settles_at else {
            self.adopted.clear();
            return;
        };
        let is_told =
            |name: &String| self.seen.sessions.get(name).is_some_and(|seen| seen.is_up && seen.is_told);
        let all = match (config.routes, config.mode) {
            (NodeRoutes::Datastore, _) => true,
            // Nobody knows who else would come.
            (NodeRoutes::Bgp, NodeMode::Listen) => false,
            (NodeRoutes::Bgp, NodeMode::Discover | NodeMode::Static) => self.sessions.keys().all(is_told),
        };
        if !self.known.is_complete {
            // Nobody could tell anything: their time begins when the cluster is known.
            self.settles_at = Some(until.max(now + RETURN_GRACE));
        } else if all || until <= now {
            self.settles_at = None;
            self.adopted.clear();
        }
    }

    /// What nodes are to be told of one another: what may be taken, and that it is all once every node has had its time.
    fn permitted(&self, config: &Nodes) -> Permits {
        if !config.reflector {
            return Permits::default();
        }
        let is_known = self.known.is_complete && self.connected.is_some();
        let has_spoken = |name: &String| {
            let seen = self.seen.sessions.get(name);
            seen.is_some_and(|seen| seen.is_up && (seen.is_told || seen.is_restarting))
        };
        let complete = match self.settles_at {
            _ if !is_known => Complete::No,
            None => Complete::ToAll,
            Some(_) if config.mode != NodeMode::Listen && self.sessions.keys().all(has_spoken) => {
                Complete::ToRestarting
            }
            Some(_) => Complete::No,
        };
        Permits { ways: self.judged.passable.clone(), complete }
    }

    /// What the kernel is to have: what is taken, and for a time after a start what is there already. That goes before what is odd of
    /// what is taken: the owner may not have told its routes yet, where others that know of them have.
    fn wanted(&self) -> Routes {
        let mut wanted = self.adopted.clone();
        wanted.retain(|prefix, route| !self.is_refused(prefix, route.next_hop));
        for (prefix, route) in &self.judged.accepted {
            if !(route.is_odd && wanted.contains_key(prefix)) {
                wanted.insert(*prefix, FibRoute { next_hop: route.next_hop });
            }
        }
        wanted
    }

    /// Whether what is said against offers of a prefix is against this way there as well.
    fn is_refused(&self, prefix: &Prefix, next_hop: IpAddr) -> bool {
        let of_prefix = self.judged.refused.range((*prefix, String::new())..);
        of_prefix.take_while(|((found, _), _)| found == prefix).any(|(_, refusal)| match refusal {
            Refusal::NextHop(_) => false,
            Refusal::NotOwner { owner, .. } => self.known.names.get(&next_hop) != Some(owner),
            _ => true,
        })
    }
}

/// Decides anew and gives the states that changed. Nothing is done while lvsd stops: the kernel's routes stay.
pub(in crate::core) fn update(state: &mut State, now: Timestamp, actions: &mut Vec<Action>) {
    let Some(config) = state.config.clone() else { return };
    if matches!(state.phase, Phase::Stopping { .. } | Phase::Stopped) {
        return;
    }
    let Some(settings) = &config.nodes else {
        forget(&mut state.nodes, actions);
        return;
    };
    let nodes = &mut state.nodes;
    let watched = settings.cluster.as_ref().and_then(|place| watched(place, &config));
    if nodes.watched != watched {
        nodes.watched.clone_from(&watched);
        (nodes.cluster, nodes.held) = (None, None);
        actions.push(Action::WatchCluster(watched));
    }
    nodes.known = Known::of(settings, nodes.cluster.as_ref());
    let routers = config.bgp.iter().flat_map(|bgp| &bgp.peers).map(|peer| peer.address).collect();
    (nodes.sessions, nodes.without) = sessions(settings, &nodes.known, &routers);
    let max_prefixes = max_prefixes(settings, &nodes.known);
    let peers = NodePeers { sessions: nodes.sessions.clone(), max_prefixes, settings: settings.clone() };
    // Before the source has spoken nobody knows whose sessions are to end.
    if nodes.known.is_complete && nodes.peers.as_ref() != Some(&peers) {
        nodes.peers = Some(peers.clone());
        actions.push(Action::SetNodePeers(Some(peers)));
    }
    let vips = state.vip_users.keys().copied().collect();
    let notices = decide(nodes, settings, &vips);
    state.notices.extend(notices);
    let nodes = &mut state.nodes;
    nodes.settle(settings, now);
    let permits = nodes.permitted(settings);
    if nodes.permits != permits {
        nodes.permits = permits.clone();
        actions.push(Action::SetPermits(permits));
    }
    // What is there already has to be known before anything is said to be all that is wanted.
    if nodes.known.is_complete && nodes.connected.is_some() && nodes.kernel.is_some() {
        let wanted = nodes.wanted();
        if nodes.fib.as_ref() != Some(&wanted) {
            nodes.fib = Some(wanted.clone());
            actions.push(Action::SetFib(wanted));
        }
    }
}

/// Where a place is read; a source with its settings.
fn watched(place: &ClusterPlace, config: &Config) -> Option<WatchedCluster> {
    match place {
        ClusterPlace::File(path) => Some(WatchedCluster::File(path.clone())),
        ClusterPlace::Source(source) => config.sources.get(source).cloned().map(WatchedCluster::Source),
    }
}

/// There is no `[nodes]` any more: its sessions end, its routes go.
fn forget(nodes: &mut NodesState, actions: &mut Vec<Action>) {
    if nodes.peers.is_some() {
        actions.push(Action::SetNodePeers(None));
    }
    if nodes.permits != Permits::default() {
        actions.push(Action::SetPermits(Permits::default()));
    }
    if nodes.watched.is_some() {
        actions.push(Action::WatchCluster(None));
    }
    if nodes.fib.is_some() {
        actions.push(Action::SetFib(Routes::new()));
    }
    let (connected, kernel) = (nodes.connected.take(), nodes.kernel.take());
    *nodes = NodesState { connected, kernel, ..NodesState::default() };
}

fn decide(nodes: &mut NodesState, config: &Nodes, vips: &BTreeSet<IpAddr>) -> Vec<Notice> {
    let none = BTreeSet::new();
    let connected = nodes.connected.as_ref().unwrap_or(&none);
    let ground = Ground { config, known: &nodes.known, vips, connected };
    let offers = nodes.seen.routes.iter().map(|route| Offer {
        prefix: route.prefix,
        next_hop: route.next_hop,
        from: &route.session,
        neighbour: route.neighbour,
    });
    let judged = match nodes.known.is_complete && nodes.connected.is_some() {
        true => judge::judge(&ground, offers),
        false => Judged::default(),
    };
    let notices = tell(&nodes.judged, &judged);
    nodes.judged = judged;
    notices
}

/// What is new, in lines of the log.
fn tell(before: &Judged, after: &Judged) -> Vec<Notice> {
    let mut notices = tell_oddities(before, after);
    if notices.len() > LINES {
        let more = notices.split_off(LINES).len();
        notices.push(notice(
            Level::Warn,
            None,
            "there is more of this kind",
            format!("{more} others; lvsctl routes has them all"),
        ));
    }
    let gone = before.accepted.keys().filter(|prefix| !after.accepted.contains_key(prefix)).count();
    let moved = after.accepted.iter().filter(|(prefix, route)| {
        before.accepted.get(prefix).is_some_and(|old| old.next_hop != route.next_hop)
    });
    let moved = moved.count();
    let new = after.accepted.keys().filter(|prefix| !before.accepted.contains_key(prefix)).count();
    if gone + moved + new > 0 {
        let reason = format!("{new} new, {moved} by another node, {gone} gone");
        let what = format!("{} routes of nodes are taken", after.accepted.len());
        notices.push(notice(Level::Info, None, &what, reason));
    }
    notices
}

/// What was not refused, odd or alarming before.
fn tell_oddities(before: &Judged, after: &Judged) -> Vec<Notice> {
    let alarms = after.alarms.difference(&before.alarms).map(|alarm| {
        notice(Level::Error, None, "a VIP and the cluster are in each other's way", alarm.clone())
    });
    let is_new =
        |(offer, refusal): &(&(Prefix, String), &Refusal)| before.refused.get(offer) != Some(refusal);
    let refused = after.refused.iter().filter(is_new).map(|((prefix, from), refusal)| {
        let what = format!("the route that {from} offers is refused");
        notice(Level::Warn, Some(prefix), &what, refusal.to_string())
    });
    let was_odd = |prefix: &Prefix, warning: &String| {
        before.accepted.get(prefix).and_then(|route| route.warning.as_ref()) == Some(warning)
    };
    let odd = after.accepted.iter().filter_map(|(prefix, route)| {
        let warning = route.warning.as_ref().filter(|warning| !was_odd(prefix, warning))?;
        let what = format!("the route that {} offers is taken", route.from);
        Some(notice(Level::Warn, Some(prefix), &what, format!("but {warning}")))
    });
    alarms.chain(refused).chain(odd).collect()
}

fn notice(level: Level, subject: Option<&Prefix>, what: &str, reason: String) -> Notice {
    Notice { level, service: None, subject: subject.map(ToString::to_string), what: what.into(), reason }
}
