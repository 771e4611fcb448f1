//! Canaries: whether IPVS forwards for a service, asked on the balancer itself through IPVS itself.
//!
//! A mark's service mirrors the service's scheduler and its pool, weights included; probes with that mark are sent to each
//! VIP of the service while its pool has somebody. What they say decides about no backend and no VIP.

use super::Timestamp;
use super::action::{Level, Notice};
use super::marks::{self, Bearer};
use super::member::Pool;
use super::outcome::Dirty;
use super::state::{ServiceState, State};
use crate::config::Admin;
use health::{Check, Route, Verdict};
use ipvs::{Entry, Family, Weight};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The canary of one VIP.
#[derive(Clone, Debug)]
pub struct Canary {
    /// The check, while it is to run.
    pub check: Option<Arc<Check>>,
    /// What is known.
    pub song: Song,
    /// Since when.
    pub since: Timestamp,
}

/// What a canary says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Song {
    /// It is not asked; the reason.
    Silent(&'static str),
    /// It has not said anything yet.
    Unknown,
    /// IPVS forwards.
    Up,
    /// It does not; the reason.
    Down(String),
}

impl Song {
    /// `up`, `down`, `unknown`, `silent`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Silent(_) => "silent",
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down(_) => "down",
        }
    }
}

/// Whose mark a service's canary has.
pub fn bearer(service: &ServiceState) -> Option<Bearer> {
    service.config.canary.as_ref()?;
    Some(Bearer::Canary { service: Arc::clone(&service.config.name) })
}

/// A service's pools were decided anew: brings its canaries and what they go by in step.
pub(super) fn follow(state: &mut State, name: &str, dirty: &mut Dirty, now: Timestamp) {
    let Some(service) = state.services.get_mut(name) else { return };
    if service.config.canary.is_none() && service.canaries.is_empty() {
        return;
    }
    let mark = service.canary_mark;
    let before = std::mem::take(&mut service.canaries);
    let checks = |canaries: &BTreeMap<IpAddr, Canary>| {
        canaries.values().filter_map(|canary| canary.check.clone()).collect::<Vec<_>>()
    };
    let former = checks(&before);
    service.canaries = canaries(service, before, now);
    let entries: Vec<(Family, Option<Arc<Entry>>)> =
        [Family::V4, Family::V6].map(|family| (family, mirrored(service, family).map(Arc::new))).into();
    let is_waiting = service.waiting.is_some();
    if former != checks(&service.canaries) {
        dirty.canaries = true;
        former.iter().for_each(|check| drop(state.canary_checks.remove(check)));
        for (vip, canary) in &service.canaries {
            let Some(check) = &canary.check else { continue };
            state.canary_checks.insert(Arc::clone(check), (Arc::clone(&service.config.name), *vip));
        }
    }
    // While the service waits the kernel keeps what it has of it, and of this.
    let Some(mark) = mark.filter(|_| !is_waiting) else { return };
    for (family, entry) in entries {
        let key = marks::key(mark, family);
        match entry {
            Some(entry) => marks::want(state, key, entry, dirty),
            None => marks::give_up(state, &key, dirty),
        }
    }
}

/// A service is gone, and its canaries with it.
pub(super) fn forget(state: &mut State, service: &ServiceState, dirty: &mut Dirty) {
    for check in service.canaries.values().filter_map(|canary| canary.check.as_ref()) {
        dirty.canaries |= state.canary_checks.remove(check).is_some();
    }
}

/// The canaries that a service has now; what those said that go on is kept.
fn canaries(
    service: &ServiceState,
    mut before: BTreeMap<IpAddr, Canary>,
    now: Timestamp,
) -> BTreeMap<IpAddr, Canary> {
    if service.config.canary.is_none() {
        return BTreeMap::new();
    }
    let mut canary = |vip: &IpAddr| {
        let (check, song) = match check_of(service, *vip) {
            Ok(check) => (Some(Arc::new(check)), Song::Unknown),
            Err(why) => (None, Song::Silent(why)),
        };
        match before.remove(vip) {
            // It goes on, if by another way.
            Some(known) if check.is_some() && known.check.is_some() => Canary { check, ..known },
            Some(known) if known.song == song => Canary { check, ..known },
            Some(_) | None => Canary { check, song, since: now },
        }
    };
    service.config.vips.iter().map(|vip| (*vip, canary(vip))).collect()
}

/// What a VIP's canary asks, or why it does not.
fn check_of(service: &ServiceState, vip: IpAddr) -> Result<Check, &'static str> {
    let canary = service.config.canary.as_ref().ok_or("there is none")?;
    let pool = service.pools.get(&Family::of(vip)).filter(|_| service.waiting.is_none());
    let pool = pool.ok_or("the backends are not known")?;
    let is_pooled = pool.members.values().any(|member| member.decision.weight > Weight::ZERO);
    let toward = lowest(pool).filter(|_| is_pooled).ok_or("nothing is pooled")?;
    let mark = service.canary_mark.ok_or("no mark is left for it")?;
    let check = Check::new(SocketAddr::new(vip, service.config.port), canary.kind.clone(), canary.timing);
    Ok(check.by(Route::Marked { mark: Some(mark), toward }))
}

/// A server that the way to all is like: it says which of the balancer's addresses the probes come from.
fn lowest(pool: &Pool) -> Option<IpAddr> {
    let members = pool.members.values().filter(|member| member.admin != Admin::Inactive);
    members.map(|member| member.address).min()
}

/// What a canary's mark goes by: the pool as clients meet it. Without persistence, by which all of one balancer's probes
/// would go to one server; the one-packet flag concerns UDP only, whose probes are to leave no connection behind.
fn mirrored(service: &ServiceState, family: Family) -> Option<Entry> {
    let pool = service.pools.get(&family)?;
    let settings = service.config.settings(family);
    let plain = ipvs::Service::new(settings.scheduler().clone(), settings.scheduler_flags()).ok()?;
    let mirror = super::desired::entry(&service.config, family, pool, |member| member.decision.weight);
    Some(Entry { service: plain.with_one_packet(), ..mirror })
}

/// Every canary's check, for those who compare.
pub(super) fn checks(state: &State) -> impl Iterator<Item = &Arc<Check>> {
    state.canary_checks.keys()
}

/// Takes in what a canary's check says, if it is one's; a line of the log where that is news.
pub(super) fn hear(
    state: &mut State,
    check: &Check,
    (verdict, failure): (Verdict, Option<&str>),
    now: Timestamp,
) {
    let Some((name, vip)) = state.canary_checks.get(check).cloned() else { return };
    let canary = state.services.get_mut(&name).and_then(|service| service.canaries.get_mut(&vip));
    let Some(canary) = canary else { return };
    let song = match verdict {
        Verdict::Up => Song::Up,
        Verdict::Down => Song::Down(format!("{check}: {}", failure.unwrap_or("the check fails"))),
        Verdict::Unknown => return,
    };
    if canary.song.as_str() == song.as_str() {
        return;
    }
    let before = std::mem::replace(&mut canary.song, song.clone());
    canary.since = now;
    let (level, what, reason) = match song {
        Song::Down(why) => (Level::Error, "IPVS does not forward", why),
        Song::Silent(_) | Song::Unknown | Song::Up => {
            (Level::Info, "IPVS forwards", "its canary came through".into())
        }
    };
    state.notices.push(Notice {
        level,
        service: Some(name.to_string()),
        subject: Some(format!("canary of {vip}")),
        what: format!("{what} (was {})", before.as_str()),
        reason,
    });
}
