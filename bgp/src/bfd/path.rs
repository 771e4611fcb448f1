//! One path: its session with the socket, the timers and the status around it.

use std::{
    io,
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Diagnostic, Discard, Discriminator, Event, Output, Packet, PathConfig, Session, State, Status, Timer,
    Transition, socket::Sender,
};
use crate::fsm::Jitter;

/// How long until a socket that cannot be opened is tried again: an address that the host does not have yet, or no
/// route.
const REOPEN: Duration = Duration::from_secs(1);

/// The longest that a session which is taken down tells its neighbour so.
const LONGEST_GOODBYE: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(super) struct Path {
    neighbour: IpAddr,
    config: PathConfig,
    session: Session,
    sender: Option<Sender>,
    /// When sockets are opened; `None` while they are.
    open_at: Option<Instant>,
    transmit_at: Option<Instant>,
    detect_at: Option<Instant>,
    /// It is told that we go, until then.
    leaving_until: Option<Instant>,
    since: SystemTime,
    ups: u64,
    downs: u64,
    failures: u64,
    discarded: u64,
    last_error: Option<String>,
    /// What was last shown of the session.
    shown: Option<Shown>,
    /// Something is to be shown.
    changed: bool,
}

/// What of a session is in its status and changes without its state.
type Shown = ((State, Diagnostic), Option<Discriminator>, Option<Duration>, Option<Duration>);

impl Path {
    /// A path whose sockets are to be opened now.
    pub(super) fn new(
        neighbour: IpAddr,
        config: PathConfig,
        local: Discriminator,
        seed: u64,
        now: Instant,
    ) -> Self {
        Self {
            neighbour,
            config,
            session: Session::new(local, config.timing, Jitter::seeded(seed)),
            sender: None,
            open_at: Some(now),
            transmit_at: None,
            detect_at: None,
            leaving_until: None,
            since: SystemTime::now(),
            ups: 0,
            downs: 0,
            failures: 0,
            discarded: 0,
            last_error: None,
            shown: None,
            changed: true,
        }
    }

    /// Whether the status has changed since this was last asked.
    pub(super) const fn take_changed(&mut self) -> bool {
        std::mem::replace(&mut self.changed, false)
    }

    pub(super) const fn discriminator(&self) -> Discriminator {
        self.session.local_discriminator()
    }

    /// Where packets of this path arrive, once it is known.
    pub(super) fn listens_at(&self) -> Option<(IpAddr, bool)> {
        self.sender.as_ref().map(|sender| (sender.local(), self.config.multihop))
    }

    /// It is wanted, with this configuration. Returns whether it can be run as what it is.
    pub(super) fn want(&mut self, config: PathConfig, now: Instant) -> bool {
        if (config.local, config.multihop) != (self.config.local, self.config.multihop) {
            return false;
        }
        if self.leaving_until.take().is_some() {
            self.handle(Event::Start, now);
        }
        if config.timing != self.config.timing {
            self.config = config;
            self.handle(Event::Configure(config.timing), now);
        }
        true
    }

    /// It is not wanted any more: the neighbour is told for as long as it may take to miss us (RFC 5880 §6.8.16).
    pub(super) fn leave(&mut self, now: Instant) {
        if self.leaving_until.is_none() {
            let goodbye = self.session.detection_time().unwrap_or_default().min(LONGEST_GOODBYE);
            self.leaving_until = Some(now + goodbye);
            self.open_at = None;
            self.handle(Event::Disable, now);
        }
    }

    pub(super) fn has_left(&self, now: Instant) -> bool {
        self.leaving_until.is_some_and(|until| until <= now)
    }

    pub(super) fn wants_sockets(&self, now: Instant) -> bool {
        self.open_at.is_some_and(|at| at <= now)
    }

    /// Opens the sending socket; `seed` as there.
    pub(super) fn open(&mut self, seed: u32) -> io::Result<()> {
        let PathConfig { local, multihop, .. } = self.config;
        self.sender = Some(Sender::open(local, self.neighbour, multihop, seed)?);
        Ok(())
    }

