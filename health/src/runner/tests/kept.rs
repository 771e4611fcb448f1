//! Connections that are kept.

use tokio::sync::Notify;

use super::*;
use crate::runner::Kept;
use crate::spec::Idle;

fn idle(target: SocketAddr, fast_interval: Duration) -> Arc<Check> {
    let timing = timing(PATIENCE, 3, 2).with_fast_interval(fast_interval).expect("a timing");
    Arc::new(Check::new(target, Kind::Idle(Idle::default()), timing))
}

/// How a server that keeps connections ends them.
#[derive(Clone, Copy)]
enum Ending {
    InOrder,
    ByReset,
}

/// A server that keeps each connection until it is told to end all.
async fn keeping(end: Arc<Notify>, ending: Ending) -> servers::Server {
    servers::serve(move |mut stream| {
        let end = Arc::clone(&end);
        async move {
            tokio::select! {
                () = end.notified() => if let Ending::ByReset = ending {
                    drop(socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
                },
                () = servers::until_closed(&mut stream) => {}
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_server_is_up_when_the_connection_stands_and_down_as_soon_as_it_is_reset() {
    let end = Arc::new(Notify::new());
    let server = keeping(Arc::clone(&end), Ending::ByReset).await;
    let check = idle(server.address, OFTEN);
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    runner.set(set([&check]));
    let report = next(&mut reports).await;
    assert_eq!((report.verdict, report.changed), (Verdict::Up, true));
    let kept = until(&runner, |_| true).await.kept;
    assert_eq!(kept, Kept { open: 1, limit: DEFAULT_MAX_KEPT });

    until(&runner, |_| server.open() == 1).await;
    end.notify_waiters();
    let report = next(&mut reports).await;
    assert_eq!((report.verdict, report.changed), (Verdict::Down, true), "without three failures");
    assert_eq!(report.outcome, Err(Failure::Reset { stage: Stage::Holding }));
    let report = next(&mut reports).await;
    assert_eq!((report.verdict, report.changed), (Verdict::Up, true), "without two successes");
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_connection_that_is_closed_in_order_is_made_again_and_the_verdict_stands() {
    let end = Arc::new(Notify::new());
    let server = keeping(Arc::clone(&end), Ending::InOrder).await;
    let check = idle(server.address, OFTEN);
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    runner.set(set([&check]));
    assert_eq!(next(&mut reports).await.verdict, Verdict::Up);
    until(&runner, |_| server.open() == 1).await;
    end.notify_waiters();
    let again = until(&runner, |snapshot| snapshot.checks[&check].results.ok == 2).await;
    assert_eq!(again.checks[&check].history.len(), 1);
    assert_eq!(reports.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test]
async fn a_server_that_closes_and_listens_no_more_is_down_at_once_and_up_when_it_is_back() {
    let end = Arc::new(Notify::new());
    let server = keeping(Arc::clone(&end), Ending::InOrder).await;
    let address = server.address;
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    runner.set(set([&idle(address, OFTEN)]));
    assert_eq!(next(&mut reports).await.verdict, Verdict::Up);
    drop(server);
    let report = next(&mut reports).await;
    assert_eq!(report.verdict, Verdict::Down);
    assert!(matches!(report.outcome, Err(Failure::Refused | Failure::Reset { .. })), "{:?}", report.outcome);
    let listener = loop {
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(OFTEN).await,
        }
    };
    assert_eq!(next(&mut reports).await.verdict, Verdict::Up);
    drop(listener);
}

#[tokio::test]
async fn a_server_that_closes_every_connection_at_once_is_not_asked_without_pause() {
    let server = servers::serve(|stream| async move { drop(stream) }).await;
    let fast = Duration::from_millis(100);
    let check = idle(server.address, fast);
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    let started = std::time::Instant::now();
    runner.set(set([&check]));
    assert_eq!(next(&mut reports).await.verdict, Verdict::Up);
    until(&runner, |snapshot| snapshot.checks[&check].results.ok == 4).await;
    assert!(started.elapsed() >= fast * 3, "{:?}", started.elapsed());
    assert_eq!(reports.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test]
async fn beyond_the_limit_of_kept_connections_a_check_moves_no_verdict_and_says_why() {
    let server = servers::at_every_loopback_address().await;
    let at = |last: u8| idle(([127, 0, 0, last], server.address.port()).into(), OFTEN);
    let (runner, mut reports) = Runner::spawn(Options { max_kept: 1, ..Options::new(1) });
    let (one, other) = (at(1), at(2));
    runner.set(set([&one]));
    assert_eq!(next(&mut reports).await.verdict, Verdict::Up);
    runner.set(set([&one, &other]));
    let full = until(&runner, |snapshot| snapshot.checks[&other].results.inconclusive > 1).await;
    assert_eq!(full.kept, Kept { open: 1, limit: 1 });
    let last = full.checks[&other].last.as_ref().expect("a result").outcome.as_ref().expect_err("refused");
    assert_eq!(last.to_string(), "cannot probe: all 1 places for idle connections are taken");
    assert_eq!(full.checks[&other].state, State::NEW);
    runner.set(set([&other]));
    let report = next(&mut reports).await;
    assert_eq!((report.verdict, &report.check), (Verdict::Up, &other), "the place is free again");
}

#[tokio::test]
async fn a_kept_connection_outlasts_a_reload_and_ends_when_its_check_goes() {
    let server = servers::silent().await;
    let kept = idle(server.address, OFTEN);
    let other = tcp(server.address, timing(OFTEN, 3, 2));
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    runner.set(set([&kept]));
    assert_eq!(next(&mut reports).await.check, kept);
    runner.set(set([&kept, &other]));
    assert_eq!(next(&mut reports).await.check, other);
    runner.set(set([&kept]));
    let after = until(&runner, |snapshot| snapshot.checks.len() == 1).await;
    assert_eq!(after.checks[&kept].results.ok, 1, "the same connection");
    until(&runner, |_| server.open() == 1).await;
    runner.set(BTreeSet::new());
    let gone = until(&runner, |snapshot| snapshot.kept.open == 0 && server.open() == 0).await;
    assert!(gone.checks.is_empty());
}
