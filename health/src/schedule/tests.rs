use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::spec::{Kind, MAX_PERIOD, MIN_PERIOD, Timing};

const SECOND: Duration = Duration::from_secs(1);

fn check(number: u32, interval: Duration) -> Arc<Check> {
    let timing = Timing::new(interval, interval, 3, 2).expect("a valid timing");
    let address = std::net::Ipv4Addr::from(0x0a00_0000 + number);
    Arc::new(Check::new((address, 80).into(), Kind::Tcp, timing))
}

/// A loop on a virtual clock: every start, in order.
struct Loop {
    schedule: Schedule<usize>,
    checks: Vec<(Arc<Check>, Grid)>,
    now: Duration,
    /// How long each probe takes.
    takes: Duration,
    pace: Pace,
    waiting: Vec<Deadline>,
    starts: Vec<(Duration, usize)>,
}

impl Loop {
    fn new(seed: u64, checks: &[Arc<Check>]) -> Self {
        let checks: Vec<_> = checks.iter().map(|check| (Arc::clone(check), Grid::new(check, seed))).collect();
        let waiting: Vec<_> = checks.iter().map(|(_, grid)| grid.first(Duration::ZERO)).collect();
        let mut schedule = Schedule::new();
        waiting.iter().enumerate().for_each(|(number, deadline)| schedule.enter(*deadline, number));
        let (now, takes, starts) = (Duration::ZERO, Duration::ZERO, Vec::new());
        Self { schedule, checks, now, takes, pace: Pace::Regular, waiting, starts }
    }

    /// Starts all that is due at `now`.
    fn pass(&mut self, now: Duration) {
        self.now = now;
        while let Some(number) = self.schedule.pop(now) {
            self.starts.push((now, number));
            let grid = self.checks[number].1;
            let deadline = grid.next(self.waiting[number].place, now, self.pace, now + self.takes);
            self.schedule.enter(deadline, number);
            self.waiting[number] = deadline;
        }
    }

    /// Wakes exactly at each deadline until `end`.
    fn run_until(&mut self, end: Duration) {
        while let Some(next) = self.schedule.next().filter(|next| *next < end) {
            self.pass(next);
        }
        self.now = end;
    }

    fn started(&self) -> usize {
        self.starts.iter().map(|(_, number)| number).collect::<BTreeSet<_>>().len()
    }

    fn starts_of(&self, check: usize) -> Vec<Duration> {
        self.starts.iter().filter(|(_, number)| *number == check).map(|(at, _)| *at).collect()
    }
}

/// When one check's probes begin until `end`, when it is hastened at each of these times.
fn starts_when_hastened(seed: u64, check: &Check, at: &[Duration], end: Duration) -> Vec<Duration> {
    let grid = Grid::new(check, seed);
    let mut deadline = grid.first(Duration::ZERO);
    let mut starts = Vec::new();
    let mut at = at.iter().copied().peekable();
    loop {
        while let Some(now) = at.next_if(|now| *now <= deadline.at) {
            let waiting_since = starts.last().filter(|_| deadline.place == Place::Slot);
            let sooner = waiting_since.and_then(|started| grid.hastened(deadline, *started, now));
            deadline = sooner.unwrap_or(deadline);
        }
        if deadline.at >= end {
            return starts;
        }
        starts.push(deadline.at);
        deadline = grid.next(deadline.place, deadline.at, Pace::Regular, deadline.at);
    }
}

fn many(count: u32, interval: Duration) -> Vec<Arc<Check>> {
    (0..count).map(|number| check(number, interval)).collect()
}

/// When the `fall`-th probe after its server's death begins, and when that died, in ms from a second on; probes take
/// `takes` from then on.
fn nth_after_death(
    seed: u64,
    number: u32,
    death: u64,
    takes: Duration,
    pace: Pace,
    fall: usize,
) -> (Duration, Duration) {
    let check = check(number, SECOND * 2);
    let death = SECOND + Duration::from_millis(death);
    let mut run = Loop::new(seed, std::slice::from_ref(&check));
    run.run_until(death);
    (run.takes, run.pace) = (takes, pace);
    run.run_until(death + SECOND * 30);
    let nth = run.starts_of(0).into_iter().filter(|at| *at >= death).nth(fall - 1);
    (nth.expect("as many probes"), death)
}

#[test]
fn first_probes_come_within_200_ms_and_are_spread_over_them() {
    let mut run = Loop::new(7, &many(1000, SECOND * 10));
    run.run_until(FIRST_SPREAD);
    assert_eq!(run.started(), 1000);
    let early = run.starts.iter().filter(|(at, _)| *at < FIRST_SPREAD / 2).count();
    assert!((400..=600).contains(&early), "{early} of 1000 in the first half");
}

#[test]
fn first_probes_of_a_short_interval_come_within_that_interval() {
    let interval = Duration::from_millis(20);
    let mut run = Loop::new(7, &many(100, interval));
    run.run_until(interval);
    assert_eq!(run.started(), 100);
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
    let apart = |a: &Vec<(Duration, usize)>, b: &Vec<(Duration, usize)>| {
        let phase = |starts: &Vec<(Duration, usize)>, check| {
            starts.iter().rev().find(|(_, number)| *number == check).map(|(at, _)| at.as_millis())
        };
        (0..checks.len()).filter(|check| phase(a, *check) != phase(b, *check)).count()
    };
    assert!(apart(&starts(1), &starts(2)) > 90);
}

