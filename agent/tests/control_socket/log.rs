//! The log, asked over the socket.

use crate::daemon::{Daemon, err, interrupt, json, out};
use std::process::{Command, Stdio};
use tokio::io::{AsyncBufReadExt, BufReader};
use tracing_subscriber::layer::SubscriberExt;

/// What is logged on this thread is the daemon's, while the guard lives.
fn listen(daemon: &Daemon) -> tracing::subscriber::DefaultGuard {
    tracing::subscriber::set_default(tracing_subscriber::registry().with(daemon.log.chronicle.clone()))
}

#[tokio::test]
async fn events_are_listed_chosen_and_followed() {
    let daemon = Daemon::start().await;
    let _guard = listen(&daemon);
    tracing::info!(service = "web", "web: rs1: pooled: its check passes");
    tracing::warn!(service = "api", "api: rs2: down: refused");
    let text = out(&daemon.lvsctl(&["events"]).await);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].ends_with("(UTC)") && lines[1].ends_with(" web: rs1: pooled: its check passes"),
        "{text}"
    );
    assert!(lines[2].contains(" ! api: rs2: down: refused"), "{text}");
    let of_web = json(&daemon.lvsctl(&["events", "--about", "web", "-o", "json"]).await);
    assert_eq!((&of_web["about"]["service"], &of_web["id"]), (&"web".into(), &1.into()));
    let loud = out(&daemon.lvsctl(&["events", "--level", "warn"]).await);
    assert!(!loud.contains("rs1") && loud.contains("rs2"), "{loud}");
    let mut follow = tokio::process::Command::from(Command::new(daemon.directory.path().join("lvsctl")));
    follow.arg("--socket").arg(daemon.socket()).args(["events", "-f", "-n", "0"]);
    let mut child = follow.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // It may ask for the first time later than this is said: then one more is.
    let told = async {
        loop {
            tracing::info!("web: rs3: pooled: it came back");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let heard = async {
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if line.contains("rs3") {
                return line;
            }
        }
    };
    let line = tokio::select! { line = heard => line, () = told => unreachable!() };
    assert!(line.ends_with(" web: rs3: pooled: it came back"), "{line}");
    interrupt(&child);
    assert_eq!(child.wait().await.unwrap().code(), Some(0), "as --watch does");
}

#[tokio::test]
async fn levels_are_told_and_changed_by_root_and_back() {
    let daemon = Daemon::start().await;
    assert_eq!(out(&daemon.lvsctl(&["log-level"]).await), "lvsd logs info\n");
    assert_eq!(out(&daemon.lvsctl(&["log-level", "info,bgp=debug"]).await), "lvsd logs info,bgp=debug\n");
    assert_eq!(daemon.log.levels(), "info,bgp=debug");
    let wrong = daemon.lvsctl(&["log-level", "bgp=loud"]).await;
    assert_eq!(wrong.status.code(), Some(1));
    assert!(err(&wrong).contains("expected a level"), "{}", err(&wrong));
    let denied = daemon.lvsctl_as(Some(65534), &["log-level", "debug"]).await;
    assert!(matches!(denied.status.code(), Some(3 | 6)), "{}", err(&denied));
    assert_eq!(daemon.log.levels(), "info,bgp=debug");
    assert_eq!(out(&daemon.lvsctl(&["log-level", "--reset"]).await), "lvsd logs info\n");
}
