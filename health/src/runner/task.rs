//! The task behind a runner.

mod entry;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::keeper::{Keeper, Told};
use super::snapshot::{Kept, LAGS, LATE, Lag, Snapshot, Tally};
use super::{Histogram, Options, Report};
use crate::failure::{Failure, Outcome};
use crate::probe::{Sockets, probe};
use crate::schedule::{Grid, Place, Schedule};
use crate::spec::{Check, Kind};
use crate::verdict::State;
use entry::{Entry, Phase};

/// The shortest time between two warnings that probes cannot be made: there may be thousands of them a second.
const WARNING_GAP: Duration = Duration::from_secs(10);

/// Results that are taken in before due probes start: enough to spare most turns of the loop when it is busy, few enough
/// to take well under a millisecond.
const BATCH: usize = 64;

/// Results of kept connections that wait to be taken in; the connections' tasks wait while there is no room.
const TOLD: usize = 256;

/// What a runner is asked for: the wanted checks, checks that are to look at once, snapshots.
type Requests = (
    watch::Receiver<Arc<BTreeSet<Arc<Check>>>>,
    mpsc::Receiver<BTreeSet<Arc<Check>>>,
    mpsc::Receiver<oneshot::Sender<Snapshot>>,
);

/// Runs until the runner or the reader of its reports is gone.
pub(super) async fn run(
    options: Options,
    (mut wanted, mut hastes, mut questions): Requests,
    reports: mpsc::Sender<Report>,
) {
    let (mut task, mut told_rx) = Task::new(options);
    let mut alarm = std::pin::pin!(sleep_until(Instant::now()));
    loop {
        if !task.tell(&reports) {
            return;
        }
        task.start_due();
        let told = task.report.is_none();
        let wake = task.wake();
        if let Some(wake) = wake.filter(|wake| *wake != alarm.deadline()) {
            alarm.as_mut().reset(wake);
        }
        // Cancel-safe: changed, recv, reserve, closed, join_next_with_id and sleep lose nothing when dropped.
        // The order puts obeying before answering, and both before results.
        tokio::select! {
            biased;
            changed = wanted.changed() => match changed {
                Ok(()) => { let set = Arc::clone(&wanted.borrow_and_update()); task.want(&set); }
                Err(_) => return,
            },
            Some(checks) = hastes.recv() => task.hasten(&checks),
            Some(answer) = questions.recv() => drop(answer.send(task.snapshot())),
            room = reports.reserve(), if !told => match (room, task.report.take()) {
                (Ok(room), Some(report)) => room.send(report),
                (Ok(_), None) => {}
                (Err(_), _) => return,
            },
            () = reports.closed(), if told => return,
            Some(told) = told_rx.recv(), if told => task.kept(told),
            Some(Err(error)) = task.keepers.join_next(), if told => task.panicked(&error),
            Some(joined) = task.probes.join_next_with_id(), if told => task.all_ended(joined),
            () = &mut alarm, if wake.is_some() => {}
        }
    }
}

/// What the task calls a check. A check that goes and comes again gets another, so nothing is taken for its own that
/// was meant for the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Number(u64);

/// Everything that the runner knows.
struct Task {
    origin: Instant,
    seed: u64,
    max_in_flight: usize,
    sockets: Arc<dyn Sockets>,
    schedule: Schedule<Number>,
    numbers: BTreeMap<Arc<Check>, Number>,
    /// The checks of each target, for when a connection to it breaks.
    targets: HashMap<SocketAddr, Vec<Number>>,
    next_number: u64,
    /// Boxed: the table has more room than entries, and moves them when it grows.
    entries: HashMap<Number, Box<Entry>>,
    probes: JoinSet<Ended>,
    /// The tasks that keep connections, and where they tell what becomes of these.
    keepers: JoinSet<()>,
    told: mpsc::Sender<Told<Number>>,
    /// One for each connection that may be kept.
    places: Arc<Semaphore>,
    max_kept: usize,
    /// A report for which there was no room yet. While there is one, no probe starts and no result is taken.
    report: Option<Report>,
    kinds: BTreeMap<&'static str, Tally>,
    late: u64,
    lags: Histogram,
    lag: Lag,
    warned: Option<Duration>,
}

/// A probe that has ended.
struct Ended {
    check: Number,
    outcome: Outcome,
    at: SystemTime,
    /// How long after its deadline it began.
    lag: Duration,
}

