//! From what is known of the VIPs to what the routers hear of them, and to what a later process is to know.
//!
//! Thousands of VIPs become able one after the other when a balancer starts: what one of them changes is changed in
//! states that share all the rest with those before.

use super::action::{Action, Level, Notice};
use super::advertise::{OnVip, prospect};
use super::outcome::Dirty;
use super::state::{Phase, State};
use super::vip::{Holds, Vip};
use super::{Timestamp, orders};
use crate::config::Bgp;
use bgp::{Prefix, RouteAttributes, RouteSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The VIPs that an event has had judged.
#[derive(Debug)]
pub(super) struct Judged {
    /// Each of them, where those are not all.
    some: Option<Vec<IpAddr>>,
    /// Whether one is announced, withdrawn or confirmed by that.
    pub(super) is_news: bool,
}

impl Judged {
    /// What holds for all of them may have changed besides.
    pub(super) fn and_all_others(self) -> Self {
        Self { some: None, is_news: true }
    }
}

/// How the routers are told of the VIPs that are announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// As what they are.
    Plain,
    /// As what leaves: any other way is to be preferred.
    Leaving,
    /// Not at all.
    Silent,
}

/// Judges the VIPs that something has happened to.
pub(super) fn judge(state: &mut State, dirty: &Dirty, drains: bool, now: Timestamp) -> Judged {
    let some = (!dirty.every_vip).then(|| dirty.vips.iter().copied().collect::<Vec<_>>());
    let mut is_news = dirty.every_vip;
    let judged = match &some {
        Some(some) => some.clone(),
        None => state.vip_users.keys().copied().collect(),
    };
    for vip in judged {
        is_news |= judge_one(state, vip, drains, now);
    }
    if some.is_none() {
        // A tree that has grown in order is half empty.
        state.vips = std::mem::take(&mut state.vips).into_iter().collect();
    }
    Judged { some, is_news }
}

/// True when the VIP is announced, withdrawn or confirmed by that.
fn judge_one(state: &mut State, vip: IpAddr, drains: bool, now: Timestamp) -> bool {
    let Some(config) = state.config.as_ref().map(Arc::clone) else { return false };
    let Some(users) = state.vip_users.get(&vip) else { return false };
    let services: Vec<_> =
        users.iter().filter_map(|name| Some((&**name, state.services.get(name)?))).collect();
    let policy = config.vips.get(&vip).cloned().unwrap_or_default();
    let order = orders::order(state, vip);
    let mut holds = Holds::of(&policy, &config);
    if order.announce.is_some() {
        holds.announce = Duration::ZERO;
    }
    let announce = order.announce.unwrap_or(policy.announce);
    let is_trusted = !state.saved.withdrawn.contains(&vip);
    let on_it = OnVip { services: &services, unclaimed: &state.unclaimed };
    let prospect = prospect(vip, &on_it, &state.kernel, (announce, is_trusted));
    let entry = state.vips.entry(vip).or_insert_with(|| Vip::new(now));
    let was_unconfirmed = entry.is_unconfirmed;
    let changed = entry.judge(prospect, order, &holds, now);
    match entry.due {
        Some(due) => state.held_vips.set(vip, due),
        None => state.held_vips.remove(&vip),
    };
    // A drain is told once, not for each VIP.
    if changed && !drains {
        state.notices.push(Notice {
            level: if entry.announced || entry.is_able { Level::Info } else { Level::Error },
            service: None,
            subject: Some(vip.to_string()),
            what: format!("VIP {}", if entry.announced { "can be announced" } else { "is withdrawn" }),
            reason: entry.reason.to_string(),
        });
    }
    changed || entry.is_unconfirmed != was_unconfirmed
}

/// Records which VIPs nothing can serve, for the next process; true when that changed.
pub(super) fn remember_withdrawn(state: &mut State, judged: &Judged) -> bool {
    if !state.is_ready() {
        return false;
    }
    let is_withdrawn = |vip: &Vip| !vip.is_able && !vip.is_unconfirmed;
    let withdrawn = &mut state.saved.withdrawn;
    let Some(some) = &judged.some else {
        let all = state.vips.iter().filter(|(_, vip)| is_withdrawn(vip)).map(|(address, _)| *address);
        let before = std::mem::replace(withdrawn, all.collect());
        return before != *withdrawn;
    };
    let mut changed = false;
    for vip in some {
        changed |= match state.vips.get(vip).is_some_and(is_withdrawn) {
            true => withdrawn.insert(*vip).is_none(),
            false => withdrawn.remove(vip).is_some(),
        };
    }
    changed
}

/// What the routers are to hear, if that is not what they were told last.
pub(super) fn routes(state: &mut State, judged: &Judged, actions: &mut Vec<Action>, now: Timestamp) {
    let Some(bgp) = state.config.as_ref().and_then(|config| config.bgp.as_ref()) else { return };
    let manner = match state.phase {
        Phase::Starting | Phase::Stopped => return,
        Phase::Stopping { withdraw, .. } if withdraw <= now => Manner::Silent,
        Phase::Stopping { .. } => Manner::Leaving,
        Phase::Running { .. } if orders::is_leaving(state) => Manner::Leaving,
        Phase::Running { .. } => Manner::Plain,
    };
    let told = state.emitted.routes.as_ref().filter(|_| state.emitted.manner == Some(manner));
    let routes = match (told, &judged.some) {
        (Some(told), Some(some)) => {
            let mut routes = told.clone();
            for vip in some {
                match route(state, bgp, manner, vip) {
                    Some(attributes) => drop(routes.insert(Prefix::host(*vip), attributes)),
                    None => drop(routes.remove(&Prefix::host(*vip))),
                }
            }
            routes
        }
        (None, _) | (_, None) => {
            let route = |vip: &IpAddr| Some((Prefix::host(*vip), route(state, bgp, manner, vip)?));
            state.vips.keys().filter_map(route).collect::<RouteSet>()
        }
    };
    state.emitted.manner = Some(manner);
    if state.emitted.routes.as_ref() != Some(&routes) {
        actions.push(Action::SetRoutes(routes.clone()));
        state.emitted.routes = Some(routes);
    }
}

/// What the routers are told of a VIP, if anything.
fn route(state: &State, bgp: &Bgp, manner: Manner, vip: &IpAddr) -> Option<RouteAttributes> {
    state.vips.get(vip).filter(|vip| vip.announced && manner != Manner::Silent)?;
    let attributes = match state.said.get(vip) {
        Some(said) => said.or(&bgp.attributes).of_route(),
        None => bgp.attributes.clone().of_route(),
    };
    Some(if manner == Manner::Leaving { attributes.leaving() } else { attributes })
}
