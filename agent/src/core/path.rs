//! The way to each backend. Direct routing hands a client's packet to the server's own link-layer address, so the
//! server has to be on a link of the balancer's own: behind a gateway it never gets such a packet.

use super::action::{Action, Level, Notice};
use super::outcome::Dirty;
use super::state::{Phase, ServiceState, State};
use super::uses::Users;
use super::{Timestamp, marks};
use crate::config::Service;
use health::{Check, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Where the kernel sends what goes to an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// To the address itself, on a link of this host.
    Direct {
        /// The interface that it goes out of.
        interface: Arc<str>,
    },
    /// To a router first.
    Gateway {
        /// The interface that it goes out of.
        interface: Arc<str>,
        /// The router.
        gateway: IpAddr,
    },
    /// It is an address of this host.
    Local,
    /// Nowhere.
    Unreachable {
        /// The kernel's word for it.
        error: String,
    },
}

impl Path {
    /// Whether direct routing gets there.
    pub fn is_on_link(&self) -> bool {
        match self {
            Self::Direct { .. } => true,
            Self::Gateway { .. } | Self::Local | Self::Unreachable { .. } => false,
        }
    }
}

/// What follows "its packets go".
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { interface } => write!(f, "straight out of {interface}"),
            Self::Gateway { interface, gateway } => write!(f, "by the gateway {gateway} on {interface}"),
            Self::Local => f.write_str("to the balancer itself"),
            Self::Unreachable { error } => write!(f, "nowhere: {error}"),
        }
    }
}

/// What the kernel's neighbour table (ARP, ND) has for an address. States between which an entry goes back and forth
/// while all is well (reachable, stale, delay, probe) are one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Neighbour {
    /// A link-layer address.
    Resolved,
    /// It was asked for and did not answer.
    Failed,
    /// Nothing, or nothing yet.
    Unknown,
}

/// What was seen of one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathSeen {
    /// The address.
    pub address: IpAddr,
    /// Where its packets go.
    pub path: Path,
    /// Whether it answers on its link.
    pub neighbour: Neighbour,
}

/// The way to an address, as it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where packets go.
    pub path: Path,
    /// Whether it answers on its link.
    pub neighbour: Neighbour,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.neighbour {
            Neighbour::Failed => write!(f, "{}, where it does not answer (ARP, ND)", self.path),
            Neighbour::Resolved | Neighbour::Unknown => self.path.fmt(f),
        }
    }
}

/// What is known of the backends' ways.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// By address; what is not here was not looked at yet. Addresses with the same way share it: most go straight out of the
    /// same interface.
    seen: BTreeMap<IpAddr, Arc<Way>>,
    /// Which services have a backend at an address: the addresses that are watched.
    pub(super) users: BTreeMap<IpAddr, Users>,
    /// Until when ways that are not known yet are waited for.
    awaited_until: Timestamp,
}

impl Paths {
    /// Waits for ways until then.
    pub(super) fn wait_until(&mut self, time: Timestamp) {
        self.awaited_until = time;
    }

    /// The start is over: from now on nobody waits for a way.
    pub(super) fn wait_no_more(&mut self) {
        self.awaited_until = Timestamp::default();
    }

    /// Whether nothing is to be decided about a service's backend yet: where its packets go is still to be looked at.
    pub fn is_awaited(&self, service: &Service, address: IpAddr, now: Timestamp) -> bool {
        service.require_on_link && now < self.awaited_until && !self.seen.contains_key(&address)
    }

    /// Nobody has a backend there any more.
    pub(super) fn forget(&mut self, address: IpAddr) {
        self.users.remove(&address);
        self.seen.remove(&address);
    }

    /// The way to an address.
    pub fn get(&self, address: IpAddr) -> Option<&Arc<Way>> {
        self.seen.get(&address)
    }
}

/// Whether this way takes a backend out of a service's pools.
pub fn is_off_link(service: &Service, seen: Option<&Way>) -> bool {
    service.require_on_link && seen.is_some_and(|seen| !seen.path.is_on_link())
}

/// Takes in what was seen of the watched addresses.
pub(super) fn seen(state: &mut State, paths: Vec<PathSeen>, dirty: &mut Dirty) {
    let Paths { seen, users, .. } = &mut state.paths;
    let mut last: Option<Arc<Way>> = None;
    for PathSeen { address, path, neighbour } in paths {
        let Some(services) = users.get(&address) else { continue };
        let new = Way { path, neighbour };
        if seen.get(&address).is_none_or(|known| **known != new) {
            dirty.decide.extend(services.iter().cloned());
            let way = last.filter(|last| **last == new).unwrap_or_else(|| Arc::new(new));
            last = Some(Arc::clone(&way));
            seen.insert(address, way);
        }
    }
}

/// Whether the kernel is to wait for the ways that a start still looks at: it would be told of every backend twice, with
/// weight 0 first. A look takes milliseconds, and the wait has an end. What still waits when a stop comes waits to the end: a
/// stop leaves the kernel as it serves.
pub(super) fn holds_table(state: &State, now: Timestamp) -> bool {
    let Paths { seen, users, awaited_until } = &state.paths;
    match state.phase {
        Phase::Starting => now < *awaited_until && seen.len() < users.len(),
        Phase::Running { .. } => false,
        Phase::Stopping { .. } | Phase::Stopped => state.emitted.is_table_late,
    }
}

/// At the end of a start that has waited long enough, backends whose ways are still not known are decided about
/// without.
pub(super) fn end_wait(state: &State, dirty: &mut Dirty, now: Timestamp) {
    if state.phase == Phase::Starting && now >= state.paths.awaited_until {
        let is_unknown = |service: &&ServiceState| {
            service.pools.values().flat_map(|pool| pool.members.values()).any(|member| member.path.is_none())
        };
        let services = state.services.values().filter(is_unknown);
        dirty.decide.extend(services.map(|service| Arc::clone(&service.config.name)));
    }
}

/// Neighbours did not answer: the checks of backends there are to look now. One that is down already has nothing to
/// add.
pub(super) fn neighbours_failed(state: &mut State, addresses: &BTreeSet<IpAddr>) -> Option<Action> {
    let mut asked = BTreeSet::new();
    for address in addresses {
        let checks = passing_checks(state, *address);
        if checks.is_empty() {
            continue;
        }
        asked.extend(checks);
        state.notices.push(Notice {
            level: Level::Info,
            service: None,
            subject: Some(address.to_string()),
            what: "its checks look again at once".into(),
            reason: "it does not answer on its link (ARP, ND)".into(),
        });
    }
    (!asked.is_empty()).then_some(Action::Hasten(asked))
}

/// The checks of an address that do not say down.
fn passing_checks(state: &State, address: IpAddr) -> Vec<Arc<Check>> {
    let users = state.paths.users.get(&address).into_iter().flatten();
    let pools = users.filter_map(|name| state.services.get(name)).flat_map(|service| service.pools.values());
    let members = pools.flat_map(|pool| pool.members.values()).filter(|member| member.address == address);
    let is_down =
        |check: &Check| state.verdicts.get(check).is_some_and(|reported| reported.verdict == Verdict::Down);
    let checks = members.flat_map(|member| member.checks.iter()).map(|made| &made.check);
    let is_asked = |check: &&Arc<Check>| marks::is_ready(check, &state.kernel.services) && !is_down(check);
    checks.filter(is_asked).cloned().collect()
}
