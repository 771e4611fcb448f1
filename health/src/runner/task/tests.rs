use super::*;
use crate::failure::{Evidence, Found, Stage};
use crate::runner::Results;
use crate::schedule::{CONFIRM_GAP, Deadline, Pace, Place};
use crate::spec::{Idle, Kind, Timing};
use crate::verdict::Verdict;

/// A task with one check, and what that check's set is.
fn task() -> (Task, Arc<Check>, BTreeSet<Arc<Check>>) {
    let timing = Timing::new(Duration::from_secs(2), Duration::from_secs(1), 1, 1).expect("a timing");
    let check = Arc::new(Check::new(([127, 0, 0, 1], 9).into(), Kind::Tcp, timing));
    let wanted = BTreeSet::from([Arc::clone(&check)]);
    let mut task = Task::new(Options::new(1)).0;
    task.want(&wanted);
    (task, check, wanted)
}

impl Task {
    /// Lets the check's probe be `probe`.
    fn probe_by(&mut self, check: &Arc<Check>, probe: impl Future<Output = Ended> + Send + 'static) {
        let number = self.numbers[check];
        let entry = self.entries.get_mut(&number).expect("an entry");
        let Phase::Waiting { deadline, .. } = entry.phase else { panic!("it waits") };
        self.schedule.cancel(deadline, number);
        let probe = self.probes.spawn(probe);
        entry.phase = Phase::Probing { probe, place: Place::First, started: Duration::ZERO };
    }

    /// A probe's end.
    fn end(&self, check: &Arc<Check>, outcome: Outcome) -> Ended {
        Ended { check: self.numbers[check], outcome, at: SystemTime::now(), lag: Duration::ZERO }
    }

    /// One with the target's refusal.
    fn refused(&self, check: &Arc<Check>) -> Ended {
        self.end(check, Err(Failure::Refused))
    }

    /// Takes in the next probe that ends.
    async fn take_in(&mut self) {
        let joined = self.probes.join_next_with_id().await.expect("a probe");
        self.joined(joined);
    }
}

#[tokio::test]
async fn a_probe_that_panics_moves_no_verdict_and_its_check_goes_on() {
    let (mut task, check, _) = task();
    task.probe_by(&check, async { panic!("as the test wants") });
    task.take_in().await;
    assert_eq!(task.report, None);
    assert!(task.schedule.next().is_some(), "it is due again");
    let status = &task.snapshot().checks[&check];
    assert_eq!(status.state, State::NEW);
    assert_eq!(status.results, Results { ok: 0, failed: 0, inconclusive: 1 });
    let last = status.last.as_ref().expect("a result").outcome.as_ref().expect_err("a failure");
    assert!(last.to_string().contains("as the test wants"), "{last}");
}

#[tokio::test]
async fn a_result_from_before_a_check_went_and_came_again_counts_no_more() {
    let (mut task, check, wanted) = task();
    let (done, mut ended) = oneshot::channel();
    let result = task.refused(&check);
    task.probe_by(&check, async {
        done.send(()).expect("the test waits");
        result
    });
    (&mut ended).await.expect("the probe has ended");
    task.want(&BTreeSet::new());
    task.want(&wanted);
    task.probe_by(&check, std::future::pending());
    task.take_in().await;
    assert_eq!(task.report, None);
    let status = &task.snapshot().checks[&check];
    assert_eq!((status.state, status.results), (State::NEW, Results::default()));
    assert_eq!(task.schedule.next(), None, "its new probe is still under way");
}

#[tokio::test]
async fn a_report_for_which_there_was_no_room_goes_with_its_check() {
    let (mut task, check, wanted) = task();
    let result = task.refused(&check);
    task.probe_by(&check, async { result });
    task.take_in().await;
    assert!(task.report.is_some());
    task.want(&wanted);
    assert!(task.report.is_some());
    task.want(&BTreeSet::new());
    assert_eq!(task.report, None);
}

/// A task whose check has been probed at the origin and waits for its slot, and when that is.
async fn waiting_task() -> (Task, Arc<Check>, BTreeSet<Arc<Check>>, Duration) {
    let (mut task, check, wanted) = task();
    let result = task.refused(&check);
    task.probe_by(&check, async { result });
    task.take_in().await;
    task.report = None;
    let slot = task.schedule.next().expect("it waits");
    assert!(slot > Duration::from_secs(1), "{slot:?}: this seed leaves room to hasten");
    (task, check, wanted, slot)
}

