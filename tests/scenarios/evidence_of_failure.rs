//! A scenario that fails, or hangs, must leave behind what a person needs to find out why.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lab::bird::{Bird, Settings};
use lab::kernel::{Console, Run};
use lab::network::{FIRST, Lab};
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

/// What the two below run inside. They are no tests of their own: they fail on purpose.
pub(crate) const ON_PURPOSE: [crate::Scenario; 2] = [("fails_on_purpose", fail), ("hangs_on_purpose", hang)];

fn fail(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    let _servers = lab.start_servers()?;
    let _router = Bird::start(&lab.routers[0], &Settings::of_router(0, [64600, 64600]))?;
    let traffic = Traffic::start(&lab.client, &Load::usual(&FIRST))?;
    wait_until("requests fail, for nobody serves", Duration::from_secs(60), || {
        traffic.so_far().totals.failed > 5
    })?;
    bail!("the reason for failing")
}

fn hang(world: &World) -> Result<()> {
    let _lab = Lab::build(world)?;
    loop {
        std::thread::park();
    }
}

/// Outside: the first one's verdict and files.
pub(crate) fn a_failing_scenario_leaves_logs_captures_and_tables() -> Result<()> {
    let run = Run::new("fails_on_purpose", Duration::from_secs(300), Console::File)?;
    let failure = run.execute()?.failure.context("it passed")?;
    ensure!(failure.contains("the reason for failing"), "another failure: {failure}");
    for (file, word) in [
        ("console.log", "the reason for failing"),
        ("client.network.txt", "10.9.0.2/24"),
        ("rs3.network.txt", "2001:db8::11/128"),
        ("lb2.ipvs.txt", "IP Virtual Server"),
        ("r1.bird.txt", "lb2_v6"),
        ("lb1.status.json", ""),
        ("rs1.nginx.log", "using the \"epoll\" event method"),
    ] {
        let path = run.directory.join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        ensure!(text.contains(word), "{file} does not say {word:?}: {text}");
    }
    // The header alone has 24 bytes; the client's SYNs are behind it.
    let capture = std::fs::metadata(run.directory.join("client.pcap"))?.len();
    ensure!(capture > 500, "the client's capture has {capture} bytes");
    Ok(())
}

/// Outside: one that never ends is ended, and its evidence kept too.
pub(crate) fn a_hanging_scenario_is_ended_at_its_time_limit() -> Result<()> {
    let run = Run::new("hangs_on_purpose", Duration::from_secs(20), Console::File)?;
    let failure = run.execute()?.failure.context("it passed")?;
    ensure!(failure.contains("did not end within 20s"), "another failure: {failure}");
    ensure!(run.directory.join("lb1.network.txt").exists(), "no tables were dumped");
    Ok(())
}
