//! From a service's pools to the kernel entries that they want.

use super::families::PerFamily;
use super::inventory::{Inventory, Listed, Listing};
use super::marks::{Bearer, Marks, Taken};
use super::member::{Draining, Member, Pool, Rare, address_in, checks_for};
use super::operator::source_of;
use super::saved::Saved;
use super::state::{DRAIN_POLL, Endpoint, ServiceState, service_keys};
use super::{Timestamp, canary};
use crate::config::{Admin, Service};
use ipvs::{Destination, DestinationKey, Entry, Family, Protocol, Scheduler, ServiceKey, Table, Weight};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Takes over what the sources say about a service's members. What is known of those that stay is kept; those that
/// left drain.
pub fn relist(service: &mut ServiceState, given: &Given<'_>, marks: &mut Marks, now: Timestamp) {
    let endpoint = Endpoint::of(&service.config);
    let before = service.listed_for.unwrap_or(endpoint);
    let has_moved = before.listener != endpoint.listener;
    if has_moved {
        // What drains does so in the entries of the old port, which go as a whole.
        service.pools.values_mut().for_each(|pool| pool.draining.clear());
    }
    let listed = match given.inventory.listing(&service.config) {
        Listing::Waiting(reason) => Err(reason),
        Listing::Known(listed) => scaled(&service.config, weighed(listed, given.saved)),
    };
    let listed = match listed {
        Ok(listed) => listed,
        Err(reason) => return go_on(service, reason, given, before != endpoint, now),
    };
    service.waiting = None;
    service.refused = None;
    service.listed_for = Some(endpoint);
    service.unusable = unusable(&listed);
    service.canary_mark = canary::bearer(service).and_then(|bearer| marks.give(&bearer, given.taken()));
    let families: BTreeSet<Family> = service.config.vips.iter().map(|vip| Family::of(*vip)).collect();
    service.pools.retain(|family| families.contains(&family));
    for family in families {
        let is_first = !service.pools.contains_key(&family);
        let adopted = if is_first { given.serving.weights(&service.config, family) } else { BTreeMap::new() };
        let pool = service.pools.get_or_default(family);
        let at_other_port: Vec<IpAddr> = match before.backend_port == endpoint.backend_port {
            true => Vec::new(),
            false => {
                pool.members.values().filter(|m| m.admin != Admin::Inactive).map(|m| m.address).collect()
            }
        };
        let mut mark = |bearer: &Bearer| marks.give(bearer, given.taken());
        let left =
            relist_pool(pool, &service.config, &listed, (given.saved, &mut mark), (family, &adopted), now);
        let at = |address| DestinationKey { address, port: before.backend_port };
        let mut former: Vec<DestinationKey> =
            if has_moved { Vec::new() } else { left.into_iter().chain(at_other_port).map(at).collect() };
        former.extend(adopted.into_keys());
        former.extend(given.in_acquired(&service.config, family));
        for (host, error) in duplicates(pool) {
            pool.members.remove(&host);
            service.unusable.insert(host.to_string(), error);
        }
        drain(pool, &service.config, former, now);
    }
}

/// What becomes of a service whose backends cannot be listed, and why. With members, those go on, and so does their
/// health; but not at another port, where nobody has asked them. Without, the kernel keeps what it has.
fn go_on(service: &mut ServiceState, reason: String, given: &Given<'_>, is_elsewhere: bool, now: Timestamp) {
    if is_elsewhere {
        service.pools = PerFamily::default();
        service.listed_for = None;
    }
    if service.pools.is_empty() {
        service.waiting = Some(reason);
        return;
    }
    service.refused = Some(reason);
    for (family, pool) in service.pools.iter_mut() {
        let former = given.in_acquired(&service.config, *family);
        drain(pool, &service.config, former, now);
    }
}

/// The backends with the weights that the kernel is to get: sh has 256 buckets that it fills by raw weight, so its
/// weights are divided by what they have in common.
fn scaled<'a>(service: &Service, mut listed: Vec<Listed<'a>>) -> Result<Vec<Listed<'a>>, String> {
    if *service.scheduler.scheduler() != Scheduler::Sh {
        return Ok(listed);
    }
    let weights: Vec<Weight> = listed.iter().map(|l| l.backend.weight).collect();
    let weights =
        ipvs::sh::scaled_weights(&weights).map_err(|error| format!("{}: {error}", source_of(service)))?;
    for (Listed { backend, .. }, weight) in listed.iter_mut().zip(weights) {
        backend.weight = weight;
    }
    Ok(listed)
}

