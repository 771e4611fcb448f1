//! What the parts of the daemon know already, made into metrics anew at each scrape.
//!
//! What grows with the services is in [`super::families`] and written piece by piece; the rest is small.

use super::{bgp, fleet, process};
use crate::core::nodes::view::NodesNumbers;
use crate::core::numbers::Numbers;
use crate::core::view::ProbesView;
use crate::exec::fleet::Agreement;
use ::bgp::BmpStatus;
use ::bgp::speaker::{Refused, Statuses};
use health::Snapshot;
use health::runner::Histogram;
use prometheus::{CounterVec, Error, Gauge, GaugeVec, Opts, Registry};
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the gauges are made from, beside the core's state.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The BGP peers.
    pub peers: &'a Statuses,
    /// BGP connections that nobody took; none where BGP is not configured.
    pub refused: &'a Refused,
    /// How it goes with the monitoring station.
    pub bmp: &'a BmpStatus,
    /// The checks; none while the runner stops.
    pub checks: Option<&'a Snapshot>,
    /// The probe namespace, where one is configured.
    pub probes: Option<&'a ProbesView>,
    /// How far the balancers of a fleet do the same, where there is one.
    pub fleet: Option<Agreement>,
}

/// A registry that holds every other gauge once.
pub(super) fn registry(
    numbers: &Numbers,
    sources: &Sources<'_>,
    started: SystemTime,
) -> Result<Registry, Error> {
    let make = Make::new();
    daemon(&make, numbers)?;
    if let Some(numbers) = &numbers.nodes {
        nodes(&make, numbers)?;
    }
    super::sources::register(&make, &numbers.sources)?;
    bgp::peers(&make, sources.peers)?;
    bgp::refused(&make, sources.refused)?;
    bgp::station(&make, sources.bmp)?;
    bgp::paths(&make, sources.peers)?;
    if let Some(view) = sources.probes {
        probes(&make, view)?;
    }
    if let Some(agreement) = sources.fleet {
        fleet::register(&make, agreement)?;
    }
    process::register(&make, started)?;
    if let Some(checks) = sources.checks {
        health(&make, checks)?;
    }
    Ok(make.done())
}

pub(super) struct Make(Registry);

impl Make {
    pub(super) fn new() -> Self {
        Self(Registry::new())
    }

    pub(super) fn done(self) -> Registry {
        self.0
    }

    pub(super) fn one(&self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        self.0.register(Box::new(gauge))
    }

    pub(super) fn many(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, Error> {
        let gauges = GaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(gauges.clone()))?;
        Ok(gauges)
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec, Error> {
        let counters = CounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(counters.clone()))?;
        Ok(counters)
    }
}

pub(super) fn count(counters: &CounterVec, labels: &[&str], value: u64) {
    counters.with_label_values(labels).inc_by(value as f64);
}