impl Task {
    /// Everything, and where the tasks that keep connections tell what becomes of these.
    fn new(options: Options) -> (Self, mpsc::Receiver<Told<Number>>) {
        let (told, told_rx) = mpsc::channel(TOLD);
        let max_kept = options.max_kept.min(Semaphore::MAX_PERMITS);
        let task = Self {
            origin: Instant::now(),
            seed: options.seed,
            max_in_flight: options.max_in_flight.get(),
            sockets: options.sockets,
            schedule: Schedule::new(),
            numbers: BTreeMap::new(),
            next_number: 0,
            entries: HashMap::new(),
            targets: HashMap::new(),
            probes: JoinSet::new(),
            keepers: JoinSet::new(),
            told,
            places: Arc::new(Semaphore::new(max_kept)),
            max_kept,
            report: None,
            kinds: BTreeMap::new(),
            late: 0,
            lags: Histogram::new(&LAGS),
            lag: Lag::default(),
            warned: None,
        };
        (task, told_rx)
    }

    /// The time on the schedule's clock.
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// When the next probe can start, unless a result or room for a report comes first.
    fn wake(&self) -> Option<Instant> {
        if self.is_held() { None } else { self.schedule.next().map(|deadline| self.origin + deadline) }
    }

    fn is_held(&self) -> bool {
        self.report.is_some() || self.probes.len() >= self.max_in_flight
    }

