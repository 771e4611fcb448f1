//! The host of a simulated balancer: its clock, disk, files, resolver, checks, kernel and routers.

mod calm;

use super::Broken;
use super::announcements::GRACE;
use super::configurations::configuration;
use super::incident::{FILES, FileIs, Incident};
use super::kernel::{Device, Kernel};
use super::links::{Links, asked};
use super::rules::{Checks, Rules, Said, Seen};
use crate::config::PoolId;
use crate::core::event::{Command, Note, Request};
use crate::core::inventory::Snapshots;
use crate::core::saved::Saved;
use crate::core::{Action, Event, State, Timestamp, step};
use bgp::RouteSet;
use health::{Advice, Check, Verdict};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Events that one incident may lead to. Each executor answers an action with one or two.
const MAX_EVENTS: usize = 400;

/// The file of a pool, if it is in one.
fn path_of(pool: PoolId) -> Option<PathBuf> {
    match pool {
        PoolId::File(path) => Some(path),
        PoolId::Remote { .. } => None,
    }
}

pub(super) struct Host {
    pub(super) state: State,
    pub(super) now: Timestamp,
    pub(super) kernel: Kernel,
    pub(super) device: Device,
    pub(super) links: Links,
    /// The state file.
    pub(super) saved: Saved,
    snapshots: Snapshots,
    number: usize,
    files: BTreeMap<PathBuf, FileIs>,
    names: BTreeMap<String, Vec<IpAddr>>,
    watched: BTreeSet<PathBuf>,
    resolved: BTreeSet<String>,
    /// The checks that are wanted, and what each said last.
    pub(super) checks: Checks,
    former_checks: BTreeSet<Arc<Check>>,
    /// How the servers are.
    health: BTreeMap<IpAddr, Verdict>,
    /// What their agents have said; they say all of it each time.
    advice: BTreeMap<IpAddr, Advice>,
    pub(super) routes: Option<RouteSet>,
    has_exited: bool,
    is_slow: bool,
    pending: VecDeque<Event>,
    dies_after: Option<usize>,
    /// How far the wall clock was set back since this process began.
    set_back: Duration,
    processes: u64,
    requests: u64,
    events: usize,
    pub(super) rules: Rules,
    /// Every event with its time and what it led to, if it is to be replayed.
    pub(super) record: Option<Vec<(Timestamp, Event, Vec<Action>)>>,
}

type Outcome = Result<(), Broken>;

impl Host {
    pub(super) fn new() -> Self {
        Self {
            state: State::new(),
            now: Timestamp::from_micros(1_700_000_000_000_000),
            kernel: Kernel::default(),
            device: Device::default(),
            links: Links::default(),
            saved: Saved::default(),
            snapshots: Snapshots::new(),
            number: 0,
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            watched: BTreeSet::new(),
            resolved: BTreeSet::new(),
            checks: BTreeMap::new(),
            former_checks: BTreeSet::new(),
            health: BTreeMap::new(),
            advice: BTreeMap::new(),
            routes: None,
            has_exited: false,
            is_slow: false,
            pending: VecDeque::new(),
            dies_after: None,
            set_back: Duration::ZERO,
            processes: 0,
            requests: 0,
            events: 0,
            rules: Rules::default(),
            record: None,
        }
    }

