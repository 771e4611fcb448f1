//! What the parts of the daemon know already, made into metrics anew at each scrape.

use crate::core::view::{PoolView, ServiceView, Status};
use bgp::speaker::Statuses;
use health::Snapshot;
use prometheus::{CounterVec, Error, Gauge, GaugeVec, Opts, Registry};

/// What the gauges are made from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The core's state.
    pub status: &'a Status,
    /// The BGP peers.
    pub peers: &'a Statuses,
    /// The checks; none while the runner stops.
    pub checks: Option<&'a Snapshot>,
}

/// A registry that holds every gauge once.
pub(super) fn registry(sources: &Sources<'_>) -> Result<Registry, Error> {
    let make = Make(Registry::new());
    daemon(&make, sources.status)?;
    pools(&make, sources.status)?;
    vips(&make, sources.status)?;
    peers(&make, sources.peers)?;
    probes(&make, sources.status)?;
    if let Some(checks) = sources.checks {
        health(&make, checks)?;
    }
    Ok(make.0)
}

struct Make(Registry);

impl Make {
    fn one(&self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        self.0.register(Box::new(gauge))
    }

    fn many(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, Error> {
        let gauges = GaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(gauges.clone()))?;
        Ok(gauges)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec, Error> {
        let counters = CounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(counters.clone()))?;
        Ok(counters)
    }
}

fn count(counters: &CounterVec, labels: &[&str], value: u64) {
    counters.with_label_values(labels).inc_by(value as f64);
}

