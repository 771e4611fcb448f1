//! A server leaves a hundred services at once: by an operator's command, and by an edit of their pool file.

use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::measure::control::Control;
use lab::measure::exposition::Exposition;
use lab::measure::figures::{Report, Required};
use lab::measure::priority::{self, Rank};
use lab::site::LIMIT;

use crate::size::{POOL_FILE, Pool, Size, WEIGHT, balancer, file};
use lab::measure::bare::Bare;

/// What there is.
const SIZE: Size = Size { services: 100, backends: 10 };

/// Depools, pools, and edits of each direction.
const TIMES: usize = 100;

/// Which backend.
pub(crate) const BACKEND: u32 = 3;

/// The weight that an edit gives it.
pub(crate) const EDITED: u32 = 4;

/// Between two commands.
const PAUSE: Duration = Duration::from_millis(23);

/// Between two looks at the last service; a look takes some 50 µs.
const LOOK: Duration = Duration::from_micros(300);

/// Requirement: in the kernel within this, milliseconds.
const IN_KERNEL: Required = Required::AtMost(10.0);

/// Measures it, with lvsd as its unit starts it and then before all others.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    println!("one of {} backends in {} services, {TIMES} times:", SIZE.backends, SIZE.services);
    let (host, _) = balancer("operator")?;
    file(&host, POOL_FILE, &SIZE.pool_file(BACKEND, WEIGHT))?;
    let mut lvsd = Lvsd::start_with(&host, &SIZE.lvsd(&host, Pool::File))?;
    lvsd.wait_ready(LIMIT)?;
    commands(&lvsd, "as the unit starts it", report)?;
    priority::put_first(i32::try_from(lvsd.pid()?)?, Rank::Measured)?;
    commands(&lvsd, "real-time priority", report)?;
    lvsd.kill()
}

fn commands(lvsd: &Lvsd, how: &str, report: &mut Report) -> Result<()> {
    let host = lvsd.host();
    let control = Control::of(host);
    let name = format!("b{BACKEND}");
    let path = host.files().join(POOL_FILE);
    let new = host.files().join("new");
    let watch = Watch::start(host, SIZE.services - 1)?;
    let edit = |weight: u32, samples: &mut Vec<f64>| -> Result<()> {
        fs::write(&new, SIZE.pool_file(BACKEND, weight))?;
        samples.push(once(&watch, weight, || Ok(fs::rename(&new, &path)?))?);
        Ok(())
    };
    let [mut depools, mut pools, mut edits] = [Vec::new(), Vec::new(), Vec::new()];
    let before = Exposition::of(lvsd)?;
    for _ in 0..TIMES {
        depools.push(once(&watch, 0, || control.depool(&name))?);
        pools.push(once(&watch, WEIGHT, || control.pool(&name))?);
        edit(EDITED, &mut edits)?;
        edit(WEIGHT, &mut edits)?;
    }
    let after = Exposition::of(lvsd)?;
    let programmed = after.programmed_since(&before)?;
    let slow = after.durations_since("lvsd_step_duration_seconds", &before)?.mean_ms * 1000.0;
    let mut own = |figure: &str, value, unit| {
        report.value(&format!("{how}, lvsd's own: {figure}"), value, unit, Required::Nothing);
    };
    own("changes programmed", programmed.count, "");
    own("event -> kernel's answer, mean", programmed.mean_ms, "ms");
    own("the core's step, mean over all events", slow, "µs");
    let services = SIZE.services;
    report.latency(&format!("depool in {services} services -> kernel, {how}"), depools, IN_KERNEL)?;
    report.latency(&format!("pool in {services} services -> kernel, {how}"), pools, IN_KERNEL)?;
    report.latency(&format!("pool file of {services} services -> kernel, {how}"), edits, IN_KERNEL)
}

/// Milliseconds from the command to the last service with that weight.
pub(crate) fn once(watch: &Watch, weight: u32, command: impl FnOnce() -> Result<()>) -> Result<f64> {
    std::thread::sleep(PAUSE);
    watch.wanted.send(weight)?;
    let begin = Instant::now();
    command()?;
    let seen = watch.seen.recv_timeout(LIMIT).context("the kernel's table was not changed")?;
    Ok((seen - begin).as_secs_f64() * 1000.0)
}

/// Looks at one service, on a thread of its own that gets the processor on time. The kernel takes all changes of a
/// command in one batch, so that the last service tells of all.
#[derive(Debug)]
pub(crate) struct Watch {
    wanted: Sender<u32>,
    seen: Receiver<Instant>,
}

impl Watch {
    pub(crate) fn start(host: &Host, service: u32) -> Result<Self> {
        let mut bare = Bare::open(host)?;
        let (wanted, weights) = channel();
        let (tell, seen) = channel();
        std::thread::Builder::new().name("watch".into()).spawn(move || -> Result<()> {
            priority::put_first(nix::unistd::gettid().as_raw(), Rank::Watch)?;
            let (key, backend) = (Size::key(service), Size::backend(BACKEND));
            for weight in weights {
                let is_there =
                    |(at, its): &(ipvs::DestinationKey, u32)| at.address == backend && *its == weight;
                while !bare.weights(&key)?.iter().any(is_there) {
                    std::thread::sleep(LOOK);
                }
                tell.send(Instant::now())?;
            }
            Ok(())
        })?;
        Ok(Self { wanted, seen })
    }
}
