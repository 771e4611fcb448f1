//! The library's runner in a process of its own, so that what it costs is told from what the servers cost.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use health::{Check, HttpRequest, Kind, Options, Runner, Timing, Verdict};
use lab::measure::process::resident;
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use serde::{Deserialize, Serialize};

use crate::server::PORT;

/// The first argument of this program when it is a checker; the second is a [`Task`] as JSON.
pub(crate) const ROLE: &str = "checker";

/// Before it is measured: all first results are there, and all checks are on their grid.
const WARM_UP: Duration = Duration::from_secs(4);

/// Stands for a time beyond all buckets, milliseconds.
const BEYOND_MS: f64 = 10_000.0;

/// What is to be checked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) is_http: bool,
    pub(crate) checks: u32,
    /// The interval; the default's if none.
    pub(crate) interval_ms: Option<u64>,
    pub(crate) seconds: u64,
}

/// What that cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Results per second.
    pub(crate) rate: f64,
    /// Processor time per second, 1 is one core.
    pub(crate) cores: f64,
    /// The 99th percentile of how late probes started: the bound of its bucket; milliseconds.
    pub(crate) lag_p99_ms: f64,
    /// Resident memory at the end, and what it was before there were checks; bytes.
    pub(crate) memory: f64,
    pub(crate) memory_before: f64,
    /// Probes that failed, and checks that were declared down.
    pub(crate) failed: u64,
    pub(crate) downs: u64,
}

/// The address of a server: all of them are this host's own, and each is another.
pub(crate) fn address(check: u32) -> IpAddr {
    IpAddr::from((u32::from_be_bytes([127, 1, 0, 0]) + check).to_be_bytes())
}

/// Checks, and prints a [`Cost`] as JSON.
pub(crate) fn run(task: &str) -> ExitCode {
    match measured(task) {
        Ok(cost) => {
            println!("{cost}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("checker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measured(task: &str) -> Result<String> {
    let task: Task = serde_json::from_str(task)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    // One worker for the one processor that it has: several of a real-time rank take turns of 100 ms.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let cost = runtime.block_on(check(task))?;
    Ok(serde_json::to_string(&cost)?)
}

async fn check(task: Task) -> Result<Cost> {
    let default = Timing::default();
    let timing = match task.interval_ms {
        Some(interval) => {
            let interval = Duration::from_millis(interval);
            Timing::new(interval, default.timeout(), default.fall(), default.rise())?
        }
        None => default,
    };
    let kind = if task.is_http { Kind::Http(HttpRequest::get("/")?) } else { Kind::Tcp };
    let check = |number| Arc::new(Check::new(SocketAddr::new(address(number), PORT), kind.clone(), timing));
    let memory_before = resident(std::process::id())?;
    let (runner, mut reports) = Runner::spawn(Options { max_in_flight: 4096.try_into()?, ..Options::new(1) });
    runner.set((0..task.checks).map(check).collect::<BTreeSet<_>>());
    let end = tokio::time::Instant::now() + WARM_UP;
    drain(&mut reports, end).await;
    let (before, begin, used) = (runner.snapshot().await?, Instant::now(), processor()?);
    let downs = drain(&mut reports, end + Duration::from_secs(task.seconds)).await;
    let (after, took, used) = (runner.snapshot().await?, begin.elapsed(), processor()? - used);
    let results = |snapshot: &health::Snapshot| {
        let all = snapshot.checks.values().map(|status| status.results);
        all.fold((0, 0), |(ok, failed), results| (ok + results.ok, failed + results.failed))
    };
    let ((ok_before, failed_before), (ok, failed)) = (results(&before), results(&after));
    let memory = resident(std::process::id())?;
    runner.stop().await;
    ensure!(ok > ok_before, "no check succeeded: {:?}", after.checks.values().next());
    Ok(Cost {
        rate: (ok + failed - ok_before - failed_before) as f64 / took.as_secs_f64(),
        cores: used.as_secs_f64() / took.as_secs_f64(),
        lag_p99_ms: late(&before, &after),
        memory,
        memory_before,
        failed: failed - failed_before,
        downs,
    })
}

/// Reads reports until `end`; how many said down.
async fn drain(reports: &mut tokio::sync::mpsc::Receiver<health::Report>, end: tokio::time::Instant) -> u64 {
    let mut downs = 0;
    while let Ok(Some(report)) = tokio::time::timeout_at(end, reports.recv()).await {
        downs += u64::from(report.changed && report.verdict == Verdict::Down);
    }
    downs
}

/// The bound of the bucket that holds the 99th percentile of what was counted between two snapshots.
fn late(before: &health::Snapshot, after: &health::Snapshot) -> f64 {
    let grown = after.lag.count() - before.lag.count();
    let wanted = (grown as f64 * 0.99).ceil() as u64;
    let mut buckets = after.lag.cumulative().zip(before.lag.cumulative());
    let found = buckets.find(|((_, after), (_, before))| after - before >= wanted);
    found.map_or(BEYOND_MS, |((bound, _), _)| bound.as_secs_f64() * 1000.0)
}

/// Processor time of this process so far.
fn processor() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let time =
        |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000);
    Ok(time(usage.user_time()) + time(usage.system_time()))
}
