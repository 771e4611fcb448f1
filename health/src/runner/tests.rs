use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::timeout;

use super::*;
use crate::failure::{Failure, Stage};
use crate::servers;
use crate::spec::{HttpRequest, Kind, Timing};
use crate::verdict::State;

/// How long a test waits for what must come, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(20);

const OFTEN: Duration = Duration::from_millis(20);

fn timing(interval: Duration, fall: u32, rise: u32) -> Timing {
    Timing::new(interval, PATIENCE * 10, fall, rise).expect("a valid timing")
}

fn tcp(target: SocketAddr, timing: Timing) -> Arc<Check> {
    Arc::new(Check::new(target, Kind::Tcp, timing))
}

fn http(target: SocketAddr, timing: Timing) -> Arc<Check> {
    let request = HttpRequest::get("/").expect("a valid request");
    Arc::new(Check::new(target, Kind::Http(request), timing))
}

fn set<const N: usize>(checks: [&Arc<Check>; N]) -> BTreeSet<Arc<Check>> {
    checks.into_iter().map(Arc::clone).collect()
}

/// TCP checks of as many addresses of 127.0.0.0/8, all answered by one server.
fn everywhere(
    server: &servers::Server,
    numbers: std::ops::Range<u32>,
    timing: Timing,
) -> BTreeSet<Arc<Check>> {
    let address = |number| std::net::Ipv4Addr::from(0x7f01_0000 + number);
    numbers.map(|number| tcp((address(number), server.address.port()).into(), timing)).collect()
}

async fn next(reports: &mut Receiver<Report>) -> Report {
    timeout(PATIENCE, reports.recv()).await.expect("a report in time").expect("a running runner")
}

