//! The task behind a runner.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::snapshot::{LAGS, LATE, Lag, Snapshot, Status, Tally};
use super::{Histogram, Options, Report};
use crate::failure::{Failure, Outcome};
use crate::hold::Hold;
use crate::probe::{Sockets, probe};
use crate::schedule::{Probed, Schedule};
use crate::spec::Check;

/// The shortest time between two warnings that probes cannot be made: there may be thousands of them a second.
const WARNING_GAP: Duration = Duration::from_secs(10);

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
    let mut task = Task::new(options);
    loop {
        task.start_due();
        let told = task.report.is_none();
        let wake = task.wake();
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
            Some(joined) = task.probes.join_next_with_id(), if told => task.ended(joined),
            () = sleep(wake) => {}
        }
    }
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => pending().await,
    }
}

/// Everything that the runner knows.
struct Task {
    origin: Instant,
    max_in_flight: usize,
    sockets: Arc<dyn Sockets>,
    schedule: Schedule,
    entries: BTreeMap<Arc<Check>, Entry>,
    probes: JoinSet<Ended>,
    /// A report for which there was no room yet. While there is one, no probe starts and no result is taken.
    report: Option<Report>,
    kinds: BTreeMap<&'static str, Tally>,
    late: u64,
    lags: Histogram,
    lag: Lag,
    warned: Option<Duration>,
}

/// A wanted check.
struct Entry {
    status: Status,
    hold: Hold,
    phase: Phase,
    /// Whether it is to look once more as soon as it may when the probe under way has ended.
    is_hastened: bool,
}

/// What a check is doing.
enum Phase {
    /// It waits in the schedule. `started`: when its last probe began; none before its first.
    Waiting { deadline: Duration, started: Option<Duration>, is_hastened: bool },
    /// It is being probed, since `started`.
    Probing { probe: AbortHandle, probed: Probed, started: Duration },
}

/// A probe that has ended.
struct Ended {
    check: Arc<Check>,
    outcome: Outcome,
    at: SystemTime,
}

