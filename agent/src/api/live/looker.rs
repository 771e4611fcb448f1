//! Looks at everything for the pages: once for all of them, and not so often that the engine would feel it.

use super::super::Context;
use super::super::traffic::through;
use crate::core::view::{Asked, DrainView, Status};
use crate::ctl::render::{self, Paint};
use crate::engine::Gone;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How often pages look at most.
const PERIOD: Duration = Duration::from_millis(400);

/// The share of time that looking may take: one in so many.
const SHARE: u32 = 20;

/// How often the fleet is asked, which is a question to etcd, and how long its answer is waited for.
const FLEET_PERIOD: Duration = Duration::from_secs(5);
const FLEET_PATIENCE: Duration = Duration::from_secs(1);

/// How often the kernel's counters are read: it makes its rates anew every two seconds (ip_vs_est.c).
const TRAFFIC_PERIOD: Duration = Duration::from_secs(2);

/// Everything that pages show, by key: `daemon`, `service/NAME`, `vip/ADDRESS`, `peer/NAME`, `source/NAME`, `nodes`,
/// `fleet`, `traffic/NAME`. What did not change is the same value in the next look.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) parts: BTreeMap<String, Arc<RawValue>>,
    at: Instant,
}

/// What of it changed.
#[derive(Debug, Serialize)]
pub(super) struct Difference<'a> {
    set: BTreeMap<&'a str, &'a RawValue>,
    gone: Vec<&'a str>,
}

/// What a page that has seen `old` has to hear; none when that is nothing.
pub(super) fn difference<'a>(old: &'a Look, new: &'a Look) -> Option<Difference<'a>> {
    let is_new = |(key, value): &(&String, &Arc<RawValue>)| {
        old.parts.get(*key).is_none_or(|known| !Arc::ptr_eq(known, value))
    };
    let set: BTreeMap<_, _> =
        new.parts.iter().filter(is_new).map(|(key, value)| (&**key, &**value)).collect();
    let gone: Vec<_> =
        old.parts.keys().filter(|key| !new.parts.contains_key(*key)).map(|key| &**key).collect();
    (!set.is_empty() || !gone.is_empty()).then_some(Difference { set, gone })
}

/// The daemon as a whole.
#[derive(Serialize)]
struct Daemon<'a> {
    version: &'static str,
    host: String,
    ready: bool,
    phase: &'a str,
    dry_run: bool,
    drain: Option<&'a DrainView>,
    foreign_services: usize,
    kernel_failures: &'a [String],
    absent_hosts: &'a [String],
}

/// The fleet, as `lvsctl fleet` has it.
#[derive(Clone, Debug, Default, Serialize)]
struct Fleet {
    text: Option<String>,
    problem: Option<String>,
}

/// Looks for all pages.
#[derive(Debug)]
pub(super) struct Looker {
    latest: Mutex<Latest>,
    pause: RwLock<Duration>,
}

#[derive(Debug, Default)]
struct Latest {
    look: Option<Arc<Look>>,
    fleet: Option<(Instant, Fleet)>,
    traffic: BTreeMap<String, Arc<RawValue>>,
    /// When the kernel's counters are read next.
    traffic_due: Option<Instant>,
}

impl Default for Looker {
    fn default() -> Self {
        Self { latest: Mutex::default(), pause: RwLock::new(PERIOD) }
    }
}

