//! `[nodes.fib]`: where the nodes' routes go in the kernel.

use super::{Entry, Problem, word};
use crate::fib::{OffLink, ProtocolNumber, RulePriority, Settings, TableNumber};
use std::num::NonZeroU32;

pub(in crate::config) const KEYS: &[&str] = &["table", "protocol", "metric", "rule_priority", "off_link"];

const TABLE: &str = "the number of a routing table, 1-252 or 256-4294967295";
const PROTOCOL: &str = "a protocol number 5-255 that no other program has, such as 77";
const METRIC: &str = "a metric 1-4294967295";
const PRIORITY: &str = "the priority of a rule, 1-32765";
const OFF_LINK: &str = "\"refuse\" or \"resolve\"";
const OFF_LINKS: [(&str, OffLink); 2] = [("refuse", OffLink::Refuse), ("resolve", OffLink::Resolve)];

/// Reads the table; what is wrong with it is reported.
pub(super) fn read(node: &Entry<'_>) -> Option<Settings> {
    let section = node.section(KEYS)?;
    let default = Settings::default();
    let number = |key: &str, expected: &str, most: u32| {
        let node = section.get(key)?;
        Some((node.integer(expected, 1..=most)?, node))
    };
    let metric = number("metric", METRIC, u32::MAX).and_then(|(metric, _)| NonZeroU32::new(metric));
    let table =
        number("table", TABLE, u32::MAX).and_then(|(number, node)| checked(TableNumber::new(number), &node));
    let protocol = number("protocol", PROTOCOL, u32::from(u8::MAX)).and_then(|(number, node)| {
        checked(ProtocolNumber::new(u8::try_from(number).unwrap_or(u8::MAX)), &node)
    });
    let priority = number("rule_priority", PRIORITY, 32_765)
        .and_then(|(number, node)| checked(RulePriority::new(number), &node));
    let off_link = section.get("off_link").and_then(|node| word(&node, OFF_LINK, OFF_LINKS));
    Some(Settings {
        table: table.unwrap_or(default.table),
        protocol: protocol.unwrap_or(default.protocol),
        metric: metric.unwrap_or(default.metric),
        priority: priority.unwrap_or(default.priority),
        off_link: off_link.unwrap_or(default.off_link),
    })
}

fn checked<T, E: std::fmt::Display>(value: Result<T, E>, node: &Entry<'_>) -> Option<T> {
    value.map_err(|error| node.report(Problem::Conflict(error.to_string()))).ok()
}
