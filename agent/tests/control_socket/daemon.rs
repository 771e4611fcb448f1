//! An lvsd without a kernel below it, and lvsctl.

use lvsd::api::{Context, control, http, remote};
use lvsd::config;
use lvsd::core::numbers::numbers;
use lvsd::core::path::{Neighbour, PathSeen};
use lvsd::core::{Action, Event, State, Timestamp, change, fleet, nodes, plan, step, view};
use lvsd::engine::{Inbox, Input, Query};
use lvsd::exec::ipvs::Comparison;
use lvsd::exec::{checks, routes};
use lvsd::logging::Log;
use lvsd::metrics::Metrics;
use lvsd::reload::Reloader;
use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const CONFIGURATION: &str = r#"
[service.web]
vips = ["192.0.2.10"]
port = 80
backends = [
  { host = "rs1", addresses = ["10.64.0.11"] },
  { host = "rs2", addresses = ["10.64.0.12"] },
]
checks = []
"#;

/// Ends lvsctl as Ctrl-C does.
pub(crate) fn interrupt(lvsctl: &tokio::process::Child) {
    let id = lvsctl.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
}

/// Every backend is on the balancer's link.
fn direct(address: std::net::IpAddr) -> PathSeen {
    PathSeen {
        address,
        path: lvsd::core::path::Path::Direct { interface: "eth0".into() },
        neighbour: Neighbour::Unknown,
    }
}

/// What there is beside the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum World {
    /// Checks and the ways to backends, and nothing else.
    Checked,
    /// Executors that do what is wanted at once, and checks that all fail.
    Obedient,
    /// The same, a kernel that has what is wanted, and a BGP speaker whose routers do not answer.
    Whole,
}

/// What follows from an action.
fn follows(
    action: Action,
    world: World,
    checks: &checks::Handle,
    routes: Option<&mut routes::Handle>,
) -> Option<Event> {
    let failures = Vec::new();
    match (action, world) {
        (Action::WatchPaths(addresses), _) => {
            Some(Event::PathsSeen(addresses.into_iter().map(direct).collect()))
        }
        (Action::SetChecks(wanted), World::Checked) => {
            checks.set(wanted);
            None
        }
        (Action::SetChecks(wanted), World::Obedient | World::Whole) => {
            let fails = |check| Event::Checked {
                check,
                verdict: health::Verdict::Down,
                failure: Some("connection refused".into()),
                advice: Default::default(),
            };
            Some(Event::Several(wanted.into_iter().map(fails).collect()))
        }
        (Action::SyncIpvs(wanted), World::Obedient | World::Whole) => {
            let services = wanted.table.keys().copied().collect();
            Some(Event::KernelSynced { services, daemons: Default::default(), failures })
        }
        (Action::SetAddresses(present), World::Obedient | World::Whole) => {
            Some(Event::AddressesSynced { present, failures })
        }
        (Action::SetPeers(bgp), World::Whole) => {
            routes?.set_peers(&bgp);
            None
        }
        (Action::SetRoutes(wanted), World::Whole) => {
            routes?.set_routes(wanted);
            None
        }
        _ => None,
    }
}

/// An engine with this around it: events change the state, answers go back.
async fn turn(
    mut inbox: mpsc::Receiver<Input>,
    checks: checks::Handle,
    world: World,
    mut routes: Option<routes::Handle>,
) {
    let mut state = State::new();
    let now = || Timestamp::from(std::time::SystemTime::now());
    let table = ipvs::Table::new();
    step(
        &mut state,
        Event::KernelRead { table, connections: Vec::new(), unsorted: Default::default() },
        now(),
    );
    let (present, failures) = (std::collections::BTreeSet::new(), Vec::new());
    step(&mut state, Event::AddressesSynced { present, failures }, now());
    while let Some(input) = inbox.recv().await {
        match input {
            Input::Event(event) => {
                let mut events = VecDeque::from([event]);
                while let Some(event) = events.pop_front() {
                    let actions = step(&mut state, event, now());
                    let follow = |action| follows(action, world, &checks, routes.as_mut());
                    events.extend(actions.into_iter().filter_map(follow));
                }
            }
            Input::Operate { who, command, reply } => {
                let request = lvsd::core::event::Request { id: 1, who, command };
                let actions = step(&mut state, Event::Operator(request), now());
                let answer = actions.into_iter().find_map(|action| match action {
                    Action::Reply { answer, .. } => Some(answer),
                    _ => None,
                });
                drop(reply.send(answer.expect("every request is answered")));
            }
            Input::Query(Query::Status { asked, reply }) => {
                drop(reply.send(view::status(&state, &asked)));
            }
            Input::Query(Query::Numbers { reply }) => drop(reply.send(numbers(&state))),
            Input::Query(Query::Pools { which, reply }) => {
                drop(reply.send(lvsd::core::pybal::pools(&state, &which)));
            }
            Input::Query(Query::Why { host, reply }) => drop(reply.send(view::why(&state, &host))),
            Input::Query(Query::Preview { selector, reply }) => {
                drop(reply.send(change::preview(&state, &selector)));
            }
            Input::Query(Query::Report { since, reply }) => drop(reply.send(fleet::report(&state, since))),
            Input::Query(Query::News { reply }) => drop(reply.send(fleet::news(&state))),
            Input::Query(Query::Plan { config, reply }) => {
                drop(reply.send(plan::plan(&state, config, now())));
            }
            Input::Query(Query::Simulate { down, reply }) => {
                drop(reply.send(plan::simulate(&state, &down, now())));
            }
            Input::Query(Query::Nodes { reply }) => drop(reply.send(nodes::view::nodes(&state))),
            Input::Query(Query::Routes { prefix, reply }) => {
                drop(reply.send(nodes::view::routes(&state, prefix)));
            }
            Input::Query(Query::Kernel { reply, .. }) => drop(reply.send(match world {
                World::Whole => Ok(Comparison::default()),
                World::Checked | World::Obedient => Err("no kernel here".into()),
            })),
            Input::Query(Query::Ready { reply }) => drop(reply.send(state.is_ready())),
        }
    }
}

