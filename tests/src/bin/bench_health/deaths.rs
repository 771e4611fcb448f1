//! Servers die by chance, each cause many times, and return.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use lab::host::{Host, Process};
use lab::measure::figures::{Report, Required};
use nix::sys::signal::Signal;

use crate::ground::{CHECKERS, Checker, Ground, set_cable, start_servers};
use crate::observer::Observations;
use crate::picture::Curve;
use crate::server;

/// Servers that die independently of one another.
const SERVERS: usize = 40;

/// Deaths of each cause, unless the environment says otherwise.
const DEATHS: usize = 200;

/// The variable that says how many.
const VARIABLE: &str = "LAB_DEATHS";

/// Before a death: a chance within this, the longest interval between checks.
const PHASE_MS: u64 = 10_000;

/// The longest wait for a checker to see it: on a busy machine keepalived at its usual has taken more than 90 s.
const LIMIT: Duration = Duration::from_secs(300);

/// How a server dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// Its process is killed: the port is closed.
    Closed,
    /// Its cable is pulled: nothing comes back.
    Silent,
    /// It answers 503.
    Unavailable,
    /// Its process is stopped: the kernel accepts, nobody answers.
    Stopped,
}

const CAUSES: [Cause; 4] = [Cause::Closed, Cause::Silent, Cause::Unavailable, Cause::Stopped];

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Closed => "port closed",
            Self::Silent => "silent drop",
            Self::Unavailable => "HTTP 503",
            Self::Stopped => "process stopped",
        }
    }

    /// Whether the checker can see it.
    fn is_seen_by(self, checker: Checker) -> bool {
        matches!(self, Self::Closed | Self::Silent) || checker.asks()
    }

    /// Required of lvsd: the median, and the longest; seconds.
    fn required(self, checker: Checker) -> [Required; 2] {
        let at_most = |median, longest| [Required::AtMost(median), longest];
        match self {
            _ if !checker.is_lvsd() => [Required::Nothing; 2],
            Self::Closed if checker == Checker::LvsdIdle => at_most(0.05, Required::Nothing),
            Self::Closed => at_most(1.0, Required::Nothing),
            Self::Silent => at_most(5.0, Required::AtMost(7.0)),
            Self::Unavailable | Self::Stopped => at_most(5.0, Required::Nothing),
        }
    }
}

/// Back in service: the longest, seconds.
const BACK: Required = Required::AtMost(6.0);

/// Seconds to out and to back in.
#[derive(Debug, Default)]
struct Times {
    out: Vec<f64>,
    back: Vec<f64>,
}

/// All times of all causes.
type All = BTreeMap<(Cause, Checker), Times>;

/// Measures it and gives the distributions.
pub(crate) fn measure(report: &mut Report) -> Result<Vec<Curve>> {
    let deaths = match std::env::var(VARIABLE) {
        Ok(text) => text.parse().with_context(|| format!("{VARIABLE}={text}"))?,
        Err(_) => DEATHS,
    };
    let servers = SERVERS.min(deaths);
    let rounds = deaths.div_ceil(servers);
    println!("{servers} servers, each dies {rounds} times of each cause:");
    let ground = Ground::build(servers)?;
    let processes = start_servers(&ground.servers)?;
    let observations = Observations::default();
    let mut balancers: BTreeMap<&str, Vec<Checker>> = BTreeMap::new();
    for checker in CHECKERS {
        balancers.entry(ground.balancer(checker).name()).or_default().push(checker);
    }
    for checkers in balancers.into_values() {
        observations.observe(ground.balancer(checkers[0]), checkers, servers)?;
    }
    let all = Mutex::new(All::new());
    let lives = processes.into_iter().enumerate().map(|(number, process)| Life {
        number,
        host: ground.servers[number].clone(),
        segment: ground.segment.clone(),
        process,
        observations: observations.clone(),
        chance: Chance(number as u64 + 1),
    });
    let lived = thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> =
            lives.map(|mut life| scope.spawn(|| life.live(rounds, &all).map(|()| life))).collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a server's thread panicked"))??;
        }
        Ok(())
    });
    lived?;
    ground.end()?;
    tell(report, all.into_inner().map_err(|_| anyhow!("a server's thread panicked"))?)
}

