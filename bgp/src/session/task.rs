//! The task of one session.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::{JoinSet, yield_now},
};

use super::{
    Command, Identity, Stop, Wiring,
    heard::Heard,
    learned::{Learned, TooMany},
    outbound::Outbound,
    path::{Order, Path},
    report::Report,
    settings::settings,
    socket,
    timers::{TimerKey, Timers},
    transport::{Transport, Written},
    waiting::{Dialling, dial, ready, until},
};
use crate::{
    fsm::{Action, Event, Input, Jitter, Outgoing, Output, Peer, Side},
    rib::{AdjRibIn, LocRib, Reflected},
    speaker::{PeerConfig, Published, Question, Rules},
    wire::{RefreshKind, encode_keepalive},
};

/// Connections that are being closed, at most; more are closed without waiting for the neighbour. A router that
/// dials in a loop is told why four times a second, not a thousand.
const MAX_CLOSING: usize = 4;

/// Fillings of the out queue in one turn, so that a million routes leave the task time to read.
const FILLS_A_TURN: usize = 8;

/// See the parent module.
pub(super) struct Session {
    pub(super) config: PeerConfig,
    pub(super) identity: Identity,
    pub(super) fsm: Peer,
    pub(super) outgoing: Option<Transport>,
    pub(super) incoming: Option<Transport>,
    dialling: Option<Dialling>,
    /// A connection that the neighbour dialled and that the state machine has not judged yet.
    arrived: Option<TcpStream>,
    pub(super) outbound: Option<Outbound>,
    /// What the neighbour tells, when any of it is taken.
    pub(super) learned: Option<Learned>,
    /// The same before the rules, while a station wants it.
    pub(super) heard: Heard,
    /// Where that goes.
    pub(super) table: Arc<watch::Sender<LocRib>>,
    /// It has just told more than it may.
    pub(super) too_many: Option<TooMany>,
    pub(super) timers: Timers,
    pub(super) routes: watch::Receiver<Option<Published>>,
    /// What of others' routes it is told, when it is a client of ours.
    pub(super) reflected: watch::Receiver<Arc<Reflected>>,
    pub(super) command: watch::Receiver<Command>,
    pub(super) rules: watch::Receiver<Rules>,
    arrivals: mpsc::Receiver<TcpStream>,
    questions: mpsc::Receiver<Question>,
    pub(super) path: Path,
    /// Connections that were told goodbye; dropping it closes them.
    closing: JoinSet<()>,
    pub(super) report: Report,
    /// Why the session is being stopped.
    pub(super) stop: Option<Stop>,
    /// How long a neighbour without a connection is remembered; for ever when `None`.
    pub(super) linger: Option<Duration>,
    /// The state machine was stopped: the task is over when everything is closed.
    pub(super) stopped: bool,
    /// There is more to send than one turn sends.
    more: bool,
}

enum Wake {
    Dialled(io::Result<TcpStream>),
    Ready(Side),
    Arrived(TcpStream),
    Routes,
    Reflected,
    Command,
    Rules,
    Asked(Question),
    Path,
    Station,
    Timer,
    Again,
}

impl Session {
    pub(super) fn new(identity: Identity, config: PeerConfig, wiring: Wiring) -> Self {
        let settings = settings(identity, &config);
        let learned = config.import.clone().map(|import| {
            Learned::new(config.name.clone(), AdjRibIn::new(import), Arc::clone(&wiring.table))
        });
        let jitter = Jitter::seeded(RandomState::new().hash_one(&config.name));
        Self {
            fsm: Peer::new(settings, identity.restarting, jitter),
            report: Report::new(&config, wiring.outlet),
            config,
            identity,
            outgoing: None,
            incoming: None,
            dialling: None,
            arrived: None,
            outbound: None,
            learned,
            heard: Heard::new(wiring.pre_policy),
            table: wiring.table,
            too_many: None,
            timers: Timers::default(),
            routes: wiring.routes,
            reflected: wiring.reflected,
            command: wiring.command,
            rules: wiring.rules,
            arrivals: wiring.incoming,
            questions: wiring.questions,
            path: wiring.path,
            closing: JoinSet::new(),
            stop: None,
            linger: wiring.linger,
            stopped: false,
            more: false,
        }
    }

    pub(super) async fn run(mut self) {
        let order = self.path.look(false);
        // A path that BFD knows already need not change again for a long time.
        self.report.status.bfd = self.path.status();
        if order != Order::Hold {
            self.input(Input::Start);
        }
        self.commanded();
        loop {
            self.linger();
            self.pump();
            self.report.state(self.fsm.state());
            if let Some(learned) = &self.learned {
                learned.show(&mut self.report.status);
            }
            self.report.publish();
            if self.stopped {
                break;
            }
            match self.wake().await {
                Wake::Dialled(dialled) => self.dialled(dialled),
                Wake::Ready(side) => self.read(side),
                Wake::Arrived(stream) => self.arrived(stream),
                Wake::Routes => self.set_routes(),
                Wake::Reflected => self.set_all(now()),
                Wake::Command => self.commanded(),
                Wake::Rules => self.set_rules(),
                Wake::Asked(question) => self.asked(question),
                Wake::Path => self.look_at_path(),
                Wake::Station => self.look_at_station(),
                Wake::Timer => self.expire(),
                Wake::Again => {}
            }
        }
        while self.closing.join_next().await.is_some() {}
    }

