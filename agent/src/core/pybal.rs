//! The pools as those know them who know PyBal: by PyBal's names and in its words.
//!
//! In PyBal a pool has one family, in lvsd a service has a pool for each family of its VIPs. A name that stands for both
//! says of a server the careful thing: it is pooled while one of them pools it, and up once it is up in each. So who waits
//! for a server to be out, or to be back, does not go on before both agree.

use super::inventory::Listing;
use super::member::{Member, Pool as OfFamily};
use super::pool::{Health, Standing};
use super::state::{ServiceState, State};
use crate::config::{Admin, Family, Threshold};
use health::{Check, Kind, Verdict};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which pools are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// That of a name.
    Named(String),
    /// All of them, if metrics are to have PyBal's names.
    Measured,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// PyBal's name for it.
    pub name: Arc<str>,
    /// The share of its servers that health never takes out.
    pub threshold: Threshold,
    /// Whether its servers are not known yet.
    pub is_waiting: bool,
    /// How often a server that was down was kept for the threshold.
    pub could_not_depool: u64,
    /// Its servers by name, without those that are inactive: PyBal does not know them either.
    pub servers: BTreeMap<Arc<str>, Server>,
}

/// A server of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// What its source and operators say.
    pub is_enabled: bool,
    /// Whether its checks pass.
    pub is_up: bool,
    /// Whether one of its checks passes.
    pub is_partially_up: bool,
    /// Whether it gets new connections.
    pub is_pooled: bool,
    /// Whether that is only for the threshold, as it is down.
    pub is_held: bool,
    /// Its weight when it is pooled.
    pub weight: u32,
    /// Its checks, by the name of the monitor that PyBal has for them.
    pub monitors: BTreeMap<&'static str, Vec<(Arc<Check>, Verdict)>>,
}

impl Pool {
    /// Servers that are up and enabled.
    fn able(&self) -> usize {
        self.servers.values().filter(|server| server.is_up && server.is_enabled).count()
    }

    /// Whether one more may be taken out, as PyBal counts: who is up and enabled must be as many as the threshold asks
    /// for.
    pub fn can_depool(&self) -> bool {
        self.able() >= self.threshold.needed(self.servers.len())
    }

    /// Whether its size alone keeps everyone in: with one server out it would be below its threshold.
    pub fn is_too_small(&self) -> bool {
        let total = self.servers.len();
        total > 1 && self.threshold.needed(total) > total - 1
    }

    /// Those that are down but pooled.
    pub fn held(&self) -> impl Iterator<Item = &Arc<str>> {
        self.servers.iter().filter(|(_, server)| server.is_held).map(|(host, _)| host)
    }
}

/// The pools that are asked for, by name; nothing when there is no such name, or metrics are not to have them.
pub fn pools(state: &State, which: &Which) -> Option<Vec<Pool>> {
    let named = |service: &ServiceState| -> Vec<(Arc<str>, Option<Family>)> {
        match service.config.pybal_names.is_empty() {
            true => vec![(Arc::clone(&service.config.name), None)],
            false => {
                service.config.pybal_names.iter().map(|(name, family)| (Arc::clone(name), *family)).collect()
            }
        }
    };
    let is_wanted = |name: &str| match which {
        Which::Named(wanted) => wanted == name,
        Which::All | Which::Measured => true,
    };
    if *which == Which::Measured && !state.config.as_ref().is_some_and(|config| config.pybal.metrics) {
        return None;
    }
    let services = state
        .services
        .values()
        .flat_map(|service| named(service).into_iter().map(move |name| (service, name)));
    let wanted = services.filter(|(_, (name, _))| is_wanted(name));
    let pools: BTreeMap<Arc<str>, Pool> = wanted
        .map(|(service, (name, family))| (Arc::clone(&name), pool(state, service, name, family)))
        .collect();
    let is_missing = pools.is_empty() && matches!(which, Which::Named(_));
    (!is_missing).then(|| pools.into_values().collect())
}

