//! A small world around the core: a kernel that obeys, checks whose results a test decides, and a clock.

use crate::config::{self, Bgp, Config};
use crate::core::action::{Answer, Notice, WantedPools, WantedTable, WatchedCluster};
use crate::core::change::WriteOrder;
use crate::core::event::{Command, ConnectionCount, Note, Request, TakenOut};
use crate::core::found::Conflicts;
use crate::core::inventory::Snapshots;
use crate::core::nodes::NodePeers;
use crate::core::numbers::numbers;
use crate::core::path::{Neighbour, Path, PathSeen};
use crate::core::saved::Saved;
use crate::core::settings;
use crate::core::view::{self, Asked, BackendView, Status};
use crate::core::{Action, Event, State, Timestamp, step};
use crate::metrics::{Metrics, Sources};
use bgp::speaker::{Refused, Statuses};
use bgp::{BmpStatus, RouteSet};
use health::{Check, Verdict};
use ipvs::{Control, Op, ServiceKey, Table, diff};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The core and what surrounds it.
pub(in crate::core) struct World {
    pub(in crate::core) state: State,
    pub(in crate::core) now: Timestamp,
    /// The kernel's table.
    pub(in crate::core) kernel: Table,
    /// Every write that reached the kernel, in order.
    pub(in crate::core) writes: Vec<Op>,
    /// What is set beside the table.
    pub(in crate::core) settings: ipvs::Settings,
    /// Every write beside the table, in order.
    pub(in crate::core) controls: Vec<String>,
    /// The addresses of the VIP device.
    pub(in crate::core) addresses: BTreeSet<IpAddr>,
    /// What the routers were told last; none before the first time.
    pub(in crate::core) routes: Option<RouteSet>,
    pub(in crate::core) checks: BTreeSet<Arc<Check>>,
    /// Checks that were asked to look at once, in order.
    pub(in crate::core) hastened: Vec<BTreeSet<Arc<Check>>>,
    /// The addresses whose ways are watched.
    pub(in crate::core) watched: BTreeSet<IpAddr>,
    /// Ways that are not straight out of eth0.
    pub(in crate::core) paths: BTreeMap<IpAddr, Path>,
    /// While true nobody looks at ways.
    pub(in crate::core) is_blind: bool,
    pub(in crate::core) pools: WantedPools,
    /// What sources were told of services that others are in the way of.
    pub(in crate::core) conflicts: Conflicts,
    pub(in crate::core) names: BTreeSet<String>,
    /// How often it was said which names are to be looked up.
    pub(in crate::core) lookups: usize,
    pub(in crate::core) saved: Saved,
    pub(in crate::core) saves: usize,
    pub(in crate::core) snapshots: Snapshots,
    pub(in crate::core) notices: Vec<Notice>,
    pub(in crate::core) answers: Vec<Answer>,
    /// What was to be written to sources, in order.
    pub(in crate::core) orders: Vec<WriteOrder>,
    /// The routers, and how they are talked to.
    pub(in crate::core) routers: Option<Bgp>,
    /// The sessions with nodes, and how they are kept.
    pub(in crate::core) node_peers: Option<NodePeers>,
    /// What nodes are told of one another.
    pub(in crate::core) permits: bgp::rib::Permits,
    /// The file with what is in the cluster.
    pub(in crate::core) cluster: Option<WatchedCluster>,
    /// What the kernel is to have of nodes' routes; none before anything was said.
    pub(in crate::core) fib: Option<crate::fib::Routes>,
    /// How often the kernel was to be read again.
    pub(in crate::core) reads: usize,
    pub(in crate::core) has_exited: bool,
    /// Connections that the kernel's destinations have.
    pub(in crate::core) connections: Vec<ConnectionCount>,
    /// Services whose destinations the kernel has out of order.
    pub(in crate::core) unsorted: BTreeSet<ServiceKey>,
    /// While true the kernel answers nothing.
    pub(in crate::core) is_deaf: bool,
    /// Whether the routers were told anything while the kernel had not confirmed what it takes.
    pending: Vec<Event>,
}

