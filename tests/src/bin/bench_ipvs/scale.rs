//! One server fails among few and among many services: what that costs must not depend on how many there are.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::measure::exposition::Exposition;
use lab::measure::figures::{Report, Required};
use lab::wait::wait_until;

use crate::size::{Pool, Size, WEIGHT, balancer};
use lab::measure::bare::Bare;

pub(crate) const SIZES: [Size; 3] = [
    Size { services: 100, backends: 10 },
    Size { services: 1000, backends: 10 },
    Size { services: 10_000, backends: 10 },
];

/// Where the same is measured with every event recorded.
const RECORDED: Size = SIZES[1];

/// Failures, and returns, of the one server at each size.
const FLAPS: usize = 100;

/// How often the lab's kernel may kill lvsd at one size.
const MOST_KILLS: u32 = 4;

/// Bare messages at each size.
const MESSAGES: usize = 500;

/// The longest wait: ten thousand services take a while to start with.
const LIMIT: Duration = Duration::from_secs(120);

/// How long lvsd is left alone before its memory is read.
const QUIET: Duration = Duration::from_secs(3);

/// Requirements: the core's step, µs; resident memory at the largest size, MB (10^6 bytes); a verdict's way to the
/// kernel beyond the bare message, ms.
pub(crate) const STEP: f64 = 50.0;
pub(crate) const RESIDENT: f64 = 100.0;
const BEYOND_BARE: f64 = 1.0;

/// What one flap costs at one size; means, microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) services: u32,
    /// The core's decision.
    pub(crate) step: f64,
    /// Verdict to the kernel's answer.
    pub(crate) programmed: f64,
    /// The message alone.
    pub(crate) bare: f64,
}

/// Whether lvsd records every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recording {
    Off,
    On,
}

/// Measures it.
pub(crate) fn measure(report: &mut Report) -> Result<Vec<Point>> {
    let points = SIZES.iter().map(|size| until_measured(*size, Recording::Off, report)).collect();
    until_measured(RECORDED, Recording::On, report)?;
    points
}

