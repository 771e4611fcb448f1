//! `[[bgp.peer.import]]` and `[[bgp.peer.export]]`, and those of a group: what is taken from a router, and what it is told.

use super::Problem;
use super::attributes::{self, communities, large_communities};
use super::value::{address, duration_or};
use super::walk::{Node, Section};
use bgp::policy::{ExportFilter, ExportRule, Import, MaxPrefixes, NextHopRule, PrefixRange, Rule, Verdict};
use std::time::Duration;

pub(super) const IMPORT_KEYS: &[&str] = &[
    "action",
    "prefixes",
    "communities",
    "large_communities",
    "longest_path",
    "next_hop",
    "local_pref",
    "med",
];
pub(super) const EXPORT_KEYS: &[&str] = &["action", "prefixes", "communities", "large_communities"];

/// Rules of one router: each route is held against all of them in the worst case.
const MOST_RULES: usize = 256;

/// Prefixes that a router may have us keep, of each family: more than the internet has, less than memory.
const MOST_PREFIXES: u32 = 2_000_000;

/// The longest AS path that is worth a number: a segment's most.
const LONGEST_PATH: u32 = 255;

const MOST_HOLD_OFF: Duration = Duration::from_secs(24 * 3600);

const ACTION: &str = "\"accept\" or \"reject\"";
const RULES: &str = "an array of rules";
const PREFIXES: &str = "an array of prefixes, such as [\"192.0.2.0/24 ge 32\"]";
const NEXT_HOP: &str = "\"peer\" or an array of addresses";

/// What is taken from a router; nothing without rules (RFC 8212).
pub(super) fn import(section: &Section<'_>) -> Option<Import> {
    let limits = max_prefixes(section);
    let Some(node) = section.get("import") else {
        for node in ["max_prefixes", "max_prefixes_warn", "max_prefixes_hold_off"]
            .iter()
            .filter_map(|key| section.get(key))
        {
            node.report_key(Problem::Conflict("without import rules nothing is taken".into()));
        }
        return None;
    };
    let rules = rules(&node)?.iter().filter_map(import_rule).collect();
    Some(Import { max_prefixes: limits, ..Import::new(rules) })
}

/// What a router is told: everything without rules.
pub(super) fn export(section: &Section<'_>) -> ExportFilter {
    let Some(node) = section.get("export") else { return ExportFilter::All };
    let rules = rules(&node).unwrap_or_default();
    ExportFilter::Rules(rules.iter().filter_map(export_rule).collect())
}

fn max_prefixes(section: &Section<'_>) -> MaxPrefixes {
    let MaxPrefixes { limit, hold_off, .. } = MaxPrefixes::DEFAULT;
    let number = |key: &str, most: u32| {
        let found = section.get(key)?.integer(&format!("a number of prefixes 1-{most}"), 1..=most)?;
        usize::try_from(found).ok()
    };
    let limit = number("max_prefixes", MOST_PREFIXES).unwrap_or(limit);
    let most = u32::try_from(limit).unwrap_or(MOST_PREFIXES);
    let hold_off =
        duration_or(section, "max_prefixes_hold_off", Duration::from_secs(1)..=MOST_HOLD_OFF, hold_off);
    MaxPrefixes {
        warn: number("max_prefixes_warn", most).unwrap_or_else(|| four_fifths(limit)),
        limit,
        hold_off,
    }
}

/// At this much of a limit somebody should look.
fn four_fifths(limit: usize) -> usize {
    (limit - limit / 5).max(1)
}

fn rules<'a>(node: &Node<'a>) -> Option<Vec<Node<'a>>> {
    let rules = node.array(RULES)?;
    if rules.len() > MOST_RULES {
        node.unexpected(format!("at most {MOST_RULES} rules"));
        return None;
    }
    Some(rules)
}

fn import_rule(node: &Node<'_>) -> Option<Rule> {
    let section = node.section(IMPORT_KEYS)?;
    let accepts = accepts(&section);
    let (local_pref, med) = (attributes::local_pref(&section), attributes::med(&section));
    if accepts == Some(false) {
        for node in ["local_pref", "med"].iter().filter_map(|key| section.get(key)) {
            node.report_key(Problem::Conflict("what is rejected gets no attribute".into()));
        }
    }
    let longest = section.get("longest_path");
    let longest = longest.and_then(|node| node.integer("a number of AS numbers 0-255", 0..=LONGEST_PATH));
    Some(Rule {
        prefixes: prefixes(&section),
        communities: communities(&section).unwrap_or_default(),
        large_communities: large_communities(&section).unwrap_or_default(),
        longest_path: longest.and_then(|longest| usize::try_from(longest).ok()),
        next_hop: section.get("next_hop").and_then(|node| next_hop(&node)).unwrap_or_default(),
        verdict: if accepts? { Verdict::Accept { local_pref, med } } else { Verdict::Reject },
    })
}

fn export_rule(node: &Node<'_>) -> Option<ExportRule> {
    let section = node.section(EXPORT_KEYS)?;
    let accepts = accepts(&section);
    Some(ExportRule {
        prefixes: prefixes(&section),
        communities: communities(&section).unwrap_or_default(),
        large_communities: large_communities(&section).unwrap_or_default(),
        accept: accepts?,
    })
}

fn accepts(section: &Section<'_>) -> Option<bool> {
    section.required("action", ACTION)?.parsed(ACTION, |text| match text {
        "accept" => Some(true),
        "reject" => Some(false),
        _ => None,
    })
}

/// An empty list would be taken for no condition at all, which nobody means who writes one.
fn prefixes(section: &Section<'_>) -> Vec<PrefixRange> {
    let Some(node) = section.get("prefixes") else { return Vec::new() };
    let items = node.array(PREFIXES).unwrap_or_default();
    if items.is_empty() {
        node.unexpected(PREFIXES);
    }
    let one = "a prefix with the lengths that it stands for, such as \"192.0.2.0/24 ge 25 le 32\"";
    items.iter().filter_map(|item| range(item, one)).collect()
}

fn range(item: &Node<'_>, expected: &str) -> Option<PrefixRange> {
    let text = item.string(expected)?;
    match text.parse::<PrefixRange>() {
        Ok(range) => Some(range),
        Err(error) => {
            item.refused(expected, &error.to_string());
            None
        }
    }
}

fn next_hop(node: &Node<'_>) -> Option<NextHopRule> {
    if node.as_string() == Some("peer") {
        return Some(NextHopRule::Neighbour);
    }
    let items = node.array(NEXT_HOP)?;
    if items.is_empty() {
        node.unexpected(NEXT_HOP);
    }
    Some(NextHopRule::OneOf(items.iter().filter_map(|item| address(item, "an address")).collect()))
}
