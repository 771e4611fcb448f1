//! The task that owns all session tasks and the listening socket.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    BfdConfig, Outlet, PeerConfig, PeerGroup, Published, QUESTIONS, Question, Rules, SpeakerConfig,
    SpeakerEvent,
    listeners::Listeners,
    reflector::Reflector,
    refusals::{Refusal, Refusals},
    wanted::{NotRun, Wanted},
};
use crate::{
    bfd,
    bmp::PrePolicy,
    rib::{LocRib, Permits},
    session::{self, Command, Identity, Path, Stop, Wiring},
};

/// What the owner wants, as a whole.
#[derive(Clone, Debug)]
pub(super) struct Control {
    /// The peers to run.
    pub(super) peers: Vec<PeerConfig>,
    /// The groups to take neighbours from.
    pub(super) groups: Vec<PeerGroup>,
    /// Shut everything down with this text.
    pub(super) shutdown: Option<String>,
}

/// How long until a session task that died is started again.
const RETRY: Duration = Duration::from_secs(5);

/// Accepted connections that may wait for their session task. It takes them at once; two is the most that a
/// router opens without being broken.
const INCOMING_QUEUE: usize = 2;

struct Running {
    config: PeerConfig,
    task: Id,
    command: watch::Sender<Command>,
    bfd: watch::Sender<Option<BfdConfig>>,
    rules: watch::Sender<Rules>,
    incoming: mpsc::Sender<TcpStream>,
    questions: mpsc::Sender<Question>,
    /// The group that it is a neighbour of.
    group: Option<String>,
}

impl Running {
    /// Takes what changes while the session goes on.
    fn adapt(&mut self, config: PeerConfig) {
        if self.config.bfd != config.bfd {
            self.bfd.send_replace(config.bfd);
        }
        let rules = config.rules();
        if self.config.rules() != rules {
            self.rules.send_replace(rules);
        }
        self.config = config;
    }
}

/// What the owner wants, and asks.
pub(super) struct Inputs {
    pub(super) control: watch::Receiver<Control>,
    pub(super) routes: watch::Receiver<Option<Published>>,
    pub(super) permits: watch::Receiver<Permits>,
    pub(super) questions: mpsc::Receiver<(String, Question)>,
}

/// See the module.
pub(super) struct Supervisor {
    config: SpeakerConfig,
    control: watch::Receiver<Control>,
    routes: watch::Receiver<Option<Published>>,
    questions: mpsc::Receiver<(String, Question)>,
    table: Arc<watch::Sender<LocRib>>,
    pre_policy: PrePolicy,
    /// Decides what clients are told of one another.
    reflector: Reflector,
    outlet: Outlet,
    running: BTreeMap<String, Running>,
    /// Watches the paths to the peers that run.
    bfd: bfd::Service,
    /// Dropping it aborts every session.
    tasks: JoinSet<()>,
    started: Instant,
    listeners: Listeners,
    refusals: Refusals,
    /// What is to run, but for the neighbours of groups.
    wanted: Wanted,
    /// A session task died; peers that do not run are started again then, not at once.
    restart_at: Option<Instant>,
    /// What was already said to be refused, so that it is said once.
    said: BTreeSet<String>,
}

enum Wake {
    Control(bool),
    Ended(Option<Result<(Id, ()), JoinError>>),
    Accepted(Option<(Result<TcpStream, Refusal>, SocketAddr)>),
    Asked(String, Question),
    Timer,
}

impl Supervisor {
    /// A supervisor that runs nothing yet.
    pub(super) fn new(
        config: SpeakerConfig,
        inputs: Inputs,
        table: watch::Sender<LocRib>,
        pre_policy: PrePolicy,
        outlet: Outlet,
    ) -> Self {
        let Inputs { control, routes, permits, questions } = inputs;
        Self {
            listeners: Listeners::new(&config.listen, outlet.clone()),
            refusals: Refusals::new(outlet.clone()),
            config,
            control,
            routes,
            questions,
            reflector: Reflector::spawn(permits, table.subscribe()),
            table: Arc::new(table),
            pre_policy,
            outlet,
            running: BTreeMap::new(),
            bfd: bfd::Service::spawn(),
            tasks: JoinSet::new(),
            started: Instant::now(),
            wanted: Wanted::default(),
            restart_at: None,
            said: BTreeSet::new(),
        }
    }