/// User-mode Linux kills a process whose scattered pages need more mappings than the machine's `vm.max_map_count`
/// allows, which lvsd may come to while it makes the page of ten thousand services' metrics. That is this kernel's
/// doing: it is told, counted, and measured again. Any other end of lvsd is a failure.
fn until_measured(size: Size, recording: Recording, report: &mut Report) -> Result<Point> {
    let mut killed = 0;
    let (how, suffix) = match recording {
        Recording::Off => ("", ""),
        Recording::On => (", recorded", "r"),
    };
    loop {
        let (host, servers) = balancer(&format!("scale{}{suffix}-{killed}", size.services))?;
        let before = kills_by_the_kernel(&host)?;
        match at(size, recording, &host, &servers) {
            Ok((mut figures, point)) => {
                figures.push((
                    "times lvsd was killed by the lab's kernel",
                    f64::from(killed),
                    "",
                    Required::Nothing,
                ));
                for (figure, value, unit, required) in figures {
                    report.value(
                        &format!("{} × {}{how}: {figure}", size.services, size.backends),
                        value,
                        unit,
                        required,
                    );
                }
                return Ok(point);
            }
            Err(error) if killed < MOST_KILLS && kills_by_the_kernel(&host)? > before => {
                println!(
                    "  killed by the lab's kernel for the machine's vm.max_map_count; once more: {error:#}"
                );
                killed += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// What the kernel's log has of it.
fn kills_by_the_kernel(host: &Host) -> Result<usize> {
    Ok(host.run(&["dmesg"])?.matches("UML ran out of memory on the host side").count())
}

/// A figure, its value, its unit, and what is required of it.
type Figure = (&'static str, f64, &'static str, Required);

fn at(size: Size, recording: Recording, host: &Host, servers: &Host) -> Result<(Vec<Figure>, Point)> {
    println!("one of {} × {} fails and returns, {FLAPS} times:", size.services, size.backends);
    let server = Server::start(servers, size.backends)?;
    let mut bare = Bare::open(host)?;
    let mut lvsd = Lvsd::new(host, Vec::new());
    lvsd.configure_with(&size.lvsd(host, Pool::InlineFirstChecked))?;
    if recording == Recording::On {
        lvsd.record_to(&host.files().join("lvsd.rec"));
    }
    let mut figures = start(size, &mut lvsd, &mut bare)?;
    let begin = Instant::now();
    let before = Exposition::of(&lvsd)?;
    let scrape = begin.elapsed().as_secs_f64() * 1000.0;
    figures.push(("scrape of /metrics", scrape, "ms", Required::Nothing));
    figures.push(("resident memory after it", resident_megabytes(&lvsd)?, "MB", Required::Nothing));
    for _ in 0..FLAPS {
        flap(&server, &mut bare)?;
    }
    let after = Exposition::of(&lvsd)?;
    let point = flaps(size, [&before, &after], &mut bare, &mut figures)?;
    lvsd.kill()?;
    Ok((figures, point))
}

/// Starts it, and looks at it once it is full, ready and quiet.
fn start(size: Size, lvsd: &mut Lvsd, bare: &mut Bare) -> Result<Vec<Figure>> {
    let begin = Instant::now();
    lvsd.start_again()?;
    let full = size.wait_full(bare, begin, LIMIT)?;
    lvsd.wait_ready(LIMIT)?;
    let ready = begin.elapsed();
    std::thread::sleep(QUIET);
    let is_largest = size.services == SIZES[SIZES.len() - 1].services;
    let limit = if is_largest { Required::AtMost(RESIDENT) } else { Required::Nothing };
    Ok(vec![
        ("start -> full table", full.as_secs_f64() * 1000.0, "ms", Required::Nothing),
        ("start -> ready", ready.as_secs_f64() * 1000.0, "ms", Required::Nothing),
        ("resident memory", resident_megabytes(lvsd)?, "MB", limit),
    ])
}

fn resident_megabytes(lvsd: &Lvsd) -> Result<f64> {
    // The kernel's kB are 1024 bytes.
    Ok(lvsd.resident_kilobytes()? as f64 * 1024.0 / 1e6)
}

/// What the flaps between two readings cost, beside the message alone.
fn flaps(
    size: Size,
    [before, after]: [&Exposition; 2],
    bare: &mut Bare,
    figures: &mut Vec<Figure>,
) -> Result<Point> {
    let operations = |page: &Exposition| page.value("lvsd_ipvs_operations_total{result=\"ok\"}");
    let messages = (operations(after)? - operations(before)?) / (2 * FLAPS) as f64;
    let step = after.durations_since("lvsd_step_duration_seconds", before)?;
    let programmed = after.programmed_since(before)?;
    let table = size.table()?;
    let mut alone = Vec::new();
    for _ in 0..MESSAGES {
        alone.push(bare.set_weight(&table, Size::key(size.services - 1), WEIGHT)?.as_secs_f64() * 1e6);
    }
    alone.sort_by(f64::total_cmp);
    let (bare_p50, bare_p99) = (alone[MESSAGES / 2], alone[MESSAGES * 99 / 100]);
    let (step_us, programmed_us) = (step.mean_ms * 1000.0, programmed.mean_ms * 1000.0);
    let limit = Required::AtMost((bare_p99 + BEYOND_BARE * 1000.0).round());
    figures.extend([
        ("messages to the kernel for a change", messages, "", Required::AtMost(1.0)),
        ("the core's step, mean over all events", step_us, "µs", Required::AtMost(STEP)),
        ("the core's step, p99 at most", step.at_most(0.99) * 1000.0, "µs", Required::AtMost(STEP)),
        ("verdict -> kernel's answer, mean", programmed_us, "µs", Required::Nothing),
        ("verdict -> kernel's answer, p99 at most", programmed.at_most(0.99) * 1000.0, "µs", limit),
        ("bare message, p50", bare_p50, "µs", Required::Nothing),
        ("bare message, p99", bare_p99, "µs", Required::Nothing),
    ]);
    Ok(Point { services: size.services, step: step_us, programmed: programmed_us, bare: bare_p50 })
}

/// The first server is gone and back, as the kernel has it.
fn flap(server: &Server, bare: &mut Bare) -> Result<()> {
    for weight in [0, WEIGHT] {
        server.is_up.store(weight != 0, Ordering::Relaxed);
        let has = |bare: &mut Bare| {
            let weights = bare.weights(&Size::key(0)).unwrap_or_default();
            let first = Size::backend(0);
            weights.iter().any(|(at, its)| at.address == first && *its == weight)
        };
        wait_until("the first backend has the weight", LIMIT, || has(bare))?;
    }
    Ok(())
}

/// Takes connections on all backends' addresses; on the first one only while it is up.
#[derive(Debug)]
struct Server {
    is_up: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Server {
    fn start(host: &Host, backends: u32) -> Result<Self> {
        for backend in 0..backends {
            host.run(&["ip", "addr", "add", &format!("{}/16", Size::backend(backend)), "dev", "eth0"])?;
        }
        let (is_up, is_over) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let others = host.enter(|| (1..backends).map(listen).collect::<Result<Vec<_>>>())??;
        let (host, up, over) = (host.clone(), Arc::clone(&is_up), Arc::clone(&is_over));
        let serve = move || host.enter(|| serve(&others, &up, &over))?;
        Ok(Self { is_up, is_over, thread: Some(std::thread::spawn(serve)) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the servers: {error:#}");
        }
    }
}

fn serve(others: &[TcpListener], is_up: &AtomicBool, is_over: &AtomicBool) -> Result<()> {
    let mut first = None;
    while !is_over.load(Ordering::Relaxed) {
        if is_up.load(Ordering::Relaxed) != first.is_some() {
            first = if first.is_none() { Some(listen(0)?) } else { None };
        }
        for listener in others.iter().chain(&first) {
            loop {
                match listener.accept() {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error).context("accept a check"),
                }
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn listen(backend: u32) -> Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::new(Size::backend(backend).into(), 80))?;
    listener.set_nonblocking(true)?;
    ensure!(listener.local_addr()?.port() == 80, "another port");
    Ok(listener)
}
