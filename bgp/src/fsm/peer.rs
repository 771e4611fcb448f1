//! One peer: two connections, of which one survives. The diagram is in the parent module.

use std::time::{Duration, Instant};

use super::{
    Action, Backoff, Connection, EndReason, Event, Jitter, Negotiated, Outgoing, Settings, StateName,
    connection::Surroundings,
};
use crate::wire::{ErrorCode, Notification, Open};

/// A session that lasted this long was a good one: the next idle hold is the shortest.
const STABLE: Duration = Duration::from_secs(60);

/// Sessions in a row that may end before they are stable without the neighbour being kept from dialling: a router that is
/// reloaded, or restarted twice, is let in at once.
const FLAPS: u32 = 3;

/// Which of a peer's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The one that we dial.
    Outgoing,
    /// The one that the neighbour dials.
    Incoming,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Outgoing, Self::Incoming];

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Outgoing => Self::Incoming,
            Self::Incoming => Self::Outgoing,
        }
    }
}

/// Something that happened to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Bring the session up and keep it up.
    Start,
    /// The neighbour dialled. The answer has [`Output::Accept`] or [`Output::Refuse`] in it.
    Accepted,
    /// Something happened to a connection.
    Connection(Side, Event),
    /// The idle hold is over.
    IdleHoldExpired,
    /// End the session, saying this, and stay down.
    Stop(Notification),
    /// End the session, saying this, and stay down for so long, whoever dials.
    HoldOff(Notification, Duration),
}

/// Something that is to be done for a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Something for a connection.
    On(Side, Action),
    /// The connection that the neighbour dialled becomes [`Side::Incoming`].
    Accept,
    /// The connection that the neighbour dialled is closed, after this.
    Refuse(Notification),
    /// Wait before dialling again; a wait under way is replaced.
    SetIdleHold(Instant),
    /// Do not wait any more.
    StopIdleHold,
}

/// One peer's state machine.
#[derive(Clone, Debug)]
pub struct Peer {
    settings: Settings,
    restarting: bool,
    jitter: Jitter,
    outgoing: Connection,
    incoming: Connection,
    backoff: Backoff,
    /// When the present session was established.
    established_at: Option<Instant>,
    /// Sessions in a row that ended before they were stable.
    flaps: u32,
    stopped: bool,
    /// Until when the neighbour is not wanted.
    held_off_until: Option<Instant>,
}

impl Peer {
    /// A peer that is down. `restarting`: see [`restart_finished`](Self::restart_finished).
    pub fn new(settings: Settings, restarting: bool, jitter: Jitter) -> Self {
        Self {
            settings,
            restarting,
            jitter,
            outgoing: Connection::idle(),
            incoming: Connection::idle(),
            backoff: Backoff::default(),
            established_at: None,
            flaps: 0,
            stopped: true,
            held_off_until: None,
        }
    }

    /// The state that is furthest.
    pub fn state(&self) -> StateName {
        self.outgoing.state().max(self.incoming.state())
    }

    /// A connection's state machine.
    pub const fn connection(&self, side: Side) -> &Connection {
        match side {
            Side::Outgoing => &self.outgoing,
            Side::Incoming => &self.incoming,
        }
    }

    /// The established connection and what was agreed on.
    pub fn established(&self) -> Option<(Side, &Negotiated)> {
        Side::BOTH.into_iter().find_map(|side| {
            let connection = self.connection(side);
            let established = connection.state() == StateName::Established;
            connection.negotiated().filter(|_| established).map(|negotiated| (side, negotiated))
        })
    }

    /// Everything was sent again after a restart: later OPENs do not set the Restart State bit (RFC 4724 §4.1).
    pub fn restart_finished(&mut self) {
        self.restarting = false;
    }