    /// Runs until shut down and every session has ended.
    pub(super) async fn run(mut self) {
        self.reconcile();
        while self.control.borrow().shutdown.is_none() || !self.running.is_empty() {
            self.watch_paths();
            match self.wake().await {
                Wake::Control(true) => self.reconcile(),
                Wake::Timer => {}
                // The handle is gone without a shutdown: it aborts this task; until then there is nothing to do.
                Wake::Control(false) => return,
                Wake::Ended(ended) => {
                    self.ended(ended);
                    self.start_missing();
                }
                Wake::Accepted(Some((stream, from))) => self.accepted(stream, from),
                Wake::Accepted(None) => {}
                Wake::Asked(peer, question) => self.asked(&peer, question),
            }
            self.expire();
        }
        self.bfd.shutdown().await;
    }

    /// Waits for the next thing to do. Cancel-safe: every branch is (watch, `join_next_with_id`, `accept`, `recv`, sleep).
    async fn wake(&mut self) -> Wake {
        let said = self.refusals.due().map(Instant::from_std);
        let deadline = [self.listeners.due(), said, self.restart_at].into_iter().flatten().min();
        tokio::select! {
            changed = self.control.changed() => Wake::Control(changed.is_ok()),
            ended = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => Wake::Ended(ended),
            accepted = self.listeners.accept() => Wake::Accepted(accepted),
            Some((peer, question)) = self.questions.recv() => Wake::Asked(peer, question),
            () = until(deadline) => Wake::Timer,
        }
    }

    /// Passes a question on to the peer's session. Dropped, it tells that there is none, or that it does not keep up.
    fn asked(&self, peer: &str, question: Question) {
        if let Some(running) = self.running.get(peer) {
            drop(running.questions.try_send(question));
        }
    }

    /// Takes the owner's latest state: stops what runs and is not wanted, starts what is wanted and does not run.
    fn reconcile(&mut self) {
        let control = self.control.borrow_and_update().clone();
        let (wanted, not_run) = match &control.shutdown {
            Some(_) => Default::default(),
            None => Wanted::of(control.peers, control.groups),
        };
        self.wanted = wanted;
        self.say_not_run(not_run);
        self.listeners.set_keys(self.wanted.keys());
        for running in self.running.values_mut() {
            let wanted = self.wanted.of_running(&running.config, running.group.as_deref());
            let stop = match (&control.shutdown, wanted) {
                (Some(text), _) => Stop::Shutdown(text.clone()),
                (None, None) => Stop::Deconfigured,
                (None, Some(config)) if !config.keeps_session_of(&running.config) => Stop::Changed,
                (None, Some(config)) => {
                    running.adapt(config);
                    continue;
                }
            };
            running.command.send_if_modified(|command| match command {
                Command::Run => {
                    *command = Command::Stop(stop);
                    true
                }
                Command::Stop(_) => false,
            });
        }
        self.start_missing();
    }

    /// Says once of each peer and group that it is not run.
    fn say_not_run(&mut self, not_run: Vec<NotRun>) {
        let said = std::mem::take(&mut self.said);
        for (peer, reason) in not_run {
            if !said.contains(&peer) {
                tracing::error!(peer, reason, "BGP peer refused");
                self.outlet.event(SpeakerEvent::PeerRefused { peer: peer.clone(), reason });
            }
            self.said.insert(peer);
        }
    }

    /// Watches the paths to all that run: to those that are being stopped as well, so that a router is told of the end of
    /// BFD when its session is over.
    fn watch_paths(&self) {
        let path = |running: &Running| running.config.path().map(|path| (running.config.address, path));
        self.bfd.set(self.running.values().filter_map(path).collect());
    }

