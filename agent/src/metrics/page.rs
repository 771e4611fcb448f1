//! The part of the page that grows with the services, written piece by piece: the page of ten thousand is some 25 MB, and
//! is never in memory as a whole.

use super::pybal::Pybal;
use crate::core::numbers::{BackendNumbers, Numbers, PoolNumbers, ServiceNumbers, VipNumbers};
use ipvs::Statistics;
use std::fmt::{Display, Write as _};

/// A piece is given once it is that long. It bounds what a reader who is slow keeps in memory.
const PIECE: usize = 64 * 1024;

/// A metric of services, pools, backends or VIPs.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) is_counter: bool,
    pub(super) of: Of,
}

/// What a metric has a series for, and its value.
pub(super) enum Of {
    Service(fn(&ServiceNumbers) -> u64),
    /// None: no series.
    ServiceIf(fn(&ServiceNumbers) -> Option<u64>),
    Pool(fn(&PoolNumbers) -> u64),
    /// None: no series.
    PoolIf(fn(&PoolNumbers) -> Option<u64>),
    /// From clients and to them, of those that the kernel has counted.
    PoolFlow(fn(&Statistics) -> [u64; 2]),
    /// None: no series.
    Backend(fn(&BackendNumbers) -> Option<u64>),
    /// None: no series.
    BackendShare(fn(&BackendNumbers) -> Option<f64>),
    /// From clients and to them, of those that the kernel has counted.
    BackendFlow(fn(&Statistics) -> [u64; 2]),
    /// Those of a service's canaries that have said something.
    Canary,
    Vip(fn(&VipNumbers) -> bool),
}

/// A page in pieces.
#[derive(Debug)]
pub struct Page {
    /// What comes first.
    head: Option<String>,
    families: std::slice::Iter<'static, Family>,
    /// The family that is being written, and how many of its services or VIPs are.
    current: Option<(&'static Family, usize)>,
    numbers: Numbers,
    /// What comes last.
    last: Option<Pybal>,
}

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Page {
    pub(super) fn new(head: String, families: &'static [Family], numbers: Numbers) -> Self {
        Self { head: Some(head), families: families.iter(), current: None, numbers, last: None }
    }

    /// The same, and then this.
    #[must_use]
    pub fn followed_by(self, last: Option<Pybal>) -> Self {
        Self { last, ..self }
    }

    /// Writes what fits of the current family; false when there is none left.
    fn write(&mut self, text: &mut String) -> bool {
        let (family, done) = match self.current.take() {
            Some(current) => current,
            None => {
                let Some(family) = self.families.next() else { return false };
                let kind = if family.is_counter { "counter" } else { "gauge" };
                // Writing to a text does not fail, here and below.
                let _ = write!(text, "# HELP {0} {1}\n# TYPE {0} {kind}\n", family.name, family.help);
                (family, 0)
            }
        };
        let count = match family.of {
            Of::Vip(_) => self.numbers.vips.len(),
            Of::Service(_)
            | Of::ServiceIf(_)
            | Of::Pool(_)
            | Of::PoolIf(_)
            | Of::PoolFlow(_)
            | Of::Backend(_)
            | Of::BackendShare(_)
            | Of::BackendFlow(_)
            | Of::Canary => self.numbers.services.len(),
        };
        for index in done..count {
            family.series(&self.numbers, index, text);
            if text.len() >= PIECE {
                self.current = Some((family, index + 1));
                break;
            }
        }
        true
    }
}

impl Iterator for Page {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        let mut text = String::with_capacity(PIECE + PIECE / 8);
        while text.len() < PIECE && self.write(&mut text) {}
        if text.is_empty() { self.last.as_mut()?.next() } else { Some(text) }
    }
}

