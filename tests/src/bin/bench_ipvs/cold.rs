//! Empty tables are filled, by each program from its start; then lvsd starts on the full one.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ipvs::{Ipvs, Options, Table, diff};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::measure::exposition::Exposition;
use lab::measure::figures::{Report, Required};
use lab::site::LIMIT;
use lab::table;
use lab::wait::wait_until;

use crate::size::{Pool, Size, balancer, file};
use lab::measure::bare::{Acknowledged, Bare};

/// What is programmed.
const SIZE: Size = Size { services: 1000, backends: 20 };

/// Each is measured so many times, in turns; the median is taken.
const ROUNDS: usize = 3;

/// Requirements: to the bare loop, to keepalived, to ipvsadm.
const TO_BARE: Required = Required::AtMost(1.2);
const TO_KEEPALIVED: Required = Required::AtMost(1.0);
const TO_IPVSADM: Required = Required::AtMost(0.1);

/// Times of all rounds, seconds.
#[derive(Debug, Default)]
struct Times {
    each: Vec<f64>,
    bare: Vec<f64>,
    engine: Vec<f64>,
    lvsd: Vec<f64>,
    quiet: Vec<f64>,
    programming: Vec<f64>,
    operations: Vec<f64>,
    restart: Vec<f64>,
    keepalived: Vec<f64>,
    ipvsadm: Vec<f64>,
}

/// Measures it.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    println!("{} services with {} backends each, {ROUNDS} times:", SIZE.services, SIZE.backends);
    let want = SIZE.table()?;
    let mut times = Times::default();
    for round in 0..ROUNDS {
        let fresh = |name: &str| balancer(&format!("{name}{round}")).map(|(host, _)| host);
        times.each.push(Bare::open(&fresh("each")?)?.fill(&want, Acknowledged::Each)?.as_secs_f64());
        times.bare.push(Bare::open(&fresh("bare")?)?.fill(&want, Acknowledged::Last)?.as_secs_f64());
        times.engine.push(engine(&fresh("engine")?, &want)?.as_secs_f64());
        times.ipvsadm.push(ipvsadm(&fresh("ipvsadm")?, &want)?.as_secs_f64());
        times.keepalived.push(keepalived(&fresh("keepalived")?, &want)?.as_secs_f64());
        lvsd(&fresh("lvsd")?, &want, &mut times)?;
        times.quiet.push(quiet_lvsd(&fresh("quiet")?)?.as_secs_f64());
    }
    tell(report, &times);
    Ok(())
}