    pub(super) fn happens(&mut self, incident: &Incident) -> Outcome {
        self.events = 0;
        let is_before =
            matches!(incident, Incident::File { .. } | Incident::Name { .. } | Incident::Killed { .. });
        if self.processes == 0 && !is_before {
            self.start()?;
        }
        match incident {
            Incident::Passes { millis } => self.pass(Duration::from_millis(*millis)),
            Incident::Tick => self.event(Event::Tick),
            Incident::Checked { address, only_first, verdict } => {
                let address: IpAddr = address.parse().unwrap();
                self.health.insert(address, *verdict);
                let all = self.checks.keys().filter(|check| asked(check) == address).cloned();
                let some: Vec<_> = all.take(if *only_first { 1 } else { usize::MAX }).collect();
                some.into_iter().try_for_each(|check| self.report(check, *verdict))
            }
            Incident::Advised { address, advice } => {
                let address: IpAddr = address.parse().unwrap();
                let said = self.advice.entry(address).or_default();
                *said = Advice { percent: advice.percent.or(said.percent), mode: advice.mode.or(said.mode) };
                let spoken = self.checks.iter().filter(|(check, _)| asked(check) == address);
                let spoken: Vec<_> =
                    spoken.filter_map(|(check, said)| Some((Arc::clone(check), (*said)?.0))).collect();
                spoken.into_iter().try_for_each(|(check, verdict)| self.report(check, verdict))
            }
            Incident::LateReport { verdict } => match self.former_checks.first().cloned() {
                Some(check) => self.report(check, *verdict),
                None => Ok(()),
            },
            Incident::ChecksSpeak { count } => self.checks_speak(*count),
            Incident::File { path, is } => {
                self.files.insert(path.into(), is.clone());
                self.read_file(&PathBuf::from(path));
                self.drain()
            }
            Incident::Files { are } => {
                let before = self.pending.len();
                for (path, is) in FILES.iter().zip(are) {
                    self.files.insert(path.into(), is.clone());
                    self.read_file(&PathBuf::from(path));
                }
                let together: Vec<Event> = self.pending.drain(before..).collect();
                self.pending.push_back(Event::Several(together));
                self.drain()
            }
            Incident::Name { host, addresses } => {
                let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
                self.names.insert((*host).into(), addresses);
                if self.resolved.contains(*host) {
                    self.look_up(host);
                }
                self.drain()
            }
            Incident::Configured { number } => self.configure(*number),
            Incident::TakeOut { host, to, seconds, force } => {
                self.operate(Command::TakeOut { host: (*host).into(), to: *to, note: note(*seconds, *force) })
            }
            Incident::Pool { host } => self.operate(Command::Pool { host: (*host).into() }),
            Incident::Weigh { host, to, seconds, force } => {
                self.operate(Command::Weigh { host: (*host).into(), to: *to, note: note(*seconds, *force) })
            }
            Incident::Vip { vip, to, seconds, force } => {
                let command = Command::Vip { vip: (*vip).into(), to: *to, note: note(*seconds, *force) };
                self.operate(command)
            }
            Incident::Drain { seconds } => {
                self.operate(Command::DrainBalancer { note: note(*seconds, false) })
            }
            Incident::Undrain => self.operate(Command::UndrainBalancer),
            Incident::Confirm { service } => self.operate(Command::Confirm { service: (*service).into() }),
            Incident::Connections { address, count } => {
                self.kernel.connections.insert(address.parse().unwrap(), *count);
                Ok(())
            }
            Incident::Way { address, path, neighbour } => {
                self.links.set(address.parse().unwrap(), path.clone(), *neighbour);
                self.pending.extend(self.links.look());
                self.drain()
            }
            Incident::Blind(is_blind) => {
                self.links.is_blind = *is_blind;
                self.pending.extend(self.links.look());
                self.drain()
            }
            Incident::NeighboursFailed { addresses } => {
                let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
                self.event(Event::NeighboursFailed(addresses))
            }
            Incident::KernelDeaf(is_deaf) => {
                self.kernel.is_deaf = *is_deaf;
                Ok(())
            }
            Incident::KernelRefuses(what) => {
                self.kernel.refuses = Some(*what);
                Ok(())
            }
            Incident::AnswersLost { done } => {
                self.kernel.loses_answers_after = Some(*done);
                Ok(())
            }
            Incident::ByHand(what) => {
                self.kernel.by_hand(*what);
                Ok(())
            }
            Incident::DeviceRefuses(refuses) => {
                self.device.refuses = *refuses;
                Ok(())
            }
            Incident::Slow(is_slow) => {
                self.is_slow = *is_slow;
                self.drain()
            }
            Incident::Leaps { millis } => {
                self.now = self.now + Duration::from_millis(*millis);
                self.event(Event::Tick)
            }
            Incident::SetBack { millis } => {
                self.set_back += Duration::from_millis(*millis);
                Ok(())
            }
            Incident::Stop => self.stop(),
            Incident::Killed { loses_state, loses_snapshots, number } => {
                if *loses_state {
                    self.rules.orphaned(&self.saved);
                    self.saved = Saved::default();
                }
                if *loses_snapshots {
                    self.snapshots = Snapshots::new();
                }
                self.number = number.unwrap_or(self.number);
                self.start()
            }
            Incident::KilledAfter { actions } => {
                self.dies_after = Some(*actions);
                Ok(())
            }
        }
    }

