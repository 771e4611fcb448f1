//! What this balancer tells the others of itself: what it sees and does, in short.

use super::Timestamp;
use super::state::{Phase, ServiceState, State};
use crate::config::Family;
use ipvs::Weight;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Backends that are not pooled and are named, of each pool: more than anybody reads.
const MAX_OUT: usize = 8;

/// Services that are told of. etcd takes 1.5 MB of one balancer, and one service is some 150 bytes.
pub const MAX_SERVICES: usize = 5_000;

/// What a balancer says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Its version.
    pub version: String,
    /// `starting`, `running` or `stopping`; `drained` where an operator has drained it.
    pub state: String,
    /// Since when its configuration is in use.
    pub since: Timestamp,
    /// How each of its sources is: `live`, `silent`, or why it is away.
    pub sources: BTreeMap<String, String>,
    /// When a pool of its sources changed last.
    pub changed: Timestamp,
    /// What it does, by service and family.
    pub pools: BTreeMap<String, Pooled>,
    /// Services that are not told of, as they are too many.
    #[serde(default)]
    pub untold: usize,
}

/// What a balancer does with a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pooled {
    /// A digest of who is pooled with which weight: two that do the same have the same.
    pub digest: String,
    /// Backends with a weight.
    pub pooled: usize,
    /// Backends that count.
    pub total: usize,
    /// What the depool threshold asks for.
    pub needed: usize,
    /// Who is not pooled and why, the first of them.
    pub out: Vec<String>,
    /// Whether the pool could not be read since the start, or is held back.
    pub stale: bool,
}

/// Up to which revision each source is obeyed.
pub type Seen = BTreeMap<String, u64>;

/// Whether there is something to be told: cheap to ask for, however many services there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Up to which revision each source is obeyed.
    pub seen: Seen,
    /// Counts what a report can say.
    pub decisions: u64,
}

/// Whether there is something to be told.
pub fn news(state: &State) -> News {
    let sources = state.configured.iter().flat_map(|config| config.sources.keys());
    let progress = |name: &std::sync::Arc<str>| state.inventory.source(name)?.progress;
    let seen = sources.filter_map(|name| Some((name.to_string(), progress(name)?.revision))).collect();
    News { seen, decisions: state.decisions }
}

impl Report {
    /// Takes over what has changed.
    pub fn follow(&mut self, news: Self) {
        let changed = self.changed.max(news.changed);
        let mut pools = std::mem::take(&mut self.pools);
        pools.extend(news.pools);
        *self = Self { changed, pools, ..news };
    }
}

/// What this balancer says of itself: of all pools, or of those that were decided after so many [`News::decisions`]. Pools that are
/// gone are missed in a whole report only.
pub fn report(state: &State, since: Option<u64>) -> Report {
    let is_news = |service: &ServiceState| since.is_none_or(|since| service.decided > since);
    let services: Vec<_> =
        state.services.iter().take(MAX_SERVICES).filter(|(_, service)| is_news(service)).collect();
    let phase = match state.phase {
        Phase::Starting => "starting",
        Phase::Running { .. } if state.saved.drained.is_some() => "drained",
        Phase::Running { .. } => "running",
        Phase::Stopping { .. } | Phase::Stopped => "stopping",
    };
    let used = services.iter().flat_map(|(_, service)| service.config.pool.sources());
    let changed = used.filter_map(|id| Some(state.inventory.pool(id)?.since)).max();
    Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: phase.to_owned(),
        since: state.configured_at,
        sources: super::view::standings(state).collect(),
        changed: changed.unwrap_or_default(),
        pools: pools(state, services),
        untold: state.services.values().len().saturating_sub(MAX_SERVICES),
    }
}

/// The pools of a balancer in which one of the others, of those that run, has others pooled or with other weights.
pub fn differing<'a>(own: &Report, others: impl Iterator<Item = &'a Report> + Clone) -> usize {
    let running = others.filter(|report| report.state == "running" || report.state == "drained");
    let differs = |(name, pool): &(&String, &Pooled)| {
        running.clone().filter_map(|report| report.pools.get(*name)).any(|other| other.digest != pool.digest)
    };
    own.pools.iter().filter(differs).count()
}

fn pools(state: &State, services: Vec<(&Arc<str>, &ServiceState)>) -> BTreeMap<String, Pooled> {
    let mut pools = BTreeMap::new();
    for (name, service) in services {
        let trouble = state.inventory.trouble(&service.config);
        for (family, pool) in service.pools.iter() {
            let counts = pool.counts(service.config.depool_threshold);
            let out = pool.members.iter().filter(|(_, member)| member.decision.weight == Weight::ZERO);
            let out = out.map(|(host, member)| format!("{host} {}", member.decision.standing.as_str()));
            let pooled = Pooled {
                digest: digest(pool),
                pooled: counts.pooled,
                total: counts.total,
                needed: counts.needed,
                out: out.take(MAX_OUT).collect(),
                stale: trouble.is_stale || trouble.is_held || service.waiting.is_some(),
            };
            pools.insert(format!("{name} {}", Family::from(*family)), pooled);
        }
    }
    pools
}

/// Who is pooled with which weight, in 16 digits: the same in every process and version of this.
fn digest(pool: &super::member::Pool) -> String {
    // FNV-1a with 64 bits, as the standard library's hashes differ between versions.
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }

        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    for (host, member) in pool.members.iter() {
        if member.decision.weight > Weight::ZERO {
            (&**host, member.address, member.decision.weight.get()).hash(&mut hasher);
        }
    }
    format!("{:016x}", hasher.finish())
}
