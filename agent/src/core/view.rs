//! What the state looks like from outside: plain data for `lvsctl`, HTTP and metrics.

mod canary;
mod check;
mod daemons;
mod names;
mod pools;
mod reasons;
mod source;

use super::Timestamp;
use super::operator::absent;
use super::orders::{self, Drain};
use super::saved::{Change, VipWord};
use super::state::{Phase, State};
use crate::config::Family;
use crate::probes::Server;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use canary::CanaryView;
pub use check::{CheckView, TransitionView};
pub use daemons::SyncDaemonView;
pub use names::UnusableView;
pub use reasons::{Why, WhyService, why};
pub use source::{RefusedView, SourceView, sources, standings};
use std::collections::BTreeMap;

/// The whole daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Those that are announced by what their services say and that a brief answer leaves out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out_vips: usize,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DrainView {
    /// `leaving`: routers are asked to prefer others; `withdrawn`: nothing is announced.
    pub stage: String,
    /// Who, when, until when and why.
    pub said: String,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Those that serve as they should and that a brief answer leaves out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// Former backends that finish their connections.
    pub draining: Vec<std::net::IpAddr>,
}

/// A backend in a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// With more services than these a brief answer leaves out the backends that serve as they should.
pub const MANY: usize = 20;

/// Of what a status is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Only this service, and the VIPs that it is on.
    pub service: Option<String>,
    /// Of more than [`MANY`] services, only those backends that somebody should look at.
    pub brief: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The whole daemon, or what is asked of it.
///
/// # Errors
/// When there is no such service; it names near ones.
pub fn status(state: &State, asked: &Asked) -> Result<Status, String> {
    let only = asked.service.as_deref();
    let brief = asked.brief && only.is_none() && state.services.keys().nth(MANY).is_some();
    if let Some(name) = only.filter(|name| !state.services.contains_key(name)) {
        let near: Vec<String> = crate::suggest::suggest(name, state.services.keys().map(|name| &**name))
            .into_iter()
            .map(Into::into)
            .collect();
        return Err(format!("there is no service {name}{}", super::action::did_you_mean(&near)));
    }
    let is_wanted = |name: &str| only.is_none_or(|wanted| wanted == name);
    let services = state.services.iter().filter(|(name, _)| is_wanted(name));
    let (vips, left_out_vips) = vips(state, only, brief);
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
        services: services.map(|(name, service)| pools::service_view(state, name, service, brief)).collect(),
        vips,
        left_out_vips,
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

/// All VIPs or one service's; if `brief`, how many are left out as they are announced as their services say.
fn vips(state: &State, only: Option<&str>, brief: bool) -> (Vec<VipView>, usize) {
    let is_of = |vip, name| state.vip_users.get(vip).into_iter().flatten().any(|user| &**user == name);
    let wanted = state.vips.iter().filter(|(vip, _)| only.is_none_or(|name| is_of(*vip, name)));
    let (plain, shown): (Vec<_>, Vec<_>) =
        wanted.partition(|(address, vip)| brief && vip.announced && !state.saved.vips.contains_key(*address));
    let view = |(address, vip): (&std::net::IpAddr, &super::vip::Vip)| VipView {
        address: *address,
        announced: vip.announced,
        since: vip.since,
        reason: vip.reason.to_string(),
        operator: state.saved.vips.get(address).map(said_of_vip),
    };
    (shown.into_iter().map(view).collect(), plain.len())
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
