//! What each check of thousands costs while all of them speak for the first time, and when all fail: counted in bytes that
//! are allocated, which no busy machine changes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bgp::RouteSet;
use health::{Check, Verdict};
use ipvs::Table;
use lvsd::config;
use lvsd::core::action::WantedTable;
use lvsd::core::path::{Neighbour, Path, PathSeen};
use lvsd::core::saved::Saved;
use lvsd::core::{Action, Event, State, Timestamp, step};
use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes that were allocated since the process began.
static ALLOCATED: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counted.
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: each call is the system's allocator's, with the same arguments.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as the caller has promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller has promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What the executors were told last, which they keep.
#[derive(Default)]
struct Told {
    wanted: WantedTable,
    routes: RouteSet,
    saved: Saved,
    checks: Vec<Arc<Check>>,
}

/// A balancer whose grace is over before a check has spoken.
struct Balancer {
    state: State,
    now: Timestamp,
    told: Told,
}

impl Balancer {
    fn start(services: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lvsd.toml");
        std::fs::write(&file, configuration(services)).unwrap();
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let mut balancer = Self { state: State::new(), now, told: Told::default() };
        balancer.take(Event::Restored { saved: Saved::default(), snapshots: Default::default() });
        balancer.take(Event::Configured(Arc::new(config::load(&file).unwrap())));
        balancer.take(Event::KernelRead { table: Table::new(), connections: Vec::new() });
        balancer.take(Event::AddressesSynced { present: Default::default(), failures: Vec::new() });
        balancer.now = balancer.now + Duration::from_secs(11);
        balancer.take(Event::Tick);
        assert!(balancer.state.is_ready());
        balancer
    }

    /// Takes an event in, and what the executors answer.
    fn take(&mut self, event: Event) {
        self.now = self.now + Duration::from_micros(100);
        let actions = step(&mut self.state, event, self.now);
        let answers: Vec<Event> = actions.into_iter().filter_map(|action| self.told.act(action)).collect();
        answers.into_iter().for_each(|event| self.take(event));
    }

    /// Every check says this, one after the other. The bytes that each took.
    fn all_say(&mut self, verdict: Verdict) -> u64 {
        let checks = self.told.checks.clone();
        let before = ALLOCATED.load(Ordering::Relaxed);
        for check in &checks {
            let failure = (verdict == Verdict::Down).then(|| "connection refused".to_owned());
            let (check, advice) = (Arc::clone(check), Default::default());
            self.take(Event::Checked { check, verdict, failure, advice });
        }
        (ALLOCATED.load(Ordering::Relaxed) - before) / checks.len() as u64
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
                None
            }
            _ => None,
        }
    }
}

/// Services with a VIP each, and two servers of their own.
fn configuration(services: u32) -> String {
    let mut text = String::from(
        "[bgp]\nlocal_asn = 64600\nrouter_id = \"10.64.0.1\"\n\
         [[bgp.peer]]\nname = \"r1\"\naddress = \"10.64.0.251\"\nasn = 65001\n",
    );
    let address = |base: [u8; 4], number: u32| Ipv4Addr::from(u32::from(Ipv4Addr::from(base)) + number);
    for number in 0..services {
        let servers = [0, 1].map(|one| address([10, 0, 0, 1], 2 * number + one));
        let _ = write!(
            text,
            "[service.s{number:05}]\nvips = [\"{}\"]\nport = 80\nchecks = [{{ type = \"tcp\" }}]\nbackends = [\n\
             {{ host = \"{}\", weight = 10 }},\n{{ host = \"{}\", weight = 10 }},\n]\n",
            address([198, 18, 0, 0], number),
            servers[0],
            servers[1],
        );
    }
    text
}

/// VIPs become able to serve one after the other, and fail so: each is a route more or less, and a change of what is saved.
#[test]
fn a_check_costs_no_more_among_thousands_of_vips_than_among_hundreds() {
    let (few, many) = (200, 1600);
    let costs = [few, many].map(|services| {
        let mut balancer = Balancer::start(services);
        assert_eq!((balancer.told.routes.len(), balancer.told.saved.withdrawn.len()), (0, services as usize));
        let up = balancer.all_say(Verdict::Up);
        assert_eq!((balancer.told.routes.len(), balancer.told.saved.withdrawn.len()), (services as usize, 0));
        let down = balancer.all_say(Verdict::Down);
        assert_eq!((balancer.told.routes.len(), balancer.told.saved.withdrawn.len()), (0, services as usize));
        [up, down]
    });
    println!(
        "bytes for each check, up and down: {:?} among {few} VIPs, {:?} among {many}",
        costs[0], costs[1]
    );
    for (among_few, among_many) in costs[0].iter().zip(costs[1]) {
        assert!(among_many < 2 * among_few, "bytes for a check among {few} and {many}: {costs:?}");
    }
}
