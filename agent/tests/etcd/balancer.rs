//! A balancer with everything but a kernel: the core, real sources, the control socket, and lvsctl beside it.

use lvsd::api::{Context, control};
use lvsd::config::{self, Config, SourceSettings};
use lvsd::core::action::Answer;
use lvsd::core::event::Request;
use lvsd::core::path::{Neighbour, PathSeen};
use lvsd::core::{Action, Event, State, Timestamp, change, fleet, numbers, step, view};
use lvsd::engine::{Inbox, Input, Query};
use lvsd::exec::{checks, fleet as others};
use lvsd::metrics::Metrics;
use lvsd::reload::Reloader;
use lvsd::sources::pools;
use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// Longest that a slow machine may take for a change to arrive.
const LIMIT: Duration = Duration::from_secs(120);

/// How often the core hears that time has passed.
const TICK: Duration = Duration::from_secs(1);

/// The engine's part: the core's state, and what acts for it.
struct Engine {
    state: State,
    inbox: Inbox,
    pools: pools::Handle,
    waiting: BTreeMap<u64, oneshot::Sender<Answer>>,
    log: Arc<Mutex<Vec<String>>>,
    is_frozen: Arc<AtomicBool>,
    whole_reports: Arc<AtomicUsize>,
}

impl Engine {
    async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let mut requests = 0;
        self.event(Event::KernelRead {
            table: ipvs::Table::new(),
            connections: Vec::new(),
            unsorted: Default::default(),
        })
        .await;
        self.event(Event::AddressesSynced { present: Default::default(), failures: Vec::new() }).await;
        let mut ticks = tokio::time::interval(TICK);
        loop {
            let input = tokio::select! {
                input = inputs.recv() => input,
                _ = ticks.tick() => Some(Input::Event(Event::Tick)),
            };
            let Some(input) = input else { return };
            match input {
                Input::Event(_) if self.is_frozen.load(Ordering::SeqCst) => {}
                Input::Event(event) => self.event(event).await,
                Input::Operate { who, command, reply } => {
                    requests += 1;
                    self.waiting.insert(requests, reply);
                    self.event(Event::Operator(Request { id: requests, who, command })).await;
                }
                Input::Query(Query::Status { asked, reply }) => {
                    drop(reply.send(view::status(&self.state, &asked)));
                }
                Input::Query(Query::Why { host, reply }) => drop(reply.send(view::why(&self.state, &host))),
                Input::Query(Query::Numbers { reply }) => {
                    drop(reply.send(numbers::numbers(&self.state)));
                }
                Input::Query(Query::Preview { selector, reply }) => {
                    drop(reply.send(change::preview(&self.state, &selector)));
                }
                Input::Query(Query::Report { since, reply }) => {
                    self.whole_reports.fetch_add(usize::from(since.is_none()), Ordering::SeqCst);
                    drop(reply.send(fleet::report(&self.state, since)));
                }
                Input::Query(Query::News { reply }) => drop(reply.send(fleet::news(&self.state))),
                Input::Query(Query::Ready { reply }) => drop(reply.send(true)),
                Input::Query(other) => panic!("nobody asks this here: {other:?}"),
            }
        }
    }

    async fn event(&mut self, event: Event) {
        let now = Timestamp::from(std::time::SystemTime::now());
        for action in step(&mut self.state, event, now) {
            match action {
                Action::WatchPools(wanted) => self.pools.set(wanted),
                Action::WriteSource(order) => self.pools.write(order),
                Action::Reply { id, answer } => {
                    if let Some(reply) = self.waiting.remove(&id) {
                        drop(reply.send(answer));
                    }
                }
                Action::Notice(notice) => self.log.lock().unwrap().push(notice.to_string()),
                Action::WatchPaths(addresses) => {
                    let path = || lvsd::core::path::Path::Direct { interface: "eth0".into() };
                    let seen = |address| PathSeen { address, path: path(), neighbour: Neighbour::Unknown };
                    self.inbox.event(Event::PathsSeen(addresses.into_iter().map(seen).collect())).await;
                }
                Action::SyncIpvs(wanted) => {
                    let services = wanted.table.keys().copied().collect();
                    let (daemons, failures) = Default::default();
                    self.inbox.event(Event::KernelSynced { services, daemons, failures }).await;
                }
                _ => {}
            }
        }
    }
}

/// A balancer that runs.
pub(crate) struct Balancer {
    directory: tempfile::TempDir,
    _tasks: tokio::task::JoinSet<()>,
    is_frozen: Arc<AtomicBool>,
    whole_reports: Arc<AtomicUsize>,
    log: Arc<Mutex<Vec<String>>>,
    others: Option<Arc<others::Handle>>,
}

