//! The host of a simulated balancer: its clock, disk, files, resolver, checks, kernel and routers.

mod calm;
mod happens;

use super::Broken;
use super::announcements::GRACE;
use super::configurations::configuration;
use super::incident::FileIs;
use super::kernel::{Device, Kernel};
use super::links::Links;
use super::nodes::Nodes;
use super::rules::{Checks, Rules, Seen};
use super::sources::Sources;
use crate::config::PoolId;
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
fn path_of(pool: &PoolId) -> Option<PathBuf> {
    match pool {
        PoolId::File(path) => Some(path.clone()),
        PoolId::Remote { .. } => None,
    }
}

pub(super) struct Host {
    pub(super) state: State,
    pub(super) now: Timestamp,
    pub(super) kernel: Kernel,
    pub(super) device: Device,
    pub(super) links: Links,
    pub(super) sources: Sources,
    pub(super) nodes: Nodes,
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
            sources: Sources::new(),
            nodes: Nodes::new(),
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
        self.sources.process_begins();
        self.nodes.process_begins();
        self.rules.process_begins(&self.saved, &self.snapshots, &self.kernel.table);
        let (saved, snapshots) = (self.saved.clone(), self.snapshots.clone());
        self.step(Event::Restored { saved, snapshots })?;
        self.step(Event::Configured(configuration(self.number)))?;
        self.kernel_round(true)?;
        self.pending.extend(self.device.round(self.now));
        self.pending.extend(self.nodes.first());
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

    pub(super) fn config(&self) -> Arc<crate::config::Config> {
        configuration(self.number)
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
        self.rules.hears(&event, &before);
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
        self.pending.extend(self.nodes.act(&action));
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
                let files: BTreeSet<PathBuf> = wanted.pools.iter().filter_map(path_of).collect();
                let new: Vec<PathBuf> = files.difference(&self.watched).cloned().collect();
                self.watched = files;
                new.iter().for_each(|path| self.read_file(path));
                self.pending.extend(self.sources.follow(wanted));
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
            Action::WriteSource(order) => self.pending.extend(self.sources.write(&order)),
            Action::Exit => self.has_exited = true,
            // The checks were taken before; peers, answers and notices change nothing here.
            _ => {}
        }
        Ok(())
    }

    fn kernel_round(&mut self, must_read: bool) -> Outcome {
        let events = self.kernel.round(must_read, &self.saved.owned, self.now);
        self.pending.extend(events?);
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
        if !self.has_exited {
            self.rules.repairs.are_due(&self.state, end)?;
        }
        let late = self.state.saved.next_expiry().filter(|until| *until <= end && !self.has_exited);
        match late {
            Some(until) => Err(Broken::new("operators", format!("what was to end at {until} goes on"))),
            None => Ok(()),
        }
    }
}