    /// A process begins: the kernel, the device and the disk are as they were left.
    pub(super) fn start(&mut self) -> Outcome {
        self.state = State::new();
        self.processes += 1;
        self.now =
            Timestamp::from_micros(self.now.micros() - std::mem::take(&mut self.set_back).as_micros() as u64);
        (self.routes, self.has_exited, self.dies_after) = (None, false, None);
        self.former_checks.extend(std::mem::take(&mut self.checks).into_keys());
        (self.watched, self.resolved) = Default::default();
        self.pending.clear();
        self.kernel.process_begins();
        self.device.process_begins();
        self.links.watch(BTreeSet::new());
        self.rules.process_begins();
        let (saved, snapshots) = (self.saved.clone(), self.snapshots.clone());
        self.step(Event::Restored { saved, snapshots })?;
        self.step(Event::Configured(configuration(self.number)))?;
        self.kernel_round(true)?;
        self.pending.extend(self.device.round(self.now));
        self.drain()
    }

    fn stop(&mut self) -> Outcome {
        let process = self.processes;
        self.event(Event::Stop)?;
        self.pass(GRACE + Duration::from_secs(3))?;
        if !self.has_exited && self.processes == process {
            return Err(Broken::new(
                "stop",
                "it has not exited after 5 s, graceful_shutdown and shutdown_delay are 2 s",
            ));
        }
        self.start()
    }

    fn configure(&mut self, number: usize) -> Outcome {
        self.number = number;
        self.event(Event::Configured(configuration(number)))
    }

    pub(super) fn config(&self) -> Arc<crate::config::Config> {
        configuration(self.number)
    }

    fn operate(&mut self, command: Command) -> Outcome {
        self.requests += 1;
        self.event(Event::Operator(Request { id: self.requests, who: "ada".into(), command }))
    }

    fn report(&mut self, check: Arc<Check>, verdict: Verdict) -> Outcome {
        let advice = self.advice.get(&asked(&check)).copied().unwrap_or_default();
        if let Some(said) = self.checks.get_mut(&check) {
            *said = Some((verdict, advice));
        }
        let failure = (verdict != Verdict::Up).then(|| "connection refused".to_string());
        self.event(Event::Checked { check, verdict, failure, advice })
    }

    fn checks_speak(&mut self, count: usize) -> Outcome {
        let is_silent = |said: &Said| matches!(said, None | Some((Verdict::Unknown, _)));
        let silent = self.checks.iter().filter(|(_, said)| is_silent(said)).map(|(check, _)| check);
        for check in silent.take(count).cloned().collect::<Vec<_>>() {
            let verdict = self.health.get(&asked(&check)).copied().unwrap_or(Verdict::Up);
            self.report(check, verdict)?;
        }
        Ok(())
    }

    fn read_file(&mut self, path: &PathBuf) {
        if !self.watched.contains(path) {
            return;
        }
        let outcome = match self.files.get(path) {
            Some(FileIs::Good(backends)) => Ok(backends.clone()),
            Some(FileIs::Broken) | None => Err(format!("{}: not JSON", path.display())),
            Some(FileIs::Silent) => return,
        };
        self.pending.push_back(Event::PoolRead { pool: PoolId::File(path.clone()), outcome });
    }

    fn look_up(&mut self, host: &str) {
        let outcome = match self.names.get(host) {
            Some(addresses) if !addresses.is_empty() => Ok(addresses.clone()),
            Some(_) | None => Err(format!("{host}: no such name")),
        };
        self.pending.push_back(Event::Resolved { host: host.into(), outcome });
    }

    /// One event and all that follows from it, unless results are late.
    fn event(&mut self, event: Event) -> Outcome {
        self.step(event)?;
        self.drain()
    }

    fn drain(&mut self) -> Outcome {
        while !self.is_slow
            && let Some(event) = self.pending.pop_front()
        {
            self.step(event)?;
        }
        Ok(())
    }

    fn step(&mut self, event: Event) -> Outcome {
        self.events += 1;
        if self.events > MAX_EVENTS {
            let what = format!("{MAX_EVENTS} events and no rest, the last is {event:?}");
            return Err(Broken::new("rest", what));
        }
        if self.has_exited {
            return Ok(());
        }
        let before = self.state.clone();
        self.rules.hears(&event);
        let actions = step(&mut self.state, event.clone(), self.now);
        if let Some(record) = &mut self.record {
            record.push((self.now, event.clone(), actions.clone()));
        }
        if actions.iter().any(|action| matches!(action, Action::SetChecks(_))) {
            self.take_checks();
        }
        let seen =
            Seen { before: &before, event: &event, actions: &actions, after: &self.state, now: self.now };
        self.rules.hold(&seen, &self.checks)?;
        let dies_after = self.dies_after.take();
        for (done, action) in actions.into_iter().enumerate() {
            if dies_after == Some(done) {
                return self.start();
            }
            self.act(action)?;
        }
        match dies_after {
            Some(_) => self.start(),
            None => Ok(()),
        }
    }