impl Family {
    /// The series of one service or VIP. Names of services and hosts have no character that a label has to escape.
    fn series(&self, numbers: &Numbers, index: usize, text: &mut String) {
        match &self.of {
            Of::Vip(is_so) => {
                let vip = &numbers.vips[index];
                let _ = writeln!(text, "{}{{vip=\"{}\"}} {}", self.name, vip.address, u8::from(is_so(vip)));
            }
            Of::Service(value) => {
                let service = &numbers.services[index];
                let _ = writeln!(text, "{}{{service=\"{}\"}} {}", self.name, service.name, value(service));
            }
            Of::ServiceIf(value) => {
                let service = &numbers.services[index];
                if let Some(value) = value(service) {
                    let _ = writeln!(text, "{}{{service=\"{}\"}} {value}", self.name, service.name);
                }
            }
            Of::Canary => {
                let service = &numbers.services[index];
                for (vip, is_up) in &service.canaries {
                    let (name, is_up) = (&service.name, u8::from(*is_up));
                    let _ = writeln!(text, "{}{{service=\"{name}\",vip=\"{vip}\"}} {is_up}", self.name);
                }
            }
            Of::Pool(value) => self.pools(&numbers.services[index], |pool| Some(value(pool)), text),
            Of::PoolIf(value) => self.pools(&numbers.services[index], value, text),
            Of::PoolFlow(value) => {
                let service = &numbers.services[index];
                for pool in &service.pools {
                    let Some(counted) = &pool.traffic else { continue };
                    for (direction, value) in directions(pool, value(counted)) {
                        self.pool(direction, &service.name, pool, value, text);
                    }
                }
            }
            Of::Backend(value) => self.backends(&numbers.services[index], value, text),
            Of::BackendShare(value) => self.backends(&numbers.services[index], value, text),
            Of::BackendFlow(value) => {
                let service = &numbers.services[index];
                for pool in &service.pools {
                    for backend in &pool.backends {
                        let Some(counted) = &backend.traffic else { continue };
                        for (direction, value) in directions(pool, value(&counted.statistics)) {
                            self.backend(backend, direction, &service.name, pool, value, text);
                        }
                    }
                }
            }
        }
    }

    fn pools<T: Display>(
        &self,
        service: &ServiceNumbers,
        value: impl Fn(&PoolNumbers) -> Option<T>,
        text: &mut String,
    ) {
        for pool in &service.pools {
            if let Some(value) = value(pool) {
                self.pool("", &service.name, pool, value, text);
            }
        }
    }

    fn backends<T: Display>(
        &self,
        service: &ServiceNumbers,
        value: impl Fn(&BackendNumbers) -> Option<T>,
        text: &mut String,
    ) {
        for pool in &service.pools {
            for backend in &pool.backends {
                if let Some(value) = value(backend) {
                    self.backend(backend, "", &service.name, pool, value, text);
                }
            }
        }
    }

    fn pool(
        &self,
        direction: &str,
        service: &str,
        pool: &PoolNumbers,
        value: impl Display,
        text: &mut String,
    ) {
        let family = pool.family.as_str();
        text.extend([self.name, "{", direction, "family=\"", family, "\",service=\"", service, "\"} "]);
        let _ = writeln!(text, "{value}");
    }

    fn backend(
        &self,
        backend: &BackendNumbers,
        direction: &str,
        service: &str,
        pool: &PoolNumbers,
        value: impl Display,
        text: &mut String,
    ) {
        text.extend([self.name, "{backend=\"", &backend.host, "\","]);
        text.extend([direction, "family=\"", pool.family.as_str(), "\",service=\"", service, "\"} "]);
        let _ = writeln!(text, "{value}");
    }
}

