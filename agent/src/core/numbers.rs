//! The state in numbers, for metrics: what a page of them needs and no more, so that looking at ten thousand services
//! holds up no verdict. Words are in [`super::view`].

use super::canary::{Canary, Song};
use super::member::{Counts, Pool};
use super::nodes::{self, view::NodesNumbers};
use super::pool::Health;
use super::state::{ServiceState, State};
use super::view::{self, SourceView};
use super::vip::Vip;
use crate::config::Family;
use health::{Check, Mode};
use ipvs::{Connections, Forward, Scheduler, ServiceKey, Statistics};
use std::net::IpAddr;
use std::sync::Arc;

/// The whole daemon.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// Whether routes have been set.
    pub is_ready: bool,
    /// Whether nothing is written.
    pub is_dry: bool,
    /// Whether an operator has drained the whole balancer.
    pub is_drained: bool,
    /// VIPs of which an operator has said something.
    pub vip_words: usize,
    /// Names that could not be looked up the last time.
    pub failed_names: usize,
    /// Services in the kernel that are not ours.
    pub foreign_services: usize,
    /// Operations that the kernel refused last.
    pub refused_operations: usize,
    /// The nodes of a cluster, where they are talked to.
    pub nodes: Option<NodesNumbers>,
    /// Every source, by name.
    pub sources: Vec<SourceView>,
    /// Every service, by name.
    pub services: Vec<ServiceNumbers>,
    /// Every VIP.
    pub vips: Vec<VipNumbers>,
}

/// One VIP.
#[derive(Clone, Copy, Debug)]
pub struct VipNumbers {
    /// The address.
    pub address: IpAddr,
    /// Whether the routers are to hear of it.
    pub is_announced: bool,
    /// Whether that is by an operator's word.
    pub has_word: bool,
}

/// One service.
#[derive(Clone, Debug, Default)]
pub struct ServiceNumbers {
    /// Its name.
    pub name: Arc<str>,
    /// Whether the last reading of its source failed.
    pub source_failed: bool,
    /// Whether a large change of its source is held back.
    pub source_held: bool,
    /// Whether its backends are those of an earlier process.
    pub source_stale: bool,
    /// How often its source could not be read.
    pub source_errors: u64,
    /// Those of its services in the kernel whose servers are out of order; none with a scheduler that takes no note of it.
    pub unsorted: Option<usize>,
    /// One for each family among its VIPs.
    pub pools: Vec<PoolNumbers>,
    /// Its checks that see a certificate.
    pub secured: Vec<Arc<Check>>,
    /// When the first of those certificates expires, in seconds since 1970; filled in by who knows.
    pub certificate_expires: Option<u64>,
    /// What its canaries say, by VIP; without those that have said nothing.
    pub canaries: Vec<(IpAddr, bool)>,
}

/// A service's pool in one address family.
#[derive(Clone, Debug)]
pub struct PoolNumbers {
    /// Which.
    pub family: Family,
    /// The pool's own counts.
    pub counts: Counts,
    /// Former backends that finish their connections.
    pub draining: usize,
    /// The kernel's keys of it.
    pub keys: Vec<ServiceKey>,
    /// The port of its backends.
    pub port: u16,
    /// Whether answers pass the balancer as well (NAT), so that the kernel counts them.
    pub is_answered_here: bool,
    /// What the kernel has counted for it; filled in by who has read it.
    pub traffic: Option<Statistics>,
    /// Its backends by name.
    pub backends: Vec<BackendNumbers>,
}

/// A backend in a pool.
#[derive(Clone, Debug)]
pub struct BackendNumbers {
    /// Its host name.
    pub host: Arc<str>,
    /// Its address.
    pub address: IpAddr,
    /// Whether its checks pass.
    pub is_up: bool,
    /// The weight that the kernel is to have.
    pub weight: u32,
    /// Whether it is on a link of the balancer's own; none until that was looked at.
    pub on_link: Option<bool>,
    /// The share of its weight that its agent asks for, in percent.
    pub agent_percent: Option<u16>,
    /// Whether its agent asks for no new connections; none if it has never spoken of that.
    pub agent_out: Option<bool>,
    /// What the kernel has counted for it, where it has it; filled in by who has read it.
    pub traffic: Option<Traffic>,
}

