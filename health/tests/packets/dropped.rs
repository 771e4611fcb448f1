//! What becomes of a probe whose packets are dropped, rejected or lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use health::{Evidence, Exchange, ExchangeParts, Failure, Idle, Options, Runner, Stage, Verdict};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

fn late(stage: Stage) -> Outcome {
    Err(Failure::Timeout { after: SOON, stage })
}

#[test]
fn a_connection_that_is_dropped_times_out_and_one_that_is_rejected_fails_at_once() {
    inside(|| async {
        filter(
            "tcp dport 1001 drop
             tcp dport 1002 reject with tcp reset
             tcp dport 1003 reject with icmpx type port-unreachable
             tcp dport 1004 reject with icmpx type host-unreachable
             tcp dport 1005 reject with icmpx type admin-prohibited",
        );
        for ip in ["127.0.0.1", "[::1]"] {
            let target = |port: u16| at(&format!("{ip}:{port}"));
            assert_eq!(run(target(1001), Kind::Tcp, SOON).await, late(Stage::Connecting));
            assert_eq!(words(target(1002), Kind::Tcp).await, "connection refused");
            assert_eq!(words(target(1003), Kind::Tcp).await, "connection refused");
            assert_eq!(words(target(1004), Kind::Tcp).await, "No route to host while connecting");
            let prohibited = run(target(1005), Kind::Tcp, PATIENCE).await.expect_err("a failure");
            assert!(!prohibited.is_inconclusive(), "{prohibited}");
        }
        assert_eq!(words(at("192.0.2.1:80"), Kind::Tcp).await, "Network is unreachable while connecting");
    });
}

#[test]
fn a_datagram_that_is_dropped_is_met_with_silence_and_one_that_is_rejected_is_returned() {
    inside(|| async {
        filter(
            "udp dport 1001 drop
             udp dport 1002 reject
             udp dport 1003 reject with icmpx type host-unreachable
             udp dport 1004 reject with icmpx type admin-prohibited",
        );
        let hold = Duration::from_secs(60);
        for ip in ["127.0.0.1", "[::1]"] {
            let target = |port: u16| at(&format!("{ip}:{port}"));
            let unanswered = || udp(Reply::Optional { wait: PATIENCE, hold });
            assert_eq!(run(target(1001), answered(), SOON).await, late(Stage::AwaitingAnswer));
            let found = run(target(1001), unanswered(), SOON).await.expect("nothing was returned");
            assert_eq!(found.evidence, Evidence::Silence);
            for (port, error) in [(1002, "port unreachable"), (1003, "No route to host"), (1004, "")] {
                for (kind, held) in [(answered(), None), (unanswered(), Some(hold))] {
                    let failure = run(target(port), kind, PATIENCE).await.expect_err("it was returned");
                    let failed = failure.to_string();
                    assert!(
                        failed.starts_with(error) && failed.ends_with(": the packet was returned"),
                        "{failed}"
                    );
                    assert_eq!(failure.holds_for(), held);
                }
            }
        }
    });
}

#[test]
fn an_echo_is_answered_dropped_or_returned() {
    inside(|| async {
        filter(
            "ip daddr 127.0.0.2 icmp type echo-request drop
             ip daddr 127.0.0.3 icmp type echo-request reject with icmp type host-unreachable",
        );
        for ip in ["127.0.0.1", "::1"] {
            run(echo(ip), Kind::Icmp, PATIENCE).await.expect("a reply");
        }
        assert_eq!(run(echo("127.0.0.2"), Kind::Icmp, SOON).await, late(Stage::AwaitingAnswer));
        let returned = words(echo("127.0.0.3"), Kind::Icmp).await;
        assert_eq!(returned, "No route to host: the packet was returned");
        let nowhere = words(echo("192.0.2.1"), Kind::Icmp).await;
        assert_eq!(nowhere, "Network is unreachable while connecting");
        // What comes back is for the probe that has asked.
        let mut probes = tokio::task::JoinSet::new();
        for _ in 0..100 {
            probes.spawn(run(echo("127.0.0.1"), Kind::Icmp, PATIENCE));
        }
        while let Some(outcome) = probes.join_next().await {
            outcome.expect("no panic").expect("a reply");
        }
    });
}

