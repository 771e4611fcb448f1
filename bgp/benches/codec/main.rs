//! How fast messages are read and written, beside other codecs on the same messages, and what a route costs in memory.
//!
//! `cargo bench -p lvsd-bgp --bench codec [-- FILE]`: made-up UPDATEs, or those of an uncompressed MRT file (BGP4MP,
//! four-octet AS numbers). Prints a table; leaves its part of `target/bench/bgp.json` (`bgp-mrt.json`), and without a file
//! the picture `bgp-codec.svg` and the table in `docs/performance.md`.

mod codecs;
mod memory;
mod messages;
#[path = "../report/mod.rs"]
mod report;
mod writers;

use std::{env, fmt::Write as _, fs, time::Instant};

use codecs::Codec;
use report::chart::{self, Chart};
use serde_json::{Value, json};

/// Runs over all messages; the fastest counts, since what slows the others down is not the codec.
const RUNS: usize = 7;

/// What was resolved when this was built.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// A codec's name with its version, but for our own.
fn versioned(name: &str) -> String {
    let version = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""));
    let version = version.and_then(|(_, rest)| rest.split('"').next()).filter(|_| !name.starts_with("lvsd"));
    version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}"))
}

/// Messages a second in the fastest of several runs, and what the codec made of them; `None` when it panics.
fn fastest(codec: &Codec, messages: &[Vec<u8>]) -> Option<(f64, codecs::Tally)> {
    let mut best = f64::MAX;
    let mut tally = codecs::Tally::default();
    for _ in 0..RUNS {
        let start = Instant::now();
        let run = std::panic::catch_unwind(|| {
            let mut tally = codecs::Tally::default();
            messages.iter().for_each(|message| (codec.read)(message, &mut tally));
            tally
        });
        best = best.min(start.elapsed().as_secs_f64());
        tally = run.ok()?;
    }
    Some((messages.len() as f64 / best, tally))
}

/// One codec's figures.
struct Row {
    name: &'static str,
    /// UPDATEs read a second; `None` when it panics.
    read: Option<f64>,
    written: f64,
}

fn compare(messages: &[Vec<u8>]) -> (Vec<Row>, Value) {
    println!(
        "{:<18} {:>12} {:>9} {:>9} {:>9} {:>12} {:>9} {:>10}",
        "codec", "read/s", "refused", "prefixes", "ASes", "written/s", "messages", "octets"
    );
    let mut report = Vec::new();
    let mut rows = Vec::new();
    for (codec, writer) in codecs::ALL.iter().zip(&writers::ALL) {
        assert_eq!(codec.name, writer.name);
        let read = fastest(codec, messages);
        let written = (writer.write)(messages);
        let nothing = codecs::Tally::default();
        let (rate, tally) = read.as_ref().map_or((0.0, &nothing), |(rate, tally)| (*rate, tally));
        println!(
            "{:<18} {rate:>12.0} {:>9} {:>9} {:>9} {:>12.0} {:>9} {:>10}",
            codec.name,
            tally.refused,
            tally.prefixes,
            tally.asns,
            written.rate,
            written.messages,
            written.octets
        );
        report.push(json!({
            "codec": versioned(codec.name), "panics": read.is_none(), "updates_read_per_second": rate,
            "refused": tally.refused, "prefixes": tally.prefixes, "asns": tally.asns,
            "updates_written_per_second": written.rate, "written": written.messages, "octets_written": written.octets,
        }));
        rows.push(Row { name: codec.name, read: read.map(|(rate, _)| rate), written: written.rate });
    }
    (rows, Value::Array(report))
}

/// Octets of a learned route, by how many have the same attributes.
fn memory() -> Vec<(u32, f64)> {
    let mut kept = Vec::new();
    let per_route = [1, 8, 800].map(|sharing| {
        let (octets, tables) = memory::per_route(sharing);
        kept.push(tables);
        println!("a learned route, {sharing:>3} to a set of attributes: {octets:.0} octets");
        (sharing, octets)
    });
    per_route.to_vec()
}

fn table(rows: &[Row], memory: &[(u32, f64)], machine: &Value) -> String {
    let best = |of: fn(&Row) -> f64| rows.iter().map(of).fold(0.0, f64::max);
    let (read, written) = (best(|row| row.read.unwrap_or(0.0)), best(|row| row.written));
    let cell = |value: f64, best: f64| {
        let text = format!("{:.2}", value / 1e6);
        if value >= best { format!("**{text}**") } else { text }
    };
    let mut text = String::from("\n| UPDATEs a second, in millions | read | written |\n|---|---|---|\n");
    for row in rows {
        let is_read = row.read.map_or("panics".to_owned(), |rate| cell(rate, read));
        let _ = writeln!(text, "| {} | {is_read} | {} |", versioned(row.name), cell(row.written, written));
    }
    let routes: Vec<_> =
        memory.iter().map(|(sharing, octets)| format!("{octets:.0} octets with {sharing}")).collect();
    let _ = writeln!(
        text,
        "\n{}. A learned route takes, by how many have the same attributes: {}.",
        report::machine_in_words(machine),
        routes.join(", ")
    );
    text
}

fn main() {
    // Cargo hands `--bench` on.
    let file = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let machine = report::machine();
    let (name, messages) = match &file {
        Some(file) => ("bgp-mrt.json", messages::of_mrt(&fs::read(file).expect("the file can be read"))),
        None => ("bgp.json", messages::made_up()),
    };
    let octets: usize = messages.iter().map(Vec::len).sum();
    println!("{} UPDATEs, {octets} octets", messages.len());
    let (rows, codecs) = compare(&messages);
    let memory = memory();
    let per_route: Vec<_> = memory
        .iter()
        .map(|(sharing, octets)| json!({ "routes_per_attributes": sharing, "octets": octets }))
        .collect();
    let part = json!({
        "machine": machine, "messages": messages.len(), "octets": octets, "codecs": codecs, "memory_per_route": per_route,
    });
    let directory = report::directory();
    report::add(&directory.join(name), "codec", part);
    if file.is_some() {
        return;
    }
    let chart = Chart {
        title: format!("{} UPDATEs: how many a second", messages.len()),
        series: &["read", "written"],
        rows: rows.iter().map(|row| (row.name.to_owned(), vec![row.read, Some(row.written)])).collect(),
        powers: [5, 8],
        left: 150.0,
        words: chart::rate,
    };
    chart.write(&directory.join("bgp-codec.svg"));
    report::document("codec", &table(&rows, &memory, &machine));
}
