//! `lvsctl bgp`: the peers, what they are told and why, and what was taken of them.

use super::Context;
use super::messages::{Problem, ProblemKind};
use crate::core::Timestamp;
use crate::core::action::did_you_mean;
use crate::core::view::{Asked, BfdView};
use crate::suggest::suggest;
use bgp::rib::{LocRib, ToldAttributes};
use bgp::speaker::{Asker, MessageCounts, Statuses, ToldAt};
use bgp::{Community, LargeCommunity, PeerStatus, Prefix};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tokio::sync::watch;

/// Where a speaker can be looked at.
#[derive(Clone, Debug)]
pub struct Looks {
    /// The own AS.
    pub local_asn: u32,
    /// The own identifier.
    pub router_id: Ipv4Addr,
    /// Every peer.
    pub peers: watch::Receiver<Statuses>,
    /// What was taken of their routes.
    pub learned: watch::Receiver<LocRib>,
    /// What they are told.
    pub asker: Asker,
}

/// `lvsctl bgp`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BgpView {
    /// The own AS.
    pub local_asn: u32,
    /// The own identifier.
    pub router_id: Ipv4Addr,
    /// The peers that were asked for, by name.
    pub peers: Vec<NeighborView>,
}

/// One peer, with everything that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NeighborView {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// The AS that it has to be in.
    pub asn: u32,
    /// `external` or `internal`.
    pub kind: String,
    /// Where the state machine is.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// What protects or hastens the session: `MD5`, `GTSM`, `passive`.
    pub marks: Vec<String>,
    /// The path to it, when BFD watches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<BfdView>,
    /// What was agreed on, while it is established.
    pub session: Option<SessionView>,
    /// The hold time that we propose, in seconds.
    pub hold_time_sent: u16,
    /// The hold time that it proposed last.
    pub hold_time_received: Option<u16>,
    /// The capabilities in our last OPEN.
    pub capabilities_sent: Vec<String>,
    /// The capabilities in its last OPEN.
    pub capabilities_received: Vec<String>,
    /// Each family's prefixes.
    pub prefixes: BTreeMap<bgp::Family, PrefixesView>,
    /// Taken routes that wait for a neighbour that restarts.
    pub stale: usize,
    /// How often a route was not taken, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Why some routes are not sent: family, routes, reason.
    pub withheld: Vec<String>,
    /// Whether everything that it is to hear was written.
    pub in_sync: bool,
    /// Messages received since start, by type.
    pub messages_received: MessageCounts,
    /// Messages sent since start, by type.
    pub messages_sent: MessageCounts,
    /// UPDATEs whose routes counted as withdrawn (RFC 7606).
    pub treated_as_withdraw: u64,
    /// Attributes that were discarded (RFC 7606).
    pub attributes_discarded: u64,
    /// What was last wrong with an UPDATE.
    pub last_malformed: Option<String>,
    /// Sessions that were established since start.
    pub sessions: u64,
    /// TCP connections since start.
    pub connections: u64,
    /// Why the last session or attempt ended.
    pub last_error: Option<String>,
    /// The last NOTIFICATION that it was sent.
    pub notification_sent: Option<NotificationView>,
    /// The last NOTIFICATION that came from it.
    pub notification_received: Option<NotificationView>,
    /// From the decision to the write that carried the last withdrawal, in microseconds.
    pub last_withdraw_micros: Option<u64>,
    /// The same of the last announcement.
    pub last_announce_micros: Option<u64>,
}

/// What a session agreed on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionView {
    /// Its identifier.
    pub router_id: Ipv4Addr,
    /// Our end.
    pub local: String,
    /// Its end.
    pub remote: String,
    /// In seconds; 0: no timer.
    pub hold_time: u16,
    /// In seconds.
    pub keepalive: u16,
    /// AS numbers have four octets.
    pub four_octet_asn: bool,
    /// It keeps our routes over a restart, and we its.
    pub graceful_restart: bool,
}

/// Prefixes of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrefixesView {
    /// Those that it holds of us.
    pub announced: usize,
    /// Those that it has announced in this session.
    pub received: u64,
    /// Those that the import rules took.
    pub taken: usize,
}

/// A NOTIFICATION.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationView {
    /// When.
    pub at: Timestamp,
    /// In words.
    pub text: String,
}

/// `lvsctl bgp rib out`: what one peer is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RibOutView {
    /// The peer.
    pub peer: String,
    /// Each route that is wanted.
    pub routes: Vec<RouteOutView>,
}

/// One route towards one peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteOutView {
    /// The prefix.
    pub prefix: Prefix,
    /// With what it is told; none when it is not.
    pub attributes: Option<ToldAttributes>,
    /// Why it is told, or is not.
    pub reason: String,
}

