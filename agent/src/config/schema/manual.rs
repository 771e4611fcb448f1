//! What docs/configuration.md says of each key: its tables of keys, row by row.

use std::collections::BTreeMap;
use std::sync::LazyLock;

const PAGE: &str = include_str!("../../../../docs/configuration.md");

/// The tables of keys, in the order of the page.
const TABLES: [&str; 44] = [
    "lvsd",
    "ipvs",
    "ipvs.sync",
    "bgp",
    "attributes",
    "bgp.peer",
    "rule",
    "tcp_ao",
    "bfd",
    "bgp.group",
    "bgp.bmp",
    "nodes",
    "nodes.pool",
    "nodes.node",
    "nodes.listen",
    "nodes.fib",
    "probes",
    "probes.segment",
    "pybal",
    "remote",
    "source.http",
    "source.etcd",
    "source.files",
    "source.kubernetes",
    "source.services",
    "source.address_pool",
    "fleet",
    "service",
    "tunnel",
    "backend",
    "pool",
    "check",
    "tcp",
    "http",
    "https",
    "grpc",
    "openapi",
    "node-port",
    "idle",
    "command",
    "dns",
    "udp",
    "agent",
    "vip",
];

/// What is said of each key, by table and key.
static ROWS: LazyLock<BTreeMap<(&str, &str), String>> = LazyLock::new(|| {
    let mut rows = BTreeMap::new();
    for (name, table) in TABLES.into_iter().zip(tables()) {
        let columns: Vec<&str> = cells(table[0]);
        for row in table.iter().skip(2).map(|row| cells(row)) {
            let said = said(&columns, &row);
            // Every other piece is between two backticks.
            for key in row.first().iter().flat_map(|keys| keys.split('`').skip(1).step_by(2)) {
                rows.insert((name, key), said.clone());
            }
        }
    }
    rows
});

/// What the first of these tables that has the key says of it.
pub(super) fn description(tables: &[&str], key: &str) -> Option<String> {
    tables.iter().find_map(|table| ROWS.get(&(*table, key))).cloned()
}

/// Every row of the page: the table, the key, what is said.
#[cfg(test)]
pub(crate) fn documented() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    ROWS.iter().map(|((table, key), said)| (*table, *key, said.as_str()))
}

/// The lines of each table whose first column has keys.
fn tables() -> Vec<Vec<&'static str>> {
    let mut tables: Vec<Vec<&str>> = Vec::new();
    let mut is_within = false;
    for line in PAGE.lines() {
        let begins = !is_within && line.starts_with("| key");
        is_within = line.starts_with('|') && (is_within || begins);
        if begins {
            tables.push(Vec::new());
        }
        if let (true, Some(table)) = (is_within, tables.last_mut()) {
            table.push(line);
        }
    }
    tables
}

/// The cells of a row. None of the page's has a bar within.
fn cells(row: &str) -> Vec<&str> {
    row.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// A row in a sentence: what the key is for, its limits, its default.
fn said(columns: &[&str], row: &[&str]) -> String {
    let of = |name: &str| {
        let column = columns.iter().position(|column| *column == name)?;
        row.get(column).filter(|cell| !cell.is_empty()).map(|cell| plain(cell))
    };
    let default = of("default").filter(|default| !default.starts_with("required"));
    let parts = [of("what"), of("limits"), default.map(|default| format!("default: {default}"))];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Markdown without links and emphasis.
fn plain(text: &str) -> String {
    let text = text.replace("*restart*", "takes a restart");
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, (shown, after))) = link(rest) {
        plain.push_str(before);
        plain.push_str(shown);
        rest = after;
    }
    plain + rest
}

/// The next `[shown](target)`: what is before it, what it shows, what is after it.
fn link(text: &str) -> Option<(&str, (&str, &str))> {
    let middle = text.find("](")?;
    let begin = text[..middle].rfind('[')?;
    let end = middle + text[middle..].find(')')?;
    Some((&text[..begin], (&text[begin + 1..middle], &text[end + 1..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_page_has_its_name_here() {
        let tables = tables();
        assert_eq!(
            tables.len(),
            TABLES.len(),
            "{:#?}",
            tables.iter().map(|table| table[2]).collect::<Vec<_>>()
        );
        for (name, table) in TABLES.into_iter().zip(&tables) {
            for row in table {
                assert_eq!(cells(row).len(), cells(table[0]).len(), "{name}: {row}");
            }
        }
        for (table, key) in
            [("lvsd", "dry_run"), ("bgp.group", "asns"), ("agent", "unanswered"), ("vip", "announce")]
        {
            assert!(description(&[table], key).is_some(), "{table}.{key}");
        }
    }

    #[test]
    fn a_row_is_a_sentence_without_links() {
        assert_eq!(
            description(&["lvsd"], "drain_timeout").as_deref(),
            Some("the longest that a removed backend keeps its connections; 0s to 24h; default: `\"60s\"`")
        );
        assert_eq!(plain("a [b](c.md#d), [e](f) g"), "a b, e g");
    }
}