    /// Those that wait for their mark's service in the kernel among them: what they have said holds meanwhile.
    fn take_checks(&mut self) {
        let mut wanted = self.state.emitted.checks.clone().unwrap_or_default();
        wanted.extend(self.state.canary_checks.keys().cloned());
        let mut known = std::mem::take(&mut self.checks);
        self.checks = wanted.iter().map(|check| (Arc::clone(check), known.remove(check).flatten())).collect();
        self.former_checks.extend(known.into_keys());
        self.former_checks.retain(|check| !wanted.contains(check));
    }

    fn act(&mut self, action: Action) -> Outcome {
        match action {
            Action::Save(saved) | Action::SaveFirst(saved) => self.saved = saved,
            Action::KeepSnapshots(snapshots) => self.snapshots = snapshots,
            Action::SyncIpvs(wanted) => {
                self.kernel.want(wanted);
                self.kernel_round(false)?;
            }
            Action::ReadKernel => {
                self.kernel_round(true)?;
                self.pending.extend(self.device.round(self.now));
            }
            Action::SetAddresses(addresses) => {
                self.device.want(addresses);
                self.pending.extend(self.device.round(self.now));
            }
            Action::SetRoutes(routes) => self.routes = Some(routes),
            Action::WatchPools(wanted) => {
                let files: BTreeSet<PathBuf> = wanted.pools.into_iter().filter_map(path_of).collect();
                let new: Vec<PathBuf> = files.difference(&self.watched).cloned().collect();
                self.watched = files;
                new.iter().for_each(|path| self.read_file(path));
            }
            Action::ResolveHosts(names) => {
                let new: Vec<String> = names.difference(&self.resolved).cloned().collect();
                self.resolved = names;
                new.iter().for_each(|host| self.look_up(host));
            }
            Action::WatchPaths(addresses) => {
                self.links.watch(addresses);
                self.pending.extend(self.links.look());
            }
            Action::Exit => self.has_exited = true,
            // The checks were taken before; peers, answers and notices change nothing here.
            _ => {}
        }
        Ok(())
    }

    fn kernel_round(&mut self, must_read: bool) -> Outcome {
        let events = self.kernel.round(must_read, &self.saved.owned, self.now);
        self.pending.extend(events.map_err(|what| Broken::new("5 ownership", what))?);
        Ok(())
    }

    /// Lets time pass, with every tick and every further attempt that is due on the way.
    pub(super) fn pass(&mut self, duration: Duration) -> Outcome {
        let end = self.now + duration;
        let mut turns = 0;
        loop {
            self.events = 0;
            let tick = self.state.next_wakeup().filter(|_| !self.has_exited);
            let due = [tick, self.kernel.retry_at(), self.device.retry_at()].into_iter().flatten().min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            if self.kernel.retry_at().is_some_and(|at| at <= self.now) {
                self.kernel_round(true)?;
            }
            if self.device.retry_at().is_some_and(|at| at <= self.now) {
                self.pending.extend(self.device.round(self.now));
            }
            self.drain()?;
            if tick.is_some_and(|at| at <= self.now) && !self.has_exited {
                self.event(Event::Tick)?;
                turns =
                    if self.state.next_wakeup().is_some_and(|next| next <= self.now) { turns + 1 } else { 0 };
                // What a tick brings about may be overdue by its own measure, once.
                if turns > 2 {
                    return Err(Broken::new("rest", "ticks that leave the next one due at once"));
                }
            }
        }
        self.now = end;
        let late = self.state.saved.next_expiry().filter(|until| *until <= end && !self.has_exited);
        match late {
            Some(until) => Err(Broken::new("operators", format!("what was to end at {until} goes on"))),
            None => Ok(()),
        }
    }
}

fn note(seconds: Option<u64>, force: bool) -> Note {
    Note { reason: Some("disk".into()), force, lasts: seconds.map(Duration::from_secs) }
}
