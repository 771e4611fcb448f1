//! A balancer without its kernel, routers and servers.

use crate::counted;
use bgp::RouteSet;
use health::{Check, Verdict};
use ipvs::Table;
use lvsd::config;
use lvsd::core::action::WantedTable;
use lvsd::core::path::{Neighbour, Path, PathSeen};
use lvsd::core::saved::Saved;
use lvsd::core::{Action, Event, State, Timestamp, step};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// What the executors were told last, which they keep.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) wanted: WantedTable,
    pub(crate) routes: RouteSet,
    pub(crate) saved: Saved,
    pub(crate) checks: Vec<Arc<Check>>,
    /// Lines of the log.
    pub(crate) lines: usize,
    /// How often snapshots were handed to who writes them, and the state to be saved.
    pub(crate) writings: usize,
}

/// A balancer.
pub(crate) struct Balancer {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) told: Told,
}

impl Balancer {
    /// As far as a start gets whose configuration this is.
    pub(crate) fn start(configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lvsd.toml");
        std::fs::write(&file, configuration).unwrap();
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let mut balancer = Self { state: State::new(), now, told: Told::default() };
        balancer.take(Event::Restored { saved: Saved::default(), snapshots: Default::default() });
        balancer.take(Event::Configured(Arc::new(config::load(&file).unwrap())));
        balancer.take(Event::KernelRead {
            table: Table::new(),
            connections: Vec::new(),
            unsorted: Default::default(),
        });
        balancer.take(Event::AddressesSynced { present: Default::default(), failures: Vec::new() });
        balancer
    }

    /// The grace is over.
    pub(crate) fn wait(&mut self) {
        self.now = self.now + Duration::from_secs(11);
        self.take(Event::Tick);
        assert!(self.state.is_ready());
    }

    /// Takes an event in, and what the executors answer.
    pub(crate) fn take(&mut self, event: Event) {
        self.now = self.now + Duration::from_micros(100);
        let actions = step(&mut self.state, event, self.now);
        let answers: Vec<Event> = actions.into_iter().filter_map(|action| self.told.act(action)).collect();
        answers.into_iter().for_each(|event| self.take(event));
    }

    /// Every check says this, one after the other. The bytes that each took.
    pub(crate) fn all_say(&mut self, verdict: Verdict) -> u64 {
        let checks = self.told.checks.clone();
        let before = counted::allocated();
        for check in &checks {
            let failure = (verdict == Verdict::Down).then(|| "connection refused".to_owned());
            let (check, advice) = (Arc::clone(check), Default::default());
            self.take(Event::Checked { check, verdict, failure, advice });
        }
        (counted::allocated() - before) / checks.len() as u64
    }
}

impl Told {
    /// Takes an action, and gives what its executor reports.
    fn act(&mut self, action: Action) -> Option<Event> {
        let failures = Vec::new();
        match action {
            Action::SyncIpvs(wanted) => {
                let is_new = self.wanted.table.len() != wanted.table.len();
                self.wanted = wanted;
                is_new.then(|| {
                    let (services, daemons) = (self.wanted.table.keys().copied().collect(), [].into());
                    Event::KernelSynced { services, daemons, failures }
                })
            }
            Action::SetAddresses(present) => Some(Event::AddressesSynced { present, failures }),
            Action::WatchPaths(addresses) => {
                let path = Path::Direct { interface: "eth0".into() };
                let seen = |address| PathSeen { address, path: path.clone(), neighbour: Neighbour::Resolved };
                Some(Event::PathsSeen(addresses.into_iter().map(seen).collect()))
            }
            Action::SetChecks(checks) => {
                self.checks = checks.into_iter().collect();
                None
            }
            Action::SetRoutes(routes) => {
                self.routes = routes;
                None
            }
            Action::Save(saved) | Action::SaveFirst(saved) => {
                self.saved = saved;
                self.writings += 1;
                None
            }
            Action::KeepSnapshots(_) => {
                self.writings += 1;
                None
            }
            Action::Notice(_) => {
                self.lines += 1;
                None
            }
            _ => None,
        }
    }
}

/// One of many addresses.
pub(crate) fn address(base: [u8; 4], number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::from(base)) + number)
}
