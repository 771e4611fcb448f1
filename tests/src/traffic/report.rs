//! What became of the requests: totals, by phase, by server.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};

use super::Record;

/// A request that takes longer is called slow, though it did not fail.
const SLOW: Duration = Duration::from_secs(1);

/// Failures of a phase that are told one by one.
const TOLD: usize = 5;

/// One request that has ended.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it was begun, since the traffic's start.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// Where it went.
    pub target: SocketAddr,
    /// Whether on a kept connection.
    pub kept: bool,
    /// Which server answered, or what went wrong.
    pub answer: Result<String, String>,
}

/// Counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All requests.
    pub requests: usize,
    /// Those without an answer of 200 in time.
    pub failed: usize,
    /// Those that took more than a second.
    pub slow: usize,
    /// Answers by server.
    pub servers: BTreeMap<String, usize>,
}

/// One phase of the traffic.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When it began, since the traffic's start.
    pub began: Duration,
    /// What became of its requests.
    pub totals: Totals,
}

/// Everything about traffic that has ended, or so far.
#[derive(Clone, Debug)]
pub struct Report {
    /// All requests, in the order in which they ended.
    pub requests: Vec<Request>,
    /// The phases in order.
    pub phases: Vec<Phase>,
    /// The index of each request's phase.
    phase_of: Vec<usize>,
    /// Over all phases.
    pub totals: Totals,
    /// How often a kept connection was found closed and opened again.
    pub reconnects: u64,
}

impl Report {
    pub(super) fn new(record: &Record) -> Self {
        let phase = |(name, began): &(String, Duration)| Phase {
            name: name.clone(),
            began: *began,
            totals: Totals::default(),
        };
        let mut phases: Vec<_> = record.phases.iter().map(phase).collect();
        let mut totals = Totals::default();
        let phase_of: Vec<_> =
            record.requests.iter().map(|request| phase_of(request, &record.phases)).collect();
        for (request, phase) in record.requests.iter().zip(&phase_of) {
            totals.count(request);
            phases[*phase].totals.count(request);
        }
        Self { requests: record.requests.clone(), phases, phase_of, totals, reconnects: record.reconnects }
    }

    /// An error that tells the failures, unless there is none.
    pub fn expect_no_failure(&self) -> Result<()> {
        if self.totals.failed == 0 {
            return Ok(());
        }
        bail!("{self}")
    }

    /// The phase with this name.
    pub fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.name == name)
    }
}

/// A request counts where it was begun, unless the next phase began while it was on its way: what happened then
/// happened to it.
fn phase_of(request: &Request, phases: &[(String, Duration)]) -> usize {
    let begun = phases.partition_point(|(_, began)| *began <= request.at).saturating_sub(1);
    let ended = request.at + request.took;
    let struck = phases.get(begun + 1).is_some_and(|(_, began)| *began < ended);
    begun + usize::from(struck)
}

impl Totals {
    fn count(&mut self, request: &Request) {
        self.requests += 1;
        self.slow += usize::from(request.took > SLOW);
        match &request.answer {
            Ok(server) => *self.servers.entry(server.clone()).or_default() += 1,
            Err(_) => self.failed += 1,
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests, {} failed, {} slow", self.requests, self.failed, self.slow)?;
        self.servers.iter().try_for_each(|(name, count)| write!(f, ", {name} {count}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}; {} reconnects", self.totals, self.reconnects)?;
        for (index, phase) in self.phases.iter().enumerate() {
            writeln!(f, "  {:>7.3} s  {}: {}", phase.began.as_secs_f64(), phase.name, phase.totals)?;
            let its = self.requests.iter().zip(&self.phase_of).filter(|(_, phase)| **phase == index);
            for (request, reason) in
                its.filter_map(|(request, _)| Some((request, request.answer.as_ref().err()?))).take(TOLD)
            {
                let kept = if request.kept { ", kept connection" } else { "" };
                let (at, took) = (request.at.as_secs_f64(), request.took.as_secs_f64());
                writeln!(f, "    {at:>7.3} s  {}{kept}: {reason} after {took:.3} s", request.target)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(at: u64, took: u64) -> Request {
        let target = "192.0.2.10:80".parse().expect("an address");
        let (at, took) = (Duration::from_millis(at), Duration::from_millis(took));
        Request { at, took, target, kept: false, answer: Ok("rs1".into()) }
    }

    #[test]
    fn a_request_counts_to_the_first_event_that_happened_while_it_was_on_its_way() {
        let phases = [(0, "start"), (100, "kill"), (200, "return")]
            .map(|(at, name)| (name.to_owned(), Duration::from_millis(at)));
        let name = |request| phases[phase_of(&request, &phases)].0.as_str();
        assert_eq!(name(request(50, 20)), "start");
        assert_eq!(name(request(50, 60)), "kill");
        assert_eq!(name(request(50, 5000)), "kill");
        assert_eq!(name(request(100, 20)), "kill");
        assert_eq!(name(request(250, 5000)), "return");
    }
}
