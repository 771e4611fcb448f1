//! What a check asks of the kernel, counted by strace: most of what a TCP check costs is the kernel's.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::program;

const PATIENCE: Duration = Duration::from_secs(180);

/// Checks, each of another address, and probes until it is enough.
const CHECKS: usize = 200;
const PROBES: usize = 600;

/// A listener at a port that the kernel gives nobody, as servers' ports are.
fn listener() -> TcpListener {
    let bound = (600..1024).find_map(|port| TcpListener::bind(("0.0.0.0", port)).ok());
    bound.expect("a port below 1024, which root may have")
}

/// The process that another one has started.
fn child(parent: u32) -> Pid {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).expect("/proc");
    Pid::from_raw(children.trim().parse().expect("one child"))
}

/// How often each call was made, by strace's summary: time in percent, seconds, usecs for each, calls, perhaps errors, name.
fn counted(summary: &str) -> BTreeMap<String, usize> {
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let calls = words.get(3)?.parse().ok()?;
        words[0].parse::<f64>().is_ok().then(|| (words[words.len() - 1].to_owned(), calls))
    };
    summary.lines().filter_map(row).collect()
}

#[test]
fn a_tcp_check_takes_seven_calls_of_its_socket() {
    let listener = listener();
    let port = listener.local_addr().expect("its address").port();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    std::thread::spawn(move || {
        listener.incoming().for_each(|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
    });
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("summary");
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-o"]).arg(&summary).arg(program());
    command.args((1..=CHECKS).map(|number| format!("127.1.0.{number}:{port}")));
    let mut strace = command.stdout(Stdio::null()).spawn().expect("strace");
    let begun = Instant::now();
    while accepted.load(Ordering::Relaxed) < PROBES && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    kill(child(strace.id()), Signal::SIGTERM).expect("it runs");
    strace.wait().expect("strace ends with it");
    let summary = std::fs::read_to_string(summary).expect("a summary");
    let calls = counted(&summary);
    let probes = calls["connect"];
    assert!(probes >= PROBES, "{summary}");
    // socket, setsockopt (SO_LINGER), connect, epoll_ctl to wait and to wait no longer, getsockopt (SO_ERROR), close.
    let of_sockets =
        ["socket", "setsockopt", "bind", "connect", "epoll_ctl", "getsockopt", "getsockname", "close"];
    let all: usize = of_sockets.iter().filter_map(|name| calls.get(*name)).sum();
    // The program's start is in it, too.
    assert!(all <= 7 * probes + 100, "{all} calls for {probes} probes:\n{summary}");
}
