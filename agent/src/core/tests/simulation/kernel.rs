//! A kernel with moods, and the two executors that bring its table and its addresses to what is wanted.
//!
//! They do what those of the daemon do: the latest wanted state counts, only changes are reported, after a refusal
//! everything is read again and tried again after growing pauses.

use super::Broken;
use super::incident::{ByHand, Refuses};
use crate::core::Event;
use crate::core::Timestamp;
use crate::core::action::WantedTable;
use crate::core::event::ConnectionCount;
use crate::core::settings;
use crate::core::tests::world::obey;
use ipvs::{DaemonRole, Destination, DestinationKey, Entry, Op, ServiceKey, Table, Weight, diff};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The IPVS table and its executor.
#[derive(Default)]
pub(super) struct Kernel {
    pub(super) table: Table,
    /// What others have put in.
    pub(super) foreign: Table,
    pub(super) is_deaf: bool,
    pub(super) refuses: Option<Refuses>,
    /// Of the next list of writes so many are done, and then the answers are lost.
    pub(super) loses_answers_after: Option<usize>,
    pub(super) connections: BTreeMap<IpAddr, u64>,
    /// Services whose destinations somebody has put in another order.
    unsorted: BTreeSet<ServiceKey>,
    /// Every write, in order.
    pub(super) writes: Vec<Op>,
    wanted: Option<WantedTable>,
    have: Option<Table>,
    /// What is set beside the table.
    pub(super) settings: ipvs::Settings,
    reported: Option<(BTreeSet<ServiceKey>, BTreeSet<DaemonRole>, Vec<String>)>,
    retry: Retry,
}

/// What came of a list of writes.
#[derive(Default)]
struct Done {
    failures: Vec<String>,
    /// Whether services came or went.
    is_new: bool,
}

/// When to try again.
#[derive(Default)]
pub(super) struct Retry {
    pub(super) at: Option<Timestamp>,
    pause: Duration,
}

impl Retry {
    fn failed(&mut self, now: Timestamp) {
        self.pause = (self.pause * 2).clamp(RETRY_MIN, RETRY_MAX);
        self.at = Some(now + self.pause);
    }

    fn succeeded(&mut self) {
        *self = Self::default();
    }
}

impl Kernel {
    /// A new process: the table stays, what the executor knew does not.
    pub(super) fn process_begins(&mut self) {
        (self.wanted, self.have, self.reported) = (None, None, None);
        self.retry = Retry::default();
    }

    pub(super) fn want(&mut self, wanted: WantedTable) {
        self.wanted = Some(wanted);
    }

    pub(super) fn retry_at(&self) -> Option<Timestamp> {
        self.retry.at
    }

    /// One round of the executor; `owned` is what the disk says is ours.
    pub(super) fn round(
        &mut self,
        must_read: bool,
        owned: &BTreeSet<ServiceKey>,
        now: Timestamp,
    ) -> Result<Vec<Event>, Broken> {
        if self.is_deaf {
            self.have = None;
            self.retry.failed(now);
            return Ok(Vec::new());
        }
        let mut events = Vec::new();
        let is_reread = must_read || self.have.is_none();
        if is_reread {
            events.push(self.read());
        }
        let (Some(wanted), Some(mut have)) = (self.wanted.clone(), self.have.take()) else {
            self.retry.succeeded();
            return Ok(events);
        };
        let Some(Done { failures, mut is_new }) = self.write_all(&wanted, &mut have, owned)? else {
            // Nobody knows what was done: it is read again.
            self.retry.failed(now);
            return Ok(events);
        };
        for control in wanted.settings.controls(&self.settings) {
            is_new = true;
            obey(&mut self.settings, &control);
        }
        let is_done = failures.is_empty();
        if is_reread || is_new || !is_done {
            events.extend(self.report(&wanted, &have, failures));
        }
        self.have = is_done.then_some(have);
        if is_done {
            self.retry.succeeded()
        } else {
            self.retry.failed(now)
        }
        Ok(events)
    }

    fn read(&mut self) -> Event {
        self.have = Some(self.table.clone());
        let unsorted = self.unsorted.iter().filter(|key| self.table.contains_key(key)).copied().collect();
        Event::KernelRead { table: self.table.clone(), connections: self.counts(), unsorted }
    }