    /// Sends the report if there is room; whether there is still a reader.
    fn tell(&mut self, reports: &mpsc::Sender<Report>) -> bool {
        let Some(report) = self.report.take() else { return true };
        match reports.try_send(report) {
            Ok(()) => true,
            Err(TrySendError::Full(report)) => {
                self.report = Some(report);
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }

    /// Makes `wanted` the checks that run.
    fn want(&mut self, wanted: &BTreeSet<Arc<Check>>) {
        let (schedule, entries, targets) = (&mut self.schedule, &mut self.entries, &mut self.targets);
        self.numbers.retain(|check, number| {
            let stays = wanted.contains(check);
            if !stays && let Some(entry) = entries.remove(number) {
                match entry.phase {
                    Phase::Waiting { deadline, .. } => schedule.cancel(deadline, *number),
                    Phase::Probing { probe, .. } => probe.abort(),
                    Phase::Keeping { keeper } => keeper.abort(),
                }
                if let Some(others) = targets.get_mut(&check.target) {
                    others.retain(|other| other != number);
                }
            }
            stays
        });
        targets.retain(|_, checks| !checks.is_empty());
        self.report.take_if(|report| !wanted.contains(&report.check));
        let now = self.now();
        for check in wanted {
            if !self.numbers.contains_key(check) {
                self.begin(check, now);
            }
        }
    }

    fn begin(&mut self, check: &Arc<Check>, now: Duration) {
        let number = Number(self.next_number);
        self.next_number += 1;
        let grid = Grid::new(check, self.seed);
        let deadline = grid.first(now);
        self.schedule.enter(deadline, number);
        self.targets.entry(check.target).or_default().push(number);
        self.numbers.insert(Arc::clone(check), number);
        self.entries.insert(number, Box::new(Entry::new(Arc::clone(check), grid, deadline)));
    }

    /// Starts the probes that are due, as far as the bound allows.
    fn start_due(&mut self) {
        let now = self.now();
        while !self.is_held() {
            let Some(number) = self.schedule.pop(now) else { return };
            let Some(entry) = self.entries.get_mut(&number) else { continue };
            let Phase::Waiting { deadline, .. } = entry.phase else { continue };
            let (check, sockets) = (Arc::clone(&entry.check), Arc::clone(&self.sockets));
            if let Kind::Idle(idle) = check.kind {
                let keeper = Keeper {
                    number,
                    check,
                    idle,
                    sockets,
                    places: Arc::clone(&self.places),
                    max_kept: self.max_kept,
                    seed: entry.grid.hash(),
                    told: self.told.clone(),
                };
                entry.phase = Phase::Keeping { keeper: self.keepers.spawn(keeper.keep()) };
                continue;
            }
            let (due, turn) = (self.origin + deadline.at, entry.status.results.total());
            let probe = self.probes.spawn(async move {
                let lag = due.elapsed();
                let outcome = probe(&check, &*sockets, turn).await;
                Ended { check: number, outcome, at: SystemTime::now(), lag }
            });
            entry.phase = Phase::Probing { probe, place: deadline.place, started: now };
        }
    }

    /// Lets these checks look as soon as they may.
    fn hasten(&mut self, checks: &BTreeSet<Arc<Check>>) {
        let now = self.now();
        for check in checks {
            let Some(number) = self.numbers.get(check) else { continue };
            if let Some(entry) = self.entries.get_mut(number) {
                entry.hasten(*number, &mut self.schedule, now);
            }
        }
    }

    /// Takes in a probe that has ended and others that have too.
    fn all_ended(&mut self, first: Result<(Id, Ended), JoinError>) {
        self.joined(first);
        for _ in 1..BATCH {
            if self.report.is_some() {
                return;
            }
            let Some(joined) = self.probes.try_join_next_with_id() else { return };
            self.joined(joined);
        }
    }

    fn joined(&mut self, joined: Result<(Id, Ended), JoinError>) {
        match joined {
            Ok((_, ended)) => self.ended(ended),
            // Its check is no longer wanted.
            Err(error) if error.is_cancelled() => {}
            Err(error) => self.panicked(&error),
        }
    }

    fn ended(&mut self, ended: Ended) {
        self.lags.record(ended.lag);
        self.lag.record(ended.lag, self.now());
        self.late += u64::from(ended.lag > LATE);
        let entry = self.entries.get(&ended.check);
        // The check may have gone while its probe ended.
        if let Some(Phase::Probing { place, started, .. }) = entry.map(|entry| &entry.phase) {
            self.probed(ended.check, (*place, *started), ended.outcome, ended.at);
        }
    }

    /// Takes in the result of a probe that was at `place` and began at `started`; the check waits for the next.
    fn probed(
        &mut self,
        number: Number,
        (place, started): (Place, Duration),
        outcome: Outcome,
        at: SystemTime,
    ) {
        let now = self.now();
        let Some(entry) = self.entries.get_mut(&number) else { return };
        let outcome = entry.hold.judge(outcome, now);
        let was_up = entry.status.state == State::Up { failures: 0 };
        self.report = entry.take_in(&outcome, at);
        let deadline = entry.grid.next(place, started, entry.status.state.pace(&outcome), now);
        self.schedule.enter(deadline, number);
        entry.phase = Phase::Waiting { deadline, started: Some(started) };
        if std::mem::take(&mut entry.is_hastened) {
            entry.hasten(number, &mut self.schedule, now);
        }
        self.count(number, &outcome, now);
        if was_up && outcome.is_err_and(|failure| failure.is_conclusive()) {
            self.hasten_others(number, now);
        }
    }

    /// Takes in a kept connection's result.
    fn kept(&mut self, told: Told<Number>) {
        let now = self.now();
        let Some(entry) = self.entries.get_mut(&told.number) else { return };
        self.report = entry.take_in(&told.outcome, told.at);
        self.count(told.number, &told.outcome, now);
        if told.outcome.is_err_and(|failure| !failure.is_inconclusive()) {
            self.hasten_others(told.number, now);
        }
    }

    /// Lets the other checks of a check's target look: it has just refused, or a connection to it broke.
    fn hasten_others(&mut self, number: Number, now: Duration) {
        let target = self.entries.get(&number).and_then(|entry| self.targets.get(&entry.check.target));
        for other in target.into_iter().flatten().filter(|other| **other != number) {
            if let Some(entry) = self.entries.get_mut(other) {
                entry.hasten(*other, &mut self.schedule, now);
            }
        }
    }

    fn count(&mut self, number: Number, outcome: &Outcome, now: Duration) {
        let Some(entry) = self.entries.get(&number) else { return };
        self.kinds.entry(entry.check.kind.name()).or_default().count(outcome);
        if let Err(Failure::Local { error }) = outcome {
            warn(&mut self.warned, &entry.check, error, now);
        }
    }

    /// A panic is this program's fault and says nothing of the target. What was to keep a connection is started again at
    /// the check's next slot.
    fn panicked(&mut self, error: &JoinError) {
        let now = self.now();
        let found = self.entries.iter().find_map(|(number, entry)| match &entry.phase {
            Phase::Probing { probe, place, started } if probe.id() == error.id() => {
                Some((*number, (*place, *started)))
            }
            Phase::Keeping { keeper } if keeper.id() == error.id() => Some((*number, (Place::Slot, now))),
            Phase::Waiting { .. } | Phase::Probing { .. } | Phase::Keeping { .. } => None,
        });
        let Some((number, probed)) = found else { return };
        self.probed(number, probed, Err(Failure::Local { error: error.to_string() }), SystemTime::now());
    }

    fn snapshot(&mut self) -> Snapshot {
        let now = self.now();
        let entries = &self.entries;
        let status = |(check, number): (&Arc<Check>, &Number)| {
            entries.get(number).map(|entry| (Arc::clone(check), entry.status.clone()))
        };
        Snapshot {
            checks: self.numbers.iter().filter_map(status).collect(),
            kinds: self.kinds.clone(),
            in_flight: self.probes.len(),
            kept: Kept { open: self.max_kept - self.places.available_permits(), limit: self.max_kept },
            late: self.late,
            lag: self.lags.clone(),
            lag_max: self.lag.max(now),
        }
    }
}

/// Says that a probe cannot be made, unless that has just been said.
fn warn(warned: &mut Option<Duration>, check: &Check, error: &str, now: Duration) {
    if warned.is_none_or(|before| now >= before + WARNING_GAP) {
        *warned = Some(now);
        tracing::warn!(%check, error, "a health check cannot be made on this host; its verdict stays as it is");
    }
}

#[cfg(test)]
mod tests;