/// A yes or no as a gauge has it.
pub(super) fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn daemon(make: &Make, numbers: &Numbers) -> Result<(), Error> {
    let build = make.many("lvsd_build_info", "Always 1; the version is a label.", &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    let help = "Whether routes have been set and it is not stopping.";
    make.one("lvsd_ready", help, flag(numbers.is_ready))?;
    let help = "Whether nothing is written to the kernel, to routers and to the disk.";
    make.one("lvsd_dry_run", help, flag(numbers.is_dry))?;
    let help = "Whether an operator has drained the whole balancer.";
    make.one("lvsd_drained", help, flag(numbers.is_drained))?;
    make.one(
        "lvsd_vip_operator_words",
        "VIPs that an operator has announced or withdrawn.",
        numbers.vip_words as f64,
    )?;
    make.one(
        "lvsd_names_failed",
        "Host names that could not be looked up the last time.",
        numbers.failed_names as f64,
    )?;
    make.one(
        "lvsd_ipvs_foreign_services",
        "IPVS services in the kernel that are not lvsd's.",
        numbers.foreign_services as f64,
    )?;
    make.one(
        "lvsd_ipvs_refused_operations",
        "Operations that the kernel refused when it was last programmed.",
        numbers.refused_operations as f64,
    )
}

fn nodes(make: &Make, numbers: &NodesNumbers) -> Result<(), Error> {
    make.one("lvsd_nodes", "Nodes of the cluster that are known.", numbers.nodes as f64)?;
    make.one("lvsd_nodes_sessions", "BGP sessions with nodes that are to be.", numbers.sessions as f64)?;
    make.one(
        "lvsd_nodes_sessions_established",
        "BGP sessions with nodes that are established.",
        numbers.established as f64,
    )?;
    make.one("lvsd_nodes_routes", "Routes of nodes that are taken.", numbers.accepted as f64)?;
    let refused = make.many(
        "lvsd_nodes_refused_routes",
        "Routes of nodes that are not taken, by reason.",
        &["reason"],
    )?;
    for (reason, count) in &numbers.refused {
        refused.with_label_values(&[reason]).set(*count as f64);
    }
    make.one("lvsd_nodes_alarms", "VIPs and cluster in each other's way.", numbers.alarms as f64)?;
    let help = "Whether the cluster's source could not be used last.";
    make.one("lvsd_nodes_source_failed", help, flag(numbers.source_failed))
}

fn probes(make: &Make, probes: &ProbesView) -> Result<(), Error> {
    make.one("lvsd_probes_up", "Whether the probe namespace answers.", flag(probes.is_up))?;
    make.one("lvsd_probes_servers", "Servers that checks by VIP go through.", probes.servers as f64)?;
    make.one(
        "lvsd_probes_refused_servers",
        "Servers that the probe namespace has no way to.",
        probes.refused.len() as f64,
    )
}

fn health(make: &Make, checks: &Snapshot) -> Result<(), Error> {
    make.one("lvsd_checks", "Health checks that run.", checks.checks.len() as f64)?;
    make.one("lvsd_checks_in_flight", "Probes under way.", checks.in_flight as f64)?;
    let late = make.counters("lvsd_checks_late_total", "Probes that began late.", &[])?;
    count(&late, &[], checks.late);
    make.one(
        "lvsd_check_lag_max_seconds",
        "The longest that a probe began late, lately.",
        checks.lag_max.as_secs_f64(),
    )?;
    let results =
        make.counters("lvsd_check_results_total", "Probes by kind and result.", &["kind", "result"])?;
    for (kind, tally) in &checks.kinds {
        let counts = tally.results;
        count(&results, &[kind, "ok"], counts.ok);
        count(&results, &[kind, "failed"], counts.failed);
        count(&results, &[kind, "inconclusive"], counts.inconclusive);
    }
    let failures = make.counters(
        "lvsd_check_failures_total",
        "Probes that failed by kind and class of failure.",
        &["kind", "class"],
    )?;
    for (kind, tally) in &checks.kinds {
        tally.failures.iter().for_each(|(class, failed)| count(&failures, &[kind, class], *failed));
    }
    Ok(())
}

/// The earliest expiry among the certificates that each service's checks saw last.
pub(super) fn certificates(numbers: &mut Numbers, checks: &Snapshot) {
    for service in numbers.services.iter_mut().filter(|service| !service.secured.is_empty()) {
        let expiries =
            service.secured.iter().filter_map(|check| checks.checks.get(check)?.certificate_expires);
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        service.certificate_expires = expiries.min().map(seconds);
    }
}

/// The histograms of the checks, which come counted already.
pub(super) fn histograms(checks: &Snapshot) -> String {
    let mut text = String::new();
    let name = "lvsd_check_lag_seconds";
    histogram_head(&mut text, name, "Time by which probes began late.");
    histogram(&mut text, name, None, &checks.lag);
    let name = "lvsd_check_duration_seconds";
    histogram_head(&mut text, name, "Time that successful probes took, by kind.");
    for (kind, tally) in &checks.kinds {
        histogram(&mut text, name, Some(kind), &tally.latency);
    }
    text
}

// Writing to a text does not fail, here and below.
fn histogram_head(text: &mut String, name: &str, help: &str) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} histogram\n");
}

fn histogram(text: &mut String, name: &str, kind: Option<&str>, counted: &Histogram) {
    let label = kind.map_or_else(String::new, |kind| format!("kind=\"{kind}\","));
    for (bound, count) in counted.cumulative() {
        let _ = writeln!(text, "{name}_bucket{{{label}le=\"{}\"}} {count}", bound.as_secs_f64());
    }
    let labels = kind.map_or_else(String::new, |kind| format!("{{kind=\"{kind}\"}}"));
    let (count, sum) = (counted.count(), counted.sum().as_secs_f64());
    let _ = writeln!(text, "{name}_bucket{{{label}le=\"+Inf\"}} {count}");
    let _ = write!(text, "{name}_sum{labels} {sum}\n{name}_count{labels} {count}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use health::runner::Tally;
    use std::collections::BTreeMap;

    #[test]
    fn histograms_of_checks_are_in_prometheus_format() {
        let mut text = String::new();
        histogram_head(&mut text, "a_seconds", "What.");
        histogram(&mut text, "a_seconds", Some("tcp"), &Tally::default().latency);
        histogram(&mut text, "a_seconds", None, &Tally::default().latency);
        let mut buckets: BTreeMap<&str, usize> = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("a_seconds_bucket")) {
            *buckets.entry(if line.contains("kind=\"tcp\",le=") { "tcp" } else { "none" }).or_default() += 1;
        }
        assert_eq!(buckets["tcp"], buckets["none"]);
        assert!(text.starts_with("# HELP a_seconds What.\n# TYPE a_seconds histogram\n"));
        assert!(text.contains("a_seconds_bucket{kind=\"tcp\",le=\"0.00025\"} 0\n"));
        assert!(text.contains("a_seconds_bucket{le=\"+Inf\"} 0\na_seconds_sum 0\na_seconds_count 0\n"));
        assert!(text.contains("a_seconds_sum{kind=\"tcp\"} 0\n"));
    }
}