/// What goes to a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Counted since the kernel has it, and a second.
    pub statistics: Statistics,
    /// Its connections.
    pub connections: Connections,
}

/// Everything. Costs some 50 ns for each backend.
pub fn numbers(state: &State) -> Numbers {
    Numbers {
        is_ready: state.is_ready(),
        is_dry: state.config.as_ref().is_some_and(|config| config.daemon.dry_run),
        is_drained: state.saved.drained.is_some(),
        vip_words: state.saved.vips.len(),
        failed_names: state.inventory.failed_names(),
        foreign_services: ipvs::foreign(&state.kernel.table, &state.wanted.table, &state.wanted.owned),
        refused_operations: state.kernel.failures.len(),
        nodes: nodes::view::numbers(state),
        sources: view::sources(state),
        services: state.services.values().map(|service| of_service(state, service)).collect(),
        vips: state.vips.iter().map(|(address, vip)| of_vip(state, *address, vip)).collect(),
    }
}

fn of_vip(state: &State, address: IpAddr, vip: &Vip) -> VipNumbers {
    VipNumbers { address, is_announced: vip.announced, has_word: state.saved.vips.contains_key(&address) }
}

fn of_service(state: &State, service: &ServiceState) -> ServiceNumbers {
    let trouble = state.inventory.trouble(&service.config);
    let pools = service.pools.iter();
    let is_hashed = *service.config.scheduler.scheduler() == Scheduler::Mh;
    ServiceNumbers {
        name: Arc::clone(&service.config.name),
        source_failed: trouble.error.is_some()
            || service.refused.is_some()
            || state.found.former_of(&service.config.name).is_some(),
        source_held: trouble.is_held,
        source_stale: trouble.is_stale,
        source_errors: trouble.errors,
        unsorted: is_hashed.then(|| state.unsorted(&service.config).len()),
        pools: pools.map(|(family, pool)| of_pool(service, (*family).into(), pool)).collect(),
        secured: secured(service),
        certificate_expires: None,
        canaries: canaries(service),
    }
}

/// Whether IPVS forwards, as far as its canaries have said so.
fn canaries(service: &ServiceState) -> Vec<(IpAddr, bool)> {
    let said = |(vip, canary): (&IpAddr, &Canary)| match canary.song {
        Song::Up => Some((*vip, true)),
        Song::Down(_) => Some((*vip, false)),
        Song::Silent(_) | Song::Unknown => None,
    };
    service.canaries.iter().filter_map(said).collect()
}

/// The checks of a service over TLS.
fn secured(service: &ServiceState) -> Vec<Arc<Check>> {
    if !service.config.checks.iter().any(|template| template.kind.is_secured()) {
        return Vec::new();
    }
    let members = service.pools.values().flat_map(|pool| pool.members.values());
    let checks = members.flat_map(|member| member.checks.iter()).map(|made| &made.check);
    checks.filter(|check| check.kind.is_secured()).cloned().collect()
}

fn of_pool(service: &ServiceState, family: Family, pool: &Pool) -> PoolNumbers {
    let backends = pool.members.iter().map(|(host, member)| BackendNumbers {
        host: Arc::clone(host),
        address: member.address,
        is_up: matches!(member.health, Health::Up { .. }),
        weight: member.decision.weight.get(),
        on_link: member.path.as_ref().map(|seen| seen.path.is_on_link()),
        agent_percent: member.advice.percent,
        agent_out: member.advice.mode.map(|mode| mode != Mode::Ready),
        traffic: None,
    });
    // With a firewall mark, all VIPs of a family have one key.
    let mut keys: Vec<ServiceKey> =
        service.keys().filter(|(vip, _)| Family::of(*vip) == family).map(|(_, key)| key).collect();
    keys.dedup();
    PoolNumbers {
        family,
        counts: pool.counts(service.config.depool_threshold),
        draining: pool.draining.len(),
        keys,
        port: service.config.backend_port,
        is_answered_here: service.config.forward == Forward::Masquerade,
        traffic: None,
        backends: backends.collect(),
    }
}