impl Balancer {
    /// One with this configuration, beside its control socket.
    pub(crate) async fn start(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lvsd.toml");
        let socket = directory.path().join("control.sock");
        let text = format!("[lvsd]\ncontrol_socket = {:?}\n{text}", socket.display().to_string());
        std::fs::write(&file, &text).unwrap();
        let config: Arc<Config> = Arc::new(config::load(&file).unwrap());
        let (inbox, inputs) = Inbox::new();
        let (log, is_frozen, whole_reports): (Arc<_>, Arc<_>, Arc<_>) = Default::default();
        let engine = Engine {
            state: State::new(),
            inbox: inbox.clone(),
            pools: pools::Handle::spawn(inbox.clone()).unwrap(),
            waiting: BTreeMap::new(),
            log: Arc::clone(&log),
            is_frozen: Arc::clone(&is_frozen),
            whole_reports: Arc::clone(&whole_reports),
        };
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(engine.run(inputs));
        inbox.event(Event::Configured(Arc::clone(&config))).await;
        let metrics = Arc::new(Metrics::new().unwrap());
        let checks = checks::Handle::spawn(1, inbox.clone(), None);
        let reloader = Reloader::new(file, Arc::clone(&config), inbox.clone(), Arc::clone(&metrics));
        let told = config.fleet.as_ref().map(|fleet| {
            let Some(SourceSettings::Etcd(settings)) = config.sources.get(&fleet.source) else { panic!() };
            Arc::new(others::Handle::spawn(fleet.clone(), settings.clone(), inbox.clone()))
        });
        let context = Context {
            inbox,
            reloader: Arc::new(reloader),
            metrics,
            peers: None,
            refused: None,
            bmp: None,
            bgp: None,
            checks: checks.watcher(),
            probes: None,
            log: lvsd::logging::Log::default(),
            kernel: None,
            fleet: told,
        };
        let others = context.fleet.clone();
        let listener = control::listen(&config.daemon).await.unwrap();
        tasks.spawn(async move {
            let _checks = checks;
            drop(control::serve(listener, context).await);
        });
        Self { directory, _tasks: tasks, log, is_frozen, whole_reports, others }
    }

    /// How often it was asked for all that there is to be told to the fleet.
    pub(crate) fn whole_reports(&self) -> usize {
        self.whole_reports.load(Ordering::SeqCst)
    }

    /// Runs lvsctl against it.
    pub(crate) async fn lvsctl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lvsctl"));
        command.arg("--socket").arg(self.directory.path().join("control.sock")).args(arguments);
        command.stdin(std::process::Stdio::null());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// What lvsctl prints when it succeeds.
    pub(crate) async fn done(&self, arguments: &[&str]) -> String {
        let output = self.lvsctl(arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "lvsctl {arguments:?}: {errors}\n{:#?}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// What lvsctl says when it is refused.
    pub(crate) async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.lvsctl(arguments).await;
        assert_eq!(output.status.code(), Some(5), "lvsctl {arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs lvsctl on a terminal, and presses keys once it has asked: what was said there, and the exit code.
    pub(crate) async fn at_a_terminal(
        &self,
        words: &str,
        question: &str,
        keys: &str,
    ) -> (String, Option<i32>) {
        let (program, directory) = (env!("CARGO_BIN_EXE_lvsctl"), self.directory.path().display());
        let line = format!("exec {program} --socket {directory}/control.sock {words}");
        let mut script = tokio::process::Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        script.env("NO_COLOR", "1").env("SHELL", "/bin/sh").kill_on_drop(true);
        script.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().expect("script can be started");
        let (mut typed, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (mut said, mut has_typed) = (String::new(), false);
        let (mut bytes, deadline) = (vec![0; 4096], tokio::time::Instant::now() + LIMIT);
        loop {
            let read = tokio::time::timeout_at(deadline, output.read(&mut bytes)).await;
            let Ok(read) = read else { panic!("lvsctl {words} does not end: {said}") };
            let Ok(count @ 1..) = read else { break };
            said.push_str(&String::from_utf8_lossy(&bytes[..count]));
            if !has_typed && said.contains(question) {
                has_typed = true;
                typed.write_all(keys.as_bytes()).await.unwrap();
                typed.flush().await.unwrap();
            }
        }
        assert!(has_typed, "lvsctl {words} asks: {said}");
        (said, child.wait().await.unwrap().code())
    }

    /// The states of a service's backends, `rs1 pooled, rs2 depooled`.
    pub(crate) async fn backends(&self, service: &str) -> String {
        let status = self.done(&["status", service, "-o", "json"]).await;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let backends = status["services"][0]["pools"][0]["backends"].as_array().cloned().unwrap_or_default();
        let line = |backend: &serde_json::Value| {
            format!("{} {}", backend["host"].as_str().unwrap(), backend["standing"].as_str().unwrap())
        };
        backends.iter().map(line).collect::<Vec<_>>().join(", ")
    }

    /// Waits until a service's backends are in these states.
    pub(crate) async fn until(&self, service: &str, wanted: &str) {
        let begin = Instant::now();
        loop {
            let found = self.backends(service).await;
            if found == wanted {
                return;
            }
            assert!(begin.elapsed() < LIMIT, "wanted {wanted:?}, found {found:?}\n{:#?}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The lines of its log.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// From now on it takes no notice of anything.
    pub(crate) fn freeze(&self) {
        self.is_frozen.store(true, Ordering::SeqCst);
    }

    /// How far the fleet does the same, as this balancer has seen it.
    pub(crate) fn agreement(&self) -> others::Agreement {
        self.others.as_ref().map(|others| others.agreement()).unwrap_or_default()
    }

    /// Stops it as systemd does.
    pub(crate) async fn stop(self) {
        if let Some(others) = &self.others {
            others.stop().await;
        }
    }
}
