//! `lvsctl why`: what a check has seen, as an operator reads it.

use super::daemon::{Daemon, err, out};
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(60);

/// The date and the hour of an instant, as timestamps begin.
fn hour(at: SystemTime) -> String {
    lvsd::core::Timestamp::from(at).to_string()[..13].to_owned()
}

/// Waits until `lvsctl why rs1` shows all of this; what it shows then.
async fn told(daemon: &Daemon, wanted: &[&str]) -> String {
    let begun = Instant::now();
    loop {
        let output = daemon.lvsctl(&["why", "rs1"]).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if wanted.iter().all(|wanted| text.contains(wanted)) {
            return text;
        }
        assert!(begun.elapsed() < PATIENCE, "{wanted:?} is not in\n{text}{}", err(&output));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Takes connections until it is dropped.
fn serve(listener: TcpListener) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move { while listener.accept().await.is_ok() {} })
}

#[tokio::test]
async fn why_tells_each_change_of_a_check_with_its_time_and_error_and_how_long_an_answer_took() {
    let before = hour(SystemTime::now());
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = address.port();
    let daemon = Daemon::start_with(&format!(
        "[service.web]\nvips = [\"192.0.2.10\"]\nport = 80\nbackends = [{{ host = \"rs1\", addresses = [\"127.0.0.2\"] }}]\n\
         [[service.web.checks]]\ntype = \"tcp\"\nport = {port}\ninterval = \"200ms\"\nfast_interval = \"100ms\"\ntimeout = \"30s\"\n"
    ))
    .await;
    let server = serve(listener);
    told(&daemon, &[&format!("  tcp {address}: up since ")]).await;
    server.abort();
    drop(server.await);
    told(&daemon, &[&format!("  tcp {address}: down since ")]).await;
    let _server = serve(TcpListener::bind(address).await.unwrap());
    let text = told(&daemon, &[&format!("  tcp {address}: up since "), "down ("]).await;

    let lines: Vec<_> = text.lines().skip_while(|line| !line.starts_with("  tcp ")).collect();
    let (head, changes) = lines.split_first().expect("a check");
    let (hours, seconds) = ([before, hour(SystemTime::now())], "s ago)");
    let (_, took) = head.split_once(", last success took ").expect(head);
    let latency: f64 = took.strip_suffix(" ms").expect(head).parse().expect(head);
    assert!((0.0..30_000.0).contains(&latency), "longer than its timeout: {head}");
    // 2026-01-31T12:00:00.123Z up (3s ago)
    let changes: Vec<_> =
        changes.iter().map_while(|line| line.strip_prefix("    ")?.split_once(' ')).collect();
    let words: Vec<_> = changes.iter().map(|(_, said)| said.split_once(" (").unwrap_or((said, ""))).collect();
    assert_eq!(words.iter().map(|(verdict, _)| *verdict).collect::<Vec<_>>(), ["up", "down", "up"], "{text}");
    let rests: Vec<_> =
        words.iter().map(|(_, rest)| rest.trim_start_matches(|digit: char| digit.is_ascii_digit())).collect();
    assert_eq!(rests, [seconds, "s ago): connection refused", seconds], "{text}");
    let times: Vec<_> = changes.iter().map(|(at, _)| *at).collect();
    assert!(times.iter().all(|at| hours.iter().any(|hour| at.starts_with(hour.as_str()))), "{text}");
    assert!(times.is_sorted() && times[0] < times[1] && times[1] < times[2], "{text}");
    assert!(head.contains(&format!("up since {}", &times[2][..19])), "{text}");
    assert!(
        !out(&daemon.lvsctl(&["why", "rs1"]).await).contains("its last probe"),
        "it has not failed since"
    );
}

#[tokio::test]
async fn why_tells_what_the_last_probe_met_while_a_check_fails() {
    let closed = TcpListener::bind("127.0.0.2:0").await.unwrap().local_addr().unwrap();
    let daemon = Daemon::start_with(&format!(
        "[service.web]\nvips = [\"192.0.2.10\"]\nport = 80\nbackends = [{{ host = \"rs1\", addresses = [\"127.0.0.2\"] }}]\n\
         [[service.web.checks]]\ntype = \"tcp\"\nport = {}\n",
        closed.port()
    ))
    .await;
    let text = told(&daemon, &["    its last probe (", "s ago): connection refused\n", " down ("]).await;
    assert!(!text.contains("last success took"), "it never had one: {text}");
    assert!(text.contains(&format!("  tcp {closed}: down since ")), "{text}");
}