fn pool(state: &State, service: &ServiceState, name: Arc<str>, family: Option<Family>) -> Pool {
    let mut pool = Pool {
        name,
        threshold: service.config.depool_threshold,
        is_waiting: service.waiting.is_some(),
        could_not_depool: 0,
        servers: BTreeMap::new(),
    };
    let of_families =
        service.pools.iter().filter(|(its, _)| family.is_none_or(|family| Family::from(**its) == family));
    for (_, of_family) in of_families {
        add(state, &mut pool, of_family);
    }
    add_strangers(state, service, &mut pool);
    pool
}

/// Takes in what is known in one family.
fn add(state: &State, pool: &mut Pool, of_family: &OfFamily) {
    pool.could_not_depool += of_family.held;
    for (host, member) in of_family.members.iter().filter(|(_, member)| member.admin != Admin::Inactive) {
        let here = server(state, member);
        match pool.servers.get_mut(host) {
            None => drop(pool.servers.insert(Arc::clone(host), here)),
            Some(known) => {
                known.is_up &= here.is_up;
                known.is_partially_up |= here.is_partially_up;
                known.is_pooled |= here.is_pooled;
                known.is_held |= here.is_held;
                for (monitor, checks) in here.monitors {
                    known.monitors.entry(monitor).or_default().extend(checks);
                }
            }
        }
    }
}

fn server(state: &State, member: &Member) -> Server {
    let mut monitors: BTreeMap<&'static str, Vec<(Arc<Check>, Verdict)>> = BTreeMap::new();
    for made in &member.checks {
        let verdict = state.verdicts.get(&made.check).map_or(Verdict::Unknown, |reported| reported.verdict);
        monitors.entry(monitor(&made.check.kind)).or_default().push((Arc::clone(&made.check), verdict));
    }
    let is_up = matches!(member.health, Health::Up { .. });
    let passes = |(_, verdict): &(Arc<Check>, Verdict)| *verdict == Verdict::Up;
    Server {
        is_enabled: matches!(member.admin, Admin::Pooled | Admin::Drained),
        is_up,
        is_partially_up: is_up || monitors.values().flatten().any(passes),
        is_pooled: member.decision.standing.is_pooled(),
        is_held: member.decision.standing == Standing::HeldThoughDown,
        weight: member.weight.get(),
        monitors,
    }
}

/// Takes in servers that are listed and have no address to be used: PyBal shows them as down.
fn add_strangers(state: &State, service: &ServiceState, pool: &mut Pool) {
    let Listing::Known(listed) = state.inventory.listing(&service.config) else { return };
    for one in listed {
        let by_operator = state.saved.admin.get(&*one.backend.host).map_or(Admin::Pooled, |change| change.to);
        let admin = one.backend.pooled.max(by_operator);
        if admin == Admin::Inactive || pool.servers.contains_key(&one.backend.host) {
            continue;
        }
        let is_enabled = matches!(admin, Admin::Pooled | Admin::Drained);
        let stranger = Server { is_enabled, weight: one.backend.weight.get(), ..Server::default() };
        pool.servers.insert(one.backend.host, stranger);
    }
}

/// PyBal's name for a kind of check; lvsd's own for what PyBal has not.
fn monitor(kind: &Kind) -> &'static str {
    match kind {
        Kind::Http(_) | Kind::Urls(_) => "ProxyFetch",
        Kind::Idle(_) => "IdleConnection",
        Kind::Command(_) => "RunCommand",
        Kind::Dns(_) => "DNSQuery",
        Kind::Udp(_) => "UDP",
        Kind::Tcp
        | Kind::TcpExchange(_)
        | Kind::Icmp
        | Kind::Agent(_)
        | Kind::Grpc(_)
        | Kind::NodePort(_)
        | Kind::OpenApi(_) => kind.name(),
    }
}
