//! A process that runs out of file descriptors. In a file of its own: it uses up those of its whole process.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use health::{Check, Kind, Options, Runner, Snapshot, State, Timing, Verdict};

const PATIENCE: Duration = Duration::from_secs(60);

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
    tokio::time::timeout(PATIENCE, wait).await.expect("the state in time")
}

#[tokio::test]
async fn a_balancer_without_file_descriptors_declares_no_server_dead() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let timing = Timing::new(Duration::from_millis(20), Duration::from_secs(10), 1, 1).expect("a timing");
    let check = Arc::new(Check::new(server.local_addr().expect("its address"), Kind::Tcp, timing));
    let (runner, mut reports) = Runner::spawn(Options::new(1));
    runner.set(BTreeSet::from([Arc::clone(&check)]));
    assert_eq!(reports.recv().await.expect("a report").verdict, Verdict::Up);

    let mut taken = vec![File::open("/dev/null").expect("a file")];
    let error = loop {
        match taken[0].try_clone() {
            Ok(file) => taken.push(file),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("Too many open files"), "{error}");

    let starved = until(&runner, |snapshot| snapshot.checks[&check].results.inconclusive >= 5).await;
    let status = &starved.checks[&check];
    assert_eq!((status.state, status.results.failed), (State::Up { failures: 0 }, 0));
    let last = status.last.clone().expect("a result").outcome.expect_err("a failure");
    assert_eq!(last.to_string(), "cannot probe: Too many open files");

    drop(taken);
    until(&runner, |snapshot| snapshot.checks[&check].results.ok > status.results.ok + 5).await;
    assert!(reports.try_recv().is_err(), "no verdict moved");
}