impl World {
    /// A world in which nothing has happened.
    pub(in crate::core) fn new() -> Self {
        Self {
            state: State::new(),
            now: Timestamp::from_micros(1_700_000_000_000_000),
            kernel: Table::new(),
            writes: Vec::new(),
            settings: ipvs::Settings::default(),
            controls: Vec::new(),
            addresses: BTreeSet::new(),
            routes: None,
            checks: BTreeSet::new(),
            hastened: Vec::new(),
            watched: BTreeSet::new(),
            paths: BTreeMap::new(),
            is_blind: false,
            pools: WantedPools::default(),
            conflicts: Conflicts::new(),
            names: BTreeSet::new(),
            lookups: 0,
            saved: Saved::default(),
            saves: 0,
            snapshots: Snapshots::new(),
            notices: Vec::new(),
            answers: Vec::new(),
            orders: Vec::new(),
            routers: None,
            node_peers: None,
            permits: Default::default(),
            cluster: None,
            fib: None,
            reads: 0,
            has_exited: false,
            connections: Vec::new(),
            unsorted: BTreeSet::new(),
            is_deaf: false,
            pending: Vec::new(),
        }
    }

    /// A world with this configuration, its kernel read and its device looked at.
    pub(in crate::core) fn with(text: &str) -> Self {
        let mut world = Self::new();
        world.start(text);
        world
    }

    /// Starts the daemon's core on this world.
    pub(in crate::core) fn start(&mut self, text: &str) {
        let (saved, snapshots) = (self.saved.clone(), self.snapshots.clone());
        self.event(Event::Restored { saved, snapshots });
        self.configure(text);
        self.read_kernel();
        let (present, failures) = (self.addresses.clone(), Vec::new());
        self.event(Event::AddressesSynced { present, failures });
    }

    /// The daemon dies and comes back: the kernel, the device and the state file stay.
    pub(in crate::core) fn restart(&mut self, text: &str) {
        self.state = State::new();
        (self.routes, self.has_exited) = (None, false);
        (self.checks, self.pools, self.names, self.conflicts) = Default::default();
        (self.node_peers, self.permits, self.cluster, self.fib) = Default::default();
        self.start(text);
    }

    pub(in crate::core) fn configure(&mut self, text: &str) {
        self.event(Event::Configured(Arc::new(parse(text))));
    }

    pub(in crate::core) fn read_kernel(&mut self) {
        let (table, connections) = (self.kernel.clone(), self.connections.clone());
        let unsorted = self.unsorted.clone();
        self.event(Event::KernelRead { table, connections, unsorted });
    }