#[tokio::test(start_paused = true)]
async fn a_hastened_check_is_probed_after_half_an_interval_and_again_at_its_slot() {
    let (mut task, check, wanted, slot) = waiting_task().await;
    task.hasten(&wanted);
    task.hasten(&wanted);
    assert_eq!(task.schedule.next(), Some(Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    task.start_due();
    let entry = &task.entries[&task.numbers[&check]];
    let Phase::Probing { place, started, .. } = entry.phase else { panic!("it is probed") };
    assert_eq!((place, started), (Place::Between, Duration::from_secs(1)));
    let next = entry.grid.next(place, started, Pace::Regular, started);
    assert_eq!(next, Deadline { at: slot, place: Place::Slot });
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_hastened_while_it_is_probed_looks_again_soon() {
    let (mut task, check, wanted) = task();
    let result = task.refused(&check);
    task.probe_by(&check, async { result });
    task.hasten(&wanted);
    task.take_in().await;
    assert_eq!(task.schedule.next(), Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_check_that_is_not_wanted_is_not_hastened() {
    let (mut task, _, wanted) = task();
    task.want(&BTreeSet::new());
    task.hasten(&wanted);
    assert_eq!(task.schedule.next(), None);
}

#[tokio::test]
async fn silence_after_a_returned_packet_takes_no_server_back_up() {
    let (mut task, check, _) = task();
    let returned = Failure::Returned { error: "port unreachable".to_owned(), hold: Duration::from_secs(60) };
    let silence = Found { evidence: Evidence::Silence, ..Found::default() };
    let outcomes = [Err(returned.clone()), Ok(silence), Ok(Found::default())];
    for (outcome, state) in outcomes.into_iter().zip([
        State::Down { successes: 0 },
        State::Down { successes: 0 },
        State::Up { failures: 0 },
    ]) {
        let ended = task.end(&check, outcome);
        task.probe_by(&check, async { ended });
        task.take_in().await;
        task.report = None;
        assert_eq!(task.snapshot().checks[&check].state, state);
    }
}

/// When a check looks next.
fn next_look(task: &Task, check: &Arc<Check>) -> Duration {
    let Phase::Waiting { deadline, .. } = task.entries[&task.numbers[check]].phase else {
        panic!("it waits")
    };
    deadline.at
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_lets_the_other_checks_of_its_target_look_sooner() {
    let (mut task, check, mut wanted, slot) = waiting_task().await;
    let idle = Kind::Idle(Idle::default());
    let idle = Arc::new(Check::new(check.target, idle, check.timing));
    wanted.insert(Arc::clone(&idle));
    task.want(&wanted);
    assert_eq!(next_look(&task, &check), slot);
    let broken = Err(Failure::Reset { stage: Stage::Holding });
    task.kept(Told { number: task.numbers[&idle], outcome: broken, at: SystemTime::now() });
    assert_eq!(task.report.take().map(|report| report.verdict), Some(Verdict::Down));
    assert_eq!(next_look(&task, &check), Duration::from_secs(1));
    task.want(&BTreeSet::new());
    assert!(task.targets.is_empty());
}

/// A reset, and what ICMP says, of a connection's packet and of a datagram.
fn signs() -> [Failure; 3] {
    let error = || "No route to host".to_owned();
    [
        Failure::Refused,
        Failure::Unreachable { error: error() },
        Failure::Returned { error: error(), hold: Duration::ZERO },
    ]
}

#[tokio::test(start_paused = true)]
async fn a_target_that_refuses_one_check_is_looked_at_by_its_others_and_no_other_target_is() {
    for sign in signs() {
        let (mut task, check, mut wanted, slot) = waiting_task().await;
        let like = |target| Arc::new(Check::new(target, Kind::Tcp, Timing::default()));
        let (one, elsewhere) = (like(check.target), like(([127, 0, 0, 2], 9).into()));
        wanted.extend([Arc::clone(&one), Arc::clone(&elsewhere)]);
        task.want(&wanted);
        let before = next_look(&task, &elsewhere);
        task.probe_by(&one, std::future::pending());
        let up = task.end(&one, Ok(Found::default()));
        task.ended(up);
        task.report = None;
        assert_eq!(next_look(&task, &check), slot);
        task.probe_by(&one, std::future::pending());
        let refused = task.end(&one, Err(sign.clone()));
        task.ended(refused);
        assert_eq!(task.report, None, "one of three");
        assert_eq!(next_look(&task, &one), CONFIRM_GAP, "{sign}");
        assert_eq!(next_look(&task, &check), Duration::from_secs(1), "{sign}");
        assert_eq!(next_look(&task, &elsewhere), before);
    }
}

#[tokio::test]
async fn a_task_that_keeps_a_connection_and_panics_is_started_again() {
    let (mut task, check, _) = task();
    let number = task.numbers[&check];
    let entry = task.entries.get_mut(&number).expect("an entry");
    let Phase::Waiting { deadline, .. } = entry.phase else { panic!("it waits") };
    task.schedule.cancel(deadline, number);
    entry.phase = Phase::Keeping { keeper: task.keepers.spawn(async { panic!("as the test wants") }) };
    let error = task.keepers.join_next().await.expect("a task").expect_err("a panic");
    task.panicked(&error);
    assert!(task.schedule.next().is_some(), "it is due again");
    assert_eq!(task.snapshot().checks[&check].state, State::NEW);
}
