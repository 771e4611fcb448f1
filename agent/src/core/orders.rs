//! What operators say of announcements: of single VIPs, and of the balancer as a whole.
//!
//! ```text
//!               drain          graceful_shutdown is over          READ later
//!   announcing ───────▶ leaving ────────────────────────▶ gone ───────────────▶ unwatched
//!       ▲     (every route carries GRACEFUL_SHUTDOWN)  (nothing is announced)  (BFD is AdminDown)
//!       └──── undrain ─────┴───────────────────────────────┴──────────────────────┘
//! ```
//!
//! Both are saved: a balancer that was drained announces nothing after a restart, and a VIP's word holds.

use super::Timestamp;
use super::action::{Action, Answer, Done, Refusal};
use super::advertise::{OnVip, Prospect, prospect};
use super::event::Note;
use super::saved::{Balancer, Change, VipWord};
use super::state::State;
use crate::config::Announce;
use crate::suggest::suggest;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// Words that are kept of VIPs that no service has: such a VIP may come back, and its word must hold then. More than any
/// balancer has by hand.
pub const MAX_ABSENT: usize = 1024;

/// Within it routers have read a withdrawal. Some take AdminDown for a broken path, and could keep routes whose withdrawal
/// they have not read.
pub const READ: Duration = Duration::from_secs(5);

/// How far a balancer has got that is being drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drain {
    /// It is not.
    #[default]
    No,
    /// What it announces asks routers to prefer any other way.
    Leaving {
        /// When nothing is announced any more.
        until: Timestamp,
    },
    /// It announces nothing.
    Gone {
        /// When routers have read that.
        until: Timestamp,
    },
    /// Nor does it matter any more whether a path to it breaks.
    Unwatched,
}

impl Drain {
    /// Whether nothing is announced.
    fn is_over(self) -> bool {
        matches!(self, Self::Gone { .. } | Self::Unwatched)
    }
}

/// What an operator wants of one VIP, in place of what its services say.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Why it is not announced whatever its services say.
    pub against: Option<String>,
    /// When it is announced, in place of its policy; without holds.
    pub announce: Option<Announce>,
    /// Who wants that.
    pub remark: Option<String>,
}

/// What holds for a VIP.
pub fn order(state: &State, vip: IpAddr) -> Order {
    if let Some(change) = state.saved.drained.as_ref().filter(|_| state.drain.is_over()) {
        return Order { against: Some(format!("the balancer is drained {change}")), ..Order::default() };
    }
    let Some(change) = state.saved.vips.get(&vip) else { return Order::default() };
    let (announce, verb) = match change.to {
        VipWord::Withdrawn => {
            return Order { against: Some(format!("withdrawn {change}")), ..Order::default() };
        }
        VipWord::Announced => (Announce::Any, "announced"),
        VipWord::AnnouncedAlways => (Announce::Always, "announced whatever its checks say"),
    };
    Order { announce: Some(announce), remark: Some(format!("{verb} {change}")), against: None }
}

/// Moves a drain on; true when what is announced changes by that.
pub(super) fn advance(state: &mut State, now: Timestamp) -> bool {
    let Some(config) = &state.config else { return false };
    let before = state.drain;
    let gone = Drain::Gone { until: now + READ };
    state.drain = match (&state.saved.drained, before) {
        (None, _) => Drain::No,
        (Some(_), Drain::Unwatched) => Drain::Unwatched,
        (Some(_), Drain::Gone { until }) if until <= now => Drain::Unwatched,
        (Some(_), Drain::Leaving { until }) if until <= now => gone,
        (Some(_), Drain::Gone { .. } | Drain::Leaving { .. }) => before,
        (Some(change), Drain::No) => {
            let delay = config.bgp.as_ref().map_or(Duration::ZERO, |bgp| bgp.graceful_shutdown);
            // A clock that was set back must not make the drain last for longer.
            let until = (change.at + delay).min(now + delay);
            if until <= now { gone } else { Drain::Leaving { until } }
        }
    };
    state.drain != before && state.drain != Drain::Unwatched
}

/// The section of the routers, where it has changed. While a balancer is drained no path to it is watched: BFD says
/// AdminDown, and a host that goes down for its maintenance is no broken path to anybody. The sessions stay: an undrain is
/// heard at once.
pub(super) fn set_peers(state: &mut State, actions: &mut Vec<Action>) {
    let Some(config) = &state.config else { return };
    let mut wanted = config.bgp.clone();
    if let Some(bgp) = wanted.as_mut().filter(|_| state.drain == Drain::Unwatched) {
        bgp.peers.iter_mut().for_each(|peer| peer.terms.bfd = None);
        bgp.groups.iter_mut().for_each(|group| group.terms.bfd = None);
    }
    if state.emitted.bgp != wanted {
        state.emitted.bgp.clone_from(&wanted);
        actions.extend(wanted.map(Action::SetPeers));
    }
}

/// Whether what is announced asks routers to prefer any other way.
pub(super) fn is_leaving(state: &State) -> bool {
    matches!(state.drain, Drain::Leaving { .. })
}