/// Both values, each with the label that says which way; answers that do not pass the balancer have none.
fn directions(pool: &PoolNumbers, [from, to]: [u64; 2]) -> impl Iterator<Item = (&'static str, u64)> {
    let to = pool.is_answered_here.then_some(("direction=\"out\",", to));
    std::iter::once(("direction=\"in\",", from)).chain(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Family as IpFamily;
    use crate::core::member::Counts;
    use crate::core::numbers::Traffic;
    use crate::metrics::families::FAMILIES;

    fn numbers(services: usize, backends: usize) -> Numbers {
        let backend = |n| BackendNumbers {
            host: format!("rs{n}").into(),
            address: "10.64.0.11".parse().unwrap(),
            is_up: n != 1,
            weight: 10,
            on_link: (n > 0).then_some(true),
            agent_percent: (n == 2).then_some(50),
            agent_out: None,
            traffic: (n == 0).then(Traffic::default),
        };
        let pool = |is_answered_here| PoolNumbers {
            family: IpFamily::Ipv4,
            counts: Counts { pooled: 3, serving: 2, needed: 1, total: 4 },
            draining: 0,
            keys: Vec::new(),
            port: 80,
            is_answered_here,
            traffic: Some(Statistics { bytes_in: 5, bytes_out: 6, ..Statistics::default() }),
            backends: (0..backends).map(backend).collect(),
        };
        let service = |n| ServiceNumbers {
            name: format!("s{n}").into(),
            source_failed: false,
            source_held: false,
            source_stale: true,
            source_errors: 7,
            unsorted: None,
            pools: vec![pool(n == 0)],
            secured: Vec::new(),
            certificate_expires: (n == 3).then_some(1_800_000_000),
            canaries: if n == 4 { vec![("192.0.2.1".parse().unwrap(), false)] } else { Vec::new() },
        };
        let vip = |address: &str, is_announced| VipNumbers {
            address: address.parse().unwrap(),
            is_announced,
            has_word: !is_announced,
        };
        let vips = vec![vip("192.0.2.1", true), vip("2001:db8::1", false)];
        Numbers { services: (0..services).map(service).collect(), vips, ..Numbers::default() }
    }

    #[test]
    fn every_series_is_there_once_whatever_the_pieces() {
        let (services, backends) = (700, 10);
        let page = Page::new("head 1\n".into(), FAMILIES, numbers(services, backends));
        let pieces: Vec<String> = page.collect();
        assert!(
            pieces.len() > 10 && pieces.iter().all(|piece| piece.len() < 2 * PIECE && piece.ends_with('\n'))
        );
        let text = pieces.concat();
        assert!(text.starts_with("head 1\n# HELP "));
        for line in [
            "# TYPE lvsd_source_errors_total counter",
            "lvsd_source_errors_total{service=\"s699\"} 7",
            "lvsd_pool_held_though_down{family=\"ipv4\",service=\"s0\"} 1",
            "lvsd_backend_up{backend=\"rs1\",family=\"ipv4\",service=\"s5\"} 0",
            "lvsd_backend_agent_ratio{backend=\"rs2\",family=\"ipv4\",service=\"s5\"} 0.5",
            "lvsd_certificate_expiry_timestamp_seconds{service=\"s3\"} 1800000000",
            "lvsd_canary_up{service=\"s4\",vip=\"192.0.2.1\"} 0",
            "lvsd_vip_announced{vip=\"2001:db8::1\"} 0",
            "lvsd_vip_operator_word{vip=\"2001:db8::1\"} 1",
            "lvsd_vip_operator_word{vip=\"192.0.2.1\"} 0",
            "lvsd_service_bytes_total{direction=\"in\",family=\"ipv4\",service=\"s1\"} 5",
            "lvsd_service_bytes_total{direction=\"out\",family=\"ipv4\",service=\"s0\"} 6",
            "lvsd_backend_bytes_total{backend=\"rs0\",direction=\"in\",family=\"ipv4\",service=\"s1\"} 0",
        ] {
            assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line}");
        }
        let series = |name: &str| text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
        assert_eq!(series("lvsd_backend_weight"), services * backends);
        assert_eq!(series("lvsd_certificate_expiry_timestamp_seconds"), 1, "the others see none");
        assert_eq!(series("lvsd_backend_on_link"), services * (backends - 1), "one was not looked at yet");
        assert_eq!(series("lvsd_service_bytes_total"), services + 1, "with NAT answers are counted as well");
        assert_eq!(series("lvsd_backend_connections_total"), services, "the kernel has one of each");
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), FAMILIES.len());
    }
}
