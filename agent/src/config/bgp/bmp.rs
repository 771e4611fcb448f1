//! `[bgp.bmp]`: the station that hears of the routers' sessions and routes.

use crate::config::model::Bmp;
use crate::config::value::{boolean, duration_or, port_address};
use crate::config::walk::Node;
use std::time::Duration;

pub(in crate::config) const KEYS: &[&str] = &["station", "statistics_interval", "pre_policy"];

const STATION: &str = "the address and port of a BMP station, such as \"10.64.0.9:11019\"";

/// More often is noise, more seldom is nobody's wish.
const INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// Reads the table; `None` when it names no station, which is then reported.
pub(super) fn read(node: &Node<'_>) -> Option<Bmp> {
    let section = node.section(KEYS)?;
    let station = section.required("station", STATION).and_then(|node| port_address(&node, STATION));
    let statistics_interval =
        duration_or(&section, "statistics_interval", INTERVALS, bgp::bmp::DEFAULT_STATISTICS);
    let pre_policy = section.get("pre_policy").and_then(|node| boolean(&node)).unwrap_or(false);
    Some(Bmp { station: station?, statistics_interval, pre_policy })
}