/// Waits until a snapshot is as wanted.
async fn until(runner: &Runner, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let wait = async {
        loop {
            let snapshot = runner.snapshot().await.expect("a running runner");
            if wanted(&snapshot) {
                return snapshot;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("the state in time")
}

#[tokio::test]
async fn a_server_that_fails_goes_down_with_its_reason_and_comes_back() {
    let status = Arc::new(AtomicU16::new(200));
    let server = servers::with_status(Arc::clone(&status)).await;
    let check = http(server.address, timing(OFTEN, 3, 2));
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    runner.set(set([&check]));

    let report = next(&mut reports).await;
    assert_eq!((report.verdict, report.changed, &report.check), (Verdict::Up, true, &check));
    assert!(report.outcome.is_ok());

    status.store(503, Ordering::SeqCst);
    let report = next(&mut reports).await;
    assert_eq!((report.verdict, report.changed), (Verdict::Down, true));
    let failure = report.outcome.expect_err("a reason");
    assert_eq!(failure.to_string(), "HTTP status 503, expected 200-299");
    let down = until(&runner, |snapshot| snapshot.checks[&check].results.failed >= 3).await;
    assert_eq!(down.checks[&check].since, report.at);

    status.store(200, Ordering::SeqCst);
    let report = next(&mut reports).await;
    assert_eq!((report.verdict, report.changed), (Verdict::Up, true));
    let up = until(&runner, |_| true).await;
    assert_eq!(up.checks[&check].since, report.at);
    let http = &up.kinds["http"];
    assert_eq!(http.results, up.checks[&check].results);
    assert!(http.results.failed >= 3 && http.results.ok >= 3);
    assert_eq!(http.failures["status"], http.results.failed);
    assert_eq!(http.latency.count(), http.results.ok);
    let verdicts: Vec<_> = up.checks[&check].history.iter().map(|change| change.verdict).collect();
    assert_eq!(verdicts, [Verdict::Up, Verdict::Down, Verdict::Up]);
}

#[tokio::test]
async fn the_first_failure_is_told_once_and_the_verdict_after_fall_of_them() {
    let closed = servers::closed();
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    runner.set(set([&tcp(closed.address, timing(OFTEN, 3, 2))]));
    let first = next(&mut reports).await;
    assert_eq!((first.verdict, first.changed), (Verdict::Unknown, false));
    assert_eq!(first.outcome, Err(Failure::Refused));
    let second = next(&mut reports).await;
    assert_eq!((second.verdict, second.changed), (Verdict::Down, true));
}

#[tokio::test]
async fn a_silent_server_fails_at_the_timeout() {
    let server = servers::silent().await;
    let after = Duration::from_millis(50);
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    runner.set(set([&http(server.address, Timing::new(OFTEN, after, 1, 1).expect("a timing"))]));
    let report = next(&mut reports).await;
    assert_eq!(report.verdict, Verdict::Down);
    assert_eq!(report.outcome, Err(Failure::Timeout { after, stage: Stage::AwaitingAnswer }));
}

#[tokio::test]
async fn a_check_that_stays_keeps_its_state_when_others_come_and_go() {
    let server = servers::silent().await;
    let stays = tcp(server.address, timing(OFTEN, 3, 2));
    let other = tcp(server.address, timing(OFTEN * 2, 3, 2));
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    runner.set(set([&stays]));
    let first = next(&mut reports).await;
    let before = until(&runner, |snapshot| snapshot.checks[&stays].results.ok >= 3).await;

    runner.set(set([&stays, &other]));
    assert_eq!(next(&mut reports).await.check, other, "only the new one is told of");
    runner.set(set([&Arc::new(Check::clone(&stays))]));
    let after = until(&runner, |snapshot| snapshot.checks.len() == 1).await;
    let (before, after) = (&before.checks[&stays], &after.checks[&stays]);
    assert_eq!((after.state, after.since), (State::Up { failures: 0 }, first.at));
    assert!(after.results.ok >= before.results.ok);
    let later = until(&runner, |snapshot| snapshot.checks[&stays].results.ok > after.results.ok + 3).await;
    assert_eq!(later.checks[&stays].since, first.at);
    assert_eq!(reports.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test]
async fn a_check_that_goes_is_neither_probed_nor_told_of_any_more() {
    let server = servers::silent().await;
    let check = tcp(server.address, timing(OFTEN, 1, 1));
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    runner.set(set([&check]));
    next(&mut reports).await;
    runner.set(BTreeSet::new());
    let gone = until(&runner, |snapshot| snapshot.in_flight == 0).await;
    assert!(gone.checks.is_empty());

    let elsewhere = servers::silent().await;
    let other = tcp(elsewhere.address, timing(OFTEN, 1, 1));
    runner.set(set([&other]));
    until(&runner, |snapshot| snapshot.checks[&other].results.ok >= 5).await;
    let probes = server.accepted();
    until(&runner, |snapshot| snapshot.checks[&other].results.ok >= 15).await;
    assert_eq!(server.accepted(), probes);
    assert_eq!(next(&mut reports).await.check, other);
    assert_eq!(reports.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test]
async fn a_probe_under_way_ends_when_its_check_goes() {
    let server = servers::silent().await;
    let check = http(server.address, timing(OFTEN, 1, 1));
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    runner.set(set([&check]));
    until(&runner, |_| server.open() == 1).await;
    runner.set(BTreeSet::new());
    until(&runner, |snapshot| snapshot.in_flight == 0 && server.open() == 0).await;
    assert_eq!(reports.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test]
async fn a_check_that_comes_again_begins_anew() {
    let server = servers::silent().await;
    let check = tcp(server.address, timing(OFTEN, 3, 2));
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    for _ in 0..3 {
        runner.set(set([&check]));
        let report = next(&mut reports).await;
        assert_eq!((report.verdict, report.changed), (Verdict::Up, true));
        runner.set(BTreeSet::new());
        until(&runner, |snapshot| snapshot.checks.is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_checks_all_get_their_first_result() {
    let server = servers::at_every_loopback_address().await;
    let checks = everywhere(&server, 0..2000, timing(Duration::from_secs(2), 3, 2));
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    runner.set(checks.clone());
    let mut up = BTreeSet::new();
    while up.len() < checks.len() {
        let report = next(&mut reports).await;
        assert_eq!((report.verdict, report.changed), (Verdict::Up, true), "{:?}", report.outcome);
        assert!(up.insert(report.check), "each is told of once");
    }
    assert_eq!(up, checks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_is_lost_when_thousands_change_at_once_and_nobody_reads() {
    let server = servers::at_every_loopback_address().await;
    let often = timing(Duration::from_secs(1), 3, 2);
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    for start in [0, 500, 1000, 1500] {
        runner.set(everywhere(&server, start..start + 3000, often));
        until(&runner, |snapshot| snapshot.checks.len() == 3000).await;
    }
    let wanted = everywhere(&server, 1500..4500, often);
    // The channel fills up: the runner waits for its reader, and still answers.
    until(&runner, |_| reports.len() == REPORTS).await;
    let mut told = HashSet::new();
    while !wanted.iter().all(|check| told.contains(check)) {
        told.insert(next(&mut reports).await.check);
    }
    let snapshot = runner.snapshot().await.expect("a running runner");
    assert!(snapshot.checks.keys().eq(wanted.iter()));
    assert!(snapshot.checks.values().all(|status| status.state.verdict() == Verdict::Up));
}

#[tokio::test]
async fn no_more_probes_than_allowed_are_under_way_and_all_get_their_turn() {
    let server = servers::silent().await;
    let max_in_flight = NonZeroUsize::new(4).expect("not zero");
    let (runner, mut reports) = Runner::spawn(Options { max_in_flight, ..Options::new(1) });
    let timeout = Duration::from_millis(100);
    let checks: BTreeSet<_> = (0..20)
        .map(|fall| Timing::new(Duration::from_millis(10), timeout, fall + 1, 1).expect("a timing"))
        .map(|timing| http(server.address, timing))
        .collect();
    runner.set(checks.clone());
    let mut told = BTreeSet::new();
    while told != checks {
        told.insert(next(&mut reports).await.check);
        assert!(runner.snapshot().await.expect("a running runner").in_flight <= 4);
    }
    let snapshot = runner.snapshot().await.expect("a running runner");
    assert!(snapshot.late > 0, "those that waited are counted");
    assert!(snapshot.lag_max >= timeout);
}

#[tokio::test]
async fn a_runner_without_a_reader_stops() {
    let (runner, reports) = Runner::spawn(Options::new(1));
    assert!(runner.snapshot().await.is_ok());
    drop(reports);
    let wait = async { while runner.snapshot().await.is_ok() {} };
    timeout(PATIENCE, wait).await.expect("it stops");
}

#[tokio::test]
async fn a_stopped_runner_leaves_no_connection_and_closes_its_reports() {
    let server = servers::silent().await;
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    runner.set(set([&http(server.address, timing(OFTEN, 1, 1))]));
    until(&runner, |_| server.open() == 1).await;
    runner.stop().await;
    assert_eq!(timeout(PATIENCE, reports.recv()).await, Ok(None));
    let wait = async {
        while server.open() > 0 {
            tokio::task::yield_now().await
        }
    };
    timeout(PATIENCE, wait).await.expect("the connection ends");
}

mod kept;
