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
