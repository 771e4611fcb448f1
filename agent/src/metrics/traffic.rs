//! What the kernel has counted, put to the pools and backends that it belongs to.

use crate::core::numbers::{BackendNumbers, Numbers, PoolNumbers, Traffic};
use ipvs::{Connections, DestinationKey, Snapshot, Statistics};

/// Fills in what a reading of the kernel has of each pool and backend. A pool has one entry there for each VIP, or one
/// for its firewall mark; they are added up. What the kernel does not have stays without.
pub fn fill(numbers: &mut Numbers, read: &Snapshot) {
    for pool in numbers.services.iter_mut().flat_map(|service| &mut service.pools) {
        let counted = pool.keys.iter().filter_map(|key| read.service_statistics.get(key));
        pool.traffic = counted.copied().reduce(sum);
        let PoolNumbers { keys, port, backends, .. } = pool;
        for backend in backends {
            let BackendNumbers { address, traffic, .. } = backend;
            let destination = DestinationKey { address: *address, port: *port };
            let of = |key| {
                let statistics = *read.destination_statistics.get(&(key, destination))?;
                let connections = read.connections.get(&(key, destination)).copied().unwrap_or_default();
                Some(Traffic { statistics, connections })
            };
            *traffic = keys.iter().filter_map(|key| of(*key)).reduce(|a, b| Traffic {
                statistics: sum(a.statistics, b.statistics),
                connections: together(a.connections, b.connections),
            });
        }
    }
}

fn sum(a: Statistics, b: Statistics) -> Statistics {
    Statistics {
        connections: a.connections.wrapping_add(b.connections),
        packets_in: a.packets_in.wrapping_add(b.packets_in),
        packets_out: a.packets_out.wrapping_add(b.packets_out),
        bytes_in: a.bytes_in.wrapping_add(b.bytes_in),
        bytes_out: a.bytes_out.wrapping_add(b.bytes_out),
        connections_per_second: a.connections_per_second.wrapping_add(b.connections_per_second),
        packets_in_per_second: a.packets_in_per_second.wrapping_add(b.packets_in_per_second),
        packets_out_per_second: a.packets_out_per_second.wrapping_add(b.packets_out_per_second),
        bytes_in_per_second: a.bytes_in_per_second.wrapping_add(b.bytes_in_per_second),
        bytes_out_per_second: a.bytes_out_per_second.wrapping_add(b.bytes_out_per_second),
    }
}

fn together(a: Connections, b: Connections) -> Connections {
    Connections {
        active: a.active.saturating_add(b.active),
        inactive: a.inactive.saturating_add(b.inactive),
        persistent: a.persistent.saturating_add(b.persistent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Family;
    use crate::core::member::Counts;
    use crate::core::numbers::ServiceNumbers;

    fn backend(host: &str, address: &str) -> BackendNumbers {
        BackendNumbers {
            host: host.into(),
            address: address.parse().unwrap(),
            is_up: true,
            weight: 10,
            on_link: None,
            agent_percent: None,
            agent_out: None,
            traffic: None,
        }
    }

    #[test]
    fn what_two_vips_of_a_pool_have_had_is_added_up_and_what_the_kernel_has_not_stays_without() {
        let keys = ["tcp 192.0.2.1:80", "tcp 192.0.2.2:80"].map(|key| key.parse().unwrap());
        let destination = "10.64.0.11:80".parse().unwrap();
        let mut read = Snapshot::default();
        for (key, bytes_in) in keys.into_iter().zip([100, 20]) {
            let counted = Statistics { bytes_in, connections: 1, ..Statistics::default() };
            read.service_statistics.insert(key, counted);
            read.destination_statistics.insert((key, destination), counted);
            let connections = Connections { active: 3, inactive: 1, persistent: 0 };
            read.connections.insert((key, destination), connections);
        }
        let pool = PoolNumbers {
            family: Family::Ipv4,
            counts: Counts { pooled: 1, serving: 1, needed: 1, total: 2 },
            draining: 0,
            keys: keys.to_vec(),
            port: 80,
            is_answered_here: false,
            traffic: None,
            backends: vec![backend("rs1", "10.64.0.11"), backend("rs2", "10.64.0.12")],
        };
        let service = ServiceNumbers { pools: vec![pool], ..ServiceNumbers::default() };
        let mut numbers = Numbers { services: vec![service], ..Numbers::default() };
        fill(&mut numbers, &read);
        let pool = &numbers.services[0].pools[0];
        let counted = pool.traffic.unwrap();
        assert_eq!((counted.bytes_in, counted.connections), (120, 2));
        let first = pool.backends[0].traffic.unwrap();
        assert_eq!(
            (first.statistics.bytes_in, first.connections.active, first.connections.inactive),
            (120, 6, 2)
        );
        assert_eq!(pool.backends[1].traffic, None);
    }
}
