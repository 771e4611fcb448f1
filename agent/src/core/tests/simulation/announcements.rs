//! What routers are told, whatever has happened before: never more than can serve, nothing that an operator is against,
//! and with GRACEFUL_SHUTDOWN exactly while the balancer is leaving.

use super::rules::{Outcome, Seen, is_on, may_serve};
use super::{Broken, ensure};
use crate::config::{Announce, Config};
use crate::core::saved::VipWord;
use crate::core::state::Phase;
use crate::core::vip::Holds;
use crate::core::{Action, State, Timestamp};
use bgp::Community;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

const RULE: &str = "4 announcements";

/// `graceful_shutdown` of every configuration here: the default.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// What has to be remembered to judge a step.
#[derive(Default)]
pub(super) struct Announcements {
    /// Since when nothing can serve on a VIP.
    failing: BTreeMap<IpAddr, Timestamp>,
}

/// When a VIP is to be announced; `None`: an operator is against it.
pub(super) fn policy(state: &State, config: &Config, vip: IpAddr, now: Timestamp) -> Option<Announce> {
    if state.saved.drained.as_ref().is_some_and(|change| change.at + GRACE <= now) {
        return None;
    }
    let own = config.vips.get(&vip).map_or(Announce::Any, |own| own.announce);
    match state.saved.vips.get(&vip).map(|change| change.to) {
        None => Some(own),
        Some(VipWord::Announced) => Some(Announce::Any),
        Some(VipWord::AnnouncedAlways) => Some(Announce::Always),
        Some(VipWord::Withdrawn) => None,
    }
}

/// Whether the services on a VIP let it be announced by a policy.
pub(super) fn may_be(state: &State, vip: IpAddr, policy: Announce) -> bool {
    let mut can = state.services.values().filter(|s| s.config.vips.contains(&vip)).map(|s| may_serve(s, vip));
    match policy {
        // What nobody has may, by what the kernel has.
        Announce::Any => can.any(|can| can) || state.unclaimed.on(vip).next().is_some(),
        Announce::All => can.all(|can| can),
        Announce::Always => true,
    }
}

impl Announcements {
    pub(super) fn are_right(&mut self, seen: &Seen<'_>, config: &Config) -> Outcome {
        self.failing.retain(|vip, _| seen.after.vips.contains_key(vip));
        for (vip, known) in &seen.after.vips {
            let Some(policy) = policy(seen.after, config, *vip, seen.now) else {
                ensure!(!known.announced, RULE, "{vip} is announced, an operator is against it");
                self.failing.remove(vip);
                continue;
            };
            let may_be = may_be(seen.after, *vip, policy);
            let was = seen.before.vips.get(vip).is_some_and(|before| before.announced);
            if known.announced && !was {
                begins_rightly(seen.after, *vip, may_be)?;
            }
            if may_be {
                self.failing.remove(vip);
                continue;
            }
            let since = *self.failing.entry(*vip).or_insert(seen.now);
            let holds = config.vips.get(vip).cloned().unwrap_or_default();
            let hold = Holds::of(&holds, config).withdraw;
            let is_over = hold == Duration::ZERO || seen.now.since(since) > hold;
            let stays = known.announced && is_over;
            ensure!(!stays, RULE, "{vip} stays announced, nothing serves since {since}");
        }
        routers_are_told_so(seen)
    }
}

fn begins_rightly(state: &State, vip: IpAddr, may_be: bool) -> Outcome {
    ensure!(may_be, RULE, "{vip} is announced, nothing on it can serve");
    let is_there = state.kernel.addresses.as_ref().is_some_and(|present| present.contains(&vip));
    ensure!(is_there, RULE, "{vip} is announced before it is on the device");
    let is_in = state.kernel.services.iter().any(|key| is_on(key, vip));
    ensure!(is_in, RULE, "{vip} is announced before IPVS has a service on it");
    Ok(())
}

fn routers_are_told_so(seen: &Seen<'_>) -> Outcome {
    let State { vips, phase, emitted, saved, .. } = seen.after;
    let announced: BTreeSet<IpAddr> = vips.iter().filter(|(_, v)| v.announced).map(|(vip, _)| *vip).collect();
    let routes = emitted.routes.clone().unwrap_or_default();
    let told: BTreeSet<IpAddr> = routes.keys().map(|prefix| prefix.address()).collect();
    let asks =
        |attributes: &bgp::RouteAttributes| attributes.communities.contains(&Community::GRACEFUL_SHUTDOWN);
    let (all_ask, none_asks) = (routes.values().all(asks), !routes.values().any(asks));
    match phase {
        Phase::Starting => ensure!(told.is_empty(), RULE, "routers are told while starting"),
        Phase::Running { .. } => {
            ensure!(told == announced, RULE, "routers were told {told:?}, announced are {announced:?}");
            let right = if saved.drained.is_some() { all_ask } else { none_asks };
            ensure!(right, RULE, "GRACEFUL_SHUTDOWN is not on what leaves alone: {routes:?}");
        }
        Phase::Stopping { withdraw, .. } => {
            let over = *withdraw <= seen.now;
            ensure!(!over || told.is_empty(), RULE, "stopping, but routers still have {told:?}");
            ensure!(told.is_subset(&announced) && all_ask, RULE, "stopping, routers have {routes:?}");
        }
        Phase::Stopped => ensure!(told.is_empty(), RULE, "stopped, but routers still have {told:?}"),
    }
    let is_set = seen.actions.iter().any(|action| matches!(action, Action::SetRoutes(_)));
    ensure!(!is_set || !matches!(phase, Phase::Starting), RULE, "routes are set while starting");
    Ok(())
}
