//! Packets that are dropped, rejected or lost, by a packet filter in a network namespace of each test's own. Needs root,
//! and Debian's packages iproute2 and nftables.

mod confirmed;
mod dropped;
#[path = "../web/grpc_server.rs"]
mod grpc_server;
mod source;

use std::future::Future;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use health::probe::probe;
use health::{Check, Datagram, Kind, Outcome, OwnSockets, Pattern, Reply, Timing, UdpParts};
use nix::sched::{CloneFlags, unshare};
use tokio::net::UdpSocket;

/// For probes that must time out.
const SOON: Duration = Duration::from_secs(1);

/// For probes that must not, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `work` in a network namespace of its own, on a thread of its own, with the loopback interface up.
fn inside<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send) {
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("run as root: this test makes a network namespace");
        tool("ip", &["link", "set", "lo", "up"], "");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(work());
    };
    thread::scope(|scope| {
        scope.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Runs a program in this thread's namespace.
fn tool(program: &str, arguments: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}: `make deps` installs it"));
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
    assert!(child.wait().expect("its end").success(), "{program} {arguments:?} {input}");
}

/// Lets what comes in pass these rules first.
fn filter(rules: &str) {
    let chain = format!("chain input {{ type filter hook input priority 0;\n{rules}\n}}");
    tool("nft", &["-f", "-"], &format!("table inet test {{\n{chain}\n}}\n"));
}

/// Lets these groups ping without a capability.
fn let_ping(groups: &str) {
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", groups).expect("a sysctl");
}

async fn run(target: SocketAddr, kind: Kind, timeout: Duration) -> Outcome {
    let timing = Timing::new(timeout, timeout, 3, 2).expect("a timing");
    probe(&Check::new(target, kind, timing), &OwnSockets, 0).await
}

async fn words(target: SocketAddr, kind: Kind) -> String {
    run(target, kind, PATIENCE).await.expect_err("a failure").to_string()
}

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

fn echo(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse::<IpAddr>().expect("an address"), 0)
}

fn udp(reply: Reply) -> Kind {
    Kind::Udp(Datagram::new(UdpParts { payload: "ping".into(), reply }).expect("a datagram"))
}

fn answered() -> Kind {
    udp(Reply::Expected(Pattern::Contains(b"ping".to_vec())))
}

/// Sends every datagram back.
async fn echoing(address: &str) -> SocketAddr {
    let socket = UdpSocket::bind(address).await.expect("a port of this namespace");
    let address = socket.local_addr().expect("its address");
    tokio::spawn(async move {
        let mut datagram = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            drop(socket.send_to(&datagram[..length], from).await);
        }
    });
    address
}