fn daemon(make: &Make, status: &Status) -> Result<(), Error> {
    let build = make.many("lvsd_build_info", "Always 1; the version is a label.", &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    make.one("lvsd_ready", "Whether routes have been set since start.", f64::from(u8::from(status.ready)))?;
    make.one(
        "lvsd_ipvs_foreign_services",
        "IPVS services in the kernel that are not lvsd's.",
        status.foreign_services as f64,
    )?;
    make.one(
        "lvsd_ipvs_refused_operations",
        "Operations that the kernel refused when it was last programmed.",
        status.kernel_failures.len() as f64,
    )
}

fn pools(make: &Make, status: &Status) -> Result<(), Error> {
    let of_pool = ["service", "family"];
    let pooled = make.many(
        "lvsd_pool_pooled",
        "Backends with a weight, those held though down among them.",
        &of_pool,
    )?;
    let serving = make.many("lvsd_pool_serving", "Backends with a weight on their own merit.", &of_pool)?;
    let needed = make.many("lvsd_pool_needed", "Backends that the depool threshold asks for.", &of_pool)?;
    let total = make.many("lvsd_pool_backends", "Backends that are not inactive.", &of_pool)?;
    let draining =
        make.many("lvsd_pool_draining", "Former backends that finish their connections.", &of_pool)?;
    let held = make.many(
        "lvsd_pool_held_though_down",
        "Backends that are down but kept for the threshold.",
        &of_pool,
    )?;
    let stale = make.many(
        "lvsd_source_failed",
        "Whether the last reading of the service's source failed.",
        &["service"],
    )?;
    let source_held = make.many(
        "lvsd_source_held",
        "Whether a large change of the service's source is held back.",
        &["service"],
    )?;
    let old = make.many(
        "lvsd_source_stale",
        "Whether the backends are those of an earlier process.",
        &["service"],
    )?;
    let errors = make.counters(
        "lvsd_source_errors_total",
        "Readings of the service's source that failed since it was first read.",
        &["service"],
    )?;
    let backend = ["service", "family", "backend"];
    let up = make.many("lvsd_backend_up", "Whether the backend's checks pass.", &backend)?;
    let weight =
        make.many("lvsd_backend_weight", "The weight that the backend is to have in the kernel.", &backend)?;
    let on_link = make.many(
        "lvsd_backend_on_link",
        "Whether the backend is on a link of the balancer's own.",
        &backend,
    )?;
    for service in &status.services {
        stale.with_label_values(&[&service.name]).set(f64::from(u8::from(service.source_error.is_some())));
        source_held.with_label_values(&[&service.name]).set(f64::from(u8::from(service.source_held)));
        old.with_label_values(&[&service.name]).set(f64::from(u8::from(service.source_stale)));
        count(&errors, &[&service.name], service.source_errors);
        for pool in &service.pools {
            let family = pool.family.to_string();
            let labels = [service.name.as_str(), family.as_str()];
            pooled.with_label_values(&labels).set(pool.pooled as f64);
            serving.with_label_values(&labels).set(pool.serving as f64);
            needed.with_label_values(&labels).set(pool.needed as f64);
            total.with_label_values(&labels).set(pool.total as f64);
            draining.with_label_values(&labels).set(pool.draining.len() as f64);
            held.with_label_values(&labels).set((pool.pooled - pool.serving) as f64);
            backends(service, pool, [&up, &weight, &on_link]);
        }
    }
    Ok(())
}

fn backends(service: &ServiceView, pool: &PoolView, [up, weight, on_link]: [&GaugeVec; 3]) {
    let family = pool.family.to_string();
    for backend in &pool.backends {
        let labels = [service.name.as_str(), family.as_str(), backend.host.as_str()];
        up.with_label_values(&labels).set(f64::from(u8::from(backend.health == "up")));
        weight.with_label_values(&labels).set(f64::from(backend.weight));
        if let Some(is_on_link) = backend.on_link {
            on_link.with_label_values(&labels).set(f64::from(u8::from(is_on_link)));
        }
    }
}

fn vips(make: &Make, status: &Status) -> Result<(), Error> {
    let announced =
        make.many("lvsd_vip_announced", "Whether the routers are to hear of the VIP.", &["vip"])?;
    for vip in &status.vips {
        announced.with_label_values(&[&vip.address.to_string()]).set(f64::from(u8::from(vip.announced)));
    }
    Ok(())
}

fn peers(make: &Make, peers: &Statuses) -> Result<(), Error> {
    let up = make.many("lvsd_bgp_established", "Whether the BGP session is established.", &["peer"])?;
    let announced =
        make.many("lvsd_bgp_announced_prefixes", "Prefixes that the peer holds of us.", &["peer", "family"])?;
    let messages =
        make.counters("lvsd_bgp_messages_total", "BGP messages since start.", &["peer", "direction"])?;
    let sessions = make.counters(
        "lvsd_bgp_sessions_total",
        "BGP sessions that were established since start.",
        &["peer"],
    )?;
    let malformed = make.counters(
        "lvsd_bgp_malformed_total",
        "What was wrong with UPDATEs and did not end the session, since start.",
        &["peer", "handling"],
    )?;
    let withdraw = make.many(
        "lvsd_bgp_last_withdraw_seconds",
        "Time from the decision to the write that carried the last withdrawal.",
        &["peer"],
    )?;
    for (name, peer) in peers {
        up.with_label_values(&[name]).set(f64::from(u8::from(peer.session.is_some())));
        for (family, count) in &peer.announced {
            announced.with_label_values(&[name, &family.to_string()]).set(*count as f64);
        }
        count(&messages, &[name, "in"], peer.counters.messages_in);
        count(&messages, &[name, "out"], peer.counters.messages_out);
        count(&sessions, &[name], peer.counters.established);
        count(&malformed, &[name, "treat_as_withdraw"], peer.counters.treated_as_withdraw);
        count(&malformed, &[name, "attribute_discard"], peer.counters.attributes_discarded);
        if let Some(latency) = peer.last_withdraw_latency {
            withdraw.with_label_values(&[name]).set(latency.as_secs_f64());
        }
    }
    Ok(())
}

fn probes(make: &Make, status: &Status) -> Result<(), Error> {
    let Some(probes) = &status.probes else { return Ok(()) };
    let is_up = f64::from(u8::from(probes.is_up));
    make.one("lvsd_probes_up", "Whether the probe namespace answers.", is_up)?;
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
    Ok(())
}
