use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::spec::{Kind, MAX_PERIOD, MIN_PERIOD};

const SECOND: Duration = Duration::from_secs(1);

fn check(number: u32, interval: Duration) -> Arc<Check> {
    let timing = Timing::new(interval, interval, 3, 2).expect("a valid timing");
    let address = std::net::Ipv4Addr::from(0x0a00_0000 + number);
    Arc::new(Check::new((address, 80).into(), Kind::Tcp, timing))
}

/// A loop on a virtual clock: every start, in order.
struct Loop {
    schedule: Schedule,
    now: Duration,
    /// How long each probe takes.
    takes: Duration,
    seen: BTreeMap<Arc<Check>, Duration>,
    starts: Vec<(Duration, Arc<Check>)>,
}

impl Loop {
    fn new(seed: u64, checks: &[Arc<Check>]) -> Self {
        let mut schedule = Schedule::new(seed);
        for check in checks {
            schedule.begin(Arc::clone(check), Duration::ZERO);
        }
        Self {
            schedule,
            now: Duration::ZERO,
            takes: Duration::ZERO,
            seen: BTreeMap::new(),
            starts: Vec::new(),
        }
    }

    /// Starts all that is due at `now`.
    fn pass(&mut self, now: Duration) {
        self.now = now;
        while let Some((_, check)) = self.schedule.pop(now) {
            self.starts.push((now, Arc::clone(&check)));
            let probed = match self.seen.insert(Arc::clone(&check), now) {
                None => Probed::First,
                Some(_) => Probed::Later(now),
            };
            self.schedule.again(check, probed, now + self.takes);
        }
    }

    /// Wakes exactly at each deadline until `end`.
    fn run_until(&mut self, end: Duration) {
        while let Some(next) = self.schedule.next().filter(|next| *next < end) {
            self.pass(next);
        }
        self.now = end;
    }

    fn starts_of(&self, check: &Arc<Check>) -> Vec<Duration> {
        self.starts.iter().filter(|(_, started)| started == check).map(|(at, _)| *at).collect()
    }
}

/// When one check's probes begin until `end`, when it is hastened at each of these times.
fn starts_when_hastened(seed: u64, check: &Arc<Check>, at: &[Duration], end: Duration) -> Vec<Duration> {
    let mut schedule = Schedule::new(seed);
    let mut deadline = schedule.begin(Arc::clone(check), Duration::ZERO);
    let (mut starts, mut is_hastened) = (Vec::new(), false);
    let mut at = at.iter().copied().peekable();
    loop {
        while let Some(now) = at.next_if(|now| *now <= deadline) {
            let waiting_since = starts.last().copied().filter(|_| !is_hastened);
            let sooner = waiting_since.and_then(|started| schedule.hasten(check, deadline, started, now));
            is_hastened |= sooner.is_some();
            deadline = sooner.unwrap_or(deadline);
        }
        if deadline >= end {
            return starts;
        }
        assert_eq!(schedule.pop(deadline), Some((deadline, Arc::clone(check))));
        let probed = match (starts.is_empty(), std::mem::take(&mut is_hastened)) {
            (true, _) => Probed::First,
            (false, false) => Probed::Later(deadline),
            (false, true) => Probed::Hastened(deadline),
        };
        starts.push(deadline);
        deadline = schedule.again(Arc::clone(check), probed, deadline);
    }
}

fn many(count: u32, interval: Duration) -> Vec<Arc<Check>> {
    (0..count).map(|number| check(number, interval)).collect()
}

#[test]
fn first_probes_come_within_200_ms_and_are_spread_over_them() {
    let mut run = Loop::new(7, &many(1000, SECOND * 10));
    run.run_until(FIRST_SPREAD);
    assert_eq!(run.seen.len(), 1000);
    let early = run.starts.iter().filter(|(at, _)| *at < FIRST_SPREAD / 2).count();
    assert!((400..=600).contains(&early), "{early} of 1000 in the first half");
}

#[test]
fn first_probes_of_a_short_interval_come_within_that_interval() {
    let interval = Duration::from_millis(20);
    let mut run = Loop::new(7, &many(100, interval));
    run.run_until(interval);
    assert_eq!(run.seen.len(), 100);
}

