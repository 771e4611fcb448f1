//! The task that owns all session tasks and the listening socket.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use super::{Outlet, PeerConfig, Published, SpeakerConfig, SpeakerEvent};
use crate::{
    rib::LocRib,
    session::{self, Command, Identity, Stop, Wiring},
};

/// What the owner wants, as a whole.
#[derive(Clone, Debug)]
pub(super) struct Control {
    /// The peers to run.
    pub(super) peers: Vec<PeerConfig>,
    /// Shut everything down with this text.
    pub(super) shutdown: Option<String>,
}

/// How long until a listening socket that failed, or a session task that died, is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Accepted connections that may wait for their session task. It takes them at once; two is the most that a
/// router opens without being broken.
const INCOMING_QUEUE: usize = 2;

struct Running {
    config: PeerConfig,
    task: Id,
    command: watch::Sender<Command>,
    incoming: mpsc::Sender<TcpStream>,
}

/// See the module.
pub(super) struct Supervisor {
    config: SpeakerConfig,
    control: watch::Receiver<Control>,
    routes: watch::Receiver<Option<Published>>,
    table: Arc<watch::Sender<LocRib>>,
    outlet: Outlet,
    running: BTreeMap<String, Running>,
    /// Dropping it aborts every session.
    tasks: JoinSet<()>,
    started: Instant,
    listener: Option<TcpListener>,
    listen_again: Option<Instant>,
    /// A session task died; peers that do not run are started again then, not at once.
    restart_at: Option<Instant>,
    /// What was already said to be refused, so that it is said once.
    refused: BTreeSet<String>,
}

enum Wake {
    Control(bool),
    Ended(Option<Result<(Id, ()), JoinError>>),
    Accepted(std::io::Result<(TcpStream, SocketAddr)>),
    Timer,
}

impl Supervisor {
    /// A supervisor that runs nothing yet.
    pub(super) fn new(
        config: SpeakerConfig,
        control: watch::Receiver<Control>,
        routes: watch::Receiver<Option<Published>>,
        table: watch::Sender<LocRib>,
        outlet: Outlet,
    ) -> Self {
        Self {
            config,
            control,
            routes,
            table: Arc::new(table),
            outlet,
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            started: Instant::now(),
            listener: None,
            listen_again: None,
            restart_at: None,
            refused: BTreeSet::new(),
        }
    }

    /// Runs until shut down and every session has ended.
    pub(super) async fn run(mut self) {
        self.listen();
        loop {
            self.reconcile();
            if self.control.borrow().shutdown.is_some() && self.running.is_empty() {
                return;
            }
            match self.wake().await {
                Wake::Control(true) | Wake::Timer => {}
                // The handle is gone without a shutdown: it aborts this task; until then there is nothing to do.
                Wake::Control(false) => return,
                Wake::Ended(ended) => self.ended(ended),
                Wake::Accepted(accepted) => self.accepted(accepted),
            }
            self.expire();
        }
    }

    /// Waits for the next thing to do. Cancel-safe: every branch is (watch, `join_next_with_id`, `accept`, sleep).
    async fn wake(&mut self) -> Wake {
        let deadline = [self.listen_again, self.restart_at].into_iter().flatten().min();
        tokio::select! {
            changed = self.control.changed() => Wake::Control(changed.is_ok()),
            ended = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => Wake::Ended(ended),
            accepted = accept(self.listener.as_ref()) => Wake::Accepted(accepted),
            () = until(deadline) => Wake::Timer,
        }
    }

    /// Starts what is wanted and does not run, stops what runs and is not wanted.
    fn reconcile(&mut self) {
        let control = self.control.borrow_and_update().clone();
        let wanted = if control.shutdown.is_some() { BTreeMap::new() } else { self.wanted(control.peers) };
        for (name, running) in &self.running {
            let stop = match (&control.shutdown, wanted.get(name)) {
                (Some(text), _) => Stop::Shutdown(text.clone()),
                (None, None) => Stop::Deconfigured,
                (None, Some(config)) if *config != running.config => Stop::Changed,
                (None, Some(_)) => continue,
            };
            running.command.send_if_modified(|command| match command {
                Command::Run => {
                    *command = Command::Stop(stop);
                    true
                }
                Command::Stop(_) => false,
            });
        }
        if self.restart_at.is_none() {
            for (name, config) in wanted {
                if !self.running.contains_key(&name) {
                    self.start(name, config);
                }
            }
        }
    }

    /// The peers by name, without those that cannot be run, or whose name or address another has already.
    fn wanted(&mut self, peers: Vec<PeerConfig>) -> BTreeMap<String, PeerConfig> {
        let mut wanted = BTreeMap::<String, PeerConfig>::new();
        let mut refused = BTreeSet::new();
        for peer in peers {
            let reason = if let Err(error) = peer.validate() {
                error.to_string()
            } else if wanted.contains_key(&peer.name) {
                "another peer has the same name".to_owned()
            } else if let Some(other) = wanted.values().find(|other| other.address == peer.address) {
                format!("its address {} is that of peer {}", peer.address, other.name)
            } else {
                wanted.insert(peer.name.clone(), peer);
                continue;
            };
            if !self.refused.contains(&peer.name) {
                tracing::error!(peer = peer.name, reason, "BGP peer refused");
                self.outlet.event(SpeakerEvent::PeerRefused { peer: peer.name.clone(), reason });
            }
            refused.insert(peer.name);
        }
        self.refused = refused;
        wanted
    }

    fn start(&mut self, name: String, config: PeerConfig) {
        let (command, command_receiver) = watch::channel(Command::Run);
        let (incoming, incoming_receiver) = mpsc::channel(INCOMING_QUEUE);
        let identity = Identity {
            asn: self.config.asn,
            router_id: self.config.router_id,
            restart_time: self.config.restart_time,
            // Routers have given up on our restart by then (RFC 4724 §4.2).
            restarting: self.config.restarting && self.started.elapsed() < self.config.restart_time,
        };
        let wiring = Wiring {
            routes: self.routes.clone(),
            command: command_receiver,
            incoming: incoming_receiver,
            table: Arc::clone(&self.table),
            outlet: self.outlet.clone(),
        };
        let session = session::run(identity, config.clone(), wiring);
        let task = self.tasks.spawn(session).id();
        self.running.insert(name, Running { config, task, command, incoming });
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

    fn listen(&mut self) {
        let Some(address) = self.config.listen else { return };
        self.listen_again = None;
        match session::listen(address) {
            Ok(listener) => self.listener = Some(listener),
            Err(error) => {
                tracing::error!(%address, %error, "cannot listen for BGP connections");
                self.outlet.event(SpeakerEvent::ListenFailed { address, error: error.to_string() });
                self.listen_again = Some(Instant::now() + RETRY);
            }
        }
    }

    /// Hands a connection to the peer whose address it comes from; closes any other.
    fn accepted(&mut self, accepted: std::io::Result<(TcpStream, SocketAddr)>) {
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the listener is broken: leave it alone for a while instead of spinning.
                tracing::warn!(%error, "cannot accept a BGP connection");
                self.listener = None;
                self.listen_again = Some(Instant::now() + RETRY);
                return;
            }
        };
        let address = from.ip().to_canonical();
        match self.running.values().find(|running| running.config.address == address) {
            Some(running) if running.incoming.try_send(stream).is_ok() => {}
            Some(_) | None => tracing::info!(%from, "BGP connection refused: no peer takes it"),
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        if self.listen_again.is_some_and(|at| at <= now) {
            self.listen();
        }
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
