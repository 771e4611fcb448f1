//! What the state looks like from outside: plain data for `lvsctl`, HTTP and metrics.

mod canary;
mod check;
mod daemons;
mod names;
mod reasons;
mod source;

use super::operator::{absent, source_of};
use super::orders::{self, Drain};
use super::saved::{Change, VipWord};
use super::state::{Phase, ServiceState, State};
use super::{Timestamp, advice, member::Member};
use crate::config::{Family, Service};
use crate::probes::Server;
use serde::{Deserialize, Serialize};

pub use canary::CanaryView;
pub use check::{CheckView, TransitionView};
pub use daemons::SyncDaemonView;
pub use names::UnusableView;
pub use reasons::{Why, WhyService, why};
pub use source::{RefusedView, SourceView, sources, standings};
use std::collections::BTreeMap;

/// The whole daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Whether routes have been set.
    pub ready: bool,
    /// Whether nothing is written: to the kernel, to routers, to the disk.
    #[serde(default)]
    pub dry_run: bool,
    /// `starting`, `running` or `stopping`.
    pub phase: String,
    /// Since when a configuration is in use.
    pub since: Timestamp,
    /// Every source, by name.
    #[serde(default)]
    pub sources: Vec<SourceView>,
    /// Every service, by name.
    pub services: Vec<ServiceView>,
    /// Every VIP, by address.
    pub vips: Vec<VipView>,
    /// Every BGP peer, as the speaker reports it; filled in by the shell.
    pub peers: Vec<PeerView>,
    /// The sync daemons that are configured or ours.
    pub sync_daemons: Vec<SyncDaemonView>,
    /// The probe namespace, where one is configured; filled in by the shell.
    #[serde(default)]
    pub probes: Option<ProbesView>,
    /// Services in the kernel that are not ours.
    pub foreign_services: usize,
    /// Services in the kernel that are ours and that no service has, and why they are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclaimed: Vec<String>,
    /// What the kernel refused last.
    pub kernel_failures: Vec<String>,
    /// The drain of the whole balancer, if an operator has asked for it.
    #[serde(default)]
    pub drain: Option<DrainView>,
    /// VIPs that operators have said something of and that no service has; it holds when they come back.
    #[serde(default)]
    pub absent_vips: Vec<std::net::IpAddr>,
    /// Hosts that operators' changes are about and that no pool has; the changes hold when they come back.
    pub absent_hosts: Vec<String>,
}

/// A drain of the whole balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrainView {
    /// `leaving`: routers are asked to prefer others; `withdrawn`: nothing is announced.
    pub stage: String,
    /// Who, when, until when and why.
    pub said: String,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Its port; 0 with a firewall mark.
    pub port: u16,
    /// The firewall mark of its packets, if that tells them instead of protocol and port.
    pub fwmark: Option<u32>,
    /// Its VIPs.
    pub vips: Vec<std::net::IpAddr>,
    /// The scheduler's name.
    pub scheduler: String,
    /// What else the kernel is told of it: flags, one-packet scheduling, persistence, in words.
    pub settings: String,
    /// How packets get to its backends.
    pub forwarding: String,
    /// The port of its backends.
    pub backend_port: u16,
    /// Where its backends are written down.
    pub source: String,
    /// Why the last reading of the source failed; the last good one goes on.
    pub source_error: Option<String>,
    /// Whether the backends are those of an earlier process, because the source could not be read since.
    pub source_stale: bool,
    /// Whether a large change of the source is held back.
    pub source_held: bool,
    /// How often the source could not be read since it was first wanted.
    pub source_errors: u64,
    /// Why its backends are not known yet.
    pub waiting: Option<String>,
    /// Those of its services in the kernel whose servers were added out of their order, so that some clients get another
    /// server than on other balancers; as the kernel was last read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsorted: Vec<String>,
    /// One for each family among its VIPs.
    pub pools: Vec<PoolView>,
    /// Backends without a usable address.
    pub unusable: Vec<UnusableView>,
    /// Backends that keep the last addresses of their names, which could not be looked up since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale_names: Vec<UnusableView>,
    /// Its canary on each VIP, if it has one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canaries: Vec<CanaryView>,
}

