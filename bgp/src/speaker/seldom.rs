//! The same thing is said once a minute at most.

use std::time::{Duration, Instant};

/// How long after it was said something is not said again: what repeats a thousand times a second is two lines of a log.
const PAUSE: Duration = Duration::from_secs(60);

/// What is said seldom, however often it happens.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seldom {
    said_at: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// It happened. Gives how often it has since it was last said, when it is to be said now.
    pub(crate) fn happened(&mut self, now: Instant) -> Option<u64> {
        self.unsaid = self.unsaid.saturating_add(1);
        self.overdue(now)
    }

    /// When what was not said yet is to be said.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.said_at.map(|at| at + PAUSE).filter(|_| self.unsaid > 0)
    }

    /// How often it has happened since it was last said, when that is to be said now.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<u64> {
        if self.unsaid == 0 || self.said_at.is_some_and(|at| now < at + PAUSE) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
