//! A balancer with everything but a kernel, routers and checks: the core, and a real source that is told what the core decides.

use lvsd::config;
use lvsd::core::event::{Command, Request};
use lvsd::core::path::{Neighbour, Path, PathSeen};
use lvsd::core::view::{self, Asked, SourceView, Status};
use lvsd::core::{Action, Event, State, Timestamp, step};
use lvsd::engine::{Inbox, Input};
use lvsd::sources::pools;
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// Longest that a slow machine may take for a change to arrive.
const LIMIT: Duration = Duration::from_secs(180);

/// How often the core hears that time has passed, and a condition is looked at when nothing is said.
const TICK: Duration = Duration::from_millis(200);

/// A balancer that runs while somebody waits for something.
pub(crate) struct Balancer {
    state: State,
    pools: pools::Handle,
    inputs: mpsc::Receiver<Input>,
    /// How much further its clock is: it has waited for whatever it waits for.
    ahead: Duration,
    /// Its log.
    pub(crate) log: Vec<String>,
    /// The VIPs that are announced.
    pub(crate) announced: BTreeSet<String>,
}

impl Balancer {
    /// One with this configuration, beside a source k8s that takes whole Services of a cluster.
    pub(crate) fn start(kubeconfig: PathBuf, text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lvsd.toml");
        let source = format!(
            "[source.k8s]\ntype = \"kubernetes\"\nkubeconfig = {:?}\nclass = \"lvsd\"\nlease = \"lvsd/lvsd\"\nexternal_ips = true\n\
             max_backoff = \"1s\"\naddress_pool = [{{ name = \"public\", addresses = [\"192.0.2.10-192.0.2.15\"] }}]\n",
            kubeconfig.display().to_string()
        );
        std::fs::write(&file, format!("{source}{text}")).unwrap();
        let config = Arc::new(config::load(&file).unwrap());
        let (inbox, inputs) = Inbox::new();
        let pools = pools::Handle::spawn(inbox).unwrap();
        let mut balancer = Self {
            state: State::new(),
            pools,
            inputs,
            ahead: Duration::ZERO,
            log: Vec::new(),
            announced: BTreeSet::new(),
        };
        balancer.event(Event::Configured(config));
        let (table, connections, unsorted) = Default::default();
        balancer.event(Event::KernelRead { table, connections, unsorted });
        balancer.event(Event::AddressesSynced { present: Default::default(), failures: Vec::new() });
        balancer
    }

    /// Runs until it is so.
    pub(crate) async fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + LIMIT;
        while !is_so(self) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{what}: {:#?} {:#?}",
                self.status().sources,
                self.log
            );
            match tokio::time::timeout(TICK, self.inputs.recv()).await {
                Ok(Some(Input::Event(event))) => self.event(event),
                Ok(_) => panic!("nobody asks anything here"),
                Err(_) => {
                    self.ahead += Duration::from_secs(11);
                    self.event(Event::Tick);
                }
            }
        }
    }

    fn event(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = Timestamp::from(SystemTime::now()) + self.ahead;
            for action in step(&mut self.state, event, now) {
                events.extend(self.act(action));
            }
        }
    }

    /// The kernel, its device and the ways do at once as they are asked.
    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::WatchPools(wanted) => self.pools.set(wanted),
            Action::TellSources(conflicts) => self.pools.tell(conflicts),
            Action::SetRoutes(routes) => {
                self.announced = routes.keys().map(|prefix| prefix.address().to_string()).collect();
            }
            Action::Notice(notice) => self.log.push(notice.to_string()),
            Action::SyncIpvs(wanted) => {
                let services = wanted.table.keys().copied().collect();
                let (daemons, failures) = Default::default();
                return Some(Event::KernelSynced { services, daemons, failures });
            }
            Action::SetAddresses(present) => {
                return Some(Event::AddressesSynced { present, failures: Vec::new() });
            }
            Action::WatchPaths(addresses) => {
                let path = || Path::Direct { interface: "eth0".into() };
                let seen = |address| PathSeen { address, path: path(), neighbour: Neighbour::Unknown };
                return Some(Event::PathsSeen(addresses.into_iter().map(seen).collect()));
            }
            _ => {}
        }
        None
    }

    /// `lvsctl confirm k8s`.
    pub(crate) fn confirm(&mut self) {
        let command = Command::Confirm { service: "k8s".into() };
        self.event(Event::Operator(Request { id: 1, who: "a test".into(), command }));
    }

    /// How the cluster is as a source.
    pub(crate) fn source(&self) -> SourceView {
        self.status().sources.remove(0)
    }

    pub(crate) fn status(&self) -> Status {
        view::status(&self.state, &Asked::default()).unwrap()
    }

    /// Whether systemd would hear READY=1 now, and the probes of its HTTP interface that it is.
    pub(crate) fn is_ready(&self) -> bool {
        self.state.is_ready()
    }

    /// Whether a service is served.
    pub(crate) fn serves(&self, name: &str) -> bool {
        self.status().services.iter().any(|service| service.name == name)
    }

    /// Whether routers have a VIP.
    pub(crate) fn announces(&self, vip: &str) -> bool {
        self.status().vips.iter().any(|view| view.address.to_string() == vip && view.announced)
    }

    /// Why `lvsctl why` says that a service is not served; nothing when it is.
    pub(crate) fn refusal(&self, name: &str) -> String {
        let why = view::why(&self.state, name).map(|why| why.refused).unwrap_or_default();
        why.into_iter().map(|refused| refused.reason).collect()
    }
}