    /// Waits for the next thing to do. Cancel-safe in every branch: readiness, channels, sleep, `join_next`, and a
    /// dialling future that is kept.
    async fn wake(&mut self) -> Wake {
        let stale_until = self.learned.as_ref().and_then(Learned::stale_until);
        let deadline = [self.timers.next(), stale_until, self.report.log.due()].into_iter().flatten().min();
        tokio::select! {
            Ok(()) = self.routes.changed() => Wake::Routes,
            Ok(()) = self.reflected.changed(), if self.config.cluster_id.is_some() => Wake::Reflected,
            Ok(()) = self.command.changed() => Wake::Command,
            Ok(()) = self.rules.changed() => Wake::Rules,
            () = self.path.changed() => Wake::Path,
            () = self.heard.changed() => Wake::Station,
            () = ready(self.outgoing.as_ref()) => Wake::Ready(Side::Outgoing),
            () = ready(self.incoming.as_ref()) => Wake::Ready(Side::Incoming),
            dialled = dial(&mut self.dialling) => Wake::Dialled(dialled),
            Some(stream) = self.arrivals.recv() => Wake::Arrived(stream),
            Some(question) = self.questions.recv() => Wake::Asked(question),
            () = until(deadline) => Wake::Timer,
            Some(_) = self.closing.join_next() => Wake::Again,
            () = yield_now(), if self.more => Wake::Again,
        }
    }

    pub(super) fn input(&mut self, input: Input) {
        let outputs = self.fsm.handle(input, now());
        for output in outputs {
            match output {
                Output::On(side, action) => self.act(side, action),
                Output::Accept => {
                    self.incoming = self.arrived.take().map(Transport::new);
                    self.report.status.counters.connects += 1;
                }
                Output::Refuse(notification) => {
                    if let Some(stream) = self.arrived.take() {
                        let mut transport = Transport::new(stream);
                        transport.queue(|out| notification.encode(out));
                        self.report.notification_sent(&notification);
                        self.close(transport);
                    }
                }
                Output::SetIdleHold(at) => self.timers.set(TimerKey::IdleHold, at),
                Output::StopIdleHold => self.timers.stop(TimerKey::IdleHold),
            }
        }
    }

    fn act(&mut self, side: Side, action: Action) {
        match action {
            Action::Connect => {
                self.dialling = Some(Box::pin(socket::dial(self.config.clone(), self.internal())))
            }
            Action::Send(message) => self.send(side, &message),
            Action::Close => {
                if side == Side::Outgoing {
                    self.dialling = None;
                }
                self.timers.stop_connection(side);
                if let Some(transport) = self.slot(side).take().filter(|transport| transport.said_goodbye) {
                    self.close(transport);
                }
            }
            Action::SetTimer(timer, at) => self.timers.set(TimerKey::Connection(side, timer), at),
            Action::StopTimer(timer) => self.timers.stop(TimerKey::Connection(side, timer)),
            Action::AttemptFailed(why) => self.report.failed(socket::explained(why, &self.config)),
            Action::SessionUp(negotiated) => self.session_up(side, &negotiated),
            Action::Refresh(RefreshKind::Request, family) => {
                if let (Some(outbound), None) = (&mut self.outbound, &self.stop) {
                    outbound.refresh(family, now());
                }
            }
            Action::Refresh(kind @ (RefreshKind::Begin | RefreshKind::End), family) => {
                if let Some(learned) = &mut self.learned {
                    learned.refresh(kind, family, now());
                }
                self.heard.refresh(kind, family);
            }
            Action::Ended(reason) => {
                let was_established = self.fsm.established().is_none() && self.outbound.take().is_some();
                if let Some(learned) = self.learned.as_mut().filter(|_| was_established) {
                    learned.down(&reason, now());
                }
                if was_established {
                    self.heard.down();
                }
                self.report.ended(&reason, was_established);
            }
        }
    }

    fn internal(&self) -> bool {
        let own = self.identity.asn;
        own == self.config.remote_asn || self.config.other_asns.contains(own.get())
    }

    pub(super) fn slot(&mut self, side: Side) -> &mut Option<Transport> {
        match side {
            Side::Outgoing => &mut self.outgoing,
            Side::Incoming => &mut self.incoming,
        }
    }