    /// Writes what is not as it is wanted; nothing is known of it when answers are lost.
    fn write_all(
        &mut self,
        wanted: &WantedTable,
        have: &mut Table,
        owned: &BTreeSet<ServiceKey>,
    ) -> Result<Option<Done>, Broken> {
        let mut done = Done::default();
        let ops = diff(have, &wanted.table, &wanted.owned);
        nothing_goes_to_come_back(&ops)?;
        let lost_after = if ops.is_empty() { None } else { self.loses_answers_after.take() };
        for (number, op) in ops.into_iter().enumerate() {
            done.is_new |= matches!(op, Op::NewService { .. } | Op::DeleteService { .. });
            let broken = |what: &str| Err(Broken::new("5 ownership", format!("{op}: {what}")));
            if !owned.contains(&op.service()) {
                return broken("written before the disk knows that it is ours");
            }
            if self.foreign.contains_key(&op.service()) {
                return broken("that service is another's");
            }
            if lost_after == Some(number) {
                break;
            }
            match self.write(&op) {
                Ok(()) => have.record(&op),
                Err(refusal) => done.failures.push(format!("{op}: {refusal}")),
            }
        }
        Ok(lost_after.is_none().then_some(done))
    }

    /// What the core is to know, unless that is what it was told last.
    fn report(&mut self, wanted: &WantedTable, have: &Table, failures: Vec<String>) -> Option<Event> {
        let ours = |key: &&ServiceKey| wanted.table.contains_key(key) || wanted.owned.contains(key);
        let daemons = settings::running(&self.settings);
        let report = (have.keys().filter(ours).copied().collect(), daemons, failures);
        let is_news = self.reported.as_ref() != Some(&report) || wanted.owns_what_is_nowhere(have);
        is_news.then(|| {
            self.reported = Some(report.clone());
            let (services, daemons, failures) = report;
            Event::KernelSynced { services, daemons, failures }
        })
    }

    fn write(&mut self, op: &Op) -> Result<(), &'static str> {
        let service = self.table.get(&op.service());
        let has = |key| service.is_some_and(|entry| entry.destinations.contains_key(key));
        let is_refused = match (self.refuses.unwrap_or(Refuses::Nothing), op) {
            (Refuses::NewServices, Op::NewService { .. })
            | (Refuses::NewDestinations, Op::NewDestination { .. })
            | (Refuses::Weights, Op::SetDestination { .. })
            | (Refuses::Deletions, Op::DeleteService { .. } | Op::DeleteDestination { .. }) => true,
            (Refuses::Port(refused), op) => {
                matches!(op.service(), ServiceKey::Address { port, .. } if port == refused)
            }
            _ => false,
        };
        match op {
            _ if is_refused => return Err("ENOMEM"),
            Op::NewService { .. } if service.is_some() => return Err("EEXIST"),
            Op::SetService { .. } | Op::DeleteService { .. } if service.is_none() => return Err("ESRCH"),
            Op::NewDestination { .. } | Op::SetDestination { .. } | Op::DeleteDestination { .. }
                if service.is_none() =>
            {
                return Err("ESRCH");
            }
            Op::NewDestination { key, .. } if has(key) => return Err("EEXIST"),
            Op::SetDestination { key, .. } | Op::DeleteDestination { key, .. } if !has(key) => {
                return Err("ENOENT");
            }
            _ => {}
        }
        self.table.record(op);
        self.writes.push(op.clone());
        Ok(())
    }

    /// The connections of destinations that get no more.
    fn counts(&self) -> Vec<ConnectionCount> {
        let mut counts = Vec::new();
        for (service, entry) in self.table.iter() {
            for (key, _) in entry.destinations.iter().filter(|(_, found)| found.weight == Weight::ZERO) {
                let connections = self.connections.get(&key.address).copied().unwrap_or_default();
                if connections > 0 {
                    counts.push(ConnectionCount { service: *service, destination: *key, connections });
                }
            }
        }
        counts
    }

    /// Somebody else writes.
    pub(super) fn by_hand(&mut self, what: ByHand) {
        let ours = self.table.keys().find(|key| !self.foreign.contains_key(key)).copied();
        match (what, ours) {
            (ByHand::AddsForeign, _) => {
                let mut entry =
                    Entry::new(ipvs::Service::new(ipvs::Scheduler::Rr, ipvs::SchedulerFlags::NONE).unwrap());
                let key = DestinationKey { address: IpAddr::from([10, 64, 0, 99]), port: 8080 };
                entry.destinations.insert(key, Destination::direct_routing(Weight::new(3).unwrap()));
                let (key, entry) = ("tcp 192.0.2.10:8080".parse().unwrap(), Arc::new(entry));
                self.foreign.insert(key, Arc::clone(&entry));
                self.table.insert(key, entry);
            }
            (_, None) => {}
            (ByHand::DeletesOurs, Some(key)) => drop(self.table.remove(&key)),
            (ByHand::ClearsOurs, Some(_)) => self.table = self.foreign.clone(),
            (ByHand::Shuffles, Some(key)) => drop(self.unsorted.insert(key)),
            (ByHand::ChangesWeight, Some(key)) => self.change(key, |entry| {
                entry.destinations.values_mut().for_each(|found| found.weight = Weight::new(77).unwrap());
            }),
            (ByHand::AddsDestination, Some(key)) => self.change(key, |entry| {
                let key = DestinationKey { address: IpAddr::from([10, 64, 0, 98]), port: 80 };
                if key.address.is_ipv4() {
                    entry.destinations.insert(key, Destination::direct_routing(Weight::new(9).unwrap()));
                }
            }),
        }
    }

    fn change(&mut self, key: ServiceKey, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.table.get(&key) {
            let mut entry = (**entry).clone();
            change(&mut entry);
            self.table.insert(key, entry);
        }
    }
}

