//! This speaker beside BIRD 2, FRR's bgpd and GoBGP: a large table taken in and given back, one VIP told and taken back,
//! and a thousand neighbours at once.
//!
//! `cargo bench -p lvsd-bgp --bench speakers`, as root, with Debian's packages bird2, frr, gobgpd and iproute2. It runs
//! in a network namespace of its own. Prints tables; adds its part to `target/bench/bgp.json`, draws `bgp-speakers.svg` and
//! `bgp-vip.svg`, and puts its tables into `docs/performance.md`. With `-- vip` it does the part of one VIP alone, and prints.

mod child;
mod daemons;
mod neighbour;
mod peers;
mod pictures;
#[path = "../report/mod.rs"]
mod report;
mod table;
mod vip;

use std::{env, net::Ipv4Addr, process::Command};

use nix::sched::{CloneFlags, unshare};
use serde_json::json;

/// Where the daemons listen: each has an address of its own.
const PORT: u16 = 1790;

/// Who feeds a daemon, and who hears what it passes on.
const FEEDER: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 1);
const RECEIVER: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 2);
const FEEDER_ASN: u32 = 65_010;
const RECEIVER_ASN: u32 = 65_020;
const DAEMON_ASN: u32 = 65_001;

/// Of a network namespace of our own: every address of these ranges is this machine's.
fn make_network() {
    unshare(CloneFlags::CLONE_NEWNET).expect("run as root: this benchmark makes a network namespace");
    for arguments in ["link set lo up", "addr add 10.99.0.0/16 dev lo", "addr add 10.97.0.0/16 dev lo"] {
        let status = Command::new("ip").args(arguments.split(' ')).status().expect("ip of iproute2");
        assert!(status.success(), "ip {arguments}");
    }
}

/// The nearest rank of a share of the samples, which are sorted.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil().max(1.0);
    sorted[(rank as usize).min(sorted.len()) - 1]
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    quantile(&samples, 0.5)
}

fn main() {
    // Cargo hands `--bench` on.
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["speaker", number] => return child::speaker(number.parse().expect("a number")),
        ["neighbours", number] => return peers::neighbours(number.parse().expect("a number")),
        _ => {}
    }
    make_network();
    if arguments == ["vip"] {
        let daemons = daemons::start_all();
        let feeders = table::feeders(&daemons);
        drop(vip::compare(&daemons, feeders));
        return;
    }
    let machine = report::machine();
    println!("{machine:#}");
    let daemons = daemons::start_all();
    let (tables, feeders) = table::compare(&daemons);
    let vip = vip::compare(&daemons, feeders);
    let versions: Vec<_> = daemons.iter().map(|daemon| daemon.version()).collect();
    drop(daemons);
    let many = peers::many();
    let directory = report::directory();
    pictures::tables(&directory.join("bgp-speakers.svg"), &tables);
    pictures::vip(&directory.join("bgp-vip.svg"), &vip);
    report::document("tables", &table::documented(&tables, &versions, &machine));
    report::document("vip", &vip::documented(&vip));
    let part =
        json!({ "machine": machine, "versions": versions, "tables": tables, "vip": vip, "neighbours": many });
    report::add(&directory.join("bgp.json"), "speakers", part);
}