fn tell(report: &mut Report, times: &Times) {
    let operations = f64::from(SIZE.operations());
    let [each, bare, engine, lvsd, quiet, programming, restart, keepalived, ipvsadm] = [
        &times.each,
        &times.bare,
        &times.engine,
        &times.lvsd,
        &times.quiet,
        &times.programming,
        &times.restart,
        &times.keepalived,
        &times.ipvsadm,
    ]
    .map(|times| median(times));
    let mut seconds = |name: &str, value: f64| {
        report.value(&format!("cold: {name}"), value * 1000.0, "ms", Required::Nothing);
    };
    seconds("bare loop, each message acknowledged", each);
    seconds("bare loop, the last of each batch acknowledged", bare);
    seconds("lvsd's engine, first write -> last answer", engine);
    seconds("lvsd, first decision -> last answer, its own histogram", programming);
    seconds("lvsd, start -> full table", lvsd);
    seconds("lvsd that logs warnings only, start -> full table", quiet);
    seconds("keepalived, start -> full table", keepalived);
    seconds("ipvsadm -R, start -> full table", ipvsadm);
    let least = Required::AtMost(operations);
    report.value("cold: lvsd's operations", median(&times.operations), "", least);
    report.value("cold: the kernel for an operation", bare * 1e6 / operations, "µs", Required::Nothing);
    report.value("cold: lvsd's engine / bare loop", engine / bare, "", TO_BARE);
    report.value(
        "cold: lvsd, first decision -> last answer / bare loop",
        programming / bare,
        "",
        Required::Nothing,
    );
    report.value(
        "cold: lvsd, first decision -> last answer / ipvsadm -R",
        programming / ipvsadm,
        "",
        TO_IPVSADM,
    );
    report.value("cold: lvsd, whole start / bare loop", lvsd / bare, "", Required::Nothing);
    report.value("cold: lvsd, whole start / keepalived's", lvsd / keepalived, "", TO_KEEPALIVED);
    report.value("cold: the same, lvsd logs warnings only", quiet / keepalived, "", TO_KEEPALIVED);
    report.value("cold: lvsd, whole start / ipvsadm -R", lvsd / ipvsadm, "", Required::Nothing);
    report.value("cold: bare loop / ipvsadm -R", bare / ipvsadm, "", Required::Nothing);
    report.value("restart: start -> ready", restart * 1000.0, "ms", Required::Nothing);
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn engine(host: &Host, want: &Table) -> Result<Duration> {
    host.enter(|| {
        let ipvs = Ipvs::open(Options::default())?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let ops = diff(&Table::new(), want, &BTreeSet::new());
        let begin = Instant::now();
        let results = runtime.block_on(ipvs.apply(ops))?;
        let took = begin.elapsed();
        results.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(took)
    })?
}

fn ipvsadm(host: &Host, want: &Table) -> Result<Duration> {
    let rules = File::open(file(host, "rules", &SIZE.ipvsadm())?)?;
    let begin = Instant::now();
    let mut command = Command::new("ipvsadm");
    command.arg("-R").stdin(rules);
    let status = host.enter(|| command.status())?.context("start ipvsadm")?;
    let took = begin.elapsed();
    ensure!(status.success(), "ipvsadm -R: {status}");
    ensure!(table::whole(host)? == *want, "ipvsadm -R made another table");
    Ok(took)
}

fn keepalived(host: &Host, want: &Table) -> Result<Duration> {
    let configuration = file(host, "keepalived.conf", &SIZE.keepalived())?;
    let pid = |name: &str| host.files().join(name);
    let mut command = Command::new("keepalived");
    command.args(["--dont-fork", "--no-syslog", "--check", "--use-file", &configuration]);
    command.arg("--pid").arg(pid("keepalived.pid")).arg("--checkers_pid").arg(pid("checkers.pid"));
    let mut bare = Bare::open(host)?;
    let begin = Instant::now();
    let mut process = host.spawn("keepalived", command)?;
    let took = SIZE.wait_full(&mut bare, begin, LIMIT)?;
    let have = table::whole(host)?;
    ensure!(have.len() == want.len(), "keepalived has made {} services", have.len());
    process.terminate(LIMIT)?;
    Ok(took)
}

/// From its start to a full table, and once more with nothing left to do, after a stop and after a kill.
fn lvsd(host: &Host, want: &Table, times: &mut Times) -> Result<()> {
    let mut lvsd = Lvsd::new(host, Vec::new());
    lvsd.configure_with(&SIZE.lvsd(host, Pool::Inline))?;
    let mut bare = Bare::open(host)?;
    let begin = Instant::now();
    lvsd.start_again()?;
    times.lvsd.push(SIZE.wait_full(&mut bare, begin, LIMIT)?.as_secs_f64());
    lvsd.wait_ready(LIMIT)?;
    times.operations.push(operations(&lvsd)?);
    let programmed = Exposition::of(&lvsd)?.value("lvsd_ipvs_program_duration_seconds_sum")?;
    times.programming.push(programmed);
    ensure!(table::whole(host)? == *want, "lvsd has made another table");
    for is_killed in [false, true] {
        if is_killed {
            lvsd.kill()?
        } else {
            lvsd.stop(LIMIT).map(drop)?
        }
        let begin = Instant::now();
        lvsd.start_again()?;
        lvsd.wait_ready(LIMIT)?;
        times.restart.push(begin.elapsed().as_secs_f64());
        let done = operations(&lvsd)?;
        ensure!(done == 0.0, "{done} operations after a restart with nothing changed");
    }
    lvsd.kill()
}

/// The same start without a line in the log for each backend, as keepalived is measured.
fn quiet_lvsd(host: &Host) -> Result<Duration> {
    let mut lvsd = Lvsd::new(host, vec![("LVSD_LOG".to_owned(), "warn".to_owned())]);
    lvsd.configure_with(&SIZE.lvsd(host, Pool::Inline))?;
    let mut bare = Bare::open(host)?;
    let begin = Instant::now();
    lvsd.start_again()?;
    let took = SIZE.wait_full(&mut bare, begin, LIMIT)?;
    lvsd.kill()?;
    Ok(took)
}

/// Operations since its start, once it has compared the table with what it wants.
fn operations(lvsd: &Lvsd) -> Result<f64> {
    let programmed =
        || lvsd.metric("lvsd_ipvs_program_duration_seconds_count").is_ok_and(|count| count > 0.0);
    wait_until("lvsd has compared the table with what it wants", LIMIT, programmed)?;
    lvsd.metric("lvsd_ipvs_operations_total{result=\"ok\"}")
}
