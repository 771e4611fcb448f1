//! The core's state. The engine owns the only one; [`super::step`] changes it.

use super::Timestamp;
use super::action::{Notice, WantedPools, WantedTable};
use super::announced::Manner;
use super::canary::Canary;
use super::change::Pending;
use super::deadlines::Deadlines;
use super::families::PerFamily;
use super::found::{Conflicts, Found};
use super::inventory::Inventory;
use super::marks::Marks;
use super::member::Pool;
use super::nodes::state::NodesState;
use super::orders::Drain;
use super::path::Paths;
use super::saved::Saved;
use super::services::Services;
use super::unclaimed::Unclaimed;
use super::unheard::Unheard;
use super::uses::{ByCheck, Users};
use super::verdicts::Verdicts;
use super::vip::Vip;
use crate::config::{Attributes, Config, PoolId, Service};
use health::Check;
use ipvs::{DaemonRole, Protocol, ServiceKey, Table};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// How long a start waits for sources and checks before routes are announced as far as they are known. Long
/// enough for a few check timeouts and DNS retries, short against a router's graceful restart time (120 s).
pub const START_GRACE: Duration = Duration::from_secs(10);

/// How often the kernel is asked for the connections of destinations that drain. Its counters are exact, so this
/// only bounds how long an empty destination stays.
pub const DRAIN_POLL: Duration = Duration::from_secs(1);

/// Everything that the core knows and wants.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What files say.
    pub(super) configured: Option<Arc<Config>>,
    /// What sources have of services by themselves.
    pub(super) found: Found,
    /// What holds: what files say, and the services of sources.
    pub(super) config: Option<Arc<Config>>,
    pub(super) configured_at: Timestamp,
    pub(super) saved: Saved,
    pub(super) inventory: Inventory,
    pub(super) verdicts: Verdicts,
    pub(super) paths: Paths,
    pub(super) services: Services,
    /// Which services a check decides about.
    pub(super) check_users: ByCheck<Users>,
    /// Whose canary a check is: the service, and the VIP.
    pub(super) canary_checks: ByCheck<(Arc<str>, IpAddr)>,
    pub(super) marks: Marks,
    /// Which services are on a VIP.
    pub(super) vip_users: BTreeMap<IpAddr, Users>,
    pub(super) unclaimed: Unclaimed,
    pub(super) vips: BTreeMap<IpAddr, Vip>,
    /// Which services have their backends in a pool that is kept elsewhere.
    pub(super) pool_users: BTreeMap<PoolId, Users>,
    /// What is said of announcements of single VIPs.
    pub(super) said: BTreeMap<IpAddr, Attributes>,
    /// VIPs that keep their state for now, and until when.
    pub(super) held_vips: Deadlines<IpAddr>,
    pub(super) kernel: Kernel,
    pub(super) nodes: NodesState,
    /// What the kernel's table is to hold of ours.
    pub(super) wanted: WantedTable,
    /// Services in which a destination drains.
    pub(super) draining: BTreeSet<Arc<str>>,
    /// Services in which a weight rises, and when it does next.
    pub(super) rising: Deadlines<Arc<str>>,
    /// Services that the configuration lost, and until when they serve: the routers need time to move traffic.
    pub(super) leaving: Deadlines<ServiceKey>,
    /// VIPs that the configuration lost, and until when they stay on the device, for the same reason.
    pub(super) leaving_vips: Deadlines<IpAddr>,
    pub(super) phase: Phase,
    /// How far an operator's drain of the balancer has got.
    pub(super) drain: Drain,
    /// While it starts: services that have not spoken, as far as they were looked at.
    pub(super) unsettled: BTreeSet<Arc<str>>,
    /// Operators' requests that wait for sources to be written.
    pub(super) changes: BTreeMap<u64, Pending>,
    /// What they have taken out there and was not heard yet.
    pub(super) unheard: Unheard,
    pub(super) emitted: Emitted,
    /// Counts decisions that were different from those before, and words of sources and operators.
    pub(super) decisions: u64,
    pub(super) notices: Vec<Notice>,
}

/// Where in its life the daemon is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Sources, kernel and checks have not all spoken; no route is set, so that routers keep what they have.
    #[default]
    Starting,
    /// Routes are set.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// Traffic moves away: routers are asked to prefer others, then routes are withdrawn.
    Stopping {
        /// When routes are withdrawn.
        withdraw: Timestamp,
        /// When to exit.
        until: Timestamp,
    },
    /// Nothing is left to do.
    Stopped,
}

