//! `bfd` of a `[[bgp.peer]]`.

use super::value::{boolean, duration};
use super::walk::Node;
use bgp::BfdConfig;
use bgp::bfd::Timing;
use std::time::Duration;

pub(super) const KEYS: &[&str] = &["interval", "multiplier", "strict"];

/// A busy balancer has to be able to keep them.
const LEAST_INTERVAL: Duration = Duration::from_millis(50);

/// Beyond it the hold time is nearly as quick.
const MOST_INTERVAL: Duration = Duration::from_secs(10);

/// One lost packet is no broken path, and more than fifty in a row leave no doubt.
const MULTIPLIERS: std::ops::RangeInclusive<u32> = 2..=50;

/// Reads `true`, `false` or a table.
pub(super) fn read(node: &Node<'_>) -> Option<BfdConfig> {
    if let Some(is_on) = node.as_boolean() {
        return is_on.then(BfdConfig::default);
    }
    if !node.is_table() {
        node.unexpected("true, false or a table");
        return None;
    }
    let section = node.section(KEYS)?;
    let interval = section.get("interval").and_then(|node| duration(&node, LEAST_INTERVAL..=MOST_INTERVAL));
    let multiplier = section
        .get("multiplier")
        .and_then(|node| node.integer("a number of packets 2-50", MULTIPLIERS))
        .and_then(|number| u8::try_from(number).ok());
    let strict = section.get("strict").and_then(|node| boolean(&node));
    let interval = interval.unwrap_or(Timing::DEFAULT.interval());
    let multiplier = multiplier.unwrap_or(Timing::DEFAULT.multiplier());
    let timing = Timing::new(interval, multiplier).expect("the limits above are within those of the library");
    Some(BfdConfig { timing, strict: strict.unwrap_or(false) })
}