#[test]
fn no_two_gaps_in_a_row_are_the_same() {
    let check = check(1, SECOND);
    let mut run = Loop::new(7, std::slice::from_ref(&check));
    run.run_until(SECOND * 50);
    let starts = run.starts_of(0);
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
    run.run_until(resumed + SECOND * 7 / 8);
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
    let grid = Grid::new(&check(1, SECOND), 0);
    let deadline = grid.first(Duration::ZERO);
    assert_eq!(grid.hastened(deadline, Duration::ZERO, deadline.at), None);
}

#[test]
fn a_cancelled_check_is_never_due_again() {
    let (one, other) = (deadline_at(SECOND / 3), deadline_at(SECOND / 2));
    let mut schedule = Schedule::new();
    schedule.enter(one, 1);
    schedule.enter(other, 2);
    schedule.cancel(one, 1);
    assert_eq!(schedule.pop(SECOND), Some(2));
    assert_eq!(schedule.pop(SECOND), None);
}

#[test]
fn a_check_is_due_at_its_deadline_and_not_before() {
    let mut schedule = Schedule::new();
    schedule.enter(deadline_at(SECOND), 1);
    assert_eq!(schedule.pop(SECOND - Duration::from_nanos(1)), None);
    assert_eq!(schedule.pop(SECOND), Some(1));
}

fn deadline_at(at: Duration) -> Deadline {
    Deadline { at, place: Place::Slot }
}

#[test]
fn a_refusal_is_confirmed_after_a_short_gap_and_silence_after_the_fast_interval() {
    let grid = Grid::new(&check(1, SECOND * 60), 7);
    let slot = grid.next(Place::First, SECOND, Pace::Regular, SECOND);
    assert!(slot.at > SECOND * 6, "{slot:?}: this seed leaves room");
    let after = |pace, started, now| grid.next(Place::First, started, pace, now);
    let between = |at| Deadline { at, place: Place::Between };
    assert_eq!(after(Pace::AtOnce, SECOND, SECOND), between(SECOND + CONFIRM_GAP));
    assert_eq!(after(Pace::Confirming, SECOND, SECOND), between(SECOND * 2));
    assert_eq!(after(Pace::Confirming, SECOND, SECOND * 5), between(SECOND * 5), "a long probe");
    let late = slot.at - Duration::from_millis(5);
    assert_eq!(after(Pace::AtOnce, late, late), slot, "the slot is sooner");
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
        let starts = run.starts_of(0);
        prop_assert!(starts.len() >= 49);
        prop_assert!(starts[1] - starts[0] <= interval);
        for pair in starts[1..].windows(2) {
            let gap = pair[1] - pair[0];
            prop_assert!(gap <= interval && gap >= interval * 23 / 32, "{gap:?} of {interval:?}");
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
        let starts = run.starts_of(0);
        prop_assert!(starts[1] - starts[0] <= run.takes + SECOND);
        for pair in starts[1..].windows(2) {
            let gap = pair[1] - pair[0];
            prop_assert!(gap >= run.takes);
            let limit = if run.takes < SECOND * 23 / 32 { SECOND } else { run.takes.max(SECOND * 3 / 2) };
            prop_assert!(gap <= limit, "{gap:?}");
        }
    }

    #[test]
    fn a_silent_death_is_found_within_the_bound(
        seed: u64, number in 0u32..1000, death in 0u64..20_000, timeout in 0u64..=2000, fall in 1usize..6,
    ) {
        let timeout = Duration::from_millis(timeout);
        let (third, death) = nth_after_death(seed, number, death, timeout, Pace::Confirming, fall);
        let each = timeout.max(SECOND);
        prop_assert!(third + timeout - death <= SECOND * 2 + each * fall as u32);
    }

    #[test]
    fn a_closed_port_is_found_within_the_bound(
        seed: u64, number in 0u32..1000, death in 0u64..20_000, fall in 1usize..6,
    ) {
        let trip = Duration::from_millis(1);
        let (third, death) = nth_after_death(seed, number, death, trip, Pace::AtOnce, fall);
        prop_assert!(third + trip - death <= SECOND * 2 + (CONFIRM_GAP + trip) * fall as u32);
    }

    #[test]
    fn confirming_takes_no_slot_away(
        seed: u64, number in 0u32..1000, from in 0u64..20_000, at_once: bool,
    ) {
        let check = check(number, SECOND * 2);
        let mut plain = Loop::new(seed, std::slice::from_ref(&check));
        plain.run_until(SECOND * 40);
        let mut fast = Loop::new(seed, std::slice::from_ref(&check));
        fast.run_until(Duration::from_millis(from));
        fast.pace = if at_once { Pace::AtOnce } else { Pace::Confirming };
        fast.run_until(Duration::from_millis(from) + SECOND * 10);
        fast.pace = Pace::Regular;
        fast.run_until(SECOND * 40);
        let starts = fast.starts_of(0);
        prop_assert!(plain.starts_of(0).iter().all(|start| starts.contains(start)));
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
        for check in 0..checks.len() {
            let starts = run.starts_of(check);
            for pair in starts[1..].windows(2) {
                prop_assert!(pair[1] - pair[0] > interval * 7 / 16 - Duration::from_nanos(1));
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
        let grid = Grid::new(&check, seed);
        for place in [Place::First, Place::Slot, Place::Between] {
            for pace in [Pace::Regular, Pace::Confirming, Pace::AtOnce] {
                let next = grid.next(place, now, pace, now).at;
                prop_assert!(next > now && next <= now + interval * 2);
            }
        }
    }
}
