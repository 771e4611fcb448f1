//! One connection (RFC 4271 §8.2.2). The diagram is in the parent module.

use std::time::{Duration, Instant};

use super::{Action, EndReason, Event, Jitter, Negotiated, Outgoing, Settings, StateName, Timer};
use crate::{
    Role,
    wire::{DecodeError, ErrorCode, Notification, Open},
};

/// The hold time until the neighbour's OPEN has said its own (RFC 4271 §8.2.2 suggests 4 minutes).
const OPEN_HOLD: Duration = Duration::from_secs(240);

/// How long a neighbour may not read when no hold time is agreed on (RFC 9687 §3 suggests 8 minutes).
const SEND_HOLD: Duration = Duration::from_secs(480);

#[derive(Clone, Debug)]
enum State {
    Idle,
    Connect,
    Active,
    OpenSent,
    OpenConfirm(Negotiated),
    Established(Negotiated),
}

/// What a connection knows beside its own state.
pub(super) struct Surroundings<'a> {
    pub(super) settings: &'a Settings,
    pub(super) restarting: bool,
    pub(super) jitter: &'a mut Jitter,
    pub(super) now: Instant,
}

/// One connection's state machine.
#[derive(Clone, Debug)]
pub struct Connection {
    state: State,
}

impl Connection {
    /// A connection that does not exist yet.
    pub(super) const fn idle() -> Self {
        Self { state: State::Idle }
    }

    /// The state's name.
    pub fn state(&self) -> StateName {
        match self.state {
            State::Idle => StateName::Idle,
            State::Connect => StateName::Connect,
            State::Active => StateName::Active,
            State::OpenSent => StateName::OpenSent,
            State::OpenConfirm(_) => StateName::OpenConfirm,
            State::Established(_) => StateName::Established,
        }
    }

