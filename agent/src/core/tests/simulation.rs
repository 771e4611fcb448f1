//! Random histories of a balancer, each from a seed, against the rules that hold whatever happens.
//!
//! ```text
//! seed ─▶ incident::history ─▶ host (kernel, disk, files, …) ─Event─▶ step ─Action─▶ host …
//!                                                               └─▶ rules: after each step
//! ```
//!
//! Histories send every event that there is. Rules of `docs/design.md`, and where each is held:
//!
//! | rule | after every step | at the end, when all is calm |
//! |---|---|---|
//! | 1 sources first | [`rules`]`::sources_first`; routes of nodes in [`nodes`] | |
//! | 2 sources that fail, large changes | [`rules`]`::changes`, [`nodes`] | [`settled`] |
//! | 3 the threshold, who is held, operators | [`pools`], [`rules`]`::operators` | |
//! | 4 announcements | [`announcements`] | [`settled`] |
//! | 5 what is another's | [`kernel`], [`nodes`] | [`settled`] |
//! | 6 restarts and stops | [`rules`]`::repairs` | a restart writes nothing: here |
//! | 7 deletions | [`rules`]`::deletions`, [`kernel`] | |
//! | 8 repair, results | [`rules`]`::repairs` | the kernel is as wanted: [`settled`] |
//! | 9 reasons | [`reasons`] | |
//! | 10 replays | | `a_recorded_history_replays_to_the_same_actions` |
//! | 11 costs | [`rules`]`::costs` | |
//! | 12 bad input | the last good state stays: [`rules`]`::changes`; no panic: here | |
//! | 13 bounds | [`rules`]`::bounds` | no request waits: [`settled`] |
//!
//! What is not of the pure core is held elsewhere: an executor's own marks on addresses and routes (5), its reopening of a
//! socket (8) and its queues (13) in its tests and in the lab; text that is to be parsed (12) with each parser; what a step
//! takes in time (11) by `make bench-ipvs`.
//!
//! A history that breaks a rule is shortened while it still breaks it, and printed with its seed. To try one seed, or
//! more of them: `LVSD_SEED=7`, `LVSD_SIMULATIONS=100000` (`CONTRIBUTING.md`).

mod announcements;
mod configurations;
mod host;
mod incident;
mod kernel;
mod links;
mod nodes;
mod pools;
mod reasons;
mod rules;
mod settled;
mod sources;

use crate::core::Timestamp;
use crate::record::Line;
use crate::record::digest::Digester;
use crate::record::replay::replay;
use host::Host;
use incident::{InKernel, Incident, history};
use settled::{a_restart_wrote_nothing, is_as_wanted};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Histories of a test run: what a debug build goes through in a quarter of a minute on two processors, and in less than one
/// when they have much else to do.
const SIMULATIONS: u64 = 600;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq)]
struct Broken {
    rule: &'static str,
    what: String,
}

impl Broken {
    fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// Fails with what is wrong.
macro_rules! ensure {
    ($condition:expr, $rule:expr, $($what:tt)*) => {
        if !$condition {
            return Err(Broken::new($rule, format!($($what)*)));
        }
    };
}

use ensure;

/// Goes through a history, to its end if no rule is broken.
fn run(history: &[Incident], host: &mut Host) -> Result<(), Broken> {
    let all = AssertUnwindSafe(|| {
        for incident in history {
            host.happens(incident)?;
        }
        host.settles()?;
        is_as_wanted(host)?;
        host.restarts_unchanged()?;
        a_restart_wrote_nothing(host)
    });
    catch_unwind(all).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let what = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(Broken::new("no panic", what.unwrap_or_default()))
    })
}

/// Leaves out of a history what it breaks the same rule without.
fn shortened(mut history: Vec<Incident>, broken: &Broken) -> (Vec<Incident>, Broken) {
    let mut broken = broken.clone();
    let mut size = history.len().div_ceil(2);
    loop {
        let (mut begin, mut is_shorter) = (0, false);
        while begin < history.len() {
            let end = (begin + size).min(history.len());
            let rest: Vec<Incident> = history[..begin].iter().chain(&history[end..]).cloned().collect();
            match run(&rest, &mut Host::new()) {
                Err(same) if same.rule == broken.rule => (history, broken, is_shorter) = (rest, same, true),
                Ok(()) | Err(_) => begin = end,
            }
        }
        match (size, is_shorter) {
            (1, false) => return (history, broken),
            _ => size = size.div_ceil(2).max(1),
        }
    }
}

/// Tries a seed; gives what a person needs to know when it breaks a rule.
fn try_seed(seed: u64) -> Result<(), String> {
    let whole = history(seed);
    let Err(broken) = run(&whole, &mut Host::new()) else { return Ok(()) };
    let (shortest, broken) = shortened(whole, &broken);
    let lines: String = shortest.iter().map(|incident| format!("  {incident:?}\n")).collect();
    Err(format!("seed {seed} breaks a rule: {broken}\nits shortest history:\n{lines}"))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn whatever_happens_the_rules_hold() {
    if let Some(seed) = number("LVSD_SEED") {
        return try_seed(seed).unwrap_or_else(|failure| panic!("{failure}"));
    }
    let count = number("LVSD_SIMULATIONS").unwrap_or(SIMULATIONS);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let share =
            |thread| (thread..count).step_by(threads as usize).filter_map(|seed| try_seed(seed).err());
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || share(thread).next())).collect();
        workers.into_iter().filter_map(|worker| worker.join().expect("panics are caught")).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_was_wanted_and_left_while_the_kernel_was_deaf_is_not_ours_for_ever() {
    let history = [
        Incident::Kernel(InKernel::Deaf(true)),
        Incident::Configured { number: 5 },
        Incident::Configured { number: 4 },
        Incident::Passes { millis: 61_000 },
    ];
    run(&history, &mut Host::new()).unwrap_or_else(|broken| panic!("{broken}"));
}

#[test]
fn a_recorded_history_replays_to_the_same_actions() {
    for seed in 1_000_000..1_000_040 {
        let mut host = Host::new();
        host.record = Some(Vec::new());
        run(&history(seed), &mut host).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        let record = host.record.take().unwrap();
        let (recording, did) = recorded(&record);
        let mut output = Vec::new();
        let replayed = replay(Path::new("lvsd.rec"), recording.as_slice(), &mut output).unwrap();
        assert_eq!((replayed.differs, replayed.events), (None, record.len() as u64), "seed {seed}");
        assert_eq!(replayed.compared, replayed.events);
        let actions: Vec<String> = String::from_utf8(output).unwrap().lines().map(action_of).collect();
        assert!(actions == did, "seed {seed}: other actions than those of the process");
    }
}

/// What a recorder writes of a history, and each action that was done, as JSON.
fn recorded(record: &[(Timestamp, crate::core::Event, Vec<crate::core::Action>)]) -> (Vec<u8>, Vec<String>) {
    let (mut recording, mut did) = (Vec::new(), Vec::new());
    let (mut digester, mut number) = (Digester::default(), 0);
    for (at, what, actions) in record {
        if matches!(what, crate::core::Event::Restored { .. }) {
            Line::begin().write(&mut recording).unwrap();
            (digester, number) = (Digester::default(), 0);
        }
        number += 1;
        Line::Event { number, at: *at, what: what.clone() }.write(&mut recording).unwrap();
        Line::Did { number, digest: digester.digest(actions) }.write(&mut recording).unwrap();
        did.extend(actions.iter().map(|action| serde_json::to_value(action).unwrap().to_string()));
    }
    (recording, did)
}

fn action_of(line: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["action"].to_string()
}