/// `lvsctl bgp rib in`: one path that was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PathView {
    /// The prefix.
    pub prefix: Prefix,
    /// Who told it.
    pub peer: String,
    /// Whether it is the best.
    pub best: bool,
    /// Why it is not.
    pub lost: Option<String>,
    /// Where to.
    pub next_hop: IpAddr,
    /// The AS path.
    pub as_path: String,
    /// ORIGIN.
    pub origin: bgp::wire::Origin,
    /// `MULTI_EXIT_DISC`.
    pub med: Option<u32>,
    /// `LOCAL_PREF`.
    pub local_pref: Option<u32>,
    /// Standard communities.
    pub communities: Vec<Community>,
    /// Large communities.
    pub large_communities: Vec<LargeCommunity>,
}

impl NeighborView {
    fn of(name: &str, peer: &PeerStatus, local_asn: u32) -> Self {
        let counters = peer.counters;
        let micros = |time: Option<Duration>| time.and_then(|time| u64::try_from(time.as_micros()).ok());
        let notification = |told: &Option<ToldAt>| {
            told.as_ref().map(|told| NotificationView { at: told.at.into(), text: told.text.clone() })
        };
        let withheld = peer.withheld.iter().map(|w| format!("{} of {}: {}", w.routes, w.family, w.reason));
        Self {
            name: name.into(),
            address: peer.address,
            asn: peer.asn,
            kind: if peer.asn == local_asn { "internal" } else { "external" }.into(),
            state: peer.state.to_string(),
            since: peer.since.into(),
            marks: peer.marks.clone(),
            bfd: peer.bfd.as_ref().map(super::bfd),
            session: peer.session.as_ref().map(session),
            hold_time_sent: peer.hold_time.as_secs(),
            hold_time_received: peer.hold_time_received,
            capabilities_sent: peer.capabilities_sent.clone(),
            capabilities_received: peer.capabilities_received.clone(),
            prefixes: prefixes(peer),
            stale: peer.stale,
            refused: peer.refused.clone(),
            withheld: withheld.collect(),
            in_sync: peer.in_sync,
            messages_received: counters.received,
            messages_sent: counters.sent,
            treated_as_withdraw: counters.treated_as_withdraw,
            attributes_discarded: counters.attributes_discarded,
            last_malformed: peer.last_malformed.clone(),
            sessions: counters.established,
            connections: counters.connects,
            last_error: peer.last_error.clone(),
            notification_sent: notification(&peer.notification_sent),
            notification_received: notification(&peer.notification_received),
            last_withdraw_micros: micros(peer.last_withdraw_latency),
            last_announce_micros: micros(peer.last_announce_latency),
        }
    }
}

fn session(session: &bgp::speaker::SessionStatus) -> SessionView {
    SessionView {
        router_id: session.remote_router_id,
        local: session.local.to_string(),
        remote: session.remote.to_string(),
        hold_time: session.hold_time.as_secs(),
        keepalive: session.hold_time.as_secs() / 3,
        four_octet_asn: session.four_octet_asn,
        graceful_restart: session.graceful_restart,
    }
}

fn prefixes(peer: &PeerStatus) -> BTreeMap<bgp::Family, PrefixesView> {
    let mut families: BTreeMap<bgp::Family, PrefixesView> = BTreeMap::new();
    for (family, count) in &peer.announced {
        families.entry(*family).or_default().announced = *count;
    }
    for (family, count) in &peer.received {
        families.entry(*family).or_default().received = *count;
    }
    for (family, count) in &peer.learned {
        families.entry(*family).or_default().taken = *count;
    }
    families
}

impl Context {
    fn looks(&self) -> Result<&Looks, Problem> {
        let message = "BGP is not configured: the configuration has no [bgp]".into();
        self.bgp.as_ref().ok_or(Problem { kind: ProblemKind::NotFound, message })
    }

    /// Every peer, or the one of this name or address.
    pub(super) fn neighbors(&self, only: Option<&str>) -> Result<BgpView, Problem> {
        let looks = self.looks()?;
        let statuses = looks.peers.borrow().clone();
        let is_wanted = |(name, peer): &(&String, &PeerStatus)| {
            only.is_none_or(|only| **name == *only || peer.address.to_string() == only)
        };
        let peers = statuses.iter().filter(is_wanted);
        let peers: Vec<_> = peers.map(|(name, peer)| NeighborView::of(name, peer, looks.local_asn)).collect();
        if let (Some(only), true) = (only, peers.is_empty()) {
            return Err(no_peer(only, &statuses));
        }
        Ok(BgpView { local_asn: looks.local_asn, router_id: looks.router_id, peers })
    }

    /// What each peer is told, of everything or of one prefix.
    pub(super) async fn rib_out(&self, only: Option<&str>) -> Result<Vec<RibOutView>, Problem> {
        let looks = self.looks()?;
        let only = only.map(prefix).transpose()?;
        let vips = self.inbox.status(Asked::default()).await?.map(|status| status.vips).unwrap_or_default();
        let reasons: BTreeMap<Prefix, String> =
            vips.into_iter().map(|vip| (Prefix::host(vip.address), vip.reason)).collect();
        let names: Vec<String> = looks.peers.borrow().keys().cloned().collect();
        let mut views = Vec::with_capacity(names.len());
        for peer in names {
            let told = looks.asker.told(&peer).await.unwrap_or_default();
            let told = told.into_iter().filter(|route| only.is_none_or(|only| only == route.prefix));
            let routes = told.map(|route| RouteOutView {
                prefix: route.prefix,
                attributes: route.attributes,
                reason: route
                    .reason
                    .or_else(|| route.of.map(|of| format!("{of} told it, and we are their reflector")))
                    .or_else(|| reasons.get(&route.prefix).cloned())
                    .unwrap_or_else(|| "it is wanted".into()),
            });
            views.push(RibOutView { peer, routes: routes.collect() });
        }
        let is_nowhere = views.iter().all(|view| view.routes.is_empty());
        match only.filter(|_| is_nowhere) {
            Some(only) => Err(not_announced(only, &reasons)),
            None => Ok(views),
        }
    }