#[test]
fn checks_spread_evenly_over_their_interval() {
    let mut run = Loop::new(7, &many(2000, SECOND * 2));
    run.run_until(SECOND * 12);
    let mut tenths = [0; 20];
    for (at, _) in run.starts.iter().filter(|(at, _)| (SECOND * 10..SECOND * 12).contains(at)) {
        tenths[(at.as_millis() / 100 - 100) as usize] += 1;
    }
    // 103 are expected in each; 60 and 150 are more than four standard deviations away.
    assert!(tenths.iter().all(|count| (60..150).contains(count)), "{tenths:?}");
}

#[test]
fn the_same_seed_gives_the_same_deadlines_and_another_seed_others() {
    let checks = many(100, SECOND * 2);
    let starts = |seed| {
        let mut run = Loop::new(seed, &checks);
        run.run_until(SECOND * 20);
        run.starts
    };
    assert_eq!(starts(1), starts(1));
    let apart = |a: &Vec<(Duration, Arc<Check>)>, b: &Vec<(Duration, Arc<Check>)>| {
        let phase = |starts: &Vec<(Duration, Arc<Check>)>, check| {
            starts.iter().rev().find(|(_, c)| c == check).map(|(at, _)| at.as_millis())
        };
        checks.iter().filter(|check| phase(a, *check) != phase(b, *check)).count()
    };
    assert!(apart(&starts(1), &starts(2)) > 90);
}

#[test]
fn no_two_gaps_in_a_row_are_the_same() {
    let check = check(1, SECOND);
    let mut run = Loop::new(7, std::slice::from_ref(&check));
    run.run_until(SECOND * 50);
    let starts = run.starts_of(&check);
    let gaps: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.windows(2).all(|pair| pair[0] != pair[1]), "{gaps:?}");
}

#[test]
fn a_stalled_loop_starts_each_check_once_and_no_burst_follows() {
    let mut run = Loop::new(3, &many(500, SECOND * 2));
    run.run_until(SECOND * 10);
    run.starts.clear();
    let resumed = SECOND * 25;
    run.pass(resumed);
    assert_eq!(run.starts.len(), 500, "each check once, though seven slots of it passed");
    run.run_until(resumed + SECOND * 31 / 32);
    assert_eq!(run.starts.len(), 500, "none again before half a period");
    run.run_until(resumed + SECOND * 2);
    assert!(run.starts.len() <= 1000, "none a third time within the interval");
}

#[test]
fn a_hastened_check_looks_at_once_when_its_last_probe_is_half_an_interval_ago() {
    let check = check(1, SECOND * 10);
    let plain = starts_when_hastened(7, &check, &[], SECOND * 60);
    let now = plain[2] + SECOND * 5;
    let starts = starts_when_hastened(7, &check, &[now], SECOND * 60);
    assert_eq!(starts[3], now);
    let too_soon = plain[2] + SECOND * 5 - Duration::from_nanos(1);
    let starts = starts_when_hastened(7, &check, &[too_soon], SECOND * 60);
    assert_eq!(starts[3], now, "and otherwise then");
}

#[test]
fn a_check_that_is_due_sooner_is_not_hastened() {
    let check = check(1, SECOND);
    let mut schedule = Schedule::new(0);
    let deadline = schedule.begin(Arc::clone(&check), Duration::ZERO);
    assert_eq!(schedule.hasten(&check, deadline, Duration::ZERO, deadline), None);
    assert_eq!(schedule.next(), Some(deadline));
}

#[test]
fn a_cancelled_check_is_never_due_again() {
    let (one, other) = (check(1, SECOND), check(2, SECOND));
    let mut schedule = Schedule::new(0);
    let deadline = schedule.begin(Arc::clone(&one), Duration::ZERO);
    schedule.begin(Arc::clone(&other), Duration::ZERO);
    schedule.cancel(&one, deadline);
    assert_eq!(schedule.pop(SECOND).map(|(_, check)| check), Some(other));
    assert_eq!(schedule.pop(SECOND), None);
}

#[test]
fn a_check_is_due_at_its_deadline_and_not_before() {
    let mut schedule = Schedule::new(0);
    let deadline = schedule.begin(check(1, SECOND), SECOND);
    assert_eq!(schedule.pop(deadline - Duration::from_nanos(1)), None);
    assert_eq!(schedule.pop(deadline), Some((deadline, check(1, SECOND))));
}