#[test]
fn an_echo_needs_the_sysctl_or_the_capability_and_says_so_without_both() {
    inside(|| async {
        let_ping("1 0");
        let mut sets = capabilities(None).expect("this thread's");
        sets.effective.remove(CapabilitySet::NET_RAW);
        set_capabilities(None, sets).expect("one capability less");
        for ip in ["127.0.0.1", "::1"] {
            let failure = run(echo(ip), Kind::Icmp, PATIENCE).await.expect_err("neither is there");
            assert!(failure.is_inconclusive());
            let words = failure.to_string();
            assert!(words.contains("net.ipv4.ping_group_range") && words.contains("CAP_NET_RAW"), "{words}");
        }
        let_ping("0 2147483647");
        for ip in ["127.0.0.1", "::1"] {
            run(echo(ip), Kind::Icmp, PATIENCE).await.expect("a reply, without the capability");
        }
    });
}

/// Every third packet is lost, and no probe has more than one of those.
#[test]
fn a_lost_packet_fails_no_check() {
    let timeout = Duration::from_secs(4);
    inside(|| async move {
        let target = echoing("127.0.0.1:0").await;
        filter("numgen inc mod 3 == 2 drop");
        for _ in 0..2 {
            run(target, answered(), timeout).await.expect("an answer to the second datagram");
        }
        for _ in 0..2 {
            run(echo("127.0.0.1"), Kind::Icmp, timeout).await.expect("a reply to the second request");
        }
    });
}

#[test]
fn a_server_whose_packets_stop_after_it_has_accepted_times_out() {
    inside(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of this namespace");
        let target = listener.local_addr().expect("its address");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.read_u8().await.expect("the question");
            filter(&format!("tcp sport {} drop", target.port()));
            stream.write_all(b"PONG\r\n").await.expect("the kernel takes it");
            stream
        });
        let expect = Some(Pattern::Contains(b"PONG".to_vec()));
        let parts = ExchangeParts { send: "PING\r\n".into(), expect, ..ExchangeParts::default() };
        let kind = Kind::TcpExchange(Exchange::new(parts).expect("an exchange"));
        // Long enough for the connection even on a busy machine.
        let timeout = Duration::from_secs(5);
        let outcome = run(target, kind, timeout).await;
        assert_eq!(outcome, Err(Failure::Timeout { after: timeout, stage: Stage::AwaitingAnswer }));
        server.await.expect("it answered");
    });
}

#[test]
fn a_host_that_falls_silent_is_found_by_the_keepalives_of_a_kept_connection() {
    inside(|| async {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        // Long enough for the connection even on a busy machine.
        let period = Duration::from_secs(2);
        let timing = Timing::new(period, period, 2, 2).expect("a timing");
        let target = server.local_addr().expect("its address");
        let check = Arc::new(Check::new(target, Kind::Idle(Idle::default()), timing));
        let (runner, mut reports) = Runner::spawn(Options::new(1));
        runner.set(BTreeSet::from([check]));
        assert_eq!(reports.recv().await.expect("a report").verdict, Verdict::Up);
        // Two intervals and more of silence, in which the host answers keepalives.
        tokio::time::sleep(period * 3).await;
        assert!(reports.try_recv().is_err(), "it stays up");
        filter("meta l4proto tcp drop");
        let report = timeout(PATIENCE, reports.recv()).await.expect("a report in time").expect("a report");
        assert_eq!(report.verdict, Verdict::Down);
        // An interval, and as many timeouts as a verdict needs failures.
        assert_eq!(report.outcome, Err(Failure::Timeout { after: period * 3, stage: Stage::Holding }));
    });
}