    /// What was agreed on, once OPENs are exchanged.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        match &self.state {
            State::OpenConfirm(negotiated) | State::Established(negotiated) => Some(negotiated),
            State::Idle | State::Connect | State::Active | State::OpenSent => None,
        }
    }

    /// One event.
    pub(super) fn handle(&mut self, event: Event, with: &mut Surroundings<'_>) -> Vec<Action> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => self.in_idle(event, with),
            State::Connect => self.in_connect(event, with),
            State::Active => self.in_active(event, with),
            State::OpenSent => self.in_open_sent(event, with),
            State::OpenConfirm(negotiated) => self.in_open_confirm(event, negotiated, with),
            State::Established(negotiated) => self.in_established(event, negotiated, with),
        }
    }

    fn in_idle(&mut self, event: Event, with: &mut Surroundings<'_>) -> Vec<Action> {
        match event {
            // Passive (RFC 4271 §8.1.1): it waits without a timer.
            Event::Start if with.settings.passive => self.stay(State::Active),
            Event::Start => self.connect(with),
            Event::Accepted => self.open(with),
            // Leftovers of a connection that has ended.
            Event::TcpConnected
            | Event::TcpFailed(_)
            | Event::TcpClosed(_)
            | Event::Open(_)
            | Event::Keepalive
            | Event::Update
            | Event::RouteRefresh(_)
            | Event::Notification(_)
            | Event::Malformed(_)
            | Event::Timer(_)
            | Event::SendBlocked
            | Event::SendDrained
            | Event::Stop(_) => Vec::new(),
        }
    }

    fn in_connect(&mut self, event: Event, with: &mut Surroundings<'_>) -> Vec<Action> {
        match event {
            Event::TcpConnected => {
                let mut actions = vec![Action::StopTimer(Timer::ConnectRetry)];
                actions.extend(self.open(with));
                actions
            }
            Event::TcpFailed(why) | Event::TcpClosed(why) => {
                self.state = State::Active;
                vec![Action::AttemptFailed(why), retry(with)]
            }
            Event::Timer(Timer::ConnectRetry) => {
                let mut actions = vec![Action::AttemptFailed("no answer to the TCP connection".into())];
                actions.extend(self.connect(with));
                actions
            }
            Event::Stop(_) => ended(EndReason::Stopped),
            // There is no connection that these could come from.
            Event::Start
            | Event::Accepted
            | Event::Open(_)
            | Event::Keepalive
            | Event::Update
            | Event::RouteRefresh(_)
            | Event::Notification(_)
            | Event::Malformed(_)
            | Event::Timer(Timer::Hold | Timer::Keepalive | Timer::SendHold)
            | Event::SendBlocked
            | Event::SendDrained => self.stay(State::Connect),
        }
    }

    fn in_active(&mut self, event: Event, with: &mut Surroundings<'_>) -> Vec<Action> {
        match event {
            Event::Timer(Timer::ConnectRetry) => self.connect(with),
            Event::Stop(_) => ended(EndReason::Stopped),
            // There is no connection that these could come from.
            Event::Start
            | Event::Accepted
            | Event::TcpConnected
            | Event::TcpFailed(_)
            | Event::TcpClosed(_)
            | Event::Open(_)
            | Event::Keepalive
            | Event::Update
            | Event::RouteRefresh(_)
            | Event::Notification(_)
            | Event::Malformed(_)
            | Event::Timer(Timer::Hold | Timer::Keepalive | Timer::SendHold)
            | Event::SendBlocked
            | Event::SendDrained => self.stay(State::Active),
        }
    }

    fn in_open_sent(&mut self, event: Event, with: &mut Surroundings<'_>) -> Vec<Action> {
        match event {
            Event::Open(open) => match with.settings.negotiate(&open) {
                Ok(negotiated) => self.confirm(negotiated, with.now),
                Err(notification) => refused(&open, notification, with.settings),
            },
            Event::Keepalive | Event::Update | Event::RouteRefresh(_) => {
                unexpected(ErrorCode::FSM_IN_OPEN_SENT)
            }
            Event::Notification(notification) => ended(EndReason::Received(notification)),
            Event::Malformed(error) => malformed(&error),
            Event::TcpClosed(how) | Event::TcpFailed(how) => ended(EndReason::TcpClosed(how)),
            Event::Timer(Timer::Hold) => told(Notification::new(ErrorCode::HOLD_TIMER_EXPIRED), None),
            Event::Timer(Timer::SendHold) => ended(EndReason::SendHold),
            Event::Stop(notification) => told(notification, None),
            Event::SendBlocked => self.blocked(State::OpenSent, OPEN_HOLD, with.now),
            Event::SendDrained => self.drained(State::OpenSent),
            // Leftovers of how it was opened.
            Event::Start
            | Event::Accepted
            | Event::TcpConnected
            | Event::Timer(Timer::ConnectRetry | Timer::Keepalive) => self.stay(State::OpenSent),
        }
    }

    fn in_open_confirm(
        &mut self,
        event: Event,
        negotiated: Negotiated,
        with: &mut Surroundings<'_>,
    ) -> Vec<Action> {
        match event {
            Event::Keepalive => {
                let mut actions = hold(&negotiated, with.now);
                actions.push(Action::SessionUp(negotiated.clone()));
                self.state = State::Established(negotiated);
                actions
            }
            Event::Open(_) | Event::Update | Event::RouteRefresh(_) => {
                unexpected(ErrorCode::FSM_IN_OPEN_CONFIRM)
            }
            Event::Notification(notification) => ended(EndReason::Received(notification)),
            Event::Malformed(error) => malformed(&error),
            Event::TcpClosed(how) | Event::TcpFailed(how) => ended(EndReason::TcpClosed(how)),
            Event::Timer(Timer::Hold) => told(Notification::new(ErrorCode::HOLD_TIMER_EXPIRED), None),
            Event::Timer(Timer::SendHold) => ended(EndReason::SendHold),
            Event::Stop(notification) => told(notification, None),
            Event::Timer(Timer::Keepalive) => {
                let actions = keepalive(&negotiated, with.now);
                self.state = State::OpenConfirm(negotiated);
                actions
            }
            Event::SendBlocked => {
                let time = send_hold(&negotiated);
                self.blocked(State::OpenConfirm(negotiated), time, with.now)
            }
            Event::SendDrained => self.drained(State::OpenConfirm(negotiated)),
            // Leftovers of how it was opened.
            Event::Start | Event::Accepted | Event::TcpConnected | Event::Timer(Timer::ConnectRetry) => {
                self.stay(State::OpenConfirm(negotiated))
            }
        }
    }

    fn in_established(
        &mut self,
        event: Event,
        negotiated: Negotiated,
        with: &mut Surroundings<'_>,
    ) -> Vec<Action> {
        let actions = match event {
            Event::Keepalive | Event::Update => hold(&negotiated, with.now),
            Event::RouteRefresh(refresh) => {
                let meant = refresh.meaning().filter(|(_, family)| negotiated.families.contains(family));
                meant.map(|(kind, family)| Action::Refresh(kind, family)).into_iter().collect()
            }
            Event::Open(_) => return unexpected(ErrorCode::FSM_IN_ESTABLISHED),
            Event::Notification(notification) => return ended(EndReason::Received(notification)),
            Event::Malformed(error) => return malformed(&error),
            Event::TcpClosed(how) | Event::TcpFailed(how) => return ended(EndReason::TcpClosed(how)),
            Event::Timer(Timer::Hold) => {
                return told(Notification::new(ErrorCode::HOLD_TIMER_EXPIRED), None);
            }
            Event::Timer(Timer::SendHold) => return ended(EndReason::SendHold),
            Event::Stop(notification) => return told(notification, None),
            Event::Timer(Timer::Keepalive) => keepalive(&negotiated, with.now),
            Event::SendBlocked => vec![Action::SetTimer(Timer::SendHold, with.now + send_hold(&negotiated))],
            Event::SendDrained => vec![Action::StopTimer(Timer::SendHold)],
            // Leftovers of how it was opened.
            Event::Start | Event::Accepted | Event::TcpConnected | Event::Timer(Timer::ConnectRetry) => {
                Vec::new()
            }
        };
        self.state = State::Established(negotiated);
        actions
    }

    fn stay(&mut self, state: State) -> Vec<Action> {
        self.state = state;
        Vec::new()
    }

    fn connect(&mut self, with: &mut Surroundings<'_>) -> Vec<Action> {
        self.state = State::Connect;
        vec![Action::Connect, retry(with)]
    }

    fn open(&mut self, with: &Surroundings<'_>) -> Vec<Action> {
        self.state = State::OpenSent;
        vec![
            Action::Send(Outgoing::Open(with.settings.open(with.restarting))),
            Action::SetTimer(Timer::Hold, with.now + OPEN_HOLD),
        ]
    }

    fn confirm(&mut self, negotiated: Negotiated, now: Instant) -> Vec<Action> {
        let mut actions = keepalive(&negotiated, now);
        if actions.is_empty() {
            actions.push(Action::Send(Outgoing::Keepalive));
        }
        match negotiated.hold_time.duration() {
            Some(hold) => actions.push(Action::SetTimer(Timer::Hold, now + hold)),
            None => actions.push(Action::StopTimer(Timer::Hold)),
        }
        self.state = State::OpenConfirm(negotiated);
        actions
    }

    fn blocked(&mut self, state: State, time: Duration, now: Instant) -> Vec<Action> {
        self.state = state;
        vec![Action::SetTimer(Timer::SendHold, now + time)]
    }

    fn drained(&mut self, state: State) -> Vec<Action> {
        self.state = state;
        vec![Action::StopTimer(Timer::SendHold)]
    }
}

