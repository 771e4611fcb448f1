//! The timers of one session.

use std::{collections::BTreeMap, time::Instant};

use crate::fsm::{Side, Timer};

/// Which timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimerKey {
    Connection(Side, Timer),
    IdleHold,
    /// Withdrawing before a stop takes too long.
    Withdrawing,
    /// The neighbour has had no connection for so long that it is forgotten.
    Linger,
}

/// Running timers; as many as there are keys, eleven.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeMap<TimerKey, Instant>);

impl Timers {
    pub(super) fn set(&mut self, key: TimerKey, at: Instant) {
        self.0.insert(key, at);
    }

    pub(super) fn stop(&mut self, key: TimerKey) {
        self.0.remove(&key);
    }

    pub(super) fn is_running(&self, key: TimerKey) -> bool {
        self.0.contains_key(&key)
    }

    /// Stops all timers of a connection.
    pub(super) fn stop_connection(&mut self, side: Side) {
        self.0.retain(|key, _| !matches!(key, TimerKey::Connection(of, _) if *of == side));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// Takes one timer that has expired.
    pub(super) fn expired(&mut self, now: Instant) -> Option<TimerKey> {
        let key = self.0.iter().find(|(_, at)| **at <= now).map(|(key, _)| *key)?;
        self.0.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_timer_expires_once_and_at_its_time() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        let hold = TimerKey::Connection(Side::Outgoing, Timer::Hold);
        timers.set(hold, now + Duration::from_secs(1));
        timers.set(TimerKey::IdleHold, now + Duration::from_secs(2));
        assert_eq!(timers.next(), Some(now + Duration::from_secs(1)));
        assert_eq!(timers.expired(now), None);
        assert_eq!(timers.expired(now + Duration::from_secs(1)), Some(hold));
        assert_eq!(timers.expired(now + Duration::from_secs(1)), None);
    }

    #[test]
    fn closing_a_connection_leaves_the_others_timers() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        for side in Side::BOTH {
            timers.set(TimerKey::Connection(side, Timer::Hold), now);
        }
        timers.stop_connection(Side::Outgoing);
        assert_eq!(timers.expired(now), Some(TimerKey::Connection(Side::Incoming, Timer::Hold)));
        assert_eq!(timers.next(), None);
    }
}
