//! The client: a fixed rate of requests to the VIPs, whatever becomes of the answers, and a record of each.
//!
//! Open loop: a request is sent when its time has come, not when the one before has been answered, so a balancer
//! that stalls is seen by all who would have come meanwhile. Beside these, each on a connection of its own, some
//! connections are kept alive for as long as they last.

mod client;
mod report;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tokio::sync::watch;

pub use self::report::{Phase, Report, Request, Totals};
use crate::host::Host;
use crate::wait::wait_until;

/// Longest that [`Traffic::let_pass`] and its like wait: hundreds of requests take seconds.
const PASSING: Duration = Duration::from_secs(180);

/// What traffic to make.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to; requests go round over them.
    pub targets: Vec<SocketAddr>,
    /// New connections, and so requests, a second.
    pub rate: u32,
    /// Connections that are kept alive, each asking ten times a second.
    pub kept_alive: usize,
}

impl Load {
    /// What a scenario sends: 150 requests a second and six kept connections, port 80.
    pub fn usual(vips: &[std::net::IpAddr]) -> Self {
        let targets = vips.iter().map(|vip| SocketAddr::new(*vip, 80)).collect();
        Self { targets, rate: 150, kept_alive: 6 }
    }
}

/// What the client's tasks write and others read.
#[derive(Debug)]
struct Record {
    began: Instant,
    requests: Vec<Request>,
    /// When those began that have not ended.
    under_way: Vec<Instant>,
    phases: Vec<(String, Duration)>,
    reconnects: u64,
}

type Shared = Arc<Mutex<Record>>;

/// Traffic under way. Dropping it stops it.
#[derive(Debug)]
pub struct Traffic {
    record: Shared,
    targets: watch::Sender<Vec<SocketAddr>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Traffic {
    /// Starts it on `host`, in a phase named `start`.
    pub fn start(host: &Host, load: &Load) -> Result<Self> {
        let record = Arc::new(Mutex::new(Record {
            began: Instant::now(),
            requests: Vec::new(),
            under_way: Vec::new(),
            phases: vec![("start".to_owned(), Duration::ZERO)],
            reconnects: 0,
        }));
        let (targets, receiver) = watch::channel(load.targets.clone());
        let (host, load, its_record) = (host.clone(), load.clone(), record.clone());
        let work = move || host.enter(|| client::run(&load, receiver, &its_record))?;
        let thread = std::thread::Builder::new().name("traffic".into()).spawn(work)?;
        Ok(Self { record, targets, thread: Some(thread) })
    }

    /// Begins a phase: what is answered from now on counts there. Returns when it began, since the start.
    pub fn phase(&self, name: &str) -> Duration {
        let mut record = lock(&self.record);
        let at = record.began.elapsed();
        record.phases.push((name.to_owned(), at));
        at
    }

    /// The time since the start, on the clock of [`Request::at`].
    pub fn elapsed(&self) -> Duration {
        lock(&self.record).began.elapsed()
    }

    /// Sends to these as well from now on.
    pub fn add_targets(&self, more: &[SocketAddr]) {
        self.targets.send_modify(|targets| targets.extend_from_slice(more));
    }

    /// What has ended so far.
    pub fn so_far(&self) -> Report {
        Report::new(&lock(&self.record))
    }

    /// Waits until so many more requests have ended.
    pub fn let_pass(&self, requests: usize) -> Result<()> {
        let enough = self.count() + requests;
        wait_until(&format!("{requests} more requests end"), PASSING, || self.count() >= enough)?;
        Ok(())
    }

    /// Waits until all requests that are under way have ended, one way or the other: none of them is told of in the next phase.
    pub fn let_those_under_way_end(&self) -> Result<()> {
        let now = Instant::now();
        let all = || lock(&self.record).under_way.iter().all(|began| *began > now);
        wait_until("what is under way ends", PASSING, all).map(drop)
    }

    /// Requests that have ended so far, cheaper than a report.
    pub fn count(&self) -> usize {
        lock(&self.record).requests.len()
    }

    /// Stops it, waits for what is under way and reports.
    pub fn stop(mut self) -> Result<Report> {
        self.targets.send_replace(Vec::new());
        let thread = self.thread.take().context("traffic was stopped before")?;
        thread.join().map_err(|_| anyhow!("the client's thread panicked"))??;
        Ok(self.so_far())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.targets.send_replace(Vec::new());
        if let Some(thread) = self.thread.take() {
            // Who wanted to know how it went has called stop.
            let _ = thread.join();
        }
    }
}

/// A panic elsewhere does not make the numbers unreadable.
fn lock(record: &Shared) -> std::sync::MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