fn retry(with: &mut Surroundings<'_>) -> Action {
    Action::SetTimer(Timer::ConnectRetry, with.now + with.jitter.apply(with.settings.connect_retry))
}

/// Restarts the hold timer, when there is one.
fn hold(negotiated: &Negotiated, now: Instant) -> Vec<Action> {
    negotiated
        .hold_time
        .duration()
        .map(|hold| Action::SetTimer(Timer::Hold, now + hold))
        .into_iter()
        .collect()
}

/// Sends a KEEPALIVE and restarts its timer, when there is one.
fn keepalive(negotiated: &Negotiated, now: Instant) -> Vec<Action> {
    negotiated.hold_time.keepalive().map_or_else(Vec::new, |interval| {
        vec![Action::Send(Outgoing::Keepalive), Action::SetTimer(Timer::Keepalive, now + interval)]
    })
}

/// As long as we give the neighbour to say something, we give it to read something.
fn send_hold(negotiated: &Negotiated) -> Duration {
    negotiated.hold_time.duration().unwrap_or(SEND_HOLD)
}

fn ended(reason: EndReason) -> Vec<Action> {
    vec![Action::Close, Action::Ended(reason)]
}

fn told(notification: Notification, what: Option<String>) -> Vec<Action> {
    let send = Action::Send(Outgoing::Notification(notification.clone()));
    vec![send, Action::Close, Action::Ended(EndReason::Sent { notification, what })]
}

fn unexpected(code: ErrorCode) -> Vec<Action> {
    told(Notification::new(code), None)
}

fn malformed(error: &DecodeError) -> Vec<Action> {
    told(error.notification(), Some(error.what.to_owned()))
}

/// An OPEN that cannot be accepted: says what was found and what was expected.
fn refused(open: &Open, notification: Notification, settings: &Settings) -> Vec<Action> {
    let what = match notification.code {
        ErrorCode::BAD_PEER_AS => {
            let others = match settings.other_asns.is_empty() {
                true => String::new(),
                false => format!(" or one of {}", settings.other_asns),
            };
            format!("it is in AS {}, configured is AS {}{others}", open.asn(), settings.remote_asn)
        }
        ErrorCode::BAD_BGP_IDENTIFIER => format!("its router id {} is zero or our own", open.router_id),
        ErrorCode::UNACCEPTABLE_HOLD_TIME => format!("it proposes a hold time of {} s", open.hold_time),
        ErrorCode::ROLE_MISMATCH => {
            let name =
                |octet: &u8| Role::from_octet(*octet).map_or(octet.to_string(), |role| role.to_string());
            let said: Vec<_> = open.roles().iter().map(name).collect();
            let said =
                if said.is_empty() { "no role".to_owned() } else { format!("the role {}", said.join(", ")) };
            let own = settings.role.map(|local| local.role);
            let [own, other] = [own, own.map(Role::other)].map(|role| role.map_or("", Role::as_str));
            format!("it says that it has {said}; as we are configured as {own}, it has to be {other}")
        }
        ErrorCode { .. } => {
            let families: Vec<_> = settings.families.iter().map(ToString::to_string).collect();
            format!("it offers none of the configured families ({})", families.join(", "))
        }
    };
    told(notification, Some(what))
}
