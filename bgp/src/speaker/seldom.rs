//! The same thing is said once a minute at most, and the more seldom the longer it goes on.

use std::time::{Duration, Instant};

/// How long after it was said something is not said again: what repeats a thousand times a second is two lines of a log.
const PAUSE: Duration = Duration::from_secs(60);

/// The longest pause: a router that is away for a week is a line an hour.
const LONGEST: Duration = Duration::from_secs(3600);

/// What is said seldom, however often it happens.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seldom {
    said_at: Option<Instant>,
    unsaid: u64,
    /// How often in a row it has happened again before its pause was over: each doubles the next.
    went_on: u32,
}

impl Seldom {
    /// It happened. Gives how often it has since it was last said, when it is to be said now.
    pub(crate) fn happened(&mut self, now: Instant) -> Option<u64> {
        if self.is_over(now) {
            *self = Self::default();
        }
        self.unsaid = self.unsaid.saturating_add(1);
        self.overdue(now)
    }

    /// When what was not said yet is to be said.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.next().filter(|_| self.unsaid > 0)
    }

    /// How often it has happened since it was last said, when that is to be said now.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<u64> {
        if self.unsaid == 0 || self.next().is_some_and(|at| now < at) {
            return None;
        }
        if self.said_at.replace(now).is_some() {
            self.went_on = self.went_on.saturating_add(1);
        }
        self.rest()
    }

    /// How often it has happened since it was last said, when it has: nothing will be said after this.
    pub(crate) fn rest(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.unsaid)).filter(|count| *count > 0)
    }

    /// Everything was said, and what happens next is said at once.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.unsaid == 0 && self.next().is_none_or(|at| at <= now)
    }

    /// When the pause is over.
    fn next(&self) -> Option<Instant> {
        let pause = PAUSE.saturating_mul(1_u32.checked_shl(self.went_on).unwrap_or(u32::MAX)).min(LONGEST);
        self.said_at.map(|at| at + pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_said_more_and_more_seldom_down_to_once_an_hour_until_it_was_quiet() {
        let (mut seldom, start) = (Seldom::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let day = 24 * 3600;
        let said: Vec<u64> = (0..day).filter(|second| seldom.happened(at(*second)).is_some()).collect();
        let pauses: Vec<_> = said.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(pauses[..7], [60, 120, 240, 480, 960, 1920, 3600]);
        assert!(pauses[7..].iter().all(|pause| *pause == 3600), "{pauses:?}");
        assert_eq!(seldom.rest(), Some(day - 1 - said.last().unwrap()));
        assert!(seldom.is_over(at(day + 3600)));
        let again: Vec<u64> =
            (2 * day..2 * day + 61).filter(|second| seldom.happened(at(*second)).is_some()).collect();
        assert_eq!(again, [2 * day, 2 * day + 60]);
    }

    #[test]
    fn what_repeats_is_said_at_once_and_then_counted_once_a_minute() {
        let (mut seldom, start) = (Seldom::default(), Instant::now());
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        assert_eq!((seldom.happened(at(0.0)), seldom.due()), (Some(1), None));
        assert_eq!(seldom.happened(at(0.1)), None);
        assert_eq!(seldom.happened(at(59.9)), None);
        assert_eq!((seldom.due(), seldom.overdue(at(59.9))), (Some(at(60.0)), None));
        assert_eq!((seldom.overdue(at(60.0)), seldom.due()), (Some(2), None));
        assert_eq!(seldom.overdue(at(200.0)), None, "nothing has happened since");
        assert_eq!(seldom.happened(at(200.0)), Some(1));
    }
}
