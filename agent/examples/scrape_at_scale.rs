//! What a page of metrics costs: its numbers are taken from the core's state, the kernel's counters put to them, and it is
//! written. The reading of the kernel and the way to Prometheus are not in it.
//!
//! `scrape_at_scale SERVICES BACKENDS TIMES` prints one line of JSON.

use ipvs::{Connections, DestinationKey, Snapshot, Statistics, Table};
use lvsd::config;
use lvsd::core::numbers::{Numbers, numbers};
use lvsd::core::saved::Saved;
use lvsd::core::{Event, State, Timestamp, step};
use lvsd::metrics::{Metrics, Sources, count_traffic};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

fn state(services: u32, backends: u32) -> Result<State, String> {
    let mut text = String::new();
    for service in 0..services {
        let (high, low) = (service / 250, service % 250);
        let vip = format!("10.100.{high}.{low}");
        let list = (0..backends)
            .map(|n| format!("{{ host = \"b{n}\", addresses = [\"10.{}.{high}.{low}\"] }}, ", n % 90));
        let list: String = list.collect();
        // Writing to a text does not fail.
        let _ = writeln!(
            text,
            "[service.s{service}]\nvips = [\"{vip}\"]\nport = 80\nchecks = []\nbackends = [{list}]"
        );
    }
    let config = config::parse(&[("lvsd.toml".into(), text)])
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let (mut state, now) = (State::new(), Timestamp::from_micros(1));
    for event in [
        Event::Restored { saved: Saved::default(), snapshots: Default::default() },
        Event::Configured(Arc::new(config)),
        Event::KernelRead { table: Table::new(), connections: Vec::new(), unsorted: Default::default() },
    ] {
        step(&mut state, event, now);
    }
    Ok(state)
}

/// A reading of the kernel that has something of each backend.
fn reading(numbers: &Numbers) -> Snapshot {
    let mut read = Snapshot::default();
    for pool in numbers.services.iter().flat_map(|service| &service.pools) {
        for key in &pool.keys {
            let counted = Statistics { connections: 12_345, bytes_in: 123_456_789, ..Statistics::default() };
            read.service_statistics.insert(*key, counted);
            for backend in &pool.backends {
                let destination = DestinationKey { address: backend.address, port: pool.port };
                read.destination_statistics.insert((*key, destination), counted);
                read.connections
                    .insert((*key, destination), Connections { active: 12, ..Default::default() });
            }
        }
    }
    read
}

fn main() -> Result<(), String> {
    let arguments: Vec<u32> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let &[services, backends, times] = arguments.as_slice() else {
        return Err("scrape_at_scale SERVICES BACKENDS TIMES".to_owned());
    };
    let state = state(services, backends)?;
    let metrics = Metrics::new().map_err(|error| error.to_string())?;
    let read = reading(&numbers(&state));
    let (peers, refused, bmp) = Default::default();
    let sources =
        Sources { peers: &peers, refused: &refused, bmp: &bmp, checks: None, probes: None, fleet: None };
    let (mut taken, mut whole, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..times {
        let begin = Instant::now();
        let mut numbers = numbers(&state);
        taken.push(begin.elapsed());
        count_traffic(&mut numbers, &read);
        let page = metrics.page(numbers, &sources).map_err(|error| error.to_string())?;
        bytes = page.map(|piece| piece.len()).sum::<usize>();
        whole.push(begin.elapsed());
    }
    taken.sort_unstable();
    whole.sort_unstable();
    let middle = taken.len() / 2;
    let (taken, whole) = (taken.get(middle).ok_or("no times")?, whole.get(middle).ok_or("no times")?);
    println!(
        "{{\"services\":{services},\"backends\":{backends},\"engine_ms\":{:.3},\"page_ms\":{:.3},\"bytes\":{bytes}}}",
        taken.as_secs_f64() * 1e3,
        whole.as_secs_f64() * 1e3
    );
    Ok(())
}