/// A service, what its sources say and what was decided.
#[derive(Clone, Debug)]
pub struct ServiceState {
    /// Its configuration.
    pub config: Arc<Service>,
    /// Why its backends are not known yet; then the kernel's entry stays as it is.
    pub waiting: Option<String>,
    /// Why the last listing was not taken over; the one before goes on.
    pub refused: Option<String>,
    /// Where the members that it has were listed to serve.
    pub listed_for: Option<Endpoint>,
    /// One for each family among its VIPs.
    pub pools: PerFamily<Pool>,
    /// Backends without a usable address, and why.
    pub unusable: BTreeMap<String, String>,
    /// Since when this service is configured.
    pub since: Timestamp,
    /// Which of [`State::decisions`] was the last about it.
    pub decided: u64,
    /// The mark of its canary, once it was listed.
    pub canary_mark: Option<NonZeroU32>,
    /// Its canary on each VIP.
    pub canaries: BTreeMap<IpAddr, Canary>,
}

/// Where a service is served: its clients come to the one, its backends are asked at the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The port, the protocol and the firewall mark of the VIPs.
    pub listener: (u16, Protocol, Option<NonZeroU32>),
    /// The port of the backends.
    pub backend_port: u16,
}

impl Endpoint {
    /// Where a service is to be served.
    pub fn of(service: &Service) -> Self {
        let listener = (service.port, service.protocol, service.fwmark);
        Self { listener, backend_port: service.backend_port }
    }
}

impl ServiceState {
    /// The kernel's keys of this service, one a VIP.
    pub fn keys(&self) -> impl Iterator<Item = (IpAddr, ServiceKey)> + '_ {
        service_keys(&self.config)
    }
}

/// The kernel's keys of a service, one a VIP.
pub fn service_keys(service: &Service) -> impl Iterator<Item = (IpAddr, ServiceKey)> + '_ {
    service.vips.iter().map(|vip| (*vip, service.key(*vip)))
}

/// What the kernel said.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// The table as it was last read; empty until the first reading.
    pub table: Table,
    /// Whether it was read.
    pub is_read: bool,
    /// When it was last asked for.
    pub last_read: Timestamp,
    /// Our services that it holds.
    pub services: BTreeSet<ServiceKey>,
    /// Services in it that hash by their destinations, which are out of order.
    pub unsorted: BTreeSet<ServiceKey>,
    /// Services in it that are not ours.
    pub foreign: usize,
    /// Sync daemons that run, if any is wanted or ours.
    pub daemons: BTreeSet<DaemonRole>,
    /// What it refused last.
    pub failures: Vec<String>,
    /// The addresses of our own device; none until they were read.
    pub addresses: Option<BTreeSet<IpAddr>>,
}

/// The states that were last handed to executors, so that only changes are.
#[derive(Clone, Debug, Default)]
pub struct Emitted {
    pub(super) addresses: Option<BTreeSet<IpAddr>>,
    /// Whether the wanted table has changes that wait for ways ([`super::path::holds_table`]).
    pub(super) is_table_late: bool,
    pub(super) checks: Option<BTreeSet<Arc<Check>>>,
    pub(super) paths: Option<BTreeSet<IpAddr>>,
    pub(super) pools: Option<WantedPools>,
    pub(super) conflicts: Conflicts,
    pub(super) names: Option<BTreeSet<String>>,
    pub(super) routes: Option<bgp::RouteSet>,
    /// How they were told.
    pub(super) manner: Option<Manner>,
    pub(super) bgp: Option<crate::config::Bgp>,
}

impl State {
    /// A state that knows nothing: the first event is [`super::Event::Restored`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether routes have been set: then the daemon is ready.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    /// Which keys of a service the kernel has with destinations out of order, as it was last read.
    pub(super) fn unsorted(&self, service: &Service) -> BTreeSet<ServiceKey> {
        service_keys(service).map(|(_, key)| key).filter(|key| self.kernel.unsorted.contains(key)).collect()
    }

    /// When [`super::Event::Tick`] is due, if anything waits for time to pass.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let config = self.config.as_ref()?;
        let resync = self.kernel.is_read.then(|| self.kernel.last_read + config.daemon.resync_interval);
        let drain = (!self.draining.is_empty()).then(|| self.kernel.last_read + DRAIN_POLL);
        let phase = match self.phase {
            Phase::Starting => Some(self.configured_at + START_GRACE),
            // Once they are withdrawn nothing happens before the end.
            Phase::Stopping { withdraw, until }
                if self.emitted.routes.as_ref().is_some_and(|r| !r.is_empty()) =>
            {
                Some(withdraw.min(until))
            }
            Phase::Stopping { until, .. } => Some(until),
            Phase::Running { .. } | Phase::Stopped => None,
        };
        let order = match self.drain {
            Drain::Leaving { until } | Drain::Gone { until } => Some(until),
            Drain::No | Drain::Unwatched => None,
        };
        let (vips, rising) = (self.held_vips.first(), self.rising.first());
        let (leaving, leaving_vips) = (self.leaving.first(), self.leaving_vips.first());
        let operators = self.saved.next_expiry();
        let nodes = config.nodes.as_ref().and(self.nodes.settles_at);
        let of_vips = [order, vips, leaving_vips];
        let others = [resync, drain, phase, leaving, operators, rising, nodes];
        of_vips.into_iter().chain(others).flatten().min()
    }
}