proptest! {
    #[test]
    fn hastening_adds_probes_takes_none_away_and_at_most_doubles_them(
        seed: u64, number in 0u32..1000, mut at in prop::collection::vec(0u64..100_000, 0..200),
    ) {
        at.sort_unstable();
        let at: Vec<_> = at.into_iter().map(Duration::from_millis).collect();
        let check = check(number, SECOND * 10);
        let plain = starts_when_hastened(seed, &check, &[], SECOND * 100);
        let hastened = starts_when_hastened(seed, &check, &at, SECOND * 100);
        prop_assert!(plain.iter().all(|start| hastened.contains(start)), "{plain:?} in {hastened:?}");
        prop_assert!(hastened.len() <= 2 * plain.len());
        for pair in hastened.windows(2).filter(|pair| !plain.contains(&pair[1])) {
            prop_assert!(pair[1] - pair[0] >= SECOND * 5, "{pair:?}");
        }
    }

    #[test]
    fn no_gap_is_longer_than_the_interval_and_none_much_shorter(
        seed: u64, number in 0u32..1000, millis in 1u64..100_000,
    ) {
        let interval = Duration::from_millis(millis);
        let check = check(number, interval);
        let mut run = Loop::new(seed, std::slice::from_ref(&check));
        run.run_until(interval * 50);
        let starts = run.starts_of(&check);
        prop_assert!(starts.len() >= 49);
        prop_assert!(starts[1] - starts[0] <= interval);
        for pair in starts[1..].windows(2) {
            let gap = pair[1] - pair[0];
            prop_assert!(gap <= interval && gap >= interval * 29 / 32, "{gap:?} of {interval:?}");
        }
    }

    #[test]
    fn a_probe_that_takes_long_delays_the_next_no_more_than_it_must(
        seed: u64, number in 0u32..1000, millis in 1u64..5_000,
    ) {
        let check = check(number, SECOND);
        let mut run = Loop::new(seed, std::slice::from_ref(&check));
        run.takes = Duration::from_millis(millis);
        run.run_until(SECOND * 100);
        let starts = run.starts_of(&check);
        prop_assert!(starts[1] - starts[0] <= run.takes + SECOND);
        for pair in starts[1..].windows(2) {
            let gap = pair[1] - pair[0];
            prop_assert!(gap >= run.takes);
            let limit = if run.takes < SECOND * 29 / 32 { SECOND } else { run.takes.max(SECOND * 3 / 2) };
            prop_assert!(gap <= limit, "{gap:?}");
        }
    }

    #[test]
    fn a_silent_death_is_found_within_fall_intervals_and_one_timeout(
        seed: u64, number in 0u32..1000, death in 0u64..20_000, timeout in 0u64..=2000,
    ) {
        let check = check(number, SECOND * 2);
        let death = SECOND + Duration::from_millis(death);
        let mut run = Loop::new(seed, std::slice::from_ref(&check));
        run.run_until(death);
        run.takes = Duration::from_millis(timeout);
        run.run_until(death + SECOND * 10);
        let third = run.starts_of(&check).into_iter().filter(|at| *at > death).nth(2);
        let third = third.expect("three probes");
        prop_assert!(third - death <= SECOND * 6);
    }

    #[test]
    fn however_late_the_loop_is_no_check_comes_twice_within_half_a_period(
        seed: u64, delays in prop::collection::vec(0u64..5_000, 1..200),
    ) {
        let interval = SECOND;
        let checks = many(5, interval);
        let mut run = Loop::new(seed, &checks);
        run.run_until(interval * 2);
        for delay in delays {
            let next = run.schedule.next().expect("checks").max(run.now);
            run.pass(next + Duration::from_millis(delay));
        }
        for check in &checks {
            let starts = run.starts_of(check);
            for pair in starts[1..].windows(2) {
                prop_assert!(pair[1] - pair[0] > interval * 31 / 64 - Duration::from_nanos(1));
            }
        }
    }

    #[test]
    fn every_deadline_is_later_than_now(
        seed: u64, number: u16, interval in nanos(MIN_PERIOD)..=nanos(MAX_PERIOD), now in 0u64..1_000_000_000_000_000,
    ) {
        let interval = Duration::from_nanos(interval);
        let check = check(u32::from(number), interval);
        let now = Duration::from_nanos(now);
        let grid = Grid::of(&check, seed);
        for probed in [Probed::First, Probed::Later(now), Probed::Hastened(now)] {
            let next = grid.next_deadline(probed, now);
            prop_assert!(next > now && next <= now + interval * 2);
        }
    }
}