    /// What was taken, of everything or of one prefix.
    pub(super) fn rib_in(&self, only: Option<&str>) -> Result<Vec<PathView>, Problem> {
        let looks = self.looks()?;
        let only = only.map(prefix).transpose()?;
        let table = looks.learned.borrow();
        let prefixes: Vec<Prefix> = table.iter().map(|(prefix, _)| prefix).collect();
        let wanted = prefixes.iter().filter(|prefix| only.is_none_or(|only| only == **prefix));
        let paths: Vec<PathView> = wanted.flat_map(|prefix| paths(&table, *prefix)).collect();
        match only.filter(|_| paths.is_empty()) {
            Some(only) => {
                let known = prefixes.iter().map(ToString::to_string).collect::<Vec<_>>();
                let message = format!("no route to {only} was taken{}", near(&only.to_string(), &known));
                Err(Problem { kind: ProblemKind::NotFound, message })
            }
            None => Ok(paths),
        }
    }
}

fn paths(table: &LocRib, prefix: Prefix) -> Vec<PathView> {
    let paths = table.explain(prefix).into_iter().map(|(path, lost)| PathView {
        prefix,
        peer: path.source.peer.clone(),
        best: lost.is_none(),
        lost: lost.map(|step| step.to_string()),
        next_hop: path.route.next_hop,
        as_path: path.route.path.to_string(),
        origin: path.route.origin,
        med: path.route.med,
        local_pref: path.route.local_pref,
        communities: path.route.communities.clone(),
        large_communities: path.route.large_communities.clone(),
    });
    paths.collect()
}

/// A prefix, or an address that stands for a host's.
fn prefix(text: &str) -> Result<Prefix, Problem> {
    text.parse().map_err(|error: bgp::prefix::PrefixError| Problem {
        kind: ProblemKind::BadRequest,
        message: error.to_string(),
    })
}

fn near(name: &str, known: &[String]) -> String {
    let near: Vec<String> =
        suggest(name, known.iter().map(String::as_str)).into_iter().map(Into::into).collect();
    did_you_mean(&near)
}

fn no_peer(name: &str, statuses: &Statuses) -> Problem {
    let known: Vec<String> =
        statuses.iter().flat_map(|(name, peer)| [name.clone(), peer.address.to_string()]).collect();
    let message = format!("there is no BGP peer {name}{}", near(name, &known));
    Problem { kind: ProblemKind::NotFound, message }
}

/// Why a prefix is told to nobody.
fn not_announced(prefix: Prefix, reasons: &BTreeMap<Prefix, String>) -> Problem {
    let message = match reasons.get(&prefix) {
        Some(reason) => format!("{prefix} is not announced: {reason}"),
        None => {
            let known: Vec<String> = reasons.keys().map(ToString::to_string).collect();
            format!("no VIP is {prefix}{}", near(&prefix.to_string(), &known))
        }
    };
    Problem { kind: ProblemKind::NotFound, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bgp::rib::{Received, Source};
    use std::sync::Arc;

    #[test]
    fn the_best_path_comes_first_and_the_others_say_by_what_they_lost() {
        let mut table = LocRib::default();
        for (last, local_pref) in [(251, 100), (252, 200)] {
            let address = Ipv4Addr::new(10, 64, 0, last);
            let source = Source {
                peer: format!("r{last}"),
                address: address.into(),
                router_id: address,
                internal: false,
            };
            let route =
                Received { next_hop: address.into(), local_pref: Some(local_pref), ..Received::default() };
            let key = (prefix("0.0.0.0/0").unwrap(), Default::default());
            table.apply(&Arc::new(source), vec![(key, Some(Arc::new(route)))]);
        }
        let paths = paths(&table, prefix("0.0.0.0/0").unwrap());
        let told = |path: &PathView| (path.peer.clone(), path.best, path.lost.clone());
        assert_eq!(told(&paths[0]), ("r252".into(), true, None));
        assert_eq!(told(&paths[1]), ("r251".into(), false, Some("lower LOCAL_PREF".into())));
    }

    #[test]
    fn an_address_stands_for_its_hosts_prefix_and_nonsense_is_refused() {
        assert_eq!(prefix("192.0.2.10").unwrap(), Prefix::host([192, 0, 2, 10].into()));
        assert_eq!(prefix("rs1").unwrap_err().kind, ProblemKind::BadRequest);
    }
}
