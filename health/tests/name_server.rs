//! Questions to a real name server: Debian's package knot.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use health::probe::probe;
use health::spec::{DnsParts, Question, Rcode, Records, Recursion, Transport};
use health::{Check, Failure, Kind, Outcome, OwnSockets, Stage, Timing};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// For probes that must not time out, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// For probes that must time out, or are tried again.
const SOON: Duration = Duration::from_secs(1);

const ZONE: &str = r#"
$ORIGIN example.org.
$TTL 60
@      SOA   ns1 hostmaster 1 3600 600 86400 60
@      NS    ns1
@      MX    10 mx1
@      TXT   "v=spf1 " "-all"
ns1    A     192.0.2.1
www    A     192.0.2.7
www    A     192.0.2.8
www    AAAA  2001:db8::7
alias  CNAME www
_sip._tcp SRV 0 5 5060 www
7      PTR   www
"#;

/// A name server on both loopback addresses that ends with its test.
struct Knot {
    port: u16,
    process: Child,
    _directory: TempDir,
}

impl Drop for Knot {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A port that was free for both transports and families a moment ago.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("[::]:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        if UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}

impl Knot {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let bulk: String = (0..60).map(|i| format!("bulk TXT \"{i:03} {}\"\n", "x".repeat(100))).collect();
        fs::write(directory.path().join("zone"), format!("{ZONE}{bulk}")).expect("a zone");
        let mut port = free_port();
        let mut process = run(directory.path(), port);
        while !serves(&mut process, port).await {
            // Another process may have taken the port before.
            port = free_port();
            process = run(directory.path(), port);
        }
        Self { port, process, _directory: directory }
    }

    async fn ask(&self, parts: DnsParts) -> Outcome {
        self.ask_at(Ipv4Addr::LOCALHOST.into(), parts, PATIENCE).await
    }

    async fn ask_at(&self, address: IpAddr, parts: DnsParts, timeout: Duration) -> Outcome {
        ask(SocketAddr::new(address, self.port), parts, timeout).await
    }

    /// Stops it, and waits until each of its threads stands still: the signal returns before.
    async fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.process.id());
        let is_stopped = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).expect("a thread");
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
        };
        while !fs::read_dir(&tasks).expect("it runs").flatten().all(is_stopped) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.process.id()).expect("a process id");
        kill(Pid::from_raw(process), signal).expect("it runs");
    }
}