/// A service's pool in one address family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolView {
    /// `ipv4` or `ipv6`.
    pub family: Family,
    /// Backends with a weight.
    pub pooled: usize,
    /// Those among them that are there on their own merit.
    pub serving: usize,
    /// What the depool threshold asks for.
    pub needed: usize,
    /// Backends that count.
    pub total: usize,
    /// Its backends by name.
    pub backends: Vec<BackendView>,
    /// Former backends that finish their connections.
    pub draining: Vec<std::net::IpAddr>,
}

/// A backend in a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendView {
    /// Its host name.
    pub host: String,
    /// Its address.
    pub address: std::net::IpAddr,
    /// The weight that the kernel is to have.
    pub weight: u32,
    /// What was decided: `pooled`, `down`, `depooled`, ….
    pub standing: String,
    /// What its checks say: `up`, `down` or `unknown`.
    pub health: String,
    /// Since when it has this standing.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
    /// Where its packets go, in a sentence.
    pub path: String,
    /// Whether it is on a link of the balancer's own; none until that was looked at.
    pub on_link: Option<bool>,
    /// What its own agent asks for: `drain`, `maintenance`, `50%`.
    pub agent: Option<String>,
    /// Its checks, when they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckView>,
}

/// A VIP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VipView {
    /// The address.
    pub address: std::net::IpAddr,
    /// Whether the routers are to hear of it.
    pub announced: bool,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
    /// What an operator wants of it in place of what its services say, with who, when and why.
    #[serde(default)]
    pub operator: Option<String>,
}

/// The probe namespace, from which checks go to servers by VIPs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbesView {
    /// Whether it answers.
    pub is_up: bool,
    /// Why not; none also before the first attempt.
    pub error: Option<String>,
    /// Servers that checks go through.
    pub servers: usize,
    /// Those among them that packets cannot be handed to, and why.
    pub refused: BTreeMap<Server, String>,
}

/// A BGP peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerView {
    /// Its name.
    pub name: String,
    /// Its address, while a session is established.
    pub address: Option<String>,
    /// The FSM's state: `Established`, ….
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// Prefixes that it holds of us.
    pub announced: usize,
    /// What was last wrong with what it sent and did not end the session.
    #[serde(default)]
    pub malformed: Option<String>,
    /// Whether everything that it is to hear was written.
    pub in_sync: bool,
    /// Why some routes are not sent.
    pub withheld: Vec<String>,
    /// Why the last session or attempt ended.
    pub last_error: Option<String>,
    /// The path to it, when BFD watches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<BfdView>,
}

/// The path to a BGP peer, as BFD sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BfdView {
    /// Our end's state: `Up`, ….
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// The router's, as it last said.
    pub remote_state: String,
    /// Why our end last left Up.
    pub diagnostic: String,
    /// Milliseconds of silence after which the path counts as broken, once agreed on.
    pub detection_ms: Option<u64>,
    /// How often the path broke since start.
    pub failures: u64,
    /// Why packets cannot be sent or are not taken.
    pub last_error: Option<String>,
}

/// The whole daemon, or one service of it (and the VIPs that it is on).
pub fn status(state: &State, only: Option<&str>) -> Result<Status, String> {
    if let Some(name) = only.filter(|name| !state.services.contains_key(name)) {
        let near: Vec<String> = crate::suggest::suggest(name, state.services.keys().map(|name| &**name))
            .into_iter()
            .map(Into::into)
            .collect();
        return Err(format!("there is no service {name}{}", super::action::did_you_mean(&near)));
    }
    let is_wanted = |name: &str| only.is_none_or(|wanted| wanted == name);
    let services = state.services.iter().filter(|(name, _)| is_wanted(name));
    let vips = state.vips.iter().filter(|(vip, _)| {
        let users = state.vip_users.get(*vip);
        only.is_none() || users.is_some_and(|users| users.iter().any(|user| is_wanted(user)))
    });
    Ok(Status {
        ready: state.is_ready(),
        dry_run: state.config.as_ref().is_some_and(|config| config.daemon.dry_run),
        phase: match state.phase {
            Phase::Starting => "starting",
            Phase::Running { .. } => "running",
            Phase::Stopping { .. } | Phase::Stopped => "stopping",
        }
        .into(),
        since: state.configured_at,
        sources: sources(state),
        services: services.map(|(name, service)| service_view(state, name, service)).collect(),
        vips: vips
            .map(|(address, vip)| VipView {
                address: *address,
                announced: vip.announced,
                since: vip.since,
                reason: vip.reason.clone(),
                operator: state.saved.vips.get(address).map(said_of_vip),
            })
            .collect(),
        drain: drain_view(state),
        absent_vips: orders::absent(state).into_iter().collect(),
        peers: Vec::new(),
        sync_daemons: daemons::sync_daemons(state),
        probes: None,
        foreign_services: ipvs::foreign(&state.kernel.table, &state.wanted.table, &state.wanted.owned),
        unclaimed: state.unclaimed.keys().map(|key| format!("{key}: {}", state.unclaimed.why())).collect(),
        kernel_failures: state.kernel.failures.clone(),
        absent_hosts: absent(state).into_iter().map(Into::into).collect(),
    })
}