    /// One event.
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Start => {
                self.stopped = false;
                match self.held_off_until.filter(|until| now < *until) {
                    Some(until) => out.push(Output::SetIdleHold(until)),
                    None => self.dial(now, &mut out),
                }
            }
            Input::Accepted => self.accepted(now, &mut out),
            Input::Connection(side, Event::Open(open)) => self.opened(side, open, now, &mut out),
            Input::Connection(side, event) => self.pass(side, event, now, &mut out),
            Input::IdleHoldExpired => {
                if !self.stopped {
                    self.dial(now, &mut out);
                }
            }
            Input::Stop(notification) => {
                self.stopped = true;
                out.push(Output::StopIdleHold);
                for side in Side::BOTH {
                    self.pass(side, Event::Stop(notification.clone()), now, &mut out);
                }
            }
            Input::HoldOff(notification, time) => {
                self.held_off_until = Some(now + time);
                for side in Side::BOTH {
                    self.pass(side, Event::Stop(notification.clone()), now, &mut out);
                }
                out.push(Output::SetIdleHold(now + time));
            }
        }
        out
    }

    /// Dials, unless there is a session.
    fn dial(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.established().is_none() {
            self.pass(Side::Outgoing, Event::Start, now, out);
        }
    }

    /// The neighbour dialled. A connection that was already accepted and has said nothing is given up for it.
    fn accepted(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.stopped || self.held_off_until.is_some_and(|until| now < until) {
            out.push(Output::Refuse(Notification::new(ErrorCode::CONNECTION_REJECTED)));
            return;
        }
        if let Some((side, _)) = self.established() {
            out.push(Output::Refuse(Notification::new(ErrorCode::COLLISION)));
            // A neighbour that dials has perhaps forgotten the session: if so its TCP answers this with a reset.
            out.push(Output::On(side, Action::Send(Outgoing::Keepalive)));
            return;
        }
        match self.incoming.state() {
            StateName::OpenConfirm => {
                out.push(Output::Refuse(Notification::new(ErrorCode::CONNECTION_REJECTED)));
                return;
            }
            StateName::Idle
            | StateName::Connect
            | StateName::Active
            | StateName::OpenSent
            | StateName::Established => {
                let rejected = Notification::new(ErrorCode::CONNECTION_REJECTED);
                self.pass(Side::Incoming, Event::Stop(rejected), now, out);
            }
        }
        out.push(Output::Accept);
        self.pass(Side::Incoming, Event::Accepted, now, out);
    }

    /// An OPEN came: the moment at which a collision is seen (RFC 4271 §6.8), before anything is confirmed.
    fn opened(&mut self, side: Side, open: Open, now: Instant, out: &mut Vec<Output>) {
        let mine = self.connection(side).state() == StateName::OpenSent;
        let loser = match self.connection(side.other()).state() {
            StateName::Idle | StateName::Connect | StateName::Active | StateName::OpenSent => None,
            StateName::OpenConfirm => Some(self.loser(&open)),
            StateName::Established => Some(side),
        };
        let acceptable = mine && self.settings.negotiate(&open).is_ok();
        match loser.filter(|_| acceptable) {
            Some(loser) => {
                let collision = Notification::new(ErrorCode::COLLISION);
                self.pass(loser, Event::Stop(collision), now, out);
                if loser != side {
                    self.pass(side, Event::Open(open), now, out);
                }
            }
            None => self.pass(side, Event::Open(open), now, out),
        }
    }

    /// The connection dialled by the speaker with the lower identifier loses; by the AS when they are equal
    /// (RFC 6286 §2.3).
    fn loser(&self, open: &Open) -> Side {
        let own = (self.settings.router_id, self.settings.asn.get());
        if own < (open.router_id, open.asn()) { Side::Outgoing } else { Side::Incoming }
    }

    /// Hands an event to a connection and looks at what came of it.
    fn pass(&mut self, side: Side, event: Event, now: Instant, out: &mut Vec<Output>) {
        let mut with = Surroundings {
            settings: &self.settings,
            restarting: self.restarting,
            jitter: &mut self.jitter,
            now,
        };
        let connection = match side {
            Side::Outgoing => &mut self.outgoing,
            Side::Incoming => &mut self.incoming,
        };
        let was_established = connection.state() == StateName::Established;
        let actions = connection.handle(event, &mut with);
        for action in actions {
            let mut up = false;
            let mut end = None;
            match &action {
                Action::SessionUp(_) => up = true,
                Action::Ended(reason) => end = Some(reason.clone()),
                Action::Connect
                | Action::Send(_)
                | Action::Close
                | Action::SetTimer(_, _)
                | Action::StopTimer(_)
                | Action::AttemptFailed(_)
                | Action::Refresh(_, _) => {}
            }
            out.push(Output::On(side, action));
            if up {
                self.session_up(side, now, out);
            }
            if let Some(reason) = end {
                self.ended(side, &reason, was_established, now, out);
            }
        }
    }

    fn session_up(&mut self, side: Side, now: Instant, out: &mut Vec<Output>) {
        self.established_at = Some(now);
        out.push(Output::StopIdleHold);
        self.pass(side.other(), Event::Stop(Notification::new(ErrorCode::COLLISION)), now, out);
    }

    fn ended(
        &mut self,
        side: Side,
        reason: &EndReason,
        was_established: bool,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        if was_established {
            let since = self.established_at.take();
            if since.is_some_and(|since| now.saturating_duration_since(since) >= STABLE) {
                self.backoff.reset();
                self.flaps = 0;
            } else {
                self.flaps = self.flaps.saturating_add(1);
            }
        } else if side == Side::Incoming {
            // The outgoing side goes on by itself.
            return;
        }
        if self.stopped || self.established().is_some() {
            return;
        }
        let wait = if reason.is_collision() { Backoff::shortest() } else { self.backoff.next_wait() };
        let until = now + self.jitter.apply(wait);
        // A try that failed is no reason: two that refuse each other would go on for ever.
        if was_established && self.flaps > FLAPS {
            self.held_off_until = self.held_off_until.max(Some(until));
        }
        out.push(Output::SetIdleHold(until));
    }
}
