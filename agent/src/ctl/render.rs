//! Answers as text for people.

pub mod bgp;
mod brief;
mod canary;
pub mod change;
mod check;
mod fleet;
mod fold;
mod nodes;
mod source;
mod table;

use crate::core::Timestamp;
use crate::core::action::Done;
use crate::core::orders::BALANCER;
use crate::core::plan::{Plan, SimulatedBackend, SimulatedPool, Simulation};
use crate::core::view::{
    BackendView, BfdView, PeerView, PoolView, RefusedView, ServiceView, Status, VipView, Why,
};
use crate::exec::ipvs::Comparison;
use crate::reload::Reloaded;
use canary::canary_text;
use check::check_text;
pub use fleet::fleet;
pub(in crate::ctl) use fold::clip;
pub use fold::fold;
pub use nodes::{nodes, routes};
use std::time::SystemTime;
use table::Table;

/// How text for people looks.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    is_colored: bool,
    /// Whether tables have the columns for those with room as well.
    is_wide: bool,
    /// Columns of the terminal that it is to fit on.
    columns: Option<usize>,
}

impl Paint {
    /// Colours if `is_colored`; for any width.
    pub const fn new(is_colored: bool) -> Self {
        Self { is_colored, is_wide: false, columns: None }
    }

    /// With every column there is.
    pub const fn wide(self) -> Self {
        Self { is_wide: true, ..self }
    }

