//! Addresses for Services of our class that have none yet.
//!
//! Who gives addresses is one balancer of the fleet at a time. What it has given stays given, also before the cluster shows it.

use super::model::{Key, Service};
use super::whole::{addresses, is_allowed, is_of_class};
use crate::config::{AddressPool, Family, WholeServices};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Addresses that were given, by the Service's uid.
pub type Given = BTreeMap<Arc<str>, Vec<IpAddr>>;

/// Gives addresses to Services of our class that have none, in the order of their names; forgets what was given to Services
/// that are gone. Gives what is to be written down, and why some get nothing.
pub fn allocate<'a>(
    services: impl Iterator<Item = &'a Service>,
    settings: &WholeServices,
    given: &mut Given,
) -> BTreeMap<Key, Result<Vec<IpAddr>, String>> {
    let services: BTreeMap<&Key, &Service> = services.map(|service| (&service.key, service)).collect();
    let uids: BTreeSet<&Arc<str>> = services.values().map(|service| &service.uid).collect();
    given.retain(|uid, _| uids.contains(uid));
    let mut users: BTreeMap<IpAddr, Vec<&Service>> = BTreeMap::new();
    for service in services.values() {
        let own =
            service.ingress.iter().map(|ingress| ingress.address).chain(service.external_ips.iter().copied());
        for address in own.chain(given.get(&service.uid).into_iter().flatten().copied()) {
            users.entry(address).or_default().push(service);
        }
    }
    let mut outcomes = BTreeMap::new();
    let is_waiting = |service: &&&Service| {
        is_of_class(service, settings) && !service.is_deleting && service.ingress.is_empty()
    };
    for service in services.values().filter(is_waiting) {
        let outcome = match given.get(&service.uid) {
            Some(addresses) => Ok(addresses.clone()),
            None => choose(service, settings, &users),
        };
        if let Ok(addresses) = &outcome {
            given.insert(Arc::clone(&service.uid), addresses.clone());
            addresses.iter().for_each(|address| users.entry(*address).or_default().push(service));
        }
        outcomes.insert(service.key.clone(), outcome);
    }
    outcomes
}

fn choose(
    service: &Service,
    settings: &WholeServices,
    users: &BTreeMap<IpAddr, Vec<&Service>>,
) -> Result<Vec<IpAddr>, String> {
    let namespace = &*service.key.namespace;
    let asked = match service.annotations.get("vips") {
        Some(text) => addresses(text)?,
        None => service.asked_for.into_iter().collect(),
    };
    for address in &asked {
        if !is_allowed(settings, namespace, *address) {
            return Err(format!("{address} is in no address pool that Services in {namespace} may have"));
        }
        if let Some(other) = users.get(address).into_iter().flatten().find(|other| collides(service, other)) {
            return Err(format!("{address} has a port of {} already", other.key));
        }
    }
    if !asked.is_empty() {
        return Ok(asked);
    }
    let families = match service.families.is_empty() {
        true => &[Family::Ipv4],
        false => service.families,
    };
    let (mut found, mut missing) = (Vec::new(), None);
    for family in families {
        match free(service, settings, *family, users) {
            Ok(address) => found.push(address),
            Err(why) => missing = Some(why),
        }
    }
    match missing {
        // PreferDualStack is served with what there is.
        Some(why) if found.is_empty() || service.needs_both => Err(why),
        Some(_) | None => Ok(found),
    }
}

/// Whether two Services cannot share an address.
fn collides(one: &Service, other: &Service) -> bool {
    let listeners = |service: &Service| -> BTreeSet<_> {
        service.ports.iter().map(|port| (port.port, port.protocol)).collect()
    };
    one.key != other.key && !listeners(one).is_disjoint(&listeners(other))
}

/// The lowest address of a family that nobody has, in the pool that is asked for, or the first that gives by itself.
fn free(
    service: &Service,
    settings: &WholeServices,
    family: Family,
    users: &BTreeMap<IpAddr, Vec<&Service>>,
) -> Result<IpAddr, String> {
    let named = service.annotations.get("address-pool");
    let is_meant = |pool: &&AddressPool| match named {
        Some(name) => pool.name == *name,
        None => pool.auto,
    };
    let is_for =
        |pool: &&AddressPool| pool.namespaces.is_empty() || pool.namespaces.contains(&service.key.namespace);
    let pools: Vec<&AddressPool> = settings.pools.iter().filter(is_meant).filter(is_for).collect();
    let ranges = pools.iter().flat_map(|pool| &pool.ranges).filter(|range| Family::of(range.first) == family);
    for range in ranges {
        let mut next = Some(range.first);
        // Each step passes an address that somebody has, so that it ends.
        while let Some(address) = next.filter(|address| *address <= range.last) {
            if !users.contains_key(&address) {
                return Ok(address);
            }
            next = after(address);
        }
    }
    let names: Vec<&str> = pools.iter().map(|pool| &*pool.name).collect();
    match (names.is_empty(), named) {
        (true, Some(name)) => {
            Err(format!("there is no address pool {name} for Services in {}", service.key.namespace))
        }
        (true, None) => {
            Err(format!("no address pool gives addresses to Services in {}", service.key.namespace))
        }
        (false, _) => Err(format!("no free {family} address is left in {}", names.join(", "))),
    }
}

fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}
