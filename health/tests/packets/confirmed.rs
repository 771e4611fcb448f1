//! An ICMP error is a sign like a reset: whoever meets one asks again at once, and not after the fast interval.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use health::{Options, Report, Runner, Verdict};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::*;

/// So many failures make a verdict that the fast interval between them comes to half a minute.
const FALL: u32 = 31;
const INTERVAL: Duration = Duration::from_secs(1);

fn check(target: SocketAddr, kind: Kind) -> Arc<Check> {
    let timing = Timing::new(INTERVAL, PATIENCE, FALL, 1).expect("a timing");
    assert_eq!(timing.fast_interval(), INTERVAL);
    Arc::new(Check::new(target, kind, timing))
}

/// Waits until every check is said to be this.
async fn all_are(wanted: Verdict, checks: &BTreeSet<Arc<Check>>, reports: &mut Receiver<Report>) {
    let mut left = checks.clone();
    while !left.is_empty() {
        let report = timeout(2 * PATIENCE, reports.recv()).await.expect("a report in time");
        let report = report.expect("a running runner");
        assert_eq!(report.verdict, wanted, "{}: {:?}", report.check, report.outcome);
        left.remove(&report.check);
    }
}

#[test]
fn a_server_whose_packets_are_rejected_is_down_long_before_the_fast_interval_would_have_it() {
    inside(|| async {
        let (mut checks, mut rules, mut servers) = (BTreeSet::new(), String::new(), Vec::new());
        for ip in ["127.0.0.1", "[::1]"] {
            let server = TcpListener::bind(format!("{ip}:0")).await.expect("a port of this namespace");
            let (tcp, udp) = (server.local_addr().expect("its address"), echoing(&format!("{ip}:0")).await);
            servers.push(server);
            // Over the loopback interface ICMPv6 comes while connect is at work, and tells only who sends a second SYN.
            if tcp.is_ipv4() {
                checks.insert(check(tcp, Kind::Tcp));
            }
            checks.insert(check(udp, answered()));
            checks.insert(check(SocketAddr::new(tcp.ip(), 0), Kind::Icmp));
            rules += &format!(
                "tcp dport {} reject with icmpx type host-unreachable\nudp dport {} reject\n",
                tcp.port(),
                udp.port()
            );
        }
        rules += "icmp type echo-request reject with icmp type host-unreachable\n\
                  icmpv6 type echo-request reject with icmpv6 type addr-unreachable\n";
        let (runner, mut reports) = Runner::spawn(Options::new(1));
        runner.set(checks.clone());
        all_are(Verdict::Up, &checks, &mut reports).await;
        filter(&rules);
        let rejected = Instant::now();
        all_are(Verdict::Down, &checks, &mut reports).await;
        let took = rejected.elapsed();
        assert!(took < INTERVAL * (FALL - 1) / 2, "{took:?}");
    });
}
