//! From an operator's command to the kernel.

use std::time::Duration;

use anyhow::Result;
use lab::site::WEIGHT;

use crate::clock::Moment;
use crate::ground::{Ground, addresses};
use crate::table_watch::TableWatch;
use lab::measure::control::Control;
use lab::measure::exposition::{Durations, Exposition};
use lab::measure::figures::{Report, Required};

/// Depools and pools over the control socket, of each.
const PAIRS: usize = 200;

/// The same with a process of lvsctl for each: they take ten times as long.
const LVSCTL_PAIRS: usize = 50;

/// Between two commands; no divisor of the checks' interval, so that they do not keep meeting.
const PAUSE: Duration = Duration::from_millis(37);

/// The server that is depooled, rs2.
const SERVER: usize = 1;
const HOST: &str = "rs2";

/// Requirement: in the kernel within this, milliseconds.
pub(crate) const IN_KERNEL: Required = Required::AtMost(10.0);

/// Times of one kind of command.
#[derive(Debug, Default)]
struct Times {
    /// Until both families' tables have it.
    kernel: Vec<f64>,
    /// Until the command has its answer.
    answer: Vec<f64>,
    /// Between the look at the table that saw it and the one before.
    look: Vec<f64>,
    /// Part of the time until the kernel had it in which the kernel stood still.
    stalled: Vec<f64>,
}

/// Measures it: first with lvsd as one process among all of the lab, then with the processor whenever it asks for
/// it, as it stays from here on.
pub(crate) fn measure(ground: &Ground, report: &mut Report) -> Result<()> {
    println!("depool and pool, {PAIRS} of each:");
    let control = Control::of(ground.lvsd().host());
    let watch = ground.watch()?;
    let [depool, pool] = pairs(&watch, &control)?;
    report.latency("depool among all others: request -> kernel", depool.kernel, IN_KERNEL)?;
    report.latency("pool among all others: request -> kernel", pool.kernel, IN_KERNEL)?;
    ground.put_lvsd_first()?;
    let question = (0..PAIRS).map(|_| timed(|| control.why(HOST))).collect::<Result<_>>()?;
    report.latency("control socket: a question and its answer", question, Required::Nothing)?;
    let before = Exposition::of(ground.lvsd())?;
    let [mut depool, pool] = pairs(&watch, &control)?;
    let programmed = Exposition::of(ground.lvsd())?.programmed_since(&before)?;
    report.latency("depool: request on the control socket -> kernel", depool.kernel, IN_KERNEL)?;
    report.latency("pool: request on the control socket -> kernel", pool.kernel, IN_KERNEL)?;
    report.latency("depool: request -> answer, state file synced", depool.answer, Required::Nothing)?;
    own_words(report, "depool and pool", &programmed);
    by_lvsctl(ground, &watch, report)?;
    depool.look.extend(pool.look);
    report.latency("resolution: from one look at the table to the next", depool.look, Required::Nothing)?;
    depool.stalled.extend(pool.stalled);
    report.latency("noise: the kernel stood still meanwhile", depool.stalled, Required::Nothing)
}

fn pairs(watch: &TableWatch, control: &Control) -> Result<[Times; 2]> {
    let [mut depool, mut pool] = [Times::default(), Times::default()];
    for _ in 0..PAIRS {
        once(watch, &mut depool, 0, || control.depool(HOST))?;
        once(watch, &mut pool, WEIGHT, || control.pool(HOST))?;
    }
    Ok([depool, pool])
}

fn by_lvsctl(ground: &Ground, watch: &TableWatch, report: &mut Report) -> Result<()> {
    let [mut depool, mut pool] = [Times::default(), Times::default()];
    for _ in 0..LVSCTL_PAIRS {
        once(watch, &mut depool, 0, || ground.lvsd().ctl(&["depool", HOST]).map(drop))?;
        once(watch, &mut pool, WEIGHT, || ground.lvsd().ctl(&["pool", HOST]).map(drop))?;
    }
    report.latency("lvsctl depool: start of the process -> kernel", depool.kernel, Required::Nothing)?;
    report.latency("lvsctl depool: start of the process -> its end", depool.answer, Required::Nothing)
}

/// What lvsd's own histogram says: bounds of buckets, not samples.
pub(crate) fn own_words(report: &mut Report, what: &str, programmed: &Durations) {
    let mut value = |figure: &str, value, unit| {
        report.value(&format!("{what}, lvsd's own: {figure}"), value, unit, Required::Nothing);
    };
    value("changes programmed", programmed.count, "");
    value("event -> kernel's answer, mean", programmed.mean_ms, "ms");
    value("event -> kernel's answer, p99 at most", programmed.at_most(0.99), "ms");
}

fn once(
    watch: &TableWatch,
    times: &mut Times,
    weight: u32,
    command: impl FnOnce() -> Result<()>,
) -> Result<()> {
    std::thread::sleep(PAUSE);
    let mark = watch.mark();
    let begin = Moment::now();
    command()?;
    times.answer.push(Moment::now().since(begin));
    let changes = watch.wait(mark, &addresses(SERVER), weight)?;
    if let Some(last) = changes.iter().map(|change| change.at).max() {
        times.kernel.push(last.since(begin));
        times.stalled.push(watch.stalled(begin, last));
    }
    times.look.extend(changes.iter().map(|change| change.at.since(change.before)));
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begin = Moment::now();
    work()?;
    Ok(Moment::now().since(begin))
}
