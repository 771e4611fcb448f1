//! A VIP towards the routers: from what can be said of it to whether it is announced.
//!
//! ```text
//!              serving (for announce_hold, unless it is the first time)
//!            ┌──────────────────────────────────────────────▶┐
//!        withdrawn                                        announced ◀─┐ serving, or not confirmed by the
//!            ▲                                               │   └────┘ kernel for the moment
//!            └◀──────────────────────────────────────────────┘
//!              failing for withdraw_hold
//! ```
//!
//! An operator may be against it meanwhile: then it is withdrawn at once, and announced at once when it is left to its
//! services again that are able to serve.

use super::Timestamp;
use super::advertise::Prospect;
use super::orders::Order;
use crate::config::{self, Config};
use std::time::Duration;

/// A VIP.
#[derive(Clone, Debug)]
pub struct Vip {
    /// Whether it is announced.
    pub announced: bool,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: Box<str>,
    /// Whether it would be announced if no operator were against it.
    pub is_able: bool,
    /// Whether something could serve but the kernel has not confirmed it.
    pub is_unconfirmed: bool,
    /// Since when what is known speaks for the other state, while a hold lasts.
    contested_since: Option<Timestamp>,
    /// When that hold ends.
    pub due: Option<Timestamp>,
    was_announced: bool,
}

/// How long a VIP keeps its state against what is known.
#[derive(Clone, Copy, Debug)]
pub struct Holds {
    /// Stays announced.
    pub withdraw: Duration,
    /// Stays withdrawn, once it has been announced and withdrawn.
    pub announce: Duration,
}

impl Holds {
    /// A VIP's own, or the speaker's.
    pub fn of(policy: &config::Vip, config: &Config) -> Self {
        let by_speaker = config.bgp.as_ref().map_or(Duration::ZERO, |bgp| bgp.withdraw_hold);
        Self { withdraw: policy.withdraw_hold.unwrap_or(by_speaker), announce: policy.announce_hold }
    }
}

impl Vip {
    /// A VIP of which nothing is known yet.
    pub fn new(now: Timestamp) -> Self {
        Self {
            announced: false,
            is_able: false,
            since: now,
            reason: "nothing is known of it yet".into(),
            is_unconfirmed: false,
            contested_since: None,
            due: None,
            was_announced: false,
        }
    }

    /// Takes in what can be said of it, and what an operator says; true when it is announced or withdrawn by that.
    pub fn judge(&mut self, prospect: Prospect, order: Order, holds: &Holds, now: Timestamp) -> bool {
        self.is_unconfirmed = matches!(prospect, Prospect::Unconfirmed(_));
        let is_serving = matches!(prospect, Prospect::Serving(_));
        let (wanted, hold, reason) = match prospect {
            Prospect::Serving(reason) => {
                (true, if self.was_announced { holds.announce } else { Duration::ZERO }, reason)
            }
            // What was announced stays so: the kernel is being repaired, not the pool failing.
            Prospect::Unconfirmed(reason) => (self.is_able, Duration::ZERO, reason),
            Prospect::Failing(reason) => (false, holds.withdraw, reason),
        };
        self.is_able = self.held(wanted, hold, now);
        self.was_announced |= self.is_able;
        let reason = if self.is_able == wanted { reason } else { format!("{reason}; held for now") };
        // What was withdrawn begins again only with what can serve, not with what is merely held.
        let announced = self.is_able && order.against.is_none() && (self.announced || is_serving);
        let reason = match (order.against, order.remark) {
            (Some(against), _) => format!("{against}; otherwise {reason}"),
            (None, Some(remark)) => format!("{reason}; {remark}"),
            (None, None) => reason,
        };
        self.reason = reason.into();
        let changed = announced != self.announced;
        if changed {
            self.since = now;
        }
        self.announced = announced;
        changed
    }

    /// The state that is wanted, once it has been wanted for as long as the hold lasts; until then the present one.
    fn held(&mut self, wanted: bool, hold: Duration, now: Timestamp) -> bool {
        if wanted == self.is_able {
            (self.contested_since, self.due) = (None, None);
            return wanted;
        }
        let since = *self.contested_since.get_or_insert(now);
        if now.since(since) < hold {
            self.due = Some(since + hold);
            return self.is_able;
        }
        (self.contested_since, self.due) = (None, None);
        wanted
    }
}