/// Has a VIP announced or withdrawn, or leaves it to its services again.
pub(super) fn vip(state: &mut State, name: &str, to: Option<VipWord>, change: Change<()>) -> Answer {
    let vip = known(state, name)?;
    let services = services_on(state, vip);
    let Change { who, at, reason, until, to: () } = change;
    let message = match to {
        None => match state.saved.vips.remove(&vip) {
            Some(_) => format!("{vip} is left to its services again"),
            None => format!("{vip} was left to its services already"),
        },
        Some(word) => {
            needs_bgp(state)?;
            let message = match word {
                VipWord::Withdrawn => withdrawn(state, vip),
                VipWord::Announced => announced(state, vip)?,
                VipWord::AnnouncedAlways => format!("{vip} is announced whatever its checks say"),
            };
            let message = match &state.saved.drained {
                Some(drained) if word != VipWord::Withdrawn => {
                    format!("{message}, once the balancer is undrained: it is drained {drained}")
                }
                Some(_) | None => message,
            };
            state.saved.vips.insert(vip, Change { to: word, who, at, reason, until });
            message
        }
    };
    Ok(Done { host: vip.to_string(), services, message, ..Done::default() })
}

/// Drains the whole balancer.
pub(super) fn drain(state: &mut State, who: &str, note: &Note, now: Timestamp) -> Answer {
    needs_bgp(state)?;
    let until = note.lasts.map(|lasts| now + lasts);
    let change =
        Change { to: Balancer::Drained, who: who.into(), at: now, reason: note.reason.clone(), until };
    let message = match state.saved.drained.replace(Box::new(change)) {
        Some(before) => format!("the balancer is drained; it was already {before}"),
        None => {
            "the balancer is being drained: routers are asked to prefer others, then its VIPs are withdrawn"
                .to_owned()
        }
    };
    Ok(Done { host: BALANCER.into(), message, ..Done::default() })
}

/// Takes a drain of the whole balancer back.
pub(super) fn undrain(state: &mut State) -> Answer {
    let message = match state.saved.drained.take() {
        Some(_) => "the balancer announces its VIPs again",
        None => "the balancer was not drained",
    };
    Ok(Done { host: BALANCER.into(), message: message.into(), ..Done::default() })
}

/// What an answer about the whole balancer is about.
pub const BALANCER: &str = "the balancer";

fn needs_bgp(state: &State) -> Result<(), Refusal> {
    let has_bgp = state.config.as_ref().is_some_and(|config| config.bgp.is_some());
    let message = "the configuration has no [bgp]: lvsd announces nothing that could be withdrawn";
    if has_bgp { Ok(()) } else { Err(Refusal::Nothing { message: message.into() }) }
}

/// The VIP of this name: one that a service has, or of which an operator has said something.
fn known(state: &State, name: &str) -> Result<IpAddr, Refusal> {
    let is_known = |vip: &IpAddr| state.vip_users.contains_key(vip) || state.saved.vips.contains_key(vip);
    match name.parse().ok().filter(is_known) {
        Some(vip) => Ok(vip),
        None => {
            let vips: Vec<String> = state.vip_users.keys().map(ToString::to_string).collect();
            let near = suggest(name, vips.iter().map(String::as_str)).into_iter().map(Into::into).collect();
            Err(Refusal::UnknownVip { vip: name.into(), near })
        }
    }
}

fn services_on(state: &State, vip: IpAddr) -> Vec<String> {
    state.vip_users.get(&vip).into_iter().flatten().map(ToString::to_string).collect()
}

/// What a withdrawal means, in words. What other balancers announce is not known here.
fn withdrawn(state: &State, vip: IpAddr) -> String {
    let is_announced = |vip: &IpAddr| state.vips.get(vip).is_some_and(|known| known.announced);
    if !is_announced(&vip) {
        return format!("{vip} stays withdrawn whatever its checks say");
    }
    let is_last = !state.vips.keys().any(|other| *other != vip && is_announced(other));
    let last = if is_last { "; it was the last VIP that this balancer announced" } else { "" };
    format!("{vip} is withdrawn; its clients are left to the other balancers that announce it{last}")
}

/// Refuses to announce what nothing serves.
fn announced(state: &State, vip: IpAddr) -> Result<String, Refusal> {
    let services: Vec<_> = services_on(state, vip);
    let services: Vec<_> =
        services.iter().filter_map(|name| Some((&**name, state.services.get(name)?))).collect();
    let is_trusted = !state.saved.withdrawn.contains(&vip);
    let on_it = OnVip { services: &services, unclaimed: &state.unclaimed };
    match prospect(vip, &on_it, &state.kernel, (Announce::Any, is_trusted)) {
        Prospect::Failing(why) if !services.is_empty() => Err(Refusal::NothingServes {
            message: format!("nothing can serve on {vip}: {why}; --force announces it all the same"),
        }),
        Prospect::Failing(_) => {
            Err(Refusal::NothingServes { message: format!("no service has the VIP {vip} now") })
        }
        Prospect::Serving(_) | Prospect::Unconfirmed(_) => {
            Ok(format!("{vip} is announced while anything on it can serve"))
        }
    }
}

/// VIPs that operators have said something of and that no service has.
pub fn absent(state: &State) -> BTreeSet<IpAddr> {
    state.saved.vips.keys().filter(|vip| !state.vip_users.contains_key(vip)).copied().collect()
}

/// Forgets the oldest words of VIPs that no service has, where there are too many. Gives the VIPs.
pub(super) fn forget_absent(state: &mut State) -> Vec<IpAddr> {
    let mut absent: Vec<_> =
        absent(state).into_iter().filter_map(|vip| Some((state.saved.vips.get(&vip)?.at, vip))).collect();
    absent.sort_unstable();
    absent.truncate(absent.len().saturating_sub(MAX_ABSENT));
    absent.iter().for_each(|(_, vip)| drop(state.saved.vips.remove(vip)));
    absent.into_iter().map(|(_, vip)| vip).collect()
}
