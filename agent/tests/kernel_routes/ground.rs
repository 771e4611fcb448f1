//! A host with one interface in a network namespace, and lvsd's executor of routes in it.

use lvsd::core::Event;
use lvsd::engine::{Inbox, Input};
use lvsd::exec::fib::Handle;
use lvsd::fib::{FibRoute, Report, Routes, Settings};
use lvsd::metrics::Metrics;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// As long as a machine under load may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The routes of a list.
pub(super) fn routes(list: &[(&str, &str)]) -> Routes {
    let route = |(prefix, next_hop): &(&str, &str)| {
        let next_hop = next_hop.parse().expect("an address");
        (prefix.parse().expect("a prefix"), FibRoute { next_hop })
    };
    list.iter().map(route).collect()
}

/// Runs `ip` with these words in the namespace that the thread is in; its output.
pub(super) fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split(' ')).output().expect("ip, of Debian's iproute2");
    let error = String::from_utf8_lossy(&output.stderr);
    // It has no word for a table that was never written to.
    assert!(output.status.success() || error.contains("FIB table does not exist"), "ip {words}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits for a condition while the executor works.
pub(super) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The namespace; gone when it is dropped.
pub(super) struct Ground {
    name: String,
    directory: TempDir,
}

impl Ground {
    pub(super) fn new(name: &str) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "network namespaces need root: run this test as root");
        let name = format!("lvsd{}-{name}", std::process::id());
        ip(&format!("netns add {name}"));
        let ground = Self { name, directory: tempfile::tempdir().expect("a directory") };
        ground.inside(|| {
            ip("link set lo up");
            ip("link add eth0 type veth peer name far");
            ip("link set far up");
            ip("link set eth0 up");
            ip("addr add 10.64.0.1/24 dev eth0");
            ip("-6 addr add fd00:64::1/64 dev eth0 nodad");
        });
        ground
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(Path::new("/run/netns").join(&self.name)).expect("the namespace");
        let inside = || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it");
            work()
        };
        thread::scope(|scope| {
            scope.spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs an executor in the namespace until the test's steps are done.
    pub(super) fn run(&self, settings: Settings, steps: impl AsyncFnOnce(Fib, &Self) + Send) {
        self.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let (inbox, events) = Inbox::new();
                let metrics = Arc::new(Metrics::new().expect("metrics"));
                let handle = Handle::spawn(settings, inbox, Arc::clone(&metrics));
                steps(Fib { handle, events, metrics }, self).await;
            });
        });
    }

    /// Begins to note what the kernel tells of routes.
    pub(super) fn monitor(&self) -> Monitor {
        let path = self.directory.path().join("monitor");
        let file = File::create(&path).expect("a file");
        let mut command = Command::new("ip");
        let child = command.args(["monitor", "route"]).stdout(file).stderr(Stdio::null()).spawn();
        let monitor = Monitor { child: child.expect("ip"), path };
        monitor.mark("203.0.113.1");
        monitor
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.name));
    }
}

/// `ip monitor route`, killed when it is dropped.
pub(super) struct Monitor {
    child: Child,
    path: std::path::PathBuf,
}

impl Monitor {
    /// Waits until it has told of a route that is made now.
    fn mark(&self, address: &str) {
        let begin = Instant::now();
        // What is there already is not told again.
        for metric in 1.. {
            if self.text().contains(address) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "it tells nothing");
            ip(&format!("route add {address} dev eth0 table 999 metric {metric}"));
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.path).expect("a text")
    }

    /// All that it has told until now.
    pub(super) fn end(self) -> String {
        self.mark("203.0.113.2");
        self.text()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The executor.
pub(super) struct Fib {
    handle: Handle,
    events: mpsc::Receiver<Input>,
    metrics: Arc<Metrics>,
}

impl Fib {
    pub(super) fn set(&mut self, list: &[(&str, &str)]) {
        self.handle.set(routes(list));
    }

    /// The next report.
    pub(super) async fn next(&mut self) -> Report {
        let input = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        match input.expect("a report in time") {
            Some(Input::Event(Event::FibSynced(report))) => report,
            other => panic!("no report: {other:?}"),
        }
    }

    /// The first report from now on that is as it should be.
    pub(super) async fn until(&mut self, condition: impl Fn(&Report) -> bool) -> Report {
        loop {
            let report = self.next().await;
            if condition(&report) {
                return report;
            }
        }
    }

    /// Writes that have put right what others had changed.
    pub(super) fn repairs(&self) -> u64 {
        self.metrics.fib_repairs()
    }
}