fn tell(report: &mut Report, all: All) -> Result<Vec<Curve>> {
    let mut curves = Vec::new();
    let mut returns: BTreeMap<Checker, Vec<f64>> = BTreeMap::new();
    for ((cause, checker), times) in all {
        let name = format!("{}: {} -> out of IPVS", cause.name(), checker.name());
        let [median, longest] = cause.required(checker);
        distribution(report, &name, &times.out, [median, longest])?;
        returns.entry(checker).or_default().extend(times.back);
        curves.push(Curve {
            panel: cause.name(),
            name: checker.name(),
            is_lvsd: checker.is_lvsd(),
            seconds: times.out,
        });
    }
    for (checker, times) in returns {
        let required = if checker.is_lvsd() { BACK } else { Required::Nothing };
        let name = format!("back: {} -> in IPVS", checker.name());
        distribution(report, &name, &times, [Required::Nothing, required])?;
    }
    Ok(curves)
}

/// Median and longest, each with what is required of it, beside the whole distribution.
fn distribution(report: &mut Report, name: &str, seconds: &[f64], required: [Required; 2]) -> Result<()> {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = *sorted.last().with_context(|| format!("{name}: no sample"))?;
    report.latency(name, sorted.iter().map(|time| time * 1000.0).collect(), Required::Nothing)?;
    report.value(&format!("{name}, median"), sorted[sorted.len() / 2], "s", required[0]);
    report.value(&format!("{name}, longest"), last, "s", required[1]);
    Ok(())
}

/// One server's deaths.
struct Life {
    number: usize,
    host: Host,
    segment: Host,
    process: Process,
    observations: Observations,
    chance: Chance,
}

impl Life {
    fn live(&mut self, rounds: usize, all: &Mutex<All>) -> Result<()> {
        let context = format!("server {}", self.number);
        for _ in 0..rounds {
            for cause in CAUSES {
                let times = self.die(cause).with_context(|| format!("{context}, {}", cause.name()))?;
                let mut all = all.lock().map_err(|_| anyhow!("another server's thread panicked"))?;
                for (checker, [out, back]) in times {
                    let times = all.entry((cause, checker)).or_default();
                    times.out.push(out);
                    times.back.push(back);
                }
            }
        }
        Ok(())
    }

    /// Dies and returns; seconds until each checker had it out, and in again.
    fn die(&mut self, cause: Cause) -> Result<Vec<(Checker, [f64; 2])>> {
        let seeing: Vec<_> = CHECKERS.into_iter().filter(|checker| cause.is_seen_by(*checker)).collect();
        for checker in CHECKERS {
            self.observations.wait(checker, self.number, true, LIMIT)?;
        }
        thread::sleep(Duration::from_millis(self.chance.below(PHASE_MS)));
        let mut times = BTreeMap::new();
        let dead = self.turn(cause, false)?;
        for checker in &seeing {
            let out = self.observations.wait(*checker, self.number, false, LIMIT)?;
            times.insert(*checker, [seconds(dead, out), 0.0]);
        }
        let alive = self.turn(cause, true)?;
        for (checker, [_, back]) in &mut times {
            *back = seconds(alive, self.observations.wait(*checker, self.number, true, LIMIT)?);
        }
        Ok(times.into_iter().collect())
    }

    /// Lets it die or live again; the moment at which that was so.
    fn turn(&mut self, cause: Cause, is_alive: bool) -> Result<Instant> {
        let flag = server::flag(&self.host);
        match (cause, is_alive) {
            (Cause::Closed, false) => self.process.kill()?,
            (Cause::Closed, true) => self.process = server::start(&self.host)?,
            (Cause::Silent, _) => set_cable(&self.segment, self.number, is_alive)?,
            (Cause::Unavailable, false) => fs::write(flag, "")?,
            (Cause::Unavailable, true) => fs::remove_file(flag)?,
            (Cause::Stopped, false) => self.process.signal(Signal::SIGSTOP)?,
            (Cause::Stopped, true) => self.process.signal(Signal::SIGCONT)?,
        }
        Ok(Instant::now())
    }
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}

/// Numbers that look like chance, the same in every run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
