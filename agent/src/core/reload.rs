//! What another configuration changes. What did not change stays as it is.

use super::families::PerFamily;
use super::outcome::Dirty;
use super::state::{START_GRACE, ServiceState, State, service_keys};
use super::uses::{self, Users, Uses};
use super::{Timestamp, canary, sources};
use crate::config::{Config, PoolId, Service};
use ipvs::{ServiceKey, Table};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Takes over what holds from now on.
pub(super) fn configure(state: &mut State, config: Arc<Config>, dirty: &mut Dirty, now: Timestamp) {
    state.marks.set_range(config.first_mark);
    state.nodes.configured(state.config.is_none(), now);
    if state.config.is_none() {
        state.configured_at = now;
        // What the configuration has lost while nobody was there has to go, also when nothing is left of it.
        dirty.table |= !state.wanted.owned.is_empty();
        state.paths.wait_until(now + START_GRACE);
    }
    set_services(state, &config, dirty, now);
    set_keys(state, &config, now);
    state.pool_users = pool_users(&config);
    sources::judge_held_anew(state, now);
    if state.wanted.settings.settings != config.ipvs {
        Arc::make_mut(&mut state.wanted.settings).settings = config.ipvs.clone();
        dirty.table = true;
    }
    state.said = config.attributes_of_vips();
    state.config = Some(config);
    (dirty.every_vip, dirty.keys, dirty.sources, dirty.nodes) = (true, true, true, true);
}

/// Services come, go and are others; what goes on keeps its pools.
fn set_services(state: &mut State, config: &Config, dirty: &mut Dirty, now: Timestamp) {
    let is_there = |name: &Arc<str>| config.services.contains_key(&**name);
    state.rising.retain(is_there);
    state.draining.retain(is_there);
    state.unsettled.retain(is_there);
    let named = |service: ServiceState| (Arc::clone(&service.config.name), service);
    let mut old: BTreeMap<_, _> = std::mem::take(&mut state.services).into_iter().map(named).collect();
    let mut services = Vec::with_capacity(config.services.len());
    for service in config.services.values() {
        let known = old.remove(&service.name);
        if known.as_ref().is_none_or(|known| !Arc::ptr_eq(&known.config, service)) {
            dirty.relist.insert(Arc::clone(&service.name));
        }
        services.push(match known {
            Some(known) if Arc::ptr_eq(&known.config, service) => known,
            Some(known) => {
                dirty.acquired.extend(acquired(&known.config, service, &state.wanted.table));
                ServiceState { config: Arc::clone(service), ..known }
            }
            None => unheard_of(service, now),
        });
    }
    state.services = services.into_iter().collect();
    old.values().for_each(|gone| canary::forget(state, gone, dirty));
    dirty.uses.extend(old.into_values().map(|gone| uses::Change {
        service: Arc::clone(&gone.config.name),
        before: Uses::of(&gone),
        after: Uses::default(),
    }));
}

/// A service of which nothing is known yet.
fn unheard_of(service: &Arc<Service>, now: Timestamp) -> ServiceState {
    ServiceState {
        config: Arc::clone(service),
        waiting: Some("its sources have not been asked yet".into()),
        refused: None,
        listed_for: None,
        pools: PerFamily::default(),
        unusable: BTreeMap::new(),
        since: now,
        decided: 0,
        canary_mark: None,
        canaries: BTreeMap::new(),
    }
}

/// Keys and VIPs come and go. Those that go serve until the routers have moved their traffic.
fn set_keys(state: &mut State, config: &Config, now: Timestamp) {
    let keys: BTreeSet<_> =
        config.services.values().flat_map(|service| service_keys(service)).map(|(_, key)| key).collect();
    state.unclaimed.keep_others(&keys, state.found.awaited(config));
    let mut users = vip_users(config);
    state.unclaimed.add_vips(&mut users);
    let former_vips = std::mem::replace(&mut state.vip_users, users);
    state.vips.retain(|vip, _| state.vip_users.contains_key(vip));
    state.held_vips.retain(|vip| state.vip_users.contains_key(vip));
    let delay = if config.bgp.is_some() { config.daemon.shutdown_delay } else { Duration::ZERO };
    let has_user =
        |key: &&ServiceKey| keys.contains(key) || state.marks.has_key(key) || state.unclaimed.has(key);
    for key in state.wanted.table.keys().filter(|key| !has_user(key)) {
        state.leaving.set_if_new(*key, now + delay);
    }
    state.leaving.retain(|key| !keys.contains(key));
    former_vips.into_keys().for_each(|vip| state.leaving_vips.set_if_new(vip, now + delay));
    state.leaving_vips.retain(|vip| !state.vip_users.contains_key(vip));
}

/// The keys that a service has by a reload and that have an entry: what is in it is another's, or from before.
fn acquired(before: &Service, after: &Service, table: &Table) -> Vec<ServiceKey> {
    let had: BTreeSet<ServiceKey> = service_keys(before).map(|(_, key)| key).collect();
    let has = service_keys(after).map(|(_, key)| key);
    has.filter(|key| !had.contains(key) && table.contains_key(key)).collect()
}

fn pool_users(config: &Config) -> BTreeMap<PoolId, Users> {
    by_use(config, |service| service.pool.sources().to_vec())
}

fn vip_users(config: &Config) -> BTreeMap<IpAddr, Users> {
    by_use(config, |service| service.vips.clone())
}

/// The services by what they use. The map is made as a whole: one that grows in order is half empty.
fn by_use<K: Ord>(config: &Config, uses: impl Fn(&Service) -> Vec<K>) -> BTreeMap<K, Users> {
    let pairs = |service: &Arc<Service>| {
        let name = Arc::clone(&service.name);
        uses(service).into_iter().map(move |used| (used, Arc::clone(&name)))
    };
    let mut pairs: Vec<(K, Arc<str>)> = config.services.values().flat_map(pairs).collect();
    pairs.sort();
    let mut users: Vec<(K, Users)> = Vec::new();
    for (used, service) in pairs {
        match users.last_mut() {
            Some((last, users)) if *last == used => users.insert(service),
            Some(_) | None => {
                let mut first = Users::default();
                first.insert(service);
                users.push((used, first));
            }
        }
    }
    users.into_iter().collect()
}