/// Starts a server of the zone in `directory` at this port.
fn run(directory: &Path, port: u16) -> Child {
    let at = directory.display();
    let configuration = format!(
        "server:\n    rundir: \"{at}\"\n    listen: [ 127.0.0.1@{port}, ::1@{port} ]\n\
         database:\n    storage: \"{at}\"\n\
         zone:\n  - domain: example.org\n    storage: \"{at}\"\n    file: zone\n"
    );
    fs::write(directory.join("knot.conf"), configuration).expect("a configuration");
    Command::new("/usr/sbin/knotd")
        .arg("--config")
        .arg(directory.join("knot.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("knotd, of Debian's package knot: `make deps` installs it")
}

/// Waits until it answers for the zone, at most some minutes; false when it has ended instead.
async fn serves(process: &mut Child, port: u16) -> bool {
    let started = Instant::now();
    while ask((Ipv4Addr::LOCALHOST, port).into(), question("example.org", "SOA"), SOON).await.is_err() {
        if process.try_wait().expect("its state").is_some() {
            return false;
        }
        assert!(started.elapsed() < 3 * PATIENCE, "knotd runs and does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

async fn ask(target: SocketAddr, parts: DnsParts, timeout: Duration) -> Outcome {
    let timing = Timing::new(timeout, timeout, 3, 2).expect("a timing");
    let kind = Kind::Dns(Question::new(parts).expect("a question"));
    probe(&Check::new(target, kind, timing), &OwnSockets, 0).await
}

fn question(name: &str, record_type: &str) -> DnsParts {
    DnsParts::new(name, record_type.parse().expect("a type"))
}

fn among(name: &str, record_type: &str, record: &str) -> DnsParts {
    let records = Records::Among(BTreeSet::from([record.to_owned()]));
    DnsParts { records, ..question(name, record_type) }
}

fn words(outcome: Outcome) -> String {
    outcome.expect_err("a failure").to_string()
}

#[tokio::test]
async fn records_of_every_usual_type_are_found_over_both_families_and_transports() {
    let knot = Knot::start().await;
    for (name, record_type, record) in [
        ("www.example.org", "A", "192.0.2.8"),
        ("WWW.EXAMPLE.ORG.", "AAAA", "2001:db8::7"),
        ("alias.example.org", "CNAME", "www.example.org"),
        ("alias.example.org", "A", "192.0.2.7"),
        ("example.org", "NS", "ns1.example.org"),
        ("example.org", "MX", "10 mx1.example.org"),
        ("example.org", "TXT", "v=spf1 -all"),
        ("_sip._tcp.example.org", "SRV", "0 5 5060 www.example.org"),
        ("7.example.org", "PTR", "www.example.org"),
    ] {
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            for transport in [Transport::Udp, Transport::Tcp] {
                let parts = DnsParts {
                    transport,
                    recursion: Recursion::NotDesired,
                    ..among(name, record_type, record)
                };
                let outcome = knot.ask_at(address, parts, PATIENCE).await;
                assert!(outcome.is_ok(), "{name} {record_type} at {address} by {transport:?}: {outcome:?}");
            }
        }
    }
    let soa = DnsParts { records: Records::Any, ..question("example.org", "SOA") };
    knot.ask(soa).await.expect("an SOA");
}

#[tokio::test]
async fn an_answer_too_long_for_udp_is_fetched_by_tcp() {
    let knot = Knot::start().await;
    let last = format!("059 {}", "x".repeat(100));
    knot.ask(among("bulk.example.org", "TXT", &last)).await.expect("up");
    let failure = words(knot.ask(among("bulk.example.org", "TXT", "060")).await);
    assert!(
        failure.starts_with("answer lacks TXT 060: found TXT ") && failure.ends_with(" and 57 more"),
        "{failure}"
    );
    assert!(failure.len() < 300, "{failure}");
}

#[tokio::test]
async fn wrong_answers_are_failures_that_say_what_was_found() {
    let knot = Knot::start().await;
    let gone = question("gone.example.org", "A");
    assert_eq!(words(knot.ask(gone.clone()).await), "answer is NXDOMAIN, expected NOERROR");
    let either = BTreeSet::from([Rcode::NOERROR, Rcode::NXDOMAIN]);
    knot.ask(DnsParts { rcodes: either, ..gone.clone() }).await.expect("NXDOMAIN is as good");
    knot.ask(DnsParts { rcodes: BTreeSet::from([Rcode::NXDOMAIN]), ..gone }).await.expect("as wanted");
    let elsewhere = knot.ask(question("example.net", "A")).await;
    assert_eq!(words(elsewhere), "answer is REFUSED, expected NOERROR");
    let other = knot.ask(among("ns1.example.org", "A", "192.0.2.9")).await;
    assert_eq!(words(other), "answer lacks A 192.0.2.9: found A 192.0.2.1");
    let none = question("ns1.example.org", "AAAA");
    knot.ask(none.clone()).await.expect("NOERROR is all that is asked for");
    let any = DnsParts { records: Records::Any, ..none };
    assert_eq!(words(knot.ask(any).await), "answer lacks a record AAAA: found no record");
}

#[tokio::test]
async fn a_name_server_that_is_stopped_times_out_and_one_that_is_gone_returns_the_question() {
    let mut knot = Knot::start().await;
    knot.stop().await;
    for transport in [Transport::Udp, Transport::Tcp] {
        let parts = DnsParts { transport, ..question("example.org", "SOA") };
        let outcome = knot.ask_at(Ipv4Addr::LOCALHOST.into(), parts, SOON).await;
        // Its kernel goes on accepting connections.
        assert_eq!(outcome, Err(Failure::Timeout { after: SOON, stage: Stage::AwaitingAnswer }));
    }
    knot.signal(Signal::SIGCONT);
    knot.ask(question("example.org", "SOA")).await.expect("it goes on");
    knot.process.kill().expect("it runs");
    knot.process.wait().expect("it ends");
    let gone = words(knot.ask(question("example.org", "SOA")).await);
    assert_eq!(gone, "port unreachable: the packet was returned");
}
