//! The state machine of one path. The diagram is in the parent module.

use std::time::{Duration, Instant};

use super::{Diagnostic, Discriminator, Packet, State, Timing, timing::SLOW};
use crate::fsm::Jitter;

/// Something that happened to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Look for the neighbour.
    Start,
    /// A packet came that is for this session.
    Received(Packet),
    /// A timer expired.
    Timer(Timer),
    /// Another timing from now on.
    Configure(Timing),
    /// The owner holds the session down, which says nothing about the path.
    Disable,
}

/// A session's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Send the next packet.
    Transmit,
    /// The neighbour was silent for the detection time.
    Detection,
}

impl Timer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Transmit, Self::Detection];
}

/// Something that is to be done for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send(Packet),
    /// Set a timer; one that is running is replaced.
    SetTimer(Timer, Instant),
    /// Stop a timer.
    StopTimer(Timer),
    /// The state changed.
    Changed(Transition),
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// Why.
    pub diagnostic: Diagnostic,
    /// What the neighbour last said of its own state.
    pub remote: State,
}

impl Transition {
    /// The path broke, as far as can be told: the session was Up and is not, and neither end was taken down by its
    /// operator (RFC 5882 §3.2).
    pub fn is_failure(self) -> bool {
        self.from == State::Up && self.to == State::Down && self.remote != State::AdminDown
    }
}

/// What the neighbour's last packet said (RFC 5880 §6.8.1).
#[derive(Clone, Copy, Debug)]
struct Remote {
    discriminator: Option<Discriminator>,
    state: State,
    demand: bool,
    multiplier: u8,
    min_rx: Duration,
    desired_tx: Duration,
    diagnostic: Diagnostic,
}

impl Remote {
    const UNHEARD: Self = Self {
        discriminator: None,
        state: State::Down,
        demand: false,
        multiplier: 0,
        min_rx: Duration::from_micros(1),
        desired_tx: Duration::ZERO,
        diagnostic: Diagnostic::NONE,
    };
}

/// Our own two intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Intervals {
    desired_tx: Duration,
    required_rx: Duration,
}

/// A Poll Sequence (RFC 5880 §6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    Idle,
    /// Packets ask for a Final; `again`: something changed meanwhile, which the Final to come may not know of.
    Active {
        again: bool,
    },
}

/// One path's state machine.
#[derive(Clone, Debug)]
pub struct Session {
    local: Discriminator,
    timing: Timing,
    jitter: Jitter,
    state: State,
    diagnostic: Diagnostic,
    remote: Remote,
    /// What holds; what packets say is ahead of it while a Poll Sequence lasts.
    in_use: Intervals,
    poll: Poll,
    last_sent: Option<Instant>,
    /// The interval for which the transmit timer is set; `None` when it is not.
    scheduled: Option<Duration>,
}

impl Session {
    /// A session that is held down until [`Event::Start`]. `local` has to be unique on this system and hard to guess.
    pub fn new(local: Discriminator, timing: Timing, jitter: Jitter) -> Self {
        let mut session = Self {
            local,
            timing,
            jitter,
            state: State::AdminDown,
            diagnostic: Diagnostic::NONE,
            remote: Remote::UNHEARD,
            in_use: Intervals { desired_tx: SLOW, required_rx: SLOW },
            poll: Poll::Idle,
            last_sent: None,
            scheduled: None,
        };
        session.in_use = session.said();
        session
    }

    /// Our state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Why it last left Up.
    pub const fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    /// What the neighbour last said of its state, and why it last left Up.
    pub const fn remote(&self) -> (State, Diagnostic) {
        (self.remote.state, self.remote.diagnostic)
    }

    /// What we call the session.
    pub const fn local_discriminator(&self) -> Discriminator {
        self.local
    }

    /// What the neighbour calls it, while it is heard.
    pub const fn remote_discriminator(&self) -> Option<Discriminator> {
        self.remote.discriminator
    }

    /// How often a packet leaves, before the jitter; `None` when the neighbour wants none (RFC 5880 §6.8.2).
    pub fn transmit_interval(&self) -> Option<Duration> {
        let both_up = self.state == State::Up && self.remote.state == State::Up;
        let silenced = self.remote.demand && both_up && self.poll == Poll::Idle;
        (!self.remote.min_rx.is_zero() && !silenced).then(|| self.in_use.desired_tx.max(self.remote.min_rx))
    }

    /// How long the neighbour may be silent; `None` before it was heard (RFC 5880 §6.8.4).
    pub fn detection_time(&self) -> Option<Duration> {
        let interval = self.in_use.required_rx.max(self.remote.desired_tx);
        self.remote.discriminator.map(|_| interval * u32::from(self.remote.multiplier))
    }