    /// One event, and all that follows from it.
    pub(in crate::core) fn event(&mut self, event: Event) {
        self.pending.push(event);
        while !self.pending.is_empty() {
            let event = self.pending.remove(0);
            for action in step(&mut self.state, event, self.now) {
                self.act(action);
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Save(saved) | Action::SaveFirst(saved) => {
                self.saves += 1;
                self.saved = saved;
            }
            Action::KeepSnapshots(snapshots) => self.snapshots = snapshots,
            Action::SyncIpvs(wanted) => self.sync(&wanted),
            Action::ReadKernel => {
                self.reads += 1;
                let (table, connections) = (self.kernel.clone(), self.connections.clone());
                let unsorted = self.unsorted.clone();
                self.pending.push(Event::KernelRead { table, connections, unsorted });
            }
            Action::SetAddresses(addresses) => {
                self.addresses = addresses;
                let (present, failures) = (self.addresses.clone(), Vec::new());
                self.pending.push(Event::AddressesSynced { present, failures });
            }
            Action::SetRoutes(routes) => {
                self.assert_routes_can_serve(&routes);
                self.routes = Some(routes);
            }
            Action::SetPeers(bgp) => self.routers = Some(bgp),
            Action::SetNodePeers(peers) => self.node_peers = peers,
            Action::SetPermits(permits) => self.permits = permits,
            Action::WatchCluster(place) => self.cluster = place,
            Action::SetFib(routes) => self.fib = Some(routes),
            Action::SetChecks(checks) => self.checks = checks,
            Action::Hasten(checks) => self.hastened.push(checks),
            Action::WatchPaths(addresses) => {
                self.watched = addresses;
                self.look();
            }
            Action::WatchPools(wanted) => self.pools = wanted,
            Action::TellSources(conflicts) => self.conflicts = conflicts,
            Action::ResolveHosts(names) => {
                self.names = names;
                self.lookups += 1;
            }
            Action::WriteSource(order) => self.orders.push(order),
            Action::Reply { answer, .. } => self.answers.push(answer),
            Action::Notice(notice) => self.notices.push(notice),
            Action::Exit => self.has_exited = true,
        }
    }

    /// The ways to the watched addresses are looked at, unless nobody does.
    fn look(&mut self) {
        if self.is_blind {
            return;
        }
        let direct = || Path::Direct { interface: "eth0".into() };
        let seen = self.watched.iter().map(|address| PathSeen {
            address: *address,
            path: self.paths.get(address).cloned().unwrap_or_else(direct),
            neighbour: Neighbour::Unknown,
        });
        self.pending.push(Event::PathsSeen(seen.collect()));
    }

    /// The way to an address is another from now on.
    pub(in crate::core) fn reroute(&mut self, address: &str, path: Path) {
        self.paths.insert(address.parse().unwrap(), path);
        self.is_blind = false;
        self.look();
        let seen = self.pending.remove(0);
        self.event(seen);
    }

    /// Brings the kernel to what is wanted. What is put there must have been saved as ours before.
    fn sync(&mut self, wanted: &WantedTable) {
        if self.is_deaf {
            return;
        }
        for op in diff(&self.kernel, &wanted.table, &wanted.owned) {
            assert!(self.saved.owned.contains(&op.service()), "{op}: not saved as ours before");
            self.kernel.record(&op);
            self.writes.push(op);
        }
        let ours = |key: &&ServiceKey| wanted.table.contains_key(key) || wanted.owned.contains(key);
        let services = self.kernel.keys().filter(ours).copied().collect();
        for control in wanted.settings.controls(&self.settings) {
            obey(&mut self.settings, &control);
            self.controls.push(control.to_string());
        }
        let daemons = settings::running(&self.settings);
        self.pending.push(Event::KernelSynced { services, daemons, failures: Vec::new() });
    }

    /// Nothing is announced whose address and service the kernel does not have.
    fn assert_routes_can_serve(&self, routes: &RouteSet) {
        for prefix in routes.keys() {
            let vip = prefix.address();
            assert!(self.addresses.contains(&vip), "{vip} is announced before it is on the device");
            let has_service = self.kernel.keys().any(|key| match key {
                ServiceKey::Address { address, .. } => *address == vip,
                ServiceKey::FwMark { family, .. } => *family == ipvs::Family::of(vip),
            });
            assert!(has_service, "{vip} is announced before IPVS has a service on it");
        }
    }

    /// Every check of a backend's address gives this result.
    pub(in crate::core) fn report(&mut self, address: &str, verdict: Verdict) {
        let address: IpAddr = address.parse().unwrap();
        let failure = (verdict != Verdict::Up).then(|| "connection refused".to_string());
        for check in self.checks.clone().into_iter().filter(|check| check.target.ip() == address) {
            self.event(Event::Checked {
                check,
                verdict,
                failure: failure.clone(),
                advice: Default::default(),
            });
        }
    }

    pub(in crate::core) fn up(&mut self, addresses: &[&str]) {
        addresses.iter().for_each(|address| self.report(address, Verdict::Up));
    }

    pub(in crate::core) fn down(&mut self, addresses: &[&str]) {
        addresses.iter().for_each(|address| self.report(address, Verdict::Down));
    }

    pub(in crate::core) fn operate(&mut self, command: Command) -> Answer {
        let id = self.answers.len() as u64;
        self.event(Event::Operator(Request { id, who: "ada".into(), command }));
        self.answers.last().cloned().expect("every request is answered")
    }

    pub(in crate::core) fn depool(&mut self, host: &str) -> Answer {
        let note = Note { reason: Some("disk".into()), ..Note::default() };
        self.operate(Command::TakeOut { host: host.into(), to: TakenOut::Depooled, note })
    }

    pub(in crate::core) fn pool(&mut self, host: &str) -> Answer {
        self.operate(Command::Pool { host: host.into() })
    }

    /// Lets time pass, with every tick that is due on the way.
    pub(in crate::core) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.state.next_wakeup().filter(|due| *due <= end) {
            assert!(due >= self.now || self.pending.is_empty(), "a tick in the past");
            self.now = self.now.max(due);
            let before = self.state.next_wakeup();
            self.event(Event::Tick);
            assert!(
                self.has_exited || self.state.next_wakeup() != before,
                "a tick that changes nothing turns for ever"
            );
            if self.has_exited {
                return;
            }
        }
        self.now = end;
    }