pub(crate) struct Daemon {
    pub(crate) directory: tempfile::TempDir,
    /// Where HTTP is served.
    pub(crate) http: String,
    /// Where the control interface is served over TLS, with `[remote]`.
    pub(crate) remote: String,
    pub(crate) log: Log,
    engine: JoinHandle<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Daemon {
    pub(crate) async fn start() -> Self {
        Self::start_with(CONFIGURATION).await
    }

    pub(crate) async fn start_with(configuration: &str) -> Self {
        Self::start_in(configuration, World::Checked).await
    }

    pub(crate) async fn start_in(configuration: &str, world: World) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        // A user without rights may not be able to enter the directory of the build. Another process copies: a
        // descriptor of ours that is open for writing would be inherited by what other tests start meanwhile, and a
        // program that somebody can write to cannot be run.
        let mut copy = Command::new("cp");
        copy.arg(env!("CARGO_BIN_EXE_lvsctl")).arg(directory.path().join("lvsctl"));
        assert!(copy.status().unwrap().success());
        let file = directory.path().join("lvsd.toml");
        let socket = directory.path().join("control.sock");
        let text = format!("[lvsd]\ncontrol_socket = {:?}\n{configuration}", socket.display().to_string());
        std::fs::write(&file, &text).unwrap();
        let config = Arc::new(config::load(&file).unwrap());
        let (inbox, receiver) = Inbox::new();
        let checks = checks::Handle::spawn(1, inbox.clone(), None);
        let watcher = checks.watcher();
        let speaks = config.bgp.as_ref().filter(|_| matches!(world, World::Whole));
        let routes = speaks.map(|bgp| routes::Handle::spawn(bgp, false, None).unwrap());
        let (peers, looks) =
            (routes.as_ref().map(routes::Handle::status), routes.as_ref().map(routes::Handle::looks));
        let engine = tokio::spawn(turn(receiver, checks, world, routes));
        inbox.event(Event::Configured(Arc::clone(&config))).await;
        let metrics = Arc::new(Metrics::new().unwrap());
        let reloader = Reloader::new(file, Arc::clone(&config), inbox.clone(), Arc::clone(&metrics));
        let reloader = Arc::new(reloader);
        let log = Log::default();
        let context = Context {
            inbox,
            reloader,
            metrics,
            peers,
            refused: None,
            bmp: None,
            bgp: looks,
            checks: watcher,
            probes: None,
            kernel: None,
            fleet: None,
            log: log.clone(),
        };
        let listener = control::listen(&config.daemon).await.unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap().to_string();
        let server = tokio::spawn(http::serve(tcp, context.clone()));
        let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote_address = tls.local_addr().unwrap().to_string();
        if config.remote.is_some() {
            tokio::spawn(remote::serve(tls, context.clone()));
        }
        tokio::spawn(control::serve(listener, context));
        Self { directory, http: address, remote: remote_address, log, engine, server }
    }

    /// Ends it, as a process that is killed.
    pub(crate) fn stop(&mut self) {
        self.engine.abort();
        self.server.abort();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    pub(crate) async fn lvsctl(&self, arguments: &[&str]) -> Output {
        self.lvsctl_as(None, arguments).await
    }

    /// lvsctl without the socket's name.
    pub(crate) async fn lvsctl_anywhere(&self, arguments: &[&str]) -> Output {
        let mut command = self.program();
        command.args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    fn program(&self) -> Command {
        Command::new(self.directory.path().join("lvsctl"))
    }

    pub(crate) async fn lvsctl_as(&self, uid: Option<u32>, arguments: &[&str]) -> Output {
        let mut command = self.program();
        command.arg("--socket").arg(self.socket()).args(arguments);
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        self.request("GET", path).await
    }

    pub(crate) async fn request(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.http).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: lvsd\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

pub(crate) fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", err(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn json(output: &Output) -> serde_json::Value {
    serde_json::from_str(&out(output)).unwrap()
}
