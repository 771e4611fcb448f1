//! More commands than may run at once. In a file of its own: the bound is the whole process'.

use std::net::SocketAddr;
use std::time::Duration;

use health::probe::{MAX_COMMANDS, probe};
use health::{Check, CommandParts, Kind, Outcome, OwnSockets, Program, Timing, User};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(60);

async fn run(program: &str, arguments: &[&str], timeout: Duration) -> Outcome {
    let parts = CommandParts {
        program: program.to_owned(),
        arguments: arguments.iter().map(ToString::to_string).collect(),
        values: Default::default(),
        user: User::default(),
    };
    let kind = Kind::Command(Program::new(parts).expect("a program"));
    let timing = Timing::new(timeout, timeout, 3, 2).expect("a timing");
    probe(&Check::new(SocketAddr::from(([127, 0, 0, 1], 1)), kind, timing), &OwnSockets, 0).await
}

#[tokio::test]
async fn a_command_beyond_the_bound_waits_and_says_why_when_that_is_in_vain() {
    let mut hanging = JoinSet::new();
    for _ in 0..MAX_COMMANDS {
        hanging.spawn(async { run("/bin/sleep", &["1000"], 10 * PATIENCE).await });
    }
    // Each begins to run, or to wait, when it is first polled; they are polled in turn.
    let failure = loop {
        match run("/bin/true", &[], Duration::from_millis(100)).await {
            Err(failure) if failure.is_inconclusive() => break failure,
            // There was room, or the machine was too busy to run it in time.
            Ok(_) | Err(_) => tokio::task::yield_now().await,
        }
    };
    let words = "cannot probe: 32 commands run already: let them be fewer, rarer or quicker";
    assert_eq!(failure.to_string(), words);

    let waiting = tokio::spawn(run("/bin/true", &[], PATIENCE));
    tokio::task::yield_now().await;
    hanging.abort_all();
    while hanging.join_next().await.is_some() {}
    waiting.await.expect("no panic").expect("there is room again");
}