    /// The weight that the kernel has, or none without such a destination.
    pub(in crate::core) fn weight(&self, service: &str, destination: &str) -> Option<u32> {
        let entry = self.kernel.get(&service.parse().unwrap())?;
        Some(entry.destinations.get(&destination.parse().unwrap())?.weight.get())
    }

    pub(in crate::core) fn is_announced(&self, vip: &str) -> bool {
        let vip: IpAddr = vip.parse().unwrap();
        self.routes.as_ref().is_some_and(|routes| routes.keys().any(|prefix| prefix.address() == vip))
    }

    /// What the page for Prometheus says of a metric: its lines, without those that explain it.
    pub(in crate::core) fn metric(&self, name: &str) -> Vec<String> {
        let (peers, refused, bmp) = (Statuses::new(), Refused::default(), BmpStatus::default());
        let beside =
            Sources { peers: &peers, refused: &refused, bmp: &bmp, checks: None, probes: None, fleet: None };
        let page = Metrics::new().and_then(|metrics| metrics.page(numbers(&self.state), &beside)).unwrap();
        let text: String = page.collect();
        let is_of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        text.lines().filter(is_of).map(ToOwned::to_owned).collect()
    }

    pub(in crate::core) fn status(&self) -> Status {
        view::status(&self.state, &Asked::default()).unwrap()
    }

    /// A backend as `lvsctl why` shows it, in its first service and family.
    pub(in crate::core) fn backend(&self, host: &str) -> BackendView {
        view::why(&self.state, host).unwrap().services[0].backends[0].clone()
    }
}

/// Does beside the table what the kernel would.
pub(in crate::core) fn obey(settings: &mut ipvs::Settings, control: &Control) {
    match control {
        Control::SetTimeouts(new) => {
            let timeouts = &mut settings.timeouts;
            timeouts.tcp = new.tcp.or(timeouts.tcp);
            timeouts.tcp_fin = new.tcp_fin.or(timeouts.tcp_fin);
            timeouts.udp = new.udp.or(timeouts.udp);
        }
        Control::StartDaemon { role, daemon } => settings.set_daemon(*role, Some(daemon.clone())),
        Control::StopDaemon { role } => settings.set_daemon(*role, None),
        Control::ZeroStatistics { .. } => panic!("nobody asked for it"),
    }
}

/// A configuration of which a test knows that it is valid.
pub(in crate::core) fn parse(text: &str) -> Config {
    config::parse(&[(PathBuf::from("/etc/lvsd/lvsd.toml"), text.to_string())])
        .unwrap_or_else(|errors| panic!("{}", errors.iter().map(|e| format!("{e}\n")).collect::<String>()))
}
