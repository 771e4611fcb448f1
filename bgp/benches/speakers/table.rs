//! A hundred thousand routes with one set of attributes, told and taken back.

use std::{fmt::Write as _, net::Ipv4Addr, time::Instant};

use bgp::{
    Family, Path, Prefix,
    wire::{Announcement, NextHop, encode_announce, encode_withdraw},
};
use serde::Serialize;
use serde_json::Value;

use crate::{FEEDER, FEEDER_ASN, daemons::Daemon, median, neighbour::Neighbour, report};

pub(crate) const ROUTES: u32 = 100_000;

/// Rounds; in each every daemon has its turn, so that what slows the machine down slows all of them.
const ROUNDS: usize = 5;

/// What one daemon did; medians.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) announced_per_second: f64,
    pub(crate) withdrawn_per_second: f64,
    /// More memory with the routes than before the first, for each.
    pub(crate) octets_per_route: f64,
}

/// The two streams of UPDATEs.
fn streams() -> [Vec<u8>; 2] {
    let prefix = |n: u32| {
        let address = Ipv4Addr::from_bits(0x1000_0000 + (n << 8));
        Prefix::new(address.into(), 24).expect("a prefix")
    };
    let prefixes: Vec<_> = (0..ROUTES).map(prefix).collect();
    // bgpd takes no next hop of 127/8, and none that is its own.
    let announcement =
        Announcement::new(Path::sequence(vec![FEEDER_ASN, 65_011, 65_012]), NextHop::V4(FEEDER));
    let (mut announce, mut withdraw) = (Vec::new(), Vec::new());
    encode_announce(&mut announce, &announcement, &prefixes, true).expect("it fits");
    encode_withdraw(&mut withdraw, Family::Ipv4, &prefixes).expect("it fits");
    [announce, withdraw]
}

/// A session with each.
pub(crate) fn feeders(daemons: &[Daemon]) -> Vec<Neighbour> {
    daemons.iter().map(|daemon| Neighbour::establish(FEEDER, FEEDER_ASN, daemon.address())).collect()
}

/// Measures all daemons; also their feeders, whose sessions are up.
pub(crate) fn compare(daemons: &[Daemon]) -> (Vec<Table>, Vec<Neighbour>) {
    let [announce, withdraw] = streams();
    let count = usize::try_from(ROUTES).expect("it fits");
    let mut feeders = feeders(daemons);
    let before: Vec<_> = daemons.iter().map(Daemon::resident).collect();
    let mut memory = vec![0.0; daemons.len()];
    let mut rates = vec![(Vec::new(), Vec::new()); daemons.len()];
    for round in 0..ROUNDS {
        for (index, daemon) in daemons.iter().enumerate() {
            let mut timed = |octets: &[u8], wanted: usize| {
                let start = Instant::now();
                feeders[index].say(octets);
                f64::from(ROUTES) / (daemon.wait_for(wanted) - start).as_secs_f64()
            };
            rates[index].0.push(timed(&announce, count));
            if round == 0 {
                memory[index] = (daemon.resident() - before[index]) / f64::from(ROUTES);
            }
            rates[index].1.push(timed(&withdraw, 0));
        }
    }
    println!("\n{ROUTES} routes of one set of attributes, median of {ROUNDS} rounds");
    println!("{:<10} {:>14} {:>14} {:>16}", "", "announced/s", "withdrawn/s", "octets a route");
    let tables = daemons.iter().zip(rates).zip(memory).map(|((daemon, (announced, withdrawn)), octets)| {
        let table = Table {
            name: daemon.name(),
            announced_per_second: median(announced),
            withdrawn_per_second: median(withdrawn),
            octets_per_route: octets,
        };
        println!(
            "{:<10} {:>14.0} {:>14.0} {octets:>16.0}",
            table.name, table.announced_per_second, table.withdrawn_per_second
        );
        table
    });
    (tables.collect(), feeders)
}

/// As `docs/performance.md` has it.
pub(crate) fn documented(tables: &[Table], versions: &[String], machine: &Value) -> String {
    let mut text = String::from(
        "\n| | announced a second, in millions | withdrawn a second, in millions | octets a route |\n|---|---|---|---|\n",
    );
    for table in tables {
        let millions = |rate: f64| format!("{:.2}", rate / 1e6);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.0} |",
            table.name,
            millions(table.announced_per_second),
            millions(table.withdrawn_per_second),
            table.octets_per_route
        );
    }
    let words = report::machine_in_words(machine);
    let _ = writeln!(text, "\n{words}; {}.", versions.join(", "));
    text
}
