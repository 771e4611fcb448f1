//! PyBal's metrics under PyBal's names, for alerts and dashboards that were made for them.
//!
//! Labels are PyBal's: `service` is the pool's name there, `monitor` the kind of check, so each server has as many series as
//! PyBal has for it. Written piece by piece like the rest of what grows with the services.

use crate::core::pybal::{Pool, Server};
use bgp::speaker::Statuses;
use health::{Check, Snapshot, Verdict};
use std::fmt::Write as _;
use std::sync::Arc;

/// A piece is given once it is that long.
const PIECE: usize = 64 * 1024;

/// A metric of a pool, or of a monitor of a server.
struct Family {
    name: &'static str,
    help: &'static str,
    is_counter: bool,
    of: Of,
}

enum Of {
    Pool(fn(&Pool) -> f64),
    /// None: no series.
    Monitor(fn(&Row) -> Option<u64>),
}

const FAMILIES: &[Family] = &[
    gauge("pybal_service_servers", "Servers of the pool.", |pool| number(pool.servers.len())),
    gauge("pybal_service_servers_enabled", "Servers that are to serve.", |pool| {
        count(pool, |server| server.is_enabled)
    }),
    gauge("pybal_service_servers_up", "Servers whose checks pass.", |pool| {
        count(pool, |server| server.is_up)
    }),
    gauge("pybal_service_servers_pooled", "Servers that get connections.", |pool| {
        count(pool, |server| server.is_pooled)
    }),
    gauge("pybal_service_can_depool", "Whether one more server may be taken out.", |pool| {
        f64::from(u8::from(pool.can_depool()))
    }),
    gauge("pybal_service_pooled_down_servers", "Servers that are down but kept for the threshold.", |pool| {
        count(pool, |server| server.is_held)
    }),
    Family {
        name: "pybal_service_could_not_depool_total",
        help: "How often a server that was down was kept for the threshold.",
        is_counter: true,
        of: Of::Pool(|pool| pool.could_not_depool as f64),
    },
    gauge("pybal_service_depool_threshold", "The share of servers that health never takes out.", |pool| {
        f64::from(pool.threshold.permille()) / 1000.0
    }),
    Family {
        name: "pybal_monitor_status",
        help: "Whether the monitor finds the server up.",
        is_counter: false,
        of: Of::Monitor(|row| row.is_up.map(u64::from)),
    },
    counter("pybal_monitor_up_results_total", "Results of the monitor that were good.", |row| Some(row.ok)),
    counter("pybal_monitor_down_results_total", "Results of the monitor that were not.", |row| {
        Some(row.failed)
    }),
    counter(
        "pybal_monitor_up_transitions_total",
        "How often the monitor came to find the server up.",
        |row| Some(row.ups),
    ),
    counter(
        "pybal_monitor_down_transitions_total",
        "How often the monitor came to find the server down.",
        |row| Some(row.downs),
    ),
];

const fn gauge(name: &'static str, help: &'static str, value: fn(&Pool) -> f64) -> Family {
    Family { name, help, is_counter: false, of: Of::Pool(value) }
}

const fn counter(name: &'static str, help: &'static str, value: fn(&Row) -> Option<u64>) -> Family {
    Family { name, help, is_counter: true, of: Of::Monitor(value) }
}

fn number(number: usize) -> f64 {
    number as f64
}

fn count(pool: &Pool, is_counted: impl Fn(&Server) -> bool) -> f64 {
    number(pool.servers.values().filter(|server| is_counted(server)).count())
}

/// A monitor of a server, its checks together.
#[derive(Debug)]
struct Row {
    service: Arc<str>,
    host: Arc<str>,
    monitor: &'static str,
    is_up: Option<bool>,
    ok: u64,
    failed: u64,
    ups: u64,
    downs: u64,
}

/// What is written, in pieces.
#[derive(Debug)]
pub struct Pybal {
    head: Option<String>,
    pools: Vec<Pool>,
    rows: Vec<Row>,
    /// The family that is written next, and how much of it was.
    next: (usize, usize),
}

impl Pybal {
    /// Of these pools, checks and routers; no routers where BGP is not spoken.
    pub fn new(mut pools: Vec<Pool>, checks: Option<&Snapshot>, bgp: Option<(u32, &Statuses)>) -> Self {
        let mut rows = Vec::new();
        for pool in &mut pools {
            for (host, server) in &mut pool.servers {
                for (monitor, its) in std::mem::take(&mut server.monitors) {
                    rows.push(row((&pool.name, host, monitor), &its, checks));
                }
            }
        }
        Self { head: Some(sessions(bgp)), pools, rows, next: (0, 0) }
    }
}

