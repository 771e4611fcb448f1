//! What a service costs the core, on any Linux: no kernel table, no privilege, no socket is needed.
//!
//! `core_at_scale flaps SERVICES BACKENDS [TIMES]` lets one backend after the other fail and return, 2000 times unless
//! told otherwise, and tells what a step takes. `core_at_scale pools SERVICES BACKENDS [TIMES]` has each service's backends from
//! a pool of a source, and changes one backend's weight after the other. `core_at_scale depools SERVICES BACKENDS [TIMES]` takes one
//! server out of all services and back, as an operator does. `core_at_scale memory SERVICES BACKENDS` tells what the process holds once the table is programmed, without
//! checks. All print one JSON object; the benchmark of IPVS puts them beside what it measures on a kernel.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use health::{Check, Verdict};
use ipvs::Table;
use lvsd::config::{self, Backend, PoolId, Query};
use lvsd::core::action::WantedTable;
use lvsd::core::event::{Command, Note, Request, TakenOut};
use lvsd::core::path::{Neighbour, Path as Way, PathSeen};
use lvsd::core::saved::Saved;
use lvsd::core::{Action, Event, State, Timestamp, step};

/// Failures, and as many returns.
const FLAPS: u32 = 2000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers = arguments.iter().skip(1).map(|text| text.parse().ok()).collect::<Option<Vec<u32>>>();
    let report = match (arguments.first().map(String::as_str), numbers.as_deref()) {
        (Some("flaps"), Some(&[services, backends])) => flaps(services, backends, FLAPS),
        (Some("flaps"), Some(&[services, backends, times])) => flaps(services, backends, times),
        (Some("pools"), Some(&[services, backends])) => pools(services, backends, FLAPS),
        (Some("pools"), Some(&[services, backends, times])) => pools(services, backends, times),
        (Some("depools"), Some(&[services, backends])) => depools(services, backends, FLAPS),
        (Some("depools"), Some(&[services, backends, times])) => depools(services, backends, times),
        (Some("memory"), Some(&[services, backends])) => memory(services, backends),
        _ => Err("usage: core_at_scale flaps|pools|depools|memory SERVICES BACKENDS [TIMES]".into()),
    };
    match report {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("core_at_scale: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The core, fed as the engine feeds it.
struct Core {
    state: State,
    now: Timestamp,
    wanted: WantedTable,
    /// All checks that are to run.
    checks: Vec<Arc<Check>>,
}

impl Core {
    /// One event, and how long it took.
    fn step(&mut self, event: Event) -> (Vec<Action>, Duration) {
        self.now = self.now + Duration::from_millis(1);
        let begin = Instant::now();
        let actions = step(&mut self.state, event, self.now);
        (actions, begin.elapsed())
    }

    /// One event whose consequences come true.
    fn take(&mut self, event: Event) {
        let (actions, _) = self.step(event);
        let mut answers = Vec::new();
        for action in actions {
            match action {
                Action::SyncIpvs(wanted) => {
                    // Which services there are is told only when that has changed.
                    if wanted.table.len() != self.wanted.table.len() {
                        let services = wanted.table.keys().copied().collect();
                        answers.push(Event::KernelSynced {
                            services,
                            daemons: Default::default(),
                            failures: Vec::new(),
                        });
                    }
                    self.wanted = wanted;
                }
                Action::SetAddresses(present) => {
                    answers.push(Event::AddressesSynced { present, failures: Vec::new() });
                }
                Action::SetChecks(checks) => self.checks = checks.into_iter().collect(),
                Action::WatchPaths(addresses) => {
                    let path = |address| PathSeen {
                        address,
                        path: Way::Direct { interface: "eth0".into() },
                        neighbour: Neighbour::Resolved,
                    };
                    answers.push(Event::PathsSeen(addresses.into_iter().map(path).collect()));
                }
                _ => {}
            }
        }
        answers.into_iter().for_each(|event| self.take(event));
    }

    /// As far as a start gets before the first check has spoken.
    fn start(text: &str) -> Result<Self, String> {
        let file = std::env::temp_dir().join(format!("core_at_scale.{}.toml", std::process::id()));
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let config = config::load(&file).map_err(|errors| errors[0].to_string());
        let removed = std::fs::remove_file(&file).map_err(|error| error.to_string());
        let config = config?;
        removed?;
        let (state, now) = (State::new(), Timestamp::from_micros(1_700_000_000_000_000));
        let mut core = Self { state, now, wanted: WantedTable::default(), checks: Vec::new() };
        core.take(Event::Restored { saved: Saved::default(), snapshots: Default::default() });
        core.take(Event::Configured(Arc::new(config)));
        core.take(Event::KernelRead {
            table: Table::new(),
            connections: Vec::new(),
            unsorted: Default::default(),
        });
        core.take(Event::AddressesSynced { present: Default::default(), failures: Vec::new() });
        Ok(core)
    }

    fn report(&mut self, check: &Arc<Check>, verdict: Verdict) -> Duration {
        let failure = (verdict == Verdict::Down).then(|| "connection refused".to_owned());
        self.step(Event::Checked { check: Arc::clone(check), verdict, failure, advice: Default::default() }).1
    }
}

/// Services with a VIP each. With checks each backend is a server of its own; without, all services share theirs.
fn configuration(services: u32, backends: u32, is_checked: bool) -> String {
    let mut text = String::new();
    for service in 0..services {
        let vip = address([198, 18, 0, 0], service);
        let _ = write!(text, "[service.s{service:05}]\nvips = [\"{vip}\"]\nport = 80\n");
        if !is_checked {
            text += "checks = []\n";
        }
        for backend in 0..backends {
            let number = if is_checked { service * backends + backend } else { backend };
            let server = address([10, 0, 0, 1], number);
            let _ = write!(
                text,
                "[[service.s{service:05}.backends]]\nhost = \"b{number}\"\naddresses = [\"{server}\"]\nweight = 10\n"
            );
        }
        if is_checked {
            let _ = write!(text, "[[service.s{service:05}.checks]]\ntype = \"tcp\"\n");
        }
    }
    text
}

fn address(base: [u8; 4], number: u32) -> IpAddr {
    Ipv4Addr::from(u32::from(Ipv4Addr::from(base)) + number).into()
}

fn flaps(services: u32, backends: u32, times: u32) -> Result<String, String> {
    let mut core = Core::start(&configuration(services, backends, true))?;
    for check in core.checks.clone() {
        core.take(Event::Checked { check, verdict: Verdict::Up, failure: None, advice: Default::default() });
    }
    if !core.state.is_ready() {
        return Err("the core is not ready".into());
    }
    // A prime stride: neighbours in time are no neighbours in memory.
    let flaps = times as usize;
    let checks: Vec<_> = (0..flaps).map(|n| Arc::clone(&core.checks[n * 7919 % core.checks.len()])).collect();
    let mut times: Vec<f64> = Vec::with_capacity(2 * flaps);
    for check in &checks {
        for verdict in [Verdict::Down, Verdict::Up] {
            times.push(core.report(check, verdict).as_secs_f64() * 1e6);
        }
    }
    Ok(told(services, backends, times))
}

/// One server of all services is taken out by an operator, and back.
fn depools(services: u32, backends: u32, times: u32) -> Result<String, String> {
    let mut core = Core::start(&configuration(services, backends, false))?;
    if !core.state.is_ready() {
        return Err("the core is not ready".into());
    }
    let host = || "b0".to_owned();
    let out = || Command::TakeOut { host: host(), to: TakenOut::Depooled, note: Note::default() };
    let mut steps = Vec::with_capacity(2 * times as usize);
    for id in 0..u64::from(times) {
        for command in [out(), Command::Pool { host: host() }] {
            let (actions, took) = core.step(Event::Operator(Request { id, who: "root".into(), command }));
            for action in actions {
                if let Action::SyncIpvs(wanted) = action {
                    core.wanted = wanted;
                }
            }
            steps.push(took.as_secs_f64() * 1e6);
        }
    }
    Ok(told(services, backends, steps))
}

/// Services whose backends are in pools of a source.
fn pools(services: u32, backends: u32, times: u32) -> Result<String, String> {
    let mut text = "[source.etcd]\ntype = \"http\"\nurl = \"http://192.0.2.1\"\n".to_owned();
    for service in 0..services {
        let vip = address([198, 18, 0, 0], service);
        let _ = write!(
            text,
            "[service.s{service:05}]\nvips = [\"{vip}\"]\nport = 80\nchecks = []\n\
             pool = {{ source = \"etcd\", path = \"s{service:05}\" }}\n"
        );
    }
    let mut core = Core::start(&text)?;
    let read = |service: u32, weight: u32| Event::PoolRead {
        pool: PoolId::Remote { source: "etcd".into(), query: Query::Path(format!("s{service:05}").into()) },
        outcome: (0..backends).map(|backend| said(service * backends + backend, backend, weight)).collect(),
    };
    // As a source says them that has all of them ready.
    let all: Vec<Event> = (0..services).map(|service| read(service, 10)).collect();
    all.chunks(1024).for_each(|together| core.take(Event::Several(together.to_vec())));
    core.take(Event::SourceSaid { source: "etcd".into(), outcome: Ok(()) });
    if !core.state.is_ready() {
        return Err("the core is not ready".into());
    }
    let mut steps = Vec::with_capacity(times as usize);
    for change in 0..times {
        let (actions, took) = core.step(read(change.wrapping_mul(7919) % services, 11 + change / services));
        if !actions.iter().any(|action| matches!(action, Action::SyncIpvs(_))) {
            return Err("a change that reaches no kernel".into());
        }
        steps.push(took.as_secs_f64() * 1e6);
    }
    Ok(told(services, backends, steps))
}

/// A backend as a source says it; the first of a pool has the weight.
fn said(number: u32, backend: u32, weight: u32) -> Result<Backend, String> {
    let weight =
        ipvs::Weight::new(if backend == 0 { weight } else { 10 }).map_err(|error| error.to_string())?;
    Ok(Backend {
        host: format!("b{number}").into(),
        weight,
        pooled: Default::default(),
        limits: Default::default(),
        addresses: Some([address([10, 0, 0, 1], number)].into()),
    })
}

/// Times of steps in microseconds, as one JSON object.
fn told(services: u32, backends: u32, mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let (count, sum) = (times.len(), times.iter().sum::<f64>());
    format!(
        "{{\"services\": {services}, \"backends\": {backends}, \"mean_us\": {:.2}, \"p50_us\": {:.2}, \"p99_us\": {:.2}, \"max_us\": {:.2}}}",
        sum / count as f64,
        times[count / 2],
        times[count * 99 / 100],
        times[count - 1],
    )
}

fn memory(services: u32, backends: u32) -> Result<String, String> {
    let text = configuration(services, backends, false);
    let before = resident()?;
    let core = Core::start(&text)?;
    if !core.state.is_ready() {
        return Err("the core is not ready".into());
    }
    let bytes = resident()?.saturating_sub(before);
    Ok(format!(
        "{{\"services\": {services}, \"backends\": {backends}, \"resident_mb\": {:.1}, \"bytes_per_backend\": {}}}",
        bytes as f64 / 1e6,
        bytes / u64::from(services * backends).max(1),
    ))
}

/// Resident memory of this process, bytes.
fn resident() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>().map_err(|error| error.to_string())?;
    Ok(kilobytes * 1024)
}