    /// Starts the configured peers that do not run, unless one has just died.
    fn start_missing(&mut self) {
        if self.restart_at.is_some() {
            return;
        }
        let missing = |config: &&PeerConfig| !self.running.contains_key(&config.name);
        let missing: Vec<_> = self.wanted.peers().values().filter(missing).cloned().collect();
        missing.into_iter().for_each(|config| self.start(config, None));
    }

    /// Starts a peer, as a neighbour of this group if it is one.
    fn start(&mut self, config: PeerConfig, group: Option<&PeerGroup>) {
        let (command, command_receiver) = watch::channel(Command::Run);
        let (incoming, incoming_receiver) = mpsc::channel(INCOMING_QUEUE);
        let (questions, questions_receiver) = mpsc::channel(QUESTIONS);
        let (bfd, bfd_receiver) = watch::channel(config.bfd);
        let (rules, rules_receiver) = watch::channel(config.rules());
        let identity = Identity {
            asn: self.config.asn,
            router_id: self.config.router_id,
            restart_time: self.config.restart_time,
            // Routers have given up on our restart by then (RFC 4724 §4.2).
            restarting: self.config.restarting && self.started.elapsed() < self.config.restart_time,
        };
        let wiring = Wiring {
            routes: self.routes.clone(),
            reflected: self.reflector.reflected(),
            command: command_receiver,
            rules: rules_receiver,
            path: Path::new(config.address, bfd_receiver, self.bfd.statuses()),
            incoming: incoming_receiver,
            questions: questions_receiver,
            table: Arc::clone(&self.table),
            pre_policy: self.pre_policy.clone(),
            outlet: self.outlet.clone(),
            linger: group.map(|group| group.linger),
        };
        let session = session::run(identity, config.clone(), wiring);
        let task = self.tasks.spawn(session).id();
        let (name, group) = (config.name.clone(), group.map(|group| group.name.clone()));
        self.running.insert(name, Running { config, task, command, bfd, rules, incoming, questions, group });
    }

    fn ended(&mut self, ended: Option<Result<(Id, ()), JoinError>>) {
        let task = match ended {
            Some(Ok((task, ()))) => task,
            Some(Err(error)) => {
                tracing::error!(%error, "a BGP session's task died; its connection is closed and tried again");
                self.restart_at = Some(Instant::now() + RETRY);
                error.id()
            }
            None => return,
        };
        let Some(name) =
            self.running.iter().find(|(_, running)| running.task == task).map(|(name, _)| name.clone())
        else {
            return;
        };
        self.running.remove(&name);
        if !self.control.borrow().peers.iter().any(|peer| peer.name == name) {
            self.outlet.remove(&name);
        }
    }

    /// Hands a connection to the peer whose address it comes from, or to a new neighbour of the group that covers it;
    /// closes any other.
    fn accepted(&mut self, stream: Result<TcpStream, Refusal>, from: SocketAddr) {
        if let Err(reason) = stream.and_then(|stream| self.hand_over(stream, from.ip().to_canonical())) {
            self.refusals.note(reason, from, Instant::now().into_std());
        }
    }

    fn hand_over(&mut self, stream: TcpStream, address: IpAddr) -> Result<(), Refusal> {
        if !self.running.values().any(|running| running.config.address == address) {
            let group = self.wanted.group_of(address).ok_or(Refusal::UnknownAddress)?.clone();
            let members = self.running.values().filter(|one| one.group.as_ref() == Some(&group.name)).count();
            if members >= group.limit {
                return Err(Refusal::GroupFull);
            }
            self.start(group.member(address), Some(&group));
        }
        let running = self.running.values().find(|running| running.config.address == address);
        let running = running.ok_or(Refusal::UnknownAddress)?;
        running.incoming.try_send(stream).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::TooMany,
            TrySendError::Closed(_) => Refusal::Stopping,
        })
    }

    fn expire(&mut self) {
        let now = Instant::now();
        self.listeners.retry(now);
        self.refusals.overdue(now.into_std());
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            self.start_missing();
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
