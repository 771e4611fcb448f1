//! The pictures: routes a second of each daemon, and how soon a neighbour has one VIP.

use std::path::Path;

use crate::{
    report::chart::{self, Chart},
    table::{ROUTES, Table},
    vip::Latency,
};

pub(crate) fn tables(path: &Path, tables: &[Table]) {
    let bars = |table: &Table| vec![Some(table.announced_per_second), Some(table.withdrawn_per_second)];
    let chart = Chart {
        title: format!("{ROUTES} routes: how many a second"),
        series: &["told", "taken back"],
        rows: tables.iter().map(|table| (table.name.to_owned(), bars(table))).collect(),
        powers: [4, 7],
        left: 90.0,
        words: chart::rate,
    };
    chart.write(path);
}

pub(crate) fn vip(path: &Path, latencies: &[Latency]) {
    let bars = |of: &Latency| {
        vec![
            Some(of.announce_p50_ms),
            Some(of.announce_p99_ms),
            Some(of.withdraw_p50_ms),
            Some(of.withdraw_p99_ms),
        ]
    };
    let chart = Chart {
        title: "One VIP: milliseconds until the neighbour has the message".to_owned(),
        series: &["told, p50", "told, p99", "taken back, p50", "taken back, p99"],
        rows: latencies.iter().map(|latency| (latency.name.clone(), bars(latency))).collect(),
        powers: [-2, 2],
        left: 290.0,
        words: |value| if value < 1.0 { format!("{value:.3}") } else { format!("{value:.1}") },
    };
    chart.write(path);
}