    fn send(&mut self, side: Side, message: &Outgoing) {
        let Some(transport) = self.slot(side) else { return };
        match message {
            Outgoing::Keepalive => transport.queue(encode_keepalive),
            Outgoing::Open(open) => {
                if let Err(error) = transport.queue(|out| open.encode(out)) {
                    // Ours has a handful of capabilities of a few octets.
                    tracing::error!(%error, "OPEN cannot be sent");
                }
            }
            Outgoing::Notification(notification) => {
                transport.queue(|out| notification.encode(out));
                transport.said_goodbye = true;
                self.report.notification_sent(notification);
            }
        }
        self.report.sent_one(message);
    }

    /// Lets a connection that was told goodbye hear it.
    fn close(&mut self, transport: Transport) {
        if self.closing.len() < MAX_CLOSING {
            self.closing.spawn(transport.linger());
        }
    }

    /// Takes the owner's latest set.
    pub(super) fn set_routes(&mut self) {
        let at = self.routes.borrow().as_ref().map(|published| published.at);
        self.set_all(at.unwrap_or_else(now));
    }

    /// Takes everything that the neighbour is to be told, wanted since `at`, unless everything is being withdrawn.
    pub(super) fn set_all(&mut self, at: Instant) {
        let published = self.routes.borrow_and_update().clone();
        let reflected = Arc::clone(&self.reflected.borrow_and_update());
        if let (Some(outbound), Some(published), None) = (&mut self.outbound, published, &self.stop) {
            outbound.set(&published.routes, &reflected, at);
        }
    }

    fn dialled(&mut self, dialled: io::Result<TcpStream>) {
        self.dialling = None;
        match dialled {
            Ok(stream) => {
                self.report.status.counters.connects += 1;
                self.outgoing = Some(Transport::new(stream));
                self.input(Input::Connection(Side::Outgoing, Event::TcpConnected));
            }
            Err(error) => self.input(Input::Connection(Side::Outgoing, Event::TcpFailed(error.to_string()))),
        }
    }

    fn arrived(&mut self, stream: TcpStream) {
        if let Err(error) = socket::adopt(&stream, &self.config, self.internal()) {
            self.report.dropped(&error);
            return;
        }
        self.arrived = Some(stream);
        self.input(Input::Accepted);
        self.arrived = None;
    }

    /// Sends what there is, as far as the neighbour takes it.
    fn pump(&mut self) {
        self.more = false;
        for side in Side::BOTH {
            for turn in 1..=FILLS_A_TURN {
                if !self.fill_and_write(side) {
                    break;
                }
                self.more |= turn == FILLS_A_TURN;
            }
        }
        if self.stop.is_some() && !self.stopped {
            self.finish_stop();
        }
    }

    /// Fills the out queue and writes it. Returns whether there is more and room for it.
    fn fill_and_write(&mut self, side: Side) -> bool {
        let established = self.fsm.established().map(|(side, _)| side) == Some(side);
        let transport = match side {
            Side::Outgoing => &mut self.outgoing,
            Side::Incoming => &mut self.incoming,
        };
        let Some(transport) = transport else { return false };
        let outbound = self.outbound.as_mut().filter(|_| established);
        let Some(outbound) = outbound else {
            let written = transport.write();
            self.wrote(side, written);
            return false;
        };
        let more = outbound.fill(transport, &mut self.report);
        let written = transport.write();
        let in_sync = outbound.written(transport, &mut self.report, Instant::now());
        if in_sync {
            self.fsm.restart_finished();
        }
        self.wrote(side, written) && more
    }

    /// Tells the state machine what became of a write. Returns whether everything was written.
    fn wrote(&mut self, side: Side, written: io::Result<Written>) -> bool {
        match written {
            Ok(Written::All { was_blocked: false }) => true,
            Ok(Written::All { was_blocked: true }) => {
                self.input(Input::Connection(side, Event::SendDrained));
                true
            }
            Ok(Written::Blocked { progress: true }) => {
                self.input(Input::Connection(side, Event::SendBlocked));
                false
            }
            Ok(Written::Blocked { progress: false }) => false,
            Err(error) => {
                // The neighbour may have said why before it closed.
                self.read(side);
                if self.slot(side).is_some() {
                    self.input(Input::Connection(side, Event::TcpClosed(error.to_string())));
                }
                false
            }
        }
    }

    fn expire(&mut self) {
        while let Some(key) = self.timers.expired(now()) {
            match key {
                TimerKey::Connection(side, timer) => self.input(Input::Connection(side, Event::Timer(timer))),
                TimerKey::IdleHold => self.input(Input::IdleHoldExpired),
                // `finish_stop` sees that it no longer runs.
                TimerKey::Withdrawing => {}
                TimerKey::Linger => self.stop = Some(Stop::Deconfigured),
            }
        }
        if let Some(learned) = &mut self.learned {
            learned.expire(now());
        }
        self.report.log.overdue(now());
    }
}

/// The clock of timers, which tests may pause.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
