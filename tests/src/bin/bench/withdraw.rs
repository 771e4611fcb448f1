//! From the decision to withdraw a VIP to the wire.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::network::{FIRST, v4, v6};
use lab::site::LIMIT;
use lab::wait::wait_until;

use crate::capture::{Capture, Withdrawal};
use crate::clock::Moment;
use crate::ground::{FALL, Ground};
use crate::journal::{Journal, Line};
use lab::measure::exposition::Exposition;
use lab::measure::figures::{Report, Required};

/// How often both VIPs are withdrawn.
const TIMES: usize = 50;

/// Routers, each with a session for each family.
const ROUTERS: usize = 2;

/// Requirement: on the wire within this of the decision, milliseconds.
const ON_WIRE: Required = Required::AtMost(10.0);

/// A withdrawal on the wire belongs to the decision that is nearest, and not farther than this; milliseconds.
const NEAR: f64 = 500.0;

/// Between a return and the next withdrawal, so that the announcement is through.
const PAUSE: Duration = Duration::from_millis(150);

/// A decision to withdraw.
#[derive(Clone, Copy, Debug)]
struct Decision {
    vip: IpAddr,
    /// The line in the log.
    logged: Moment,
    /// The answer to the last server's check that decided was about to be written: the decision comes after it.
    deciding: Moment,
}

/// Measures it.
pub(crate) fn measure(ground: &Ground, report: &mut Report) -> Result<()> {
    println!("both VIPs are withdrawn and announced, {TIMES} times:");
    let capture = Capture::start(ground.lvsd().host())?;
    let mut journal = Journal::from_now(ground.lvsd().host())?;
    let mut decisions = Vec::new();
    let mut own = Vec::new();
    for _ in 0..TIMES {
        let marks: Vec<_> = ground.pages.iter().map(|page| page.set(503)).collect();
        for line in wait_lines(&mut journal, "VIP is withdrawn")? {
            let vip: IpAddr = line.subject.parse().context("a VIP in the log")?;
            let deciding = ground
                .pages
                .iter()
                .zip(&marks)
                .map(|(page, mark)| page.nth_since(*mark, vip.is_ipv4(), FALL));
            let deciding = deciding.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
            let deciding = deciding.context("a VIP was withdrawn before its checks could decide")?;
            decisions.push(Decision { vip, logged: line.at, deciding });
        }
        // A session that has just written may not have said so yet.
        std::thread::sleep(PAUSE);
        own.extend(Exposition::of(ground.lvsd())?.last_withdraws().into_values());
        ground.pages.iter().for_each(|page| _ = page.set(200));
        wait_lines(&mut journal, "VIP can be announced")?;
        std::thread::sleep(PAUSE);
    }
    let withdrawals = capture.withdrawals()?;
    let [mut logged, mut deciding] = [Vec::new(), Vec::new()];
    for decision in &decisions {
        for wire in on_wire(decision, &withdrawals)? {
            logged.push(wire.since(decision.logged));
            deciding.push(wire.since(decision.deciding));
        }
    }
    report.latency("withdraw: answer that decides -> wire", deciding, ON_WIRE)?;
    report.latency("withdraw: line in the log -> wire", logged, ON_WIRE)?;
    report.latency("withdraw: decision -> written, lvsd's own", own, ON_WIRE)
}

/// Waits until the log has said it of both VIPs.
fn wait_lines(journal: &mut Journal, message: &str) -> Result<Vec<Line>> {
    let mut found = Vec::new();
    let mut failure = None;
    wait_until(&format!("{message}, of both"), LIMIT, || {
        match journal.new_lines() {
            Ok(lines) => found.extend(lines.into_iter().filter(|line| line.message.contains(message))),
            Err(error) => failure = Some(error),
        }
        found.len() >= FIRST.len() || failure.is_some()
    })?;
    failure.map_or(Ok(found), Err)
}

/// When each router was sent it.
fn on_wire(decision: &Decision, withdrawals: &[Withdrawal]) -> Result<Vec<Moment>> {
    let ours: [IpAddr; 2] = [v4(1).into(), v6(1).into()];
    let fits = |w: &&Withdrawal| {
        w.vip == decision.vip && ours.contains(&w.from) && w.at.since(decision.logged).abs() < NEAR
    };
    let mut near: Vec<_> = withdrawals.iter().filter(fits).collect();
    near.sort_by_key(|w| w.at);
    let mut routers = Vec::new();
    near.retain(|w| {
        !routers.contains(&w.to) && {
            routers.push(w.to);
            true
        }
    });
    anyhow::ensure!(near.len() == ROUTERS, "the withdrawal of {} went to {routers:?}", decision.vip);
    Ok(near.into_iter().map(|w| w.at).collect())
}