    /// To fit on a terminal of so many columns.
    pub const fn within(self, columns: Option<usize>) -> Self {
        Self { columns, ..self }
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(crate) fn odd(self, text: &str) -> String {
        self.with("33", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.is_colored { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }

    fn standing(self, standing: &str) -> String {
        match standing {
            "pooled" => self.good(standing),
            "down" | "held-though-down" | "held-despite-agent" | "off-link" => self.bad(standing),
            _ => self.odd(standing),
        }
    }
}

/// `lvsctl status`.
pub fn status(status: &Status, paint: Paint) -> String {
    let mut text = String::new();
    let phase = if status.ready { paint.good(&status.phase) } else { paint.odd(&status.phase) };
    line(&mut text, format_args!("lvsd is {phase}, configured {}", ago(status.since)));
    if status.dry_run {
        let what =
            "dry run: nothing is written to the kernel, no VIP gets its address and no router is told of it";
        line(&mut text, format_args!("{} {what}", paint.odd("!")));
    }
    if let Some(drain) = &status.drain {
        let stage = match drain.stage.as_str() {
            "leaving" => "being drained, routers are asked to prefer others",
            _ => "drained, no VIP is announced",
        };
        line(&mut text, format_args!("{} the balancer is {stage}: {}", paint.odd("!"), drain.said));
    }
    if brief::is_brief(status) {
        brief::services(&mut text, &status.services, paint);
    } else {
        status.services.iter().for_each(|service| service_text(&mut text, service, paint));
    }
    text.push_str(&source::table(&status.sources, paint));
    vips(&mut text, &status.vips, paint);
    if status.left_out_vips > 0 {
        line(&mut text, format_args!("\n{} VIPs are announced as they should be", status.left_out_vips));
    }
    for vip in &status.absent_vips {
        line(&mut text, format_args!("an operator's word is kept of {vip}, which no service has"));
    }
    peers(&mut text, &status.peers, paint);
    for daemon in &status.sync_daemons {
        let state = if daemon.running { paint.good("runs") } else { paint.bad("does not run") };
        let settings = daemon.settings.as_deref().unwrap_or("to be stopped");
        line(&mut text, format_args!("\n{} sync daemon {state}: {settings}", daemon.role));
    }
    if status.foreign_services > 0 {
        line(
            &mut text,
            format_args!(
                "\n{} IPVS services in the kernel are not lvsd's; they are left alone",
                status.foreign_services
            ),
        );
    }
    for kept in &status.unclaimed {
        line(&mut text, format_args!("{} kept as the kernel has it: {kept}", paint.odd("!")));
    }
    if let [first, others @ ..] = status.absent_hosts.as_slice() {
        let others = if others.is_empty() { String::new() } else { format!(" and {} others", others.len()) };
        line(
            &mut text,
            format_args!("\noperators' changes are kept of hosts that no pool has: {first}{others}"),
        );
    }
    probes(&mut text, status, paint);
    for failure in &status.kernel_failures {
        line(&mut text, format_args!("{} the kernel refused: {failure}", paint.bad("!")));
    }
    text
}

/// What keeps checks from going to servers by VIPs, if anything does.
fn probes(text: &mut String, status: &Status, paint: Paint) {
    let Some(probes) = &status.probes else { return };
    if let Some(error) = &probes.error {
        line(text, format_args!("{} checks by VIP give no result: {error}", paint.bad("!")));
    }
    for (server, reason) in &probes.refused {
        line(
            text,
            format_args!("{} checks by VIP through {server} give no result: {reason}", paint.bad("!")),
        );
    }
}

/// Said of a service whose servers are out of order.
const UNSORTED: &str = "servers were added out of their order, some clients get another server here than on other balancers; \
                        `lvsctl resync --sort` puts them in order";

fn service_text(text: &mut String, service: &ServiceView, paint: Paint) {
    let vips: Vec<String> = service.vips.iter().map(ToString::to_string).collect();
    line(
        text,
        format_args!(
            "\n{}  {} on {}, {}, {}, backends from {}",
            service.name,
            listener(service),
            vips.join(" "),
            service.settings,
            forwarding(service),
            service.source
        ),
    );
    for problem in service.source_error.iter().chain(&service.waiting) {
        line(text, format_args!("  {} {problem}", paint.bad("!")));
    }
    if service.source_stale {
        let stale = "its backends are those of before the last start: the source could not be read since";
        line(text, format_args!("  {} {stale}", paint.odd("!")));
    }
    for unusable in &service.unusable {
        line(text, format_args!("  {} {}: {}", paint.bad("!"), unusable.host, unusable.reason));
    }
    for stale in &service.stale_names {
        line(text, format_args!("  {} {}; its last addresses stay", paint.odd("!"), stale.reason));
    }
    for key in &service.unsorted {
        line(text, format_args!("  {} {key}: {UNSORTED}", paint.odd("!")));
    }
    for pool in &service.pools {
        pool_text(text, pool, paint);
    }
    for canary in &service.canaries {
        canary_text(text, "  ", canary, paint);
    }
}

/// What packets are the service's.
fn listener(service: &ServiceView) -> String {
    match service.fwmark {
        Some(mark) => format!("fwmark {mark}"),
        None => format!("{} port {}", service.protocol, service.port),
    }
}

/// How they get to its backends.
fn forwarding(service: &ServiceView) -> String {
    match service.backend_port {
        port if port == service.port => service.forwarding.clone(),
        port => format!("{} to port {port}", service.forwarding),
    }
}

fn pool_text(text: &mut String, pool: &PoolView, paint: Paint) {
    line(
        text,
        format_args!(
            "  {}: {} of {} can serve, {} pooled, threshold {}{}",
            pool.family,
            pool.serving,
            pool.total,
            pool.pooled,
            pool.needed,
            if pool.draining.is_empty() {
                String::new()
            } else {
                format!(", {} draining", pool.draining.len())
            }
        ),
    );
    let heading = ["  BACKEND", "ADDRESS", "WEIGHT", "STATE", "HEALTH", "SINCE", "AGENT", "PATH", "WHY"];
    let mut table = Table::new(paint, heading).wide_only(&["AGENT", "PATH"]);
    for backend in &pool.backends {
        table.row([
            format!("  {}", backend.host),
            backend.address.to_string(),
            backend.weight.to_string(),
            paint.standing(&backend.standing),
            backend.health.clone(),
            ago(backend.since),
            backend.agent.clone().unwrap_or_default(),
            backend.path.clone(),
            backend.reason.clone(),
        ]);
    }
    if pool.left_out == 0 || !pool.backends.is_empty() {
        text.push_str(&table.to_string());
    }
    if pool.left_out > 0 {
        line(text, format_args!("  and {} that serve as they should", pool.left_out));
    }
}

fn vips(text: &mut String, vips: &[VipView], paint: Paint) {
    if vips.is_empty() {
        return;
    }
    text.push('\n');
    let mut table = Table::new(paint, ["VIP", "STATE", "SINCE", "OPERATOR", "WHY"]).wide_only(&["OPERATOR"]);
    for vip in vips {
        let state = match (vip.announced, &vip.operator) {
            (true, _) => paint.good("announced"),
            (false, None) => paint.bad("withdrawn"),
            (false, Some(_)) => paint.odd("withdrawn"),
        };
        let operator = vip.operator.clone().unwrap_or_default();
        table.row([vip.address.to_string(), state, ago(vip.since), operator, vip.reason.clone()]);
    }
    text.push_str(&table.to_string());
}

fn peers(text: &mut String, peers: &[PeerView], paint: Paint) {
    if peers.is_empty() {
        return;
    }
    text.push('\n');
    let heading = ["BGP PEER", "ADDRESS", "STATE", "SINCE", "PREFIXES", "WRITTEN", "LAST ERROR"];
    let mut table = Table::new(paint, heading).wide_only(&["ADDRESS", "WRITTEN"]);
    for peer in peers {
        let bfd = peer.bfd.as_ref();
        let state = bfd.map_or(peer.state.clone(), |bfd| format!("{}, BFD {}", peer.state, bfd.state));
        let is_good = peer.address.is_some() && bfd.is_none_or(|bfd| bfd.state == "Up");
        let state = if is_good { paint.good(&state) } else { paint.bad(&state) };
        let mut notes: Vec<String> = peer.withheld.clone();
        notes.extend(peer.last_error.clone());
        notes.extend(peer.malformed.clone());
        notes.extend(peer.bfd.as_ref().and_then(bfd_trouble));
        table.row([
            peer.name.clone(),
            peer.address.clone().unwrap_or_default(),
            state,
            ago(peer.since),
            peer.announced.to_string(),
            if peer.in_sync { "all" } else { "not all" }.into(),
            notes.join("; "),
        ]);
    }
    text.push_str(&table.to_string());
}

/// Why BFD is not up, as far as it knows.
fn bfd_trouble(bfd: &BfdView) -> Option<String> {
    let why = match (&bfd.last_error, bfd.state.as_str(), bfd.remote_state.as_str()) {
        (_, "Up", _) => return None,
        (_, _, "AdminDown") => "the router's operator has taken it down".to_owned(),
        (Some(error), _, _) => error.clone(),
        (None, _, _) if bfd.failures > 0 => format!("{}, {}", bfd.diagnostic, ago(bfd.since)),
        (None, _, _) => "nothing heard of the router yet".to_owned(),
    };
    Some(format!("BFD: {why}"))
}

/// `lvsctl why NAME`.
pub fn why(why: &Why, paint: Paint) -> String {
    let mut text = String::new();
    for service in &why.services {
        if let Some(unusable) = &service.unusable {
            line(&mut text, format_args!("{} is not used in {}: {unusable}", why.host, service.service));
        }
        for BackendView { address, weight, standing, since, reason, path, checks, .. } in &service.backends {
            line(
                &mut text,
                format_args!(
                    "{} ({address}) in {} is {} with weight {weight} since {since} ({}): {reason}",
                    why.host,
                    service.service,
                    paint.standing(standing),
                    ago(*since)
                ),
            );
            line(&mut text, format_args!("  {path}"));
            for check in checks {
                check_text(&mut text, check, paint);
            }
        }
        let of_service = format!("{}: ", service.service);
        for canary in &service.canaries {
            canary_text(&mut text, &of_service, canary, paint);
        }
    }
    for RefusedView { name, reason } in &why.refused {
        line(&mut text, format_args!("{name}: {reason}"));
    }
    text
}

/// `lvsctl depool` and `lvsctl pool`.
pub fn done(done: &Done) -> String {
    if done.host == BALANCER {
        return format!("{}\n", done.message);
    }
    if !done.written.is_empty() {
        return format!("{}\n", done.message);
    }
    let services = if done.services.is_empty() { "no service".into() } else { done.services.join(", ") };
    format!("{} (in {services})\n", done.message)
}

/// `lvsctl reload`.
pub fn reloaded(reloaded: &Reloaded) -> String {
    let part = |what: &str, names: &[String]| match names {
        [] => None,
        names => Some(format!("{what} {}", names.join(", "))),
    };
    let parts: Vec<String> = [
        part("added", &reloaded.added),
        part("removed", &reloaded.removed),
        part("changed", &reloaded.changed),
        reloaded.settings_changed.then(|| "changed settings".into()),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() {
        "reloaded: nothing changed\n".into()
    } else {
        format!("reloaded: {}\n", parts.join("; "))
    }
}

/// `lvsctl plan FILE`.
pub fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    let mut part = |title: &str, lines: &[String]| {
        if !lines.is_empty() {
            line(&mut text, format_args!("{title}:"));
            lines.iter().for_each(|each| line(&mut text, format_args!("  {each}")));
        }
    };
    part("kernel, at once", &plan.kernel);
    part("kernel, once the routers have moved the traffic", &plan.kernel_later);
    part("addresses added", &plan.addresses_added);
    part("addresses removed", &plan.addresses_removed);
    part("routes announced", &plan.routes_announced);
    part("routes withdrawn", &plan.routes_withdrawn);
    part("routes announced with other attributes", &plan.routes_changed);
    part("checks started", &plan.checks_started);
    part("checks stopped", &plan.checks_stopped);
    part("to know", &plan.notes);
    if text.is_empty() { "nothing would change\n".into() } else { text }
}

/// `lvsctl simulate`.
pub fn simulation(simulation: &Simulation, paint: Paint) -> String {
    let mut text = String::new();
    for host in &simulation.unknown {
        line(&mut text, format_args!("{} no pool has a backend named {host}", paint.bad("!")));
    }
    for pool in &simulation.pools {
        let SimulatedPool { service, family, serving, needed, backends } = pool;
        line(
            &mut text,
            format_args!(
                "{service} {family}: {serving} of {} would serve, threshold {needed}",
                backends.len()
            ),
        );
        let mut table = Table::new(paint, ["  BACKEND", "WEIGHT", "THEN", "STATE THEN"]);
        for SimulatedBackend { host, weight_now, weight, standing } in backends {
            let standing = paint.standing(standing.as_str());
            table.row([format!("  {host}"), weight_now.to_string(), weight.to_string(), standing]);
        }
        text.push_str(&table.to_string());
    }
    text
}

/// `lvsctl diff` and `lvsctl resync`.
pub fn comparison(comparison: &Comparison) -> String {
    let mut text = String::new();
    let Comparison { differences, repaired, failures, foreign, weightless, unsorted, sorted, .. } =
        comparison;
    match (differences.len(), repaired) {
        (0, _) => line(&mut text, format_args!("the kernel is as lvsd wants it")),
        (count, true) => line(&mut text, format_args!("{count} differences, repaired:")),
        (count, false) => line(&mut text, format_args!("{count} differences; what lvsd would do:")),
    }
    differences.iter().for_each(|each| line(&mut text, format_args!("  {each}")));
    failures.iter().for_each(|each| line(&mut text, format_args!("! the kernel refused: {each}")));
    if let (count @ 1.., Some(first)) = (weightless.len(), weightless.first()) {
        line(
            &mut text,
            format_args!(
                "  no difference: {count} servers with weight 0 that would be added, such as: {first}"
            ),
        );
    }
    for each in unsorted {
        match sorted {
            true => line(&mut text, format_args!("  put in order: {each}")),
            false => line(&mut text, format_args!("  no difference, but {each}: {UNSORTED}")),
        }
    }
    foreign.iter().for_each(|each| line(&mut text, format_args!("  not lvsd's, left alone: {each}")));
    text
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.push_str(&format!("{arguments}\n"));
}

fn ago(then: Timestamp) -> String {
    format!("{} ago", age(SystemTime::now().into(), then))
}

/// How long something is so, in the largest unit that has a whole number.
pub(in crate::ctl) fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.since(then).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}