fn said_of_vip(change: &Change<VipWord>) -> String {
    let word = match change.to {
        VipWord::Withdrawn => "withdrawn",
        VipWord::Announced => "announced",
        VipWord::AnnouncedAlways => "announced whatever its checks say",
    };
    format!("{word} {change}")
}

fn drain_view(state: &State) -> Option<DrainView> {
    let change = state.saved.drained.as_ref()?;
    let stage = match state.drain {
        Drain::No | Drain::Leaving { .. } => "leaving",
        Drain::Gone { .. } | Drain::Unwatched => "withdrawn",
    };
    Some(DrainView { stage: stage.into(), said: change.to_string() })
}

fn service_view(state: &State, name: &str, service: &ServiceState) -> ServiceView {
    let trouble = state.inventory.trouble(&service.config);
    ServiceView {
        name: name.into(),
        protocol: service.config.protocol.to_string(),
        port: service.config.port,
        fwmark: service.config.fwmark.map(Into::into),
        vips: service.config.vips.clone(),
        scheduler: service.config.scheduler.scheduler().to_string(),
        settings: settings(&service.config),
        forwarding: service.config.forward.to_string(),
        backend_port: service.config.backend_port,
        source: source_of(&service.config),
        source_error: trouble.error.or_else(|| service.refused.clone()),
        source_stale: trouble.is_stale,
        source_held: trouble.is_held,
        source_errors: trouble.errors,
        waiting: service.waiting.clone(),
        unsorted: state.unsorted(&service.config).iter().map(|key| key.to_string()).collect(),
        pools: service
            .pools
            .iter()
            .map(|(family, pool)| pool_view(state, name, service, (*family).into(), pool))
            .collect(),
        unusable: service
            .unusable
            .iter()
            .map(|(host, reason)| UnusableView { host: host.clone(), reason: reason.clone() })
            .collect(),
        stale_names: names::stale(state, service),
        canaries: canary::canaries(service),
    }
}

/// What the kernel is told of a service, each once where families agree.
fn settings(service: &Service) -> String {
    let mut families: Vec<ipvs::Family> = service.vips.iter().map(|vip| ipvs::Family::of(*vip)).collect();
    families.sort_unstable();
    families.dedup();
    let mut texts: Vec<String> = families.into_iter().map(|f| service.settings(f).to_string()).collect();
    texts.dedup();
    texts.join("; IPv6: ")
}

fn pool_view(
    state: &State,
    name: &str,
    service: &ServiceState,
    family: Family,
    pool: &super::member::Pool,
) -> PoolView {
    let counts = pool.counts(service.config.depool_threshold);
    PoolView {
        family,
        pooled: counts.pooled,
        serving: counts.serving,
        needed: counts.needed,
        total: counts.total,
        backends: pool.members.iter().map(|(host, member)| backend_view(state, name, host, member)).collect(),
        draining: pool.draining.keys().map(|key| key.address).collect(),
    }
}

fn backend_view(state: &State, service: &str, host: &str, member: &Member) -> BackendView {
    BackendView {
        host: host.into(),
        address: member.address,
        weight: member.decision.weight.get(),
        standing: member.decision.standing.as_str().into(),
        health: super::why::health_word(member.health).into(),
        since: member.since,
        reason: super::why::reason(state, service, ipvs::Family::of(member.address), host),
        path: super::why::way(member),
        on_link: member.path.as_ref().map(|seen| seen.path.is_on_link()),
        agent: advice::in_words(member.advice),
        checks: Vec::new(),
    }
}