/// A check that several pools want is counted in each, as PyBal has one for each.
fn row(
    (service, host, monitor): (&Arc<str>, &Arc<str>, &'static str),
    its: &[(Arc<Check>, Verdict)],
    checks: Option<&Snapshot>,
) -> Row {
    let is_up = match its {
        its if its.iter().any(|(_, verdict)| *verdict == Verdict::Down) => Some(false),
        its if its.iter().all(|(_, verdict)| *verdict == Verdict::Up) => Some(true),
        _ => None,
    };
    let (service, host) = (Arc::clone(service), Arc::clone(host));
    let mut row = Row { service, host, monitor, is_up, ok: 0, failed: 0, ups: 0, downs: 0 };
    for status in its.iter().filter_map(|(check, _)| checks?.checks.get(check)) {
        row.ok += status.results.ok;
        row.failed += status.results.failed;
        row.ups += status.ups;
        row.downs += status.downs;
    }
    row
}

/// The sessions, by the router's address.
fn sessions(bgp: Option<(u32, &Statuses)>) -> String {
    // Writing to a text does not fail, here and below.
    let (mut text, name) = (String::new(), "pybal_bgp_enabled");
    let _ = write!(text, "# HELP {name} Whether BGP is spoken.\n# TYPE {name} gauge\n");
    let _ = writeln!(text, "{name} {}", u8::from(bgp.is_some()));
    let Some((local_asn, peers)) = bgp else { return text };
    let name = "pybal_bgp_session_established";
    let _ = write!(text, "# HELP {name} Whether the session is established.\n# TYPE {name} gauge\n");
    for peer in peers.values() {
        let (address, is_up) = (peer.address, u8::from(peer.session.is_some()));
        let _ = writeln!(text, "{name}{{local_asn=\"{local_asn}\",peer=\"{address}\"}} {is_up}");
    }
    text
}

impl Iterator for Pybal {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        let mut text = String::new();
        while text.len() < PIECE {
            let (index, done) = self.next;
            let Some(family) = FAMILIES.get(index) else { break };
            if done == 0 {
                let kind = if family.is_counter { "counter" } else { "gauge" };
                let _ = write!(text, "# HELP {0} {1}\n# TYPE {0} {kind}\n", family.name, family.help);
            }
            let is_written = match &family.of {
                Of::Pool(value) => self.pools.get(done).map(|pool| {
                    let _ = writeln!(text, "{}{{service=\"{}\"}} {}", family.name, pool.name, value(pool));
                }),
                Of::Monitor(value) => self.rows.get(done).map(|row| {
                    if let Some(value) = value(row) {
                        let Row { service, host, monitor, .. } = row;
                        let _ = writeln!(
                            text,
                            "{}{{host=\"{host}\",monitor=\"{monitor}\",service=\"{service}\"}} {value}",
                            family.name
                        );
                    }
                }),
            };
            self.next = if is_written.is_some() { (index, done + 1) } else { (index + 1, 0) };
        }
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::bgp::tests::statuses;
    use serde_json::json;

    fn page(bgp: Option<(u32, &Statuses)>) -> String {
        Pybal::new(Vec::new(), None, bgp).collect()
    }

    #[test]
    fn sessions_are_by_the_routers_address_and_there_are_none_without_bgp() {
        let mut peers = statuses();
        let mut other = peers["r1"].clone();
        other.address = [10, 64, 0, 252].into();
        let session = json!({
            "remote_router_id": "10.64.0.252", "local": "10.64.0.1:40000", "remote": "10.64.0.252:179", "hold_time": 90,
            "families": ["ipv4"], "four_octet_asn": true, "graceful_restart": true,
        });
        other.session = Some(serde_json::from_value(session).unwrap());
        peers.insert("r2".to_owned(), other);
        let page_with = page(Some((64_600, &peers)));
        for line in [
            "pybal_bgp_enabled 1",
            "# TYPE pybal_bgp_session_established gauge",
            "pybal_bgp_session_established{local_asn=\"64600\",peer=\"10.64.0.251\"} 0",
            "pybal_bgp_session_established{local_asn=\"64600\",peer=\"10.64.0.252\"} 1",
        ] {
            assert!(page_with.lines().any(|there| there == line), "{line} is not in\n{page_with}");
        }
        let without = page(None);
        assert!(without.lines().any(|there| there == "pybal_bgp_enabled 0"), "{without}");
        assert!(!without.contains("pybal_bgp_session_established"), "{without}");
    }
}
