//! For how long what a neighbour told is kept when its session has ended (RFC 4724 §4.2; RFC 9494 §4.2).
//!
//! ```text
//!            lost                    restart time over, long-lived agreed on
//!   fresh ─────────▶ stale: restart ──────────────────────────────────────▶ stale: long-lived
//!     ▲  refreshing     │      │ over                                          │ over
//!     │                 │      └───────────────────▶ gone ◀────────────────────┘
//!     │  told again     │                             ▲
//!     └─────────────────┴── returned, forwarding preserved: 6 minutes at most; not preserved: gone
//! ```

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::Family;

/// How long after a neighbour has come back what it has not told again may stay, should its End-of-RIB never come: a
/// router that has a full table to send takes less.
const AFTER_RETURN: Duration = Duration::from_secs(360);

/// Families some of whose routes may be stale.
#[derive(Debug, Default)]
pub(super) struct Stale(BTreeMap<Family, Kept>);

#[derive(Clone, Copy, Debug)]
struct Kept {
    until: Instant,
    /// For so long after that they are kept as the last choice.
    then: Option<Duration>,
    is_long_lived: bool,
}

/// What becomes of a family whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It is the last choice from now on.
    LongLived(Family),
    /// It is gone.
    Gone(Family),
}

impl Stale {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the next time is over.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().map(|kept| kept.until).min()
    }

    /// The session has ended: a family is stale for the neighbour's restart time, and then for a long time if it has one.
    pub(super) fn lost(&mut self, family: Family, restart: Duration, then: Option<Duration>, now: Instant) {
        self.0.insert(family, Kept { until: now + restart, then, is_long_lived: false });
    }

    /// The neighbour is about to tell a family again, in the midst of a session.
    pub(super) fn refreshing(&mut self, family: Family, now: Instant) {
        let kept = Kept { until: now + AFTER_RETURN, then: None, is_long_lived: false };
        self.0.entry(family).or_insert(kept);
    }

    /// A family is not stale any more.
    pub(super) fn forget(&mut self, family: Family) {
        self.0.remove(&family);
    }

    /// A session is up again: those families are gone whose forwarding was not preserved, as the neighbour says of a restart
    /// or, once that was over, of what is kept for long (the argument). The others have a last time to be told.
    pub(super) fn returned(
        &mut self,
        is_preserved: impl Fn(Family, bool) -> bool,
        now: Instant,
    ) -> Vec<Family> {
        let is_lost = |(family, kept): &(&Family, &Kept)| !is_preserved(**family, kept.is_long_lived);
        let lost: Vec<Family> = self.0.iter().filter(is_lost).map(|(family, _)| *family).collect();
        lost.iter().for_each(|family| self.forget(*family));
        for kept in self.0.values_mut() {
            let last = now + AFTER_RETURN;
            // The long time goes on (RFC 9494 §4.2); a restart's begins anew.
            kept.until = if kept.is_long_lived { kept.until.min(last) } else { last };
            kept.then = None;
        }
        lost
    }

    /// Takes the families whose time is over.
    pub(super) fn over(&mut self, now: Instant) -> Vec<Over> {
        let mut over = Vec::new();
        self.0.retain(|family, kept| {
            if kept.until > now {
                return true;
            }
            let Some(time) = kept.then.take() else {
                over.push(Over::Gone(*family));
                return false;
            };
            (kept.until, kept.is_long_lived) = (now + time, true);
            over.push(Over::LongLived(*family));
            true
        });
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESTART: Duration = Duration::from_secs(120);
    const LONG: Duration = Duration::from_secs(3600);

    fn after(now: Instant, time: Duration) -> Instant {
        now + time
    }

    #[test]
    fn a_family_is_the_last_choice_after_the_restart_time_and_gone_after_the_long_one() {
        let (mut stale, now) = (Stale::default(), Instant::now());
        stale.lost(Family::Ipv4, RESTART, Some(LONG), now);
        stale.lost(Family::Ipv6, RESTART, None, now);
        assert_eq!(stale.next(), Some(now + RESTART));
        assert_eq!(stale.over(now + RESTART - Duration::from_millis(1)), []);
        let end = after(now, RESTART);
        assert_eq!(stale.over(end), [Over::LongLived(Family::Ipv4), Over::Gone(Family::Ipv6)]);
        assert_eq!((stale.next(), stale.over(end)), (Some(end + LONG), Vec::new()));
        assert_eq!(stale.over(end + LONG), [Over::Gone(Family::Ipv4)]);
        assert!(stale.is_empty());
    }

    #[test]
    fn a_family_that_only_the_long_time_is_for_is_the_last_choice_at_once() {
        let (mut stale, now) = (Stale::default(), Instant::now());
        stale.lost(Family::Ipv4, Duration::ZERO, Some(LONG), now);
        assert_eq!(stale.over(now), [Over::LongLived(Family::Ipv4)]);
    }

    #[test]
    fn who_returns_without_having_preserved_forwarding_has_lost_its_routes_and_others_have_a_last_time() {
        let (mut stale, now) = (Stale::default(), Instant::now());
        stale.lost(Family::Ipv4, RESTART, Some(LONG), now);
        stale.lost(Family::Ipv6, RESTART, Some(LONG), now);
        stale.over(now + RESTART);
        let back = now + RESTART + LONG - Duration::from_secs(10);
        let lost = stale.returned(
            |family, is_long_lived| {
                assert!(is_long_lived, "the long time had begun");
                family == Family::Ipv4
            },
            back,
        );
        assert_eq!((lost, stale.next()), (vec![Family::Ipv6], Some(now + RESTART + LONG)), "it goes on");
        let mut stale = Stale::default();
        stale.lost(Family::Ipv4, RESTART, Some(LONG), now);
        assert_eq!(stale.returned(|_, is_long_lived| !is_long_lived, now + RESTART / 2), []);
        assert_eq!(stale.next(), Some(now + RESTART / 2 + AFTER_RETURN));
        assert_eq!(stale.over(now + RESTART / 2 + AFTER_RETURN), [Over::Gone(Family::Ipv4)]);
    }

    #[test]
    fn a_refresh_does_not_lengthen_what_is_stale_already() {
        let (mut stale, now) = (Stale::default(), Instant::now());
        stale.refreshing(Family::Ipv4, now);
        stale.refreshing(Family::Ipv4, now + RESTART);
        assert_eq!(stale.next(), Some(now + AFTER_RETURN));
        stale.forget(Family::Ipv4);
        assert!(stale.is_empty());
    }
}
