//! Metrics of the sources.

use super::gauges::{Make, count, flag};
use crate::core::view::SourceView;
use prometheus::Error;

/// Registers what there is to say of each source.
pub(super) fn register(make: &Make, sources: &[SourceView]) -> Result<(), Error> {
    if sources.is_empty() {
        return Ok(());
    }
    let labels = &["source", "type"];
    let live = make.many("lvsd_source_live", "Whether the source can be read.", labels)?;
    let outages = make.counters(
        "lvsd_source_outages_total",
        "How often the source could not be read any more, since start.",
        labels,
    )?;
    let since = make.many(
        "lvsd_source_since_timestamp_seconds",
        "Since when the source is live or away, in seconds since 1970.",
        labels,
    )?;
    let revision = make.many(
        "lvsd_source_revision",
        "Up to which of its revisions the source is obeyed, of those that have some.",
        labels,
    )?;
    let listings = make.counters(
        "lvsd_source_listings_total",
        "How often everything was listed, of sources with revisions.",
        labels,
    )?;
    let errors = make.counters(
        "lvsd_source_server_errors_total",
        "How often a server of the source did not do what it is there for, of sources with revisions.",
        labels,
    )?;
    let pools = make.many("lvsd_source_pools", "Pools that are wanted of the source.", labels)?;
    let services = make.many(
        "lvsd_source_services",
        "Services that the source itself has and that are served.",
        labels,
    )?;
    let refused = make.many(
        "lvsd_source_refused_services",
        "Services that the source itself has and that are not served.",
        labels,
    )?;
    let held = make.many(
        "lvsd_source_services_held",
        "Whether the source's list of services is held back until it is confirmed.",
        labels,
    )?;
    for source in sources {
        let labels = &[source.name.as_str(), source.kind.as_str()];
        live.with_label_values(labels).set(flag(source.state == "live"));
        count(&outages, labels, source.outages);
        if let Some(at) = source.since {
            since.with_label_values(labels).set(at.as_seconds());
        }
        if let Some(progress) = source.progress {
            revision.with_label_values(labels).set(progress.revision as f64);
            count(&listings, labels, progress.listings);
            count(&errors, labels, progress.errors);
        }
        pools.with_label_values(labels).set(source.pools as f64);
        services.with_label_values(labels).set(source.services as f64);
        held.with_label_values(labels).set(flag(source.is_held));
        refused.with_label_values(labels).set(source.refused.len() as f64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::inventory::Progress;
    use crate::core::view::RefusedView;
    use prometheus::TextEncoder;
    use std::time::{Duration, UNIX_EPOCH};

    fn source(name: &str, kind: &str, state: &str) -> SourceView {
        SourceView {
            name: name.into(),
            kind: kind.into(),
            state: state.into(),
            since: Some((UNIX_EPOCH + Duration::from_millis(1_700_000_000_500)).into()),
            error: None,
            is_held: false,
            outages: 0,
            progress: None,
            pools: 2,
            services: 0,
            refused: Vec::new(),
        }
    }

    fn page(sources: &[SourceView]) -> String {
        let make = Make::new();
        register(&make, sources).unwrap();
        TextEncoder::new().encode_to_string(&make.done().gather()).unwrap()
    }

    #[test]
    fn a_source_that_is_away_or_refuses_is_told_from_one_that_is_live() {
        let mut away = source("conftool", "etcd", "away");
        (away.outages, away.error) = (3, Some("connection refused".into()));
        away.progress = Some(Progress { revision: 77, listings: 4, errors: 5 });
        let mut refusing = source("k8s", "kubernetes", "live");
        (refusing.services, refusing.is_held) = (5, true);
        let refused = |name: &str| RefusedView { name: name.into(), reason: "ipMode Proxy".into() };
        refusing.refused = vec![refused("k8s.prod.web.https"), refused("k8s.prod.api.https")];
        let silent = SourceView { since: None, ..source("spare", "http", "silent") };
        let page = page(&[source("files", "http", "live"), away, refusing, silent]);
        for line in [
            "lvsd_source_live{source=\"files\",type=\"http\"} 1",
            "lvsd_source_live{source=\"conftool\",type=\"etcd\"} 0",
            "lvsd_source_live{source=\"k8s\",type=\"kubernetes\"} 1",
            "lvsd_source_live{source=\"spare\",type=\"http\"} 0",
            "lvsd_source_outages_total{source=\"files\",type=\"http\"} 0",
            "lvsd_source_outages_total{source=\"conftool\",type=\"etcd\"} 3",
            "lvsd_source_since_timestamp_seconds{source=\"conftool\",type=\"etcd\"} 1700000000.5",
            "lvsd_source_revision{source=\"conftool\",type=\"etcd\"} 77",
            "lvsd_source_listings_total{source=\"conftool\",type=\"etcd\"} 4",
            "lvsd_source_server_errors_total{source=\"conftool\",type=\"etcd\"} 5",
            "lvsd_source_pools{source=\"conftool\",type=\"etcd\"} 2",
            "lvsd_source_services{source=\"k8s\",type=\"kubernetes\"} 5",
            "lvsd_source_refused_services{source=\"k8s\",type=\"kubernetes\"} 2",
            "lvsd_source_refused_services{source=\"files\",type=\"http\"} 0",
            "lvsd_source_services_held{source=\"k8s\",type=\"kubernetes\"} 1",
            "lvsd_source_services_held{source=\"files\",type=\"http\"} 0",
        ] {
            assert!(page.lines().any(|there| there == line), "{line} is not in\n{page}");
        }
        let is_said = |start: &str| page.lines().any(|there| there.starts_with(start));
        assert!(!is_said("lvsd_source_since_timestamp_seconds{source=\"spare\""), "it has said nothing yet");
        assert!(!is_said("lvsd_source_revision{source=\"files\""), "it has no revisions");
    }
}
