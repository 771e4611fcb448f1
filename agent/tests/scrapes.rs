//! A monitoring system reads the metrics for months: no page may leave anything behind. In a process of its own, as
//! memory is the process's.

use ipvs::{Connections, DestinationKey, Snapshot, Statistics};
use lvsd::config;
use lvsd::core::numbers::numbers;
use lvsd::core::saved::Saved;
use lvsd::core::{Event, State, Timestamp, step};
use lvsd::metrics::{Metrics, Sources, count_traffic};
use std::fmt::Write as _;
use std::sync::Arc;

const SERVICES: usize = 40;
const BACKENDS: usize = 10;

fn state() -> State {
    let mut text = String::new();
    for service in 0..SERVICES {
        let _ =
            writeln!(text, "[service.s{service}]\nvips = [\"192.0.2.{service}\"]\nport = 80\nchecks = []");
        text += "backends = [";
        for backend in 0..BACKENDS {
            let _ = write!(text, "{{ host = \"b{backend}\", addresses = [\"10.0.{service}.{backend}\"] }}, ");
        }
        text += "]\n";
    }
    let config = config::parse(&[("lvsd.toml".into(), text)]).expect("the configuration is valid");
    let (mut state, now) = (State::new(), Timestamp::from_micros(1));
    for event in [
        Event::Restored { saved: Saved::default(), snapshots: Default::default() },
        Event::Configured(Arc::new(config)),
        Event::KernelRead {
            table: ipvs::Table::new(),
            connections: Vec::new(),
            unsorted: Default::default(),
        },
    ] {
        step(&mut state, event, now);
    }
    state
}

/// Resident memory of this process, kB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has a size");
    line.trim().trim_end_matches(" kB").parse().expect("the size is a number")
}

/// What the kernel says of each backend.
fn reading(state: &State) -> Snapshot {
    let mut read = Snapshot::default();
    for pool in numbers(state).services.iter().flat_map(|service| &service.pools) {
        for key in &pool.keys {
            read.service_statistics.insert(*key, Statistics::default());
            for backend in &pool.backends {
                let destination = DestinationKey { address: backend.address, port: pool.port };
                read.destination_statistics.insert((*key, destination), Statistics::default());
                read.connections.insert((*key, destination), Connections::default());
            }
        }
    }
    read
}

/// Makes pages as /metrics does and gives the series of the last.
fn scrape(metrics: &Metrics, state: &State, times: usize) -> usize {
    let (mut series, peers, refused, bmp) = (0, Default::default(), Default::default(), Default::default());
    let sources =
        Sources { peers: &peers, refused: &refused, bmp: &bmp, checks: None, probes: None, fleet: None };
    let read = reading(state);
    for _ in 0..times {
        let mut numbers = numbers(state);
        count_traffic(&mut numbers, &read);
        let page = metrics.page(numbers, &sources).expect("the metrics are consistent");
        series = page.map(|piece| piece.lines().filter(|line| !line.starts_with('#')).count()).sum();
    }
    series
}

#[test]
fn a_thousand_scrapes_leave_nothing_behind() {
    let (metrics, state) = (Metrics::new().expect("the metrics are consistent"), state());
    scrape(&metrics, &state, 50);
    let before = resident();
    let series = scrape(&metrics, &state, 1000);
    assert!(series > SERVICES * BACKENDS * 10, "{series}");
    let grown = resident().saturating_sub(before);
    // A page is some 360 kB: ten that stayed would be 3 MB.
    assert!(grown < 1024, "{grown} kB more");
}