/// What a listing is made from.
#[derive(Debug)]
pub struct Given<'a> {
    /// What the sources say.
    pub inventory: &'a Inventory,
    /// What operators say.
    pub saved: &'a Saved,
    /// What the kernel serves, or is to serve.
    pub serving: Serving<'a>,
    /// Keys that were not those of the service that has them now.
    pub acquired: &'a BTreeSet<ServiceKey>,
    /// Every service that is ours.
    pub owned: &'a BTreeSet<ServiceKey>,
}

impl Given<'_> {
    /// Which marks are not to be given to anybody.
    fn taken(&self) -> Taken<'_> {
        Taken { owned: self.owned, read: self.serving.read }
    }

    /// The destinations that are found in the entries that a service has acquired.
    fn in_acquired(&self, service: &Service, family: Family) -> Vec<DestinationKey> {
        service_keys(service)
            .filter(|(vip, key)| Family::of(*vip) == family && self.acquired.contains(key))
            .filter_map(|(_, key)| self.serving.entry(&key))
            .flat_map(|entry| entry.destinations.keys().copied())
            .collect()
    }
}

/// The backends with operators' weights in place of their sources'.
fn weighed<'a>(mut listed: Vec<Listed<'a>>, saved: &Saved) -> Vec<Listed<'a>> {
    for Listed { backend, .. } in &mut listed {
        if let Some(set) = saved.weights.get(&*backend.host) {
            backend.weight = set.to.apply(backend.weight);
        }
    }
    listed
}

/// What the kernel serves, or is to serve, of the services.
#[derive(Debug)]
pub struct Serving<'a> {
    /// What we want.
    pub wanted: &'a Table,
    /// What was last read.
    pub read: &'a Table,
}

impl Serving<'_> {
    /// A service's entry: as we want it, or else as the kernel has it.
    fn entry(&self, key: &ServiceKey) -> Option<&Arc<Entry>> {
        self.wanted.get(key).or_else(|| self.read.get(key))
    }

    /// The destinations of a service in one family, and their weights.
    fn weights(&self, service: &Service, family: Family) -> BTreeMap<DestinationKey, Weight> {
        service_keys(service)
            .filter(|(vip, _)| Family::of(*vip) == family)
            .filter_map(|(_, key)| self.entry(&key))
            .flat_map(|entry| entry.destinations.iter().map(|(key, destination)| (*key, destination.weight)))
            .collect()
    }
}

