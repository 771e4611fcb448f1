//! From a health verdict to the kernel.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use lab::site::WEIGHT;

use crate::clock::Moment;
use crate::depool::{IN_KERNEL, own_words};
use crate::ground::{FALL, Ground, RISE, addresses};
use crate::journal::{Journal, Line};
use lab::measure::exposition::Exposition;
use lab::measure::figures::{Report, Required};

/// Deaths of rs1, and returns.
const TIMES: usize = 100;

/// The server whose page fails, rs1.
const SERVER: usize = 0;

/// One change of the kernel's table and what it followed from.
#[derive(Clone, Copy, Debug)]
struct Sample {
    server: IpAddr,
    kernel: Moment,
    /// The page changed its mind.
    cause: Moment,
    /// The answer that decided was about to be written: the verdict comes after it.
    deciding: Moment,
    /// How long the kernel stood still from then on; milliseconds.
    stalled: f64,
}

/// Measures it.
pub(crate) fn measure(ground: &Ground, report: &mut Report) -> Result<()> {
    println!("a server dies and returns, {TIMES} times:");
    let watch = ground.watch()?;
    let mut journal = Journal::from_now(ground.lvsd().host())?;
    let before = Exposition::of(ground.lvsd())?;
    let page = &ground.pages[SERVER];
    let change = |status: u16, weight: u32, results: usize| -> Result<Vec<Sample>> {
        let mark = watch.mark();
        let cause = Moment::now();
        let answers = page.set(status);
        let changes = watch.wait(mark, &addresses(SERVER), weight)?;
        let sample = |change: &crate::table_watch::Change| {
            let deciding = page.nth_since(answers, change.server.is_ipv4(), results);
            let deciding = deciding.context("the kernel changed before its checks could decide")?;
            let stalled = watch.stalled(deciding, change.at);
            Ok(Sample { server: change.server, kernel: change.at, cause, deciding, stalled })
        };
        changes.iter().map(sample).collect()
    };
    let [mut deaths, mut returns] = [Vec::new(), Vec::new()];
    for _ in 0..TIMES {
        deaths.extend(change(503, 0, FALL)?);
        returns.extend(change(200, WEIGHT, RISE)?);
    }
    let programmed = Exposition::of(ground.lvsd())?.programmed_since(&before)?;
    let lines = journal.new_lines()?;
    for (name, samples, message) in
        [("death", &deaths, "down (was pooled)"), ("return", &returns, "pooled (was down)")]
    {
        let logged = from_log(samples, &lines, message)?;
        let deciding = samples.iter().map(|s| s.kernel.since(s.deciding)).collect();
        report.latency(&format!("{name}: answer that decides -> kernel"), deciding, IN_KERNEL)?;
        report.latency(&format!("{name}: line in the log -> kernel"), logged, IN_KERNEL)?;
        let cause = samples.iter().map(|s| s.kernel.since(s.cause)).collect();
        report.latency(
            &format!("{name}: cause -> kernel ({FALL} results, 200 ms apart)"),
            cause,
            Required::Nothing,
        )?;
    }
    let stalled = deaths.iter().chain(&returns).map(|sample| sample.stalled).collect();
    report.latency("noise: the kernel stood still after the answer", stalled, Required::Nothing)?;
    own_words(report, "verdicts", &programmed);
    Ok(())
}

/// The n-th change of a server's weight follows the n-th line that says so of its address.
fn from_log(samples: &[Sample], lines: &[Line], message: &str) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for server in addresses(SERVER) {
        let about = format!("({server})");
        let said: Vec<_> = lines
            .iter()
            .filter(|line| line.message.contains(message) && line.subject.ends_with(&about))
            .collect();
        let changes: Vec<_> = samples.iter().filter(|sample| sample.server == server).collect();
        ensure!(
            said.len() == changes.len(),
            "{} changes of {server}, and {} lines \"{message}\"",
            changes.len(),
            said.len()
        );
        times.extend(changes.iter().zip(said).map(|(change, line)| change.kernel.since(line.at)));
    }
    Ok(times)
}
