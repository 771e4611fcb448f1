//! How fast messages are read and written, beside other codecs on the same messages, and what a route costs in memory.
//!
//! `cargo bench -p lvsd-bgp --bench codec [-- FILE]`: made-up UPDATEs, or those of an uncompressed MRT file (BGP4MP,
//! four-octet AS numbers). Prints a table; leaves `target/bench/bgp.json` (`bgp-mrt.json`).

mod codecs;
mod memory;
mod messages;

use std::{env, fs, path::PathBuf, time::Instant};

use codecs::Codec;

/// Runs over all messages; the fastest counts, since what slows the others down is not the codec.
const RUNS: usize = 7;

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

fn main() {
    // Cargo hands `--bench` on.
    let file = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let (name, messages) = match &file {
        Some(file) => ("bgp-mrt", messages::of_mrt(&fs::read(file).expect("the file can be read"))),
        None => ("bgp", messages::made_up()),
    };
    let octets: usize = messages.iter().map(Vec::len).sum();
    println!("{} UPDATEs, {octets} octets", messages.len());
    println!(
        "{:<18} {:>12} {:>10} {:>9} {:>9} {:>9}",
        "codec", "UPDATEs/s", "MB/s", "refused", "prefixes", "ASes"
    );
    let mut rows = Vec::new();
    for codec in codecs::ALL {
        let Some((rate, tally)) = fastest(&codec, &messages) else {
            println!("{:<18} panics", codec.name);
            continue;
        };
        let megabytes = rate * octets as f64 / messages.len() as f64 / 1e6;
        println!(
            "{:<18} {rate:>12.0} {megabytes:>10.0} {:>9} {:>9} {:>9}",
            codec.name, tally.refused, tally.prefixes, tally.asns
        );
        rows.push(serde_json::json!({
            "codec": codec.name, "updates_per_second": rate, "refused": tally.refused, "prefixes": tally.prefixes,
        }));
    }
    let written: Vec<_> = codecs::written(&messages)
        .into_iter()
        .map(|(codec, rate)| {
            println!("{codec:<18} {rate:>12.0} UPDATEs written/s");
            serde_json::json!({ "codec": codec, "updates_per_second": rate })
        })
        .collect();
    let mut kept = Vec::new();
    let mut memory = Vec::new();
    for sharing in [1, 8, 800] {
        let (octets, tables) = memory::per_route(sharing);
        kept.push(tables);
        println!("a learned route, {sharing:>3} to a set of attributes: {octets:.0} octets");
        memory.push(serde_json::json!({ "routes_per_attributes": sharing, "octets": octets }));
    }
    let report = serde_json::json!({
        "messages": messages.len(), "octets": octets, "decode": rows, "encode": written, "memory_per_route": memory,
    });
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("../target"), PathBuf::from);
    let directory = target.join("bench");
    fs::create_dir_all(&directory).expect("target/bench");
    fs::write(directory.join(format!("{name}.json")), format!("{report:#}\n"))
        .expect("the report is written");
}