/// Backends of which no address is known.
fn unusable(listed: &[Listed<'_>]) -> BTreeMap<String, String> {
    listed
        .iter()
        .filter_map(|l| l.addresses.as_ref().err().map(|error| (l.backend.host.to_string(), error.clone())))
        .collect()
}

/// Gives the mark that checks through IPVS are to bear.
type GiveMark<'a> = &'a mut dyn FnMut(&Bearer) -> Option<NonZeroU32>;

/// Brings a pool's members to what is listed. Gives the addresses that members have left.
fn relist_pool(
    pool: &mut Pool,
    service: &Service,
    listed: &[Listed<'_>],
    (saved, mark): (&Saved, GiveMark<'_>),
    (family, adopted): (Family, &BTreeMap<DestinationKey, Weight>),
    now: Timestamp,
) -> Vec<IpAddr> {
    let mut old: BTreeMap<_, _> = std::mem::take(&mut pool.members).into_iter().collect();
    let mut members = Vec::with_capacity(listed.len());
    let mut former = Vec::new();
    for Listed { backend, addresses } in listed {
        let known = old.remove(&backend.host);
        let by_operator = saved.admin.get(&*backend.host).map_or(Admin::Pooled, |change| change.to);
        let admin = backend.pooled.max(by_operator);
        let current = known.as_ref().map(|member| member.address);
        let address = addresses.as_ref().ok().and_then(|all| address_in(family, all, current));
        // One that was inactive before has left already: it must not be added again only to drain.
        let served = known.as_ref().filter(|member| member.admin != Admin::Inactive).and(current);
        former.extend(served.filter(|served| Some(*served) != address || admin == Admin::Inactive));
        let Some(address) = address else { continue };
        let checks = checks_for(service, &backend.host, address, mark);
        let key = DestinationKey { address, port: service.backend_port };
        let mut member = match known {
            Some(member) if member.address == address => member.with_checks(checks),
            Some(_) | None => Member::new(address, checks, adopted.get(&key).copied(), now),
        };
        member.by_source = backend.pooled;
        member.admin = admin;
        member.weight = backend.weight;
        member.set_rare(Rare { limits: backend.limits, ..member.rare() });
        members.push((backend.host.clone(), member));
    }
    pool.members = members.into_iter().collect();
    let served = old.into_values().filter(|member| member.admin != Admin::Inactive);
    former.extend(served.map(|member| member.address));
    former
}

/// Lets destinations drain that are nobody's any more, and takes those back that are somebody's again.
fn drain(pool: &mut Pool, service: &Service, former: Vec<DestinationKey>, now: Timestamp) {
    let at = |address| DestinationKey { address, port: service.backend_port };
    let members: BTreeSet<DestinationKey> =
        pool.members.values().filter(|m| m.admin != Admin::Inactive).map(|m| at(m.address)).collect();
    pool.draining.retain(|key, _| !members.contains(key));
    // A datagram has no connection to finish, and a drained server would go on swallowing what a client sends.
    if service.protocol == Protocol::Udp {
        return;
    }
    for key in former.into_iter().filter(|key| !members.contains(key)) {
        pool.draining.entry(key).or_insert(Draining { since: now });
    }
}

/// Hosts that share an address with one that is earlier in the order of names. Those that are inactive have no part in
/// it: they are not in the kernel.
fn duplicates(pool: &Pool) -> Vec<(Arc<str>, String)> {
    let mut owners: BTreeMap<IpAddr, &str> = BTreeMap::new();
    let mut twice = Vec::new();
    for (host, member) in pool.members.iter().filter(|(_, member)| member.admin != Admin::Inactive) {
        match owners.get(&member.address) {
            Some(owner) => {
                twice.push((host.clone(), format!("has the address {} of {owner}", member.address)))
            }
            None => drop(owners.insert(member.address, host)),
        }
    }
    twice
}

/// The entries that a service wants in the kernel, one a VIP. A service whose sources have not spoken keeps what the
/// kernel has.
pub fn entries(service: &ServiceState, serving: &Serving<'_>) -> Vec<(ServiceKey, Arc<Entry>)> {
    let mut entries = Vec::new();
    for (vip, key) in service.keys() {
        if service.waiting.is_some() {
            entries.extend(serving.entry(&key).map(|entry| (key, Arc::clone(entry))));
            continue;
        }
        let Some(pool) = service.pools.get(&Family::of(vip)) else { continue };
        entries.push((key, Arc::new(entry(&service.config, Family::of(vip), pool, |m| m.decision.weight))));
    }
    entries
}

/// What the entries of a service would be if everyone served, for a scheduler that gives a server its place by the
/// weight that it had last: a server that is added while it is down must get the same place on every balancer.
pub fn nominal_entries(service: &ServiceState) -> Vec<(ServiceKey, Arc<Entry>)> {
    if *service.config.scheduler.scheduler() != Scheduler::Mh {
        return Vec::new();
    }
    let nominal = |(vip, key): (IpAddr, ServiceKey)| {
        let pool = service.pools.get(&Family::of(vip))?;
        Some((key, Arc::new(entry(&service.config, Family::of(vip), pool, |member| member.weight))))
    };
    service.keys().filter_map(nominal).collect()
}

/// A pool as an entry of the kernel, each member with the weight that it has by `weight`.
pub(super) fn entry(
    service: &Service,
    family: Family,
    pool: &Pool,
    weight: impl Fn(&Member) -> Weight,
) -> Entry {
    let mut entry = Entry::new(service.settings(family));
    for key in pool.draining.keys() {
        entry.destinations.insert(*key, Destination::new(service.forward, Weight::ZERO));
    }
    for member in pool.members.values().filter(|member| member.admin != Admin::Inactive) {
        let key = DestinationKey { address: member.address, port: service.backend_port };
        let limits = member.rare().limits;
        let (upper_threshold, lower_threshold) = (limits.upper, limits.lower);
        let plain = Destination::new(service.forward, weight(member));
        entry.destinations.insert(key, Destination { upper_threshold, lower_threshold, ..plain });
    }
    entry
}

/// Takes destinations out of a pool's drain whose connections are gone or whose time is over. `connections` gives
/// a destination's connections on all of the service's VIPs.
pub fn end_drains(
    service: &mut ServiceState,
    cap: Duration,
    connections: impl Fn(&Service, &DestinationKey) -> u64,
    now: Timestamp,
) -> Vec<DestinationKey> {
    let config = Arc::clone(&service.config);
    let mut ended = Vec::new();
    for pool in service.pools.values_mut() {
        pool.draining.retain(|key, draining| {
            let age = now.since(draining.since);
            // A reading can be older than the weight 0 that it is to judge, hence the least age.
            let stays = age < cap && (age < DRAIN_POLL || connections(&config, key) > 0);
            if !stays {
                ended.push(*key);
            }
            stays
        });
    }
    ended
}