impl Task {
    fn new(options: Options) -> Self {
        Self {
            origin: Instant::now(),
            max_in_flight: options.max_in_flight.get(),
            sockets: options.sockets,
            schedule: Schedule::new(options.seed),
            entries: BTreeMap::new(),
            probes: JoinSet::new(),
            report: None,
            kinds: BTreeMap::new(),
            late: 0,
            lags: Histogram::new(&LAGS),
            lag: Lag::default(),
            warned: None,
        }
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

    /// Makes `wanted` the checks that run.
    fn want(&mut self, wanted: &BTreeSet<Arc<Check>>) {
        let schedule = &mut self.schedule;
        self.entries.retain(|check, entry| {
            let stays = wanted.contains(check);
            if !stays {
                match &entry.phase {
                    Phase::Waiting { deadline, .. } => schedule.cancel(check, *deadline),
                    Phase::Probing { probe, .. } => probe.abort(),
                }
            }
            stays
        });
        self.report.take_if(|report| !wanted.contains(&report.check));
        let now = self.now();
        for check in wanted {
            if !self.entries.contains_key(check) {
                let deadline = self.schedule.begin(Arc::clone(check), now);
                self.entries.insert(Arc::clone(check), Entry::new(deadline));
            }
        }
    }

    /// Starts the probes that are due, as far as the bound allows.
    fn start_due(&mut self) {
        let now = self.now();
        while !self.is_held() {
            let Some((deadline, check)) = self.schedule.pop(now) else { return };
            let Some(entry) = self.entries.get_mut(&check) else { continue };
            let lag = now.saturating_sub(deadline);
            self.lags.record(lag);
            self.lag.record(lag, now);
            self.late += u64::from(lag > LATE);
            let probed = match entry.phase {
                Phase::Waiting { started: None, .. } => Probed::First,
                Phase::Waiting { is_hastened: true, .. } => Probed::Hastened(now),
                Phase::Waiting { .. } | Phase::Probing { .. } => Probed::Later(now),
            };
            let sockets = Arc::clone(&self.sockets);
            let turn = entry.status.results.total();
            let probe = self.probes.spawn(async move {
                let outcome = probe(&check, &*sockets, turn).await;
                Ended { check, outcome, at: SystemTime::now() }
            });
            entry.phase = Phase::Probing { probe, probed, started: now };
        }
    }

    /// Lets these checks look as soon as they may.
    fn hasten(&mut self, checks: &BTreeSet<Arc<Check>>) {
        let now = self.now();
        for check in checks {
            if let Some(entry) = self.entries.get_mut(check) {
                entry.hasten(check, &mut self.schedule, now);
            }
        }
    }

    /// Takes in a probe that has ended.
    fn ended(&mut self, joined: Result<(Id, Ended), JoinError>) {
        match joined {
            Ok((id, ended)) => self.result(id, ended),
            // Its check is no longer wanted.
            Err(error) if error.is_cancelled() => {}
            Err(error) => self.panicked(&error),
        }
    }

    fn result(&mut self, id: Id, ended: Ended) {
        let now = self.now();
        let Ended { check, outcome, at } = ended;
        // The check may have gone while its probe ended, or gone and come again with another probe.
        let Some(entry) = self.entries.get_mut(&check) else { return };
        let (probed, started) = match &entry.phase {
            Phase::Probing { probe, probed, started } if probe.id() == id => (*probed, *started),
            Phase::Probing { .. } | Phase::Waiting { .. } => return,
        };
        let deadline = self.schedule.again(Arc::clone(&check), probed, now);
        entry.phase = Phase::Waiting { deadline, started: Some(started), is_hastened: false };
        if std::mem::take(&mut entry.is_hastened) {
            entry.hasten(&check, &mut self.schedule, now);
        }
        let before = entry.status.state.verdict();
        let outcome = entry.hold.judge(outcome, now);
        let is_told = entry.status.take_in(&check.timing, &outcome, at);
        let (verdict, advice) = (entry.status.state.verdict(), entry.status.advice);
        self.kinds.entry(check.kind.name()).or_default().count(&outcome);
        if let Err(Failure::Local { error }) = &outcome {
            self.warn(&check, error, now);
        }
        if is_told {
            self.report = Some(Report { check, verdict, changed: verdict != before, advice, outcome, at });
        }
    }

    /// A probe's panic is this program's fault and says nothing of the target.
    fn panicked(&mut self, error: &JoinError) {
        let is_its =
            |entry: &Entry| matches!(&entry.phase, Phase::Probing { probe, .. } if probe.id() == error.id());
        let found = self.entries.iter().find(|(_, entry)| is_its(entry));
        let Some(check) = found.map(|(check, _)| Arc::clone(check)) else { return };
        let outcome = Err(Failure::Local { error: error.to_string() });
        self.result(error.id(), Ended { check, outcome, at: SystemTime::now() });
    }

    fn warn(&mut self, check: &Check, error: &str, now: Duration) {
        if self.warned.is_none_or(|before| now >= before + WARNING_GAP) {
            self.warned = Some(now);
            tracing::warn!(%check, error, "a health check cannot be made on this host; its verdict stays as it is");
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        let now = self.now();
        let status = |(check, entry): (&Arc<Check>, &Entry)| (Arc::clone(check), entry.status.clone());
        Snapshot {
            checks: self.entries.iter().map(status).collect(),
            kinds: self.kinds.clone(),
            in_flight: self.probes.len(),
            late: self.late,
            lag: self.lags.clone(),
            lag_max: self.lag.max(now),
        }
    }
}

impl Entry {
    fn new(deadline: Duration) -> Self {
        Self {
            status: Status::new(SystemTime::now()),
            hold: Hold::default(),
            phase: Phase::Waiting { deadline, started: None, is_hastened: false },
            is_hastened: false,
        }
    }

    /// Lets it look as soon as it may; a first probe comes soon anyway.
    fn hasten(&mut self, check: &Arc<Check>, schedule: &mut Schedule, now: Duration) {
        match &mut self.phase {
            Phase::Waiting { deadline, started: Some(started), is_hastened: is_hastened @ false } => {
                if let Some(sooner) = schedule.hasten(check, *deadline, *started, now) {
                    (*deadline, *is_hastened) = (sooner, true);
                }
            }
            Phase::Waiting { .. } => {}
            Phase::Probing { .. } => self.is_hastened = true,
        }
    }
}

#[cfg(test)]
mod tests;
