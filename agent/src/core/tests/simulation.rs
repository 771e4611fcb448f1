//! Random histories of a balancer, each from a seed, against the rules that hold whatever happens.
//!
//! ```text
//! seed ─▶ incident::history ─▶ host (kernel, disk, files, …) ─Event─▶ step ─Action─▶ host …
//!                                                               └─▶ rules: after each step
//! ```
//!
//! A history that breaks a rule is shortened while it still breaks it, and printed with its seed. To try one seed, or
//! more of them: `LVSD_SEED=7`, `LVSD_SIMULATIONS=100000`.

mod announcements;
mod configurations;
mod host;
mod incident;
mod kernel;
mod links;
mod pools;
mod reasons;
mod rules;

use crate::core::state::ServiceState;
use crate::core::{State, Timestamp, settings};
use crate::record::Line;
use crate::record::digest::Digester;
use crate::record::replay::replay;
use host::Host;
use incident::{Incident, history};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Histories of a test run: what a debug build goes through in five seconds on two processors.
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

/// Everything works and nothing waits any more: the world is as it is wanted.
fn is_as_wanted(host: &Host) -> Result<(), Broken> {
    let State { wanted, draining, leaving, leaving_vips, rising, services, .. } = &host.state;
    let broken = |what: String| Err(Broken::new("settled", what));
    for (key, entry) in wanted.table.iter() {
        if host.kernel.table.get(key) != Some(entry) {
            return broken(format!(
                "{key} is to be {entry:?}, the kernel has {:?}",
                host.kernel.table.get(key)
            ));
        }
    }
    for key in host.kernel.table.keys().filter(|key| !wanted.table.contains_key(key)) {
        if !host.kernel.foreign.contains_key(key) && !host.rules.orphans.contains(key) {
            return broken(format!("{key} is left over in the kernel"));
        }
    }
    for (key, entry) in host.kernel.foreign.iter() {
        if host.kernel.table.get(key) != Some(entry) {
            return Err(Broken::new("5 foreign services", format!("{key} was changed")));
        }
    }
    if !draining.is_empty() || !leaving.is_empty() || !leaving_vips.is_empty() || !rising.is_empty() {
        let leaving = format!("{leaving:?} {leaving_vips:?}");
        return broken(format!("draining {draining:?}, leaving {leaving}, rising {rising:?}"));
    }
    if !wanted.table.keys().eq(wanted.owned.iter()) || host.saved.owned != wanted.owned {
        return broken(format!("owned are {:?}, saved as owned {:?}", wanted.owned, host.saved.owned));
    }
    let wants = settings::running(&host.config().ipvs);
    let mut run = settings::running(&host.kernel.settings);
    run.retain(|role| wants.contains(role) || !host.rules.orphaned_daemons.contains(role));
    if run != wants || host.saved.sync_daemons != wants {
        return broken(format!("{run:?} run, ours are {:?}, wanted {wants:?}", host.saved.sync_daemons));
    }
    // A pool that sh has no room for waits for a smaller one.
    let waits = |service: &ServiceState| service.waiting.clone().filter(|why| !why.contains("sh has 256"));
    if let Some((name, why)) = services.iter().find_map(|(name, service)| Some((name, waits(service)?))) {
        return broken(format!("{name} waits: {why}"));
    }
    if services.values().any(|service| service.waiting.is_some()) {
        return Ok(());
    }
    let config = host.config();
    let vips: BTreeSet<IpAddr> = services.values().flat_map(|s| s.config.vips.iter().copied()).collect();
    if host.device.present != vips {
        return broken(format!("on the device are {:?}", host.device.present));
    }
    let is_wanted = |vip: &&IpAddr| {
        announcements::policy(&host.state, &config, **vip, host.now)
            .is_some_and(|policy| announcements::may_be(&host.state, **vip, policy))
    };
    let wanted: BTreeSet<IpAddr> = vips.iter().filter(is_wanted).copied().collect();
    let told: Option<BTreeSet<IpAddr>> =
        host.routes.as_ref().map(|routes| routes.keys().map(|prefix| prefix.address()).collect());
    if told.as_ref() != Some(&wanted) {
        return broken(format!("routers have {told:?}, announced is to be {wanted:?}"));
    }
    Ok(())
}

fn a_restart_wrote_nothing(host: &Host) -> Result<(), Broken> {
    if host.kernel.writes.is_empty() {
        return Ok(());
    }
    let writes: Vec<String> = host.kernel.writes.iter().map(ToString::to_string).collect();
    Err(Broken::new("6 restarts", format!("nothing has changed and it writes {writes:?}")))
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
        Incident::KernelDeaf(true),
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
