//! The benchmark of a cluster's nodes: a thousand sessions of one lvsd, four thousand routes in the kernel. `make bench-nodes`
//! builds it in release and runs it.
//!
//! One process is all nodes ([`lab::crowd`]). Measured are the time from lvsd's start to the last session and to the last route
//! in the kernel, a reload, a minute at rest, and blocks that move ([`moves`]); in the end no session may have been lost.

mod moves;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::configuration::Configuration;
use lab::crowd::{BALANCER, Crowd, POOL};
use lab::lvsd::Lvsd;
use lab::measure::bench::Bench;
use lab::measure::figures::{Report, Required};
use lab::measure::process::processor;
use lab::network::Lab;
use lab::wait::wait_until;
use lab::world::World;

/// Two sockets of each session take memory. It takes some three minutes; a busy machine may take its time.
const BENCH: Bench =
    Bench { name: "nodes", pictures: &[], documented: None, limit: Duration::from_secs(1200), memory: "2G" };

/// Nodes, and blocks of each.
const NODES: u32 = 1_000;
const BLOCKS: u32 = 4;

/// Nothing here takes so long, on the slowest day.
const LIMIT: Duration = Duration::from_secs(300);

/// How long the idle sessions are looked at: twice the hold time, so that each has been confirmed by KEEPALIVEs.
const IDLE: Duration = Duration::from_secs(60);
const HOLD_TIME: u32 = 30;

/// Between two looks at lvsd's page.
const PAUSE: Duration = Duration::from_millis(200);

/// How often lvsctl is asked.
const QUESTIONS: usize = 5;

fn main() -> ExitCode {
    BENCH.main(|_| Ok(()), measure)
}

fn measure(world: &World, report: &mut Report) -> Result<()> {
    let lab = Lab::build_without_captures(world)?;
    let nodes = lab.add_host(world, "nodes", 21, &[])?;
    let balancer = &lab.balancers[0];
    let crowd = Crowd::start(&nodes, balancer, NODES, BLOCKS)?;
    // As it is by default: the kernel is not read again all the time.
    let services = Configuration { resync_interval: "60s", ..Configuration::with_web(64_600) };
    let text = configuration(&services.render(balancer), &crowd);

    println!("{NODES} nodes with {BLOCKS} blocks each:");
    let begin = Instant::now();
    let mut lvsd = Lvsd::start_with(balancer, &text)?;
    lvsd.wait_ready(LIMIT)?;
    comes_up(&lvsd, &crowd, begin, report)?;
    reload(&lvsd, &text, report)?;
    rest(&lvsd, report)?;
    report.latency(
        "a block moves: told to the kernel's route",
        moves::measure(&lvsd, &crowd)?,
        Required::Nothing,
    )?;
    for what in ["nodes", "routes"] {
        let asked = (0..QUESTIONS).map(|_| {
            let begin = Instant::now();
            lvsd.ctl(&[what])?;
            Ok(begin.elapsed().as_secs_f64() * 1000.0)
        });
        report.latency(&format!("lvsctl {what}"), asked.collect::<Result<_>>()?, Required::Nothing)?;
    }
    let lost = f64::from(u32::try_from(crowd.confirmed())?) - established(&lvsd)?;
    report.value("sessions that were lost", lost, "", Required::AtMost(0.0));
    report.value("routes that nodes were told", crowd.told() as f64, "", Required::AtMost(0.0));
    ensure!(established(&lvsd)? == f64::from(NODES), "{} sessions are left", established(&lvsd)?);
    Ok(())
}

/// The configuration with all nodes.
fn configuration(text: &str, crowd: &Crowd) -> String {
    format!(
        "{text}\n[nodes]\nmode = \"static\"\nhold_time = \"{HOLD_TIME}s\"\nasn = {}\nlocal_ipv4 = \"{BALANCER}\"\n\
         pool = [{{ cidr = \"{POOL}\" }}]\n{}",
        lab::crowd::ASN,
        crowd.named(NODES)
    )
}

/// From its start to the last session and the last route.
fn comes_up(lvsd: &Lvsd, crowd: &Crowd, begin: Instant, report: &mut Report) -> Result<()> {
    let (sessions, routes) = crowd.size();
    wait_until("all sessions", LIMIT, || crowd.confirmed() >= sessions as usize)
        .with_context(|| lvsd.ctl(&["nodes"]).unwrap_or_default())?;
    report.value("start to all sessions", begin.elapsed().as_secs_f64(), "s", Required::Nothing);
    // Asked seldom: the answer is a long page.
    let installed = || lvsd.metric("lvsd_fib_routes{state=\"installed\"}");
    wait_until("all routes", LIMIT, || {
        std::thread::sleep(PAUSE);
        installed().is_ok_and(|there| there == f64::from(routes))
    })?;
    report.value("start to all routes in the kernel", begin.elapsed().as_secs_f64(), "s", Required::Nothing);
    report.value("its processor time until then", processor(lvsd.pid()?)?, "s", Required::Nothing);
    Ok(())
}

/// Another service: no session is concerned.
fn reload(lvsd: &Lvsd, text: &str, report: &mut Report) -> Result<()> {
    lvsd.configure_with(&format!(
        "{text}\n[service.other]\nvips = [\"192.0.2.11\"]\nport = 80\nchecks = []\nbackends = [{{ host = \"rs1\", addresses = [\"10.64.0.11\"] }}]\n"
    ))?;
    let begin = Instant::now();
    lvsd.ctl(&["reload"])?;
    report.value(
        "a reload of another service",
        begin.elapsed().as_secs_f64() * 1000.0,
        "ms",
        Required::Nothing,
    );
    Ok(())
}

/// A minute in which nothing happens.
fn rest(lvsd: &Lvsd, report: &mut Report) -> Result<()> {
    let (before, since) = (processor(lvsd.pid()?)?, Instant::now());
    std::thread::sleep(IDLE);
    let idle = (processor(lvsd.pid()?)? - before) / since.elapsed().as_secs_f64();
    report.value(&format!("at rest, hold time {HOLD_TIME} s, processors"), idle, "", Required::Nothing);
    let resident = lvsd.resident_kilobytes()? as f64 / 1024.0;
    report.value("at rest, resident memory", resident, "MiB", Required::Nothing);
    Ok(())
}

fn established(lvsd: &Lvsd) -> Result<f64> {
    lvsd.metric("lvsd_nodes_sessions_established")
}