impl Looker {
    /// How long to wait before the next look.
    pub(super) fn pause(&self) -> Duration {
        *self.pause.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest look; a new one when the page has seen that already, or it is old.
    pub(super) async fn look(&self, context: &Context, seen: Option<&Arc<Look>>) -> Result<Arc<Look>, Gone> {
        let mut latest = self.latest.lock().await;
        let pause = self.pause();
        if let Some(look) = &latest.look {
            let is_seen = seen.is_some_and(|seen| Arc::ptr_eq(seen, look));
            let age = look.at.elapsed();
            if age < pause {
                if !is_seen {
                    return Ok(Arc::clone(look));
                }
                tokio::time::sleep(pause - age).await;
            }
        }
        let begin = Instant::now();
        let mut parts = parts(context).await?;
        let cost = begin.elapsed();
        *self.pause.write().unwrap_or_else(PoisonError::into_inner) = PERIOD.max(cost * SHARE);
        parts.insert("fleet".into(), part(&latest.fleet(context).await));
        latest.count(context).await?;
        parts.extend(latest.traffic.clone());
        if let Some(old) = &latest.look {
            keep(&mut parts, old);
        }
        let look = Arc::new(Look { parts, at: Instant::now() });
        latest.look = Some(Arc::clone(&look));
        Ok(look)
    }
}

impl Latest {
    async fn fleet(&mut self, context: &Context) -> Fleet {
        let Some(handle) = &context.fleet else { return Fleet::default() };
        if let Some((at, fleet)) = &self.fleet
            && at.elapsed() < FLEET_PERIOD
        {
            return fleet.clone();
        }
        let fleet = match timeout(FLEET_PATIENCE, handle.members()).await {
            Ok(Ok(members)) => {
                Fleet { text: Some(render::fleet(&members, Paint::new(false).wide())), problem: None }
            }
            Ok(Err(error)) => Fleet { text: None, problem: Some(format!("etcd cannot be asked: {error}")) },
            Err(_) => Fleet { text: None, problem: Some("etcd does not answer".into()) },
        };
        self.fleet = Some((Instant::now(), fleet.clone()));
        fleet
    }

    /// Reads the kernel's counters, when it is time.
    async fn count(&mut self, context: &Context) -> Result<(), Gone> {
        let begin = Instant::now();
        if context.kernel.is_none() || self.traffic_due.is_some_and(|due| begin < due) {
            return Ok(());
        }
        let numbers = context.numbers().await?;
        self.traffic =
            through(&numbers).map(|(name, through)| (format!("traffic/{name}"), part(&through))).collect();
        let cost = begin.elapsed();
        self.traffic_due = Some(begin + TRAFFIC_PERIOD.max(cost * SHARE));
        Ok(())
    }
}

/// Takes the earlier value of each part that says the same.
fn keep(parts: &mut BTreeMap<String, Arc<RawValue>>, old: &Look) {
    for (key, value) in parts {
        if let Some(known) = old.parts.get(key).filter(|known| known.get() == value.get()) {
            value.clone_from(known);
        }
    }
}

async fn parts(context: &Context) -> Result<BTreeMap<String, Arc<RawValue>>, Gone> {
    // Of all services there always is a status.
    let Ok(status) = context.status(Asked::default()).await? else { return Ok(BTreeMap::new()) };
    let mut parts = BTreeMap::from([("daemon".into(), part(&daemon(&status)))]);
    parts.extend(status.services.iter().map(|service| (format!("service/{}", service.name), part(service))));
    parts.extend(status.vips.iter().map(|vip| (format!("vip/{}", vip.address), part(vip))));
    parts.extend(status.peers.iter().map(|peer| (format!("peer/{}", peer.name), part(peer))));
    parts.extend(status.sources.iter().map(|source| (format!("source/{}", source.name), part(source))));
    if let Some(nodes) = context.nodes().await? {
        parts.insert("nodes".into(), part(&nodes));
    }
    Ok(parts)
}

fn daemon(status: &Status) -> Daemon<'_> {
    Daemon {
        version: env!("CARGO_PKG_VERSION"),
        host: crate::host::name(),
        ready: status.ready,
        phase: &status.phase,
        dry_run: status.dry_run,
        drain: status.drain.as_ref(),
        foreign_services: status.foreign_services,
        kernel_failures: &status.kernel_failures,
        absent_hosts: &status.absent_hosts,
    }
}

fn part(view: &impl Serialize) -> Arc<RawValue> {
    to_raw_value(view).expect("views have names as keys and nothing that JSON cannot say").into()
}