/// To change something it is not deleted and added again.
fn nothing_goes_to_come_back(ops: &[Op]) -> Result<(), Broken> {
    let place = |op: &Op| match op {
        Op::NewService { .. } | Op::DeleteService { .. } | Op::SetService { .. } => (op.service(), None),
        Op::NewDestination { key, .. }
        | Op::SetDestination { key, .. }
        | Op::DeleteDestination { key, .. } => (op.service(), Some(*key)),
    };
    let is_deletion = |op: &&Op| matches!(op, Op::DeleteService { .. } | Op::DeleteDestination { .. });
    let is_new = |op: &Op| matches!(op, Op::NewService { .. } | Op::NewDestination { .. });
    let gone: BTreeSet<_> = ops.iter().filter(is_deletion).map(place).collect();
    match ops.iter().find(|op| is_new(op) && gone.contains(&place(op))) {
        Some(op) => Err(Broken::new("7 deletions", format!("{op}: deleted and added again"))),
        None => Ok(()),
    }
}

/// The VIPs' device and its executor.
#[derive(Default)]
pub(super) struct Device {
    pub(super) present: BTreeSet<IpAddr>,
    pub(super) refuses: bool,
    wanted: Option<BTreeSet<IpAddr>>,
    reported: Option<(BTreeSet<IpAddr>, Vec<String>)>,
    retry: Retry,
}

impl Device {
    pub(super) fn process_begins(&mut self) {
        (self.wanted, self.reported) = (None, None);
        self.retry = Retry::default();
    }

    pub(super) fn want(&mut self, wanted: BTreeSet<IpAddr>) {
        self.wanted = Some(wanted);
    }

    pub(super) fn retry_at(&self) -> Option<Timestamp> {
        self.retry.at
    }

    pub(super) fn round(&mut self, now: Timestamp) -> Vec<Event> {
        let mut failures = Vec::new();
        match &self.wanted {
            Some(wanted) if self.refuses && *wanted != self.present => {
                self.present.retain(|address| wanted.contains(address));
                failures.push("ENOMEM".to_string());
                self.retry.failed(now);
            }
            Some(wanted) => {
                self.present.clone_from(wanted);
                self.retry.succeeded();
            }
            None => self.retry.succeeded(),
        }
        let report = (self.present.clone(), failures);
        if self.reported.as_ref() == Some(&report) {
            return Vec::new();
        }
        self.reported = Some(report.clone());
        vec![Event::AddressesSynced { present: report.0, failures: report.1 }]
    }
}