    /// One event.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Output> {
        let mut out = Vec::new();
        match event {
            Event::Start if self.state == State::AdminDown => {
                self.enter(State::Down, Diagnostic::NONE, now, &mut out);
            }
            Event::Start => {}
            Event::Received(packet) => self.received(&packet, now, &mut out),
            Event::Timer(Timer::Transmit) => {
                self.scheduled = None;
                self.send(false, now, &mut out);
            }
            Event::Timer(Timer::Detection) => {
                self.remote = Remote { diagnostic: self.remote.diagnostic, ..Remote::UNHEARD };
                match self.state {
                    State::Init | State::Up => {
                        self.enter(State::Down, Diagnostic::TIME_EXPIRED, now, &mut out);
                    }
                    State::AdminDown | State::Down => self.schedule(now, &mut out),
                }
            }
            Event::Configure(timing) => self.configure(timing, now, &mut out),
            Event::Disable if self.state == State::AdminDown => {}
            Event::Disable => {
                out.push(Output::StopTimer(Timer::Detection));
                self.enter(State::AdminDown, Diagnostic::ADMINISTRATIVELY_DOWN, now, &mut out);
            }
        }
        out
    }

    /// The rules of reception that concern one session (RFC 5880 §6.8.6, from the authentication on).
    fn received(&mut self, packet: &Packet, now: Instant, out: &mut Vec<Output>) {
        if packet.authenticated {
            return;
        }
        self.remote = Remote {
            discriminator: Some(packet.my_discriminator),
            state: packet.state,
            demand: packet.demand,
            multiplier: packet.multiplier,
            min_rx: packet.required_min_rx,
            desired_tx: packet.desired_min_tx,
            diagnostic: packet.diagnostic,
        };
        if packet.is_final {
            self.polled();
        }
        if self.state == State::AdminDown {
            return;
        }
        match next(self.state, packet.state) {
            Some((state, diagnostic)) => self.enter(state, diagnostic, now, out),
            None => self.schedule(now, out),
        }
        if packet.poll {
            self.send(true, now, out);
        }
        if let Some(time) = self.detection_time() {
            out.push(Output::SetTimer(Timer::Detection, now + time));
        }
    }

    /// The neighbour answered: it knows what we said when the sequence began.
    fn polled(&mut self) {
        match self.poll {
            Poll::Idle => {}
            Poll::Active { again: true } => self.poll = Poll::Active { again: false },
            Poll::Active { again: false } => {
                self.poll = Poll::Idle;
                self.in_use = self.said();
            }
        }
    }

    /// What packets say of our intervals.
    fn said(&self) -> Intervals {
        let interval = self.timing.interval();
        let desired_tx = if self.state == State::Up { interval } else { interval.max(SLOW) };
        Intervals { desired_tx, required_rx: interval }
    }

    fn configure(&mut self, timing: Timing, now: Instant, out: &mut Vec<Output>) {
        if timing == self.timing {
            return;
        }
        self.timing = timing;
        self.retime();
        match self.state {
            State::AdminDown => {}
            State::Down | State::Init | State::Up => self.send(false, now, out),
        }
    }

    /// What packets say has changed. While Up the more patient of both values holds on each side until the neighbour has
    /// confirmed that it knows (RFC 5880 §6.8.3).
    fn retime(&mut self) {
        let said = self.said();
        if self.state != State::Up {
            self.poll = Poll::Idle;
            self.in_use = said;
            return;
        }
        self.poll = Poll::Active { again: self.poll != Poll::Idle };
        self.in_use = Intervals {
            desired_tx: said.desired_tx.min(self.in_use.desired_tx),
            required_rx: said.required_rx.max(self.in_use.required_rx),
        };
    }

    /// Changes the state and tells the neighbour at once.
    fn enter(&mut self, to: State, diagnostic: Diagnostic, now: Instant, out: &mut Vec<Output>) {
        let from = std::mem::replace(&mut self.state, to);
        match to {
            // What was said of an earlier failure stays until there is another (§4.1).
            State::Init | State::Up => {}
            State::AdminDown | State::Down => self.diagnostic = diagnostic,
        }
        self.retime();
        let remote = self.remote.state;
        out.push(Output::Changed(Transition { from, to, diagnostic, remote }));
        self.send(false, now, out);
    }

    /// Sends a packet. A Final is beside the periodic ones and is no poll (§6.8.7).
    fn send(&mut self, is_final: bool, now: Instant, out: &mut Vec<Output>) {
        let said = self.said();
        out.push(Output::Send(Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: !is_final && self.poll != Poll::Idle,
            is_final,
            control_plane_independent: false,
            authenticated: false,
            demand: false,
            multiplier: self.timing.multiplier(),
            my_discriminator: self.local,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: said.desired_tx,
            required_min_rx: said.required_rx,
            required_min_echo_rx: Duration::ZERO,
        }));
        if !is_final {
            self.last_sent = Some(now);
            self.scheduled = None;
        }
        self.schedule(now, out);
    }

    /// Sets the transmit timer anew if it is set for another interval than the present one.
    fn schedule(&mut self, now: Instant, out: &mut Vec<Output>) {
        let interval = self.transmit_interval();
        if interval == self.scheduled {
            return;
        }
        self.scheduled = interval;
        let Some(interval) = interval else {
            out.push(Output::StopTimer(Timer::Transmit));
            return;
        };
        let wait = self.jittered(interval);
        out.push(Output::SetTimer(Timer::Transmit, self.last_sent.map_or(now, |sent| sent + wait).max(now)));
    }

    /// Three quarters of the interval to all of it; to nine tenths of it when a single lost packet is one too many
    /// (RFC 5880 §6.8.7).
    fn jittered(&mut self, interval: Duration) -> Duration {
        if self.timing.multiplier() == 1 {
            interval * 3 / 10 + self.jitter.apply(interval * 6 / 10)
        } else {
            self.jitter.apply(interval)
        }
    }
}

/// The state that follows when the neighbour says its own, and why, if it is another (RFC 5880 §6.8.6).
const fn next(state: State, remote: State) -> Option<(State, Diagnostic)> {
    match (state, remote) {
        (State::Down, State::Down) => Some((State::Init, Diagnostic::NONE)),
        (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
            Some((State::Up, Diagnostic::NONE))
        }
        (State::Init, State::AdminDown) | (State::Up, State::AdminDown | State::Down) => {
            Some((State::Down, Diagnostic::NEIGHBOR_DOWN))
        }
        (State::AdminDown, State::AdminDown | State::Down | State::Init | State::Up)
        | (State::Down, State::AdminDown | State::Up)
        | (State::Init, State::Down)
        | (State::Up, State::Init | State::Up) => None,
    }
}