    /// Both sockets are open, or one of them cannot be.
    pub(super) fn opened(&mut self, opened: io::Result<()>, now: Instant) {
        match opened {
            Ok(()) => {
                self.open_at = None;
                self.handle(Event::Start, now);
            }
            Err(error) => {
                self.sender = None;
                self.open_at = Some(now + REOPEN);
                self.failed(format!("no socket: {error}"));
            }
        }
    }

    /// A packet came for this path.
    pub(super) fn received(&mut self, packet: Packet, now: Instant) {
        self.handle(Event::Received(packet), now);
    }

    /// A packet came from the neighbour and was not taken.
    pub(super) fn discarded(&mut self, why: Discard) {
        self.discarded += 1;
        self.changed = true;
        self.failed(format!("packet not taken: {why}"));
    }

    /// When there is something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        [self.open_at, self.transmit_at, self.detect_at, self.leaving_until].into_iter().flatten().min()
    }

    /// Handles timers that have expired.
    pub(super) fn expire(&mut self, now: Instant) {
        for timer in Timer::ALL {
            if self.timer(timer).is_some_and(|at| at <= now) {
                *self.timer(timer) = None;
                self.handle(Event::Timer(timer), now);
            }
        }
    }

    pub(super) fn status(&self) -> Status {
        let (remote_state, remote_diagnostic) = self.session.remote();
        Status {
            state: self.session.state(),
            since: self.since,
            diagnostic: self.session.diagnostic(),
            remote_state,
            remote_diagnostic,
            local_discriminator: self.discriminator(),
            remote_discriminator: self.session.remote_discriminator(),
            transmit_interval: self.session.transmit_interval(),
            detection_time: self.session.detection_time(),
            ups: self.ups,
            downs: self.downs,
            failures: self.failures,
            discarded: self.discarded,
            last_error: self.last_error.clone(),
        }
    }

    const fn timer(&mut self, timer: Timer) -> &mut Option<Instant> {
        match timer {
            Timer::Transmit => &mut self.transmit_at,
            Timer::Detection => &mut self.detect_at,
        }
    }

    fn handle(&mut self, event: Event, now: Instant) {
        for output in self.session.handle(event, now) {
            match output {
                Output::Send(packet) => self.send(&packet, now),
                Output::SetTimer(timer, at) => *self.timer(timer) = Some(at),
                Output::StopTimer(timer) => *self.timer(timer) = None,
                Output::Changed(transition) => self.state_changed(transition),
            }
        }
        let session = &self.session;
        let times = (session.transmit_interval(), session.detection_time());
        let shown = Some((session.remote(), session.remote_discriminator(), times.0, times.1));
        self.changed |= shown != self.shown;
        self.shown = shown;
    }

    fn send(&mut self, packet: &Packet, now: Instant) {
        let Some(sender) = &self.sender else { return };
        match sender.send(&packet.encode()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.failed("the neighbour does not listen for BFD".to_owned());
            }
            Err(error) => {
                self.failed(format!("cannot send: {error}"));
                // Perhaps the address is no longer ours. While Up this is what is to be detected.
                if self.session.state() != State::Up && self.leaving_until.is_none() {
                    self.open_at = Some(now + REOPEN);
                }
            }
        }
    }

    fn failed(&mut self, error: String) {
        if self.last_error.as_ref() != Some(&error) {
            tracing::debug!(neighbour = %self.neighbour, error, "BFD");
            self.last_error = Some(error);
            self.changed = true;
        }
    }

    fn state_changed(&mut self, transition: Transition) {
        self.changed = true;
        self.since = SystemTime::now();
        let Transition { from, to, diagnostic, remote } = transition;
        let neighbour = self.neighbour;
        if to == State::Up {
            self.ups += 1;
            self.last_error = None;
            tracing::info!(%neighbour, "BFD session up");
        } else if transition.is_failure() {
            self.failures += 1;
            tracing::warn!(%neighbour, %diagnostic, "BFD session down: the path is broken");
        } else if from == State::Up {
            tracing::info!(%neighbour, %to, %diagnostic, neighbour_says = %remote, "BFD session down");
        }
        self.downs += u64::from(from == State::Up);
    }
}
