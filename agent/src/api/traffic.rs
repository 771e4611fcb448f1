//! What goes through the services, as pages and `lvsctl top` show it: the kernel's own rates and counts, with the families together.

use crate::core::numbers::{Numbers, PoolNumbers, ServiceNumbers};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What goes through a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Through {
    /// New connections a second.
    pub connections_per_second: u64,
    /// Bytes from clients a second.
    pub bytes_in_per_second: u64,
    /// Established connections.
    pub active: u64,
    /// What goes to each backend.
    pub backends: BTreeMap<IpAddr, To>,
}

/// What goes to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct To {
    /// New connections a second.
    pub connections_per_second: u64,
    /// Established connections.
    pub active: u32,
    /// Others that the kernel remembers.
    pub inactive: u32,
}

/// What goes through each service that the kernel has, by name.
pub(super) fn through(numbers: &Numbers) -> impl Iterator<Item = (&str, Through)> {
    let has_some = |service: &&ServiceNumbers| service.pools.iter().any(|pool| pool.traffic.is_some());
    numbers.services.iter().filter(has_some).map(|service| (&*service.name, of_service(service)))
}

fn of_service(service: &ServiceNumbers) -> Through {
    let mut all = Through::default();
    for pool in &service.pools {
        let counted = pool.traffic.unwrap_or_default();
        all.connections_per_second += counted.connections_per_second;
        all.bytes_in_per_second += counted.bytes_in_per_second;
        all.backends.extend(to_backends(pool));
    }
    all.active = all.backends.values().map(|to| u64::from(to.active)).sum();
    all
}

fn to_backends(pool: &PoolNumbers) -> impl Iterator<Item = (IpAddr, To)> {
    pool.backends.iter().filter_map(|backend| {
        let traffic = backend.traffic?;
        let to = To {
            connections_per_second: traffic.statistics.connections_per_second,
            active: traffic.connections.active,
            inactive: traffic.connections.inactive,
        };
        Some((backend.address, to))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Config};
    use crate::core::numbers::{Traffic, numbers};
    use crate::core::saved::Saved;
    use crate::core::{Event, State, Timestamp, step};
    use ipvs::{Connections, Statistics, Table};
    use std::sync::Arc;

    /// The numbers of two services, of which the kernel has the first.
    fn counted() -> Numbers {
        let service = |name: &str, last: u8| {
            format!(
                "[service.{name}]\nvips = [\"192.0.2.{last}\", \"2001:db8::{last}\"]\nport = 80\nchecks = []\nbackends = [\n\
                 {{ host = \"rs1\", addresses = [\"10.64.0.11\", \"fd00:64::11\"] }},\n]\n"
            )
        };
        let text = service("web", 1) + &service("api", 2);
        let config: Config = config::parse(&[("lvsd.toml".into(), text)]).unwrap();
        let mut state = State::new();
        for event in [
            Event::Restored { saved: Saved::default(), snapshots: Default::default() },
            Event::Configured(Arc::new(config)),
            Event::KernelRead { table: Table::new(), connections: Vec::new(), unsorted: Default::default() },
        ] {
            step(&mut state, event, Timestamp::from_micros(1));
        }
        let mut numbers = numbers(&state);
        let web = numbers.services.iter_mut().find(|service| &*service.name == "web").unwrap();
        let statistics =
            Statistics { connections_per_second: 30, bytes_in_per_second: 2000, ..Statistics::default() };
        let connections = Connections { active: 7, inactive: 2, persistent: 0 };
        for pool in &mut web.pools {
            pool.traffic = Some(statistics);
            pool.backends.iter_mut().for_each(|backend| {
                backend.traffic = Some(Traffic { statistics, connections });
            });
        }
        numbers
    }

    #[test]
    fn the_families_of_a_service_are_added_up_and_what_the_kernel_does_not_have_is_left_out() {
        let numbers = counted();
        let [(name, through)] = &through(&numbers).collect::<Vec<_>>()[..] else { panic!("{numbers:?}") };
        assert_eq!((*name, through.connections_per_second, through.active), ("web", 60, 14));
        let backends: Vec<String> = through.backends.keys().map(ToString::to_string).collect();
        assert_eq!(backends, ["10.64.0.11", "fd00:64::11"]);
    }
}
