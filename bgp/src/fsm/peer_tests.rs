//! A peer's collisions, waits and stops.

use std::time::{Duration, Instant};

use super::{
    connection_tests::{remote_open, settings},
    *,
};
use crate::wire::{ErrorCode, Notification, Open};

struct Rig {
    peer: Peer,
    now: Instant,
}

impl Rig {
    /// A peer whose own identifier is 192.0.2.`router_id`; the neighbour's is 192.0.2.2.
    fn new(router_id: u8) -> Self {
        let peer = Peer::new(settings(64_600, router_id, 65_001), false, Jitter::none());
        let mut rig = Self { peer, now: Instant::now() };
        rig.input(Input::Start);
        rig
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        self.peer.handle(input, self.now)
    }

    fn on(&mut self, side: Side, events: &[Event]) -> Vec<Output> {
        events.iter().flat_map(|event| self.input(Input::Connection(side, event.clone()))).collect()
    }

    /// Both connections are there and the first side has the neighbour's OPEN.
    fn colliding(router_id: u8, first: Side) -> Self {
        let mut rig = Self::new(router_id);
        rig.on(Side::Outgoing, &[Event::TcpConnected]);
        assert!(rig.input(Input::Accepted).contains(&Output::Accept));
        rig.on(first, &[open()]);
        rig
    }

    fn states(&self) -> (StateName, StateName) {
        (self.peer.connection(Side::Outgoing).state(), self.peer.connection(Side::Incoming).state())
    }

    fn established(router_id: u8) -> Self {
        let mut rig = Self::new(router_id);
        rig.on(Side::Outgoing, &[Event::TcpConnected, open(), Event::Keepalive]);
        assert!(rig.peer.established().is_some());
        rig
    }
}

fn open() -> Event {
    Event::Open(remote_open())
}

fn notifications(outputs: &[Output]) -> Vec<(Side, ErrorCode)> {
    let sent = |output: &Output| match output {
        Output::On(side, Action::Send(Outgoing::Notification(notification))) => {
            Some((*side, notification.code))
        }
        _ => None,
    };
    outputs.iter().filter_map(sent).collect()
}

fn idle_hold(outputs: &[Output], now: Instant) -> Option<Duration> {
    outputs.iter().find_map(|output| match output {
        Output::SetIdleHold(at) => Some(*at - now),
        _ => None,
    })
}

#[test]
fn of_two_connections_the_one_that_the_higher_router_id_dialled_survives() {
    for (router_id, survivor) in [(1, Side::Incoming), (3, Side::Outgoing)] {
        for first in Side::BOTH {
            let mut rig = Rig::colliding(router_id, first);
            let outputs = rig.on(first.other(), &[open()]);
            assert_eq!(notifications(&outputs), [(survivor.other(), ErrorCode::COLLISION)]);
            let confirmed = |side| rig.peer.connection(side).state() == StateName::OpenConfirm;
            assert!(confirmed(survivor) && !confirmed(survivor.other()), "{router_id} {first:?}");
            assert!(!outputs.contains(&Output::On(survivor.other(), Action::Send(Outgoing::Keepalive))));
        }
    }
}

#[test]
fn equal_router_ids_are_decided_by_the_as() {
    let mut rig = Rig::colliding(2, Side::Outgoing);
    rig.on(Side::Incoming, &[open()]);
    assert_eq!(rig.states(), (StateName::Idle, StateName::OpenConfirm), "AS 65001 is above AS 64600");
}

#[test]
fn an_established_session_survives_any_collision() {
    for established in Side::BOTH {
        let mut rig = Rig::colliding(1, established);
        let outputs = rig.on(established, &[Event::Keepalive]);
        assert_eq!(notifications(&outputs), [(established.other(), ErrorCode::COLLISION)]);
        assert_eq!(rig.peer.established().unwrap().0, established);
    }
}

#[test]
fn a_neighbour_that_dials_an_established_session_is_refused_and_the_session_probed() {
    let mut rig = Rig::established(1);
    let outputs = rig.input(Input::Accepted);
    assert_eq!(
        outputs,
        [
            Output::Refuse(Notification::new(ErrorCode::COLLISION)),
            Output::On(Side::Outgoing, Action::Send(Outgoing::Keepalive)),
        ]
    );
}

#[test]
fn an_unacceptable_open_does_not_disturb_the_other_connection() {
    let mut rig = Rig::colliding(1, Side::Outgoing);
    let wrong = Open { capabilities: Vec::new(), my_as: 1, ..remote_open() };
    let outputs = rig.on(Side::Incoming, &[Event::Open(wrong)]);
    assert_eq!(notifications(&outputs), [(Side::Incoming, ErrorCode::BAD_PEER_AS)]);
    assert_eq!(rig.states(), (StateName::OpenConfirm, StateName::Idle));
}

#[test]
fn failures_wait_longer_and_longer_and_a_stable_session_forgives() {
    let mut rig = Rig::new(1);
    let mut waits = Vec::new();
    for _ in 0..3 {
        let outputs = rig.on(Side::Outgoing, &[Event::TcpConnected, Event::TcpClosed("reset".into())]);
        waits.push(idle_hold(&outputs, rig.now).unwrap().as_secs());
        rig.input(Input::IdleHoldExpired);
    }
    assert_eq!(waits, [1, 2, 4]);
    rig.on(Side::Outgoing, &[Event::TcpConnected, open(), Event::Keepalive]);
    rig.now += Duration::from_secs(59);
    let outputs = rig.on(Side::Outgoing, &[Event::TcpClosed("reset".into())]);
    assert_eq!(idle_hold(&outputs, rig.now), Some(Duration::from_secs(8)), "59 s is not stable");
    rig.input(Input::IdleHoldExpired);
    rig.on(Side::Outgoing, &[Event::TcpConnected, open(), Event::Keepalive]);
    rig.now += Duration::from_secs(60);
    let outputs = rig.on(Side::Outgoing, &[Event::TcpClosed("reset".into())]);
    assert_eq!(idle_hold(&outputs, rig.now), Some(Duration::from_secs(1)));
}

#[test]
fn a_session_that_the_neighbour_dialled_stops_our_dialling_until_it_ends() {
    let mut rig = Rig::new(1);
    rig.input(Input::Accepted);
    let outputs = rig.on(Side::Incoming, &[open(), Event::Keepalive]);
    assert!(outputs.contains(&Output::On(Side::Outgoing, Action::Close)), "the attempt is given up");
    assert_eq!(rig.input(Input::IdleHoldExpired), []);
    let outputs = rig.on(Side::Incoming, &[Event::TcpClosed("reset".into())]);
    assert!(idle_hold(&outputs, rig.now).is_some());
    rig.input(Input::IdleHoldExpired);
    assert_eq!(rig.states(), (StateName::Connect, StateName::Idle));
}

#[test]
fn a_second_dial_replaces_one_that_has_said_nothing_and_no_other() {
    let mut rig = Rig::new(1);
    rig.input(Input::Accepted);
    let outputs = rig.input(Input::Accepted);
    assert_eq!(notifications(&outputs), [(Side::Incoming, ErrorCode::CONNECTION_REJECTED)]);
    assert!(outputs.contains(&Output::Accept));
    rig.on(Side::Incoming, &[open()]);
    let refused = Output::Refuse(Notification::new(ErrorCode::CONNECTION_REJECTED));
    assert_eq!(rig.input(Input::Accepted), [refused]);
}

#[test]
fn a_stopped_peer_says_why_and_stays_down() {
    let mut rig = Rig::established(1);
    let outputs = rig.input(Input::Stop(Notification::shutdown("maintenance")));
    assert_eq!(notifications(&outputs), [(Side::Outgoing, ErrorCode::ADMINISTRATIVE_SHUTDOWN)]);
    assert_eq!(idle_hold(&outputs, rig.now), None);
    assert_eq!(rig.input(Input::IdleHoldExpired), []);
    let refused = Output::Refuse(Notification::new(ErrorCode::CONNECTION_REJECTED));
    assert_eq!(rig.input(Input::Accepted), [refused]);
}

#[test]
fn the_restart_bit_is_set_until_the_restart_is_finished() {
    let restarting = |outputs: &[Output]| {
        outputs.iter().find_map(|output| match output {
            Output::On(_, Action::Send(Outgoing::Open(open))) => {
                open.graceful_restart().map(|gr| gr.restarting)
            }
            _ => None,
        })
    };
    let peer = Peer::new(settings(64_600, 1, 65_001), true, Jitter::none());
    let mut rig = Rig { peer, now: Instant::now() };
    rig.input(Input::Start);
    assert_eq!(restarting(&rig.on(Side::Outgoing, &[Event::TcpConnected])), Some(true));
    rig.peer.restart_finished();
    rig.on(Side::Outgoing, &[Event::TcpClosed("reset".into())]);
    rig.input(Input::IdleHoldExpired);
    assert_eq!(restarting(&rig.on(Side::Outgoing, &[Event::TcpConnected])), Some(false));
}

#[test]
fn a_neighbour_that_is_held_off_is_not_let_in_before_its_time_and_dialled_then() {
    let mut rig = Rig::established(1);
    let time = Duration::from_secs(300);
    let outputs = rig.input(Input::HoldOff(Notification::new(ErrorCode::MAX_PREFIXES), time));
    assert_eq!(notifications(&outputs), [(Side::Outgoing, ErrorCode::MAX_PREFIXES)]);
    assert_eq!(outputs.last(), Some(&Output::SetIdleHold(rig.now + time)));
    rig.now += time - Duration::from_secs(1);
    let refused = Output::Refuse(Notification::new(ErrorCode::CONNECTION_REJECTED));
    assert_eq!(rig.input(Input::Accepted), [refused]);
    rig.now += Duration::from_secs(1);
    let outputs = rig.input(Input::IdleHoldExpired);
    assert!(outputs.contains(&Output::On(Side::Outgoing, Action::Connect)));
    assert!(rig.input(Input::Accepted).contains(&Output::Accept));
}

#[test]
fn a_neighbour_whose_sessions_end_again_and_again_is_let_in_three_times_and_then_after_the_idle_hold() {
    let mut rig = Rig::new(1);
    let refused = Output::Refuse(Notification::new(ErrorCode::CONNECTION_REJECTED));
    let mut waits = Vec::new();
    for session in 1..=8 {
        if let Some(wait) = waits.last().filter(|_| session > 4).copied() {
            rig.now += wait - Duration::from_millis(1);
            assert_eq!(
                rig.input(Input::Accepted),
                std::slice::from_ref(&refused),
                "before session {session}"
            );
            rig.now += Duration::from_millis(1);
        }
        assert!(rig.input(Input::Accepted).contains(&Output::Accept), "session {session}");
        rig.on(Side::Incoming, &[open(), Event::Keepalive]);
        let outputs = rig.on(Side::Incoming, &[Event::TcpClosed("reset".into())]);
        waits.push(idle_hold(&outputs, rig.now).unwrap());
    }
    let waits: Vec<_> = waits.iter().map(Duration::as_secs).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    rig.now += Duration::from_secs(60);
    rig.input(Input::Accepted);
    rig.on(Side::Incoming, &[open(), Event::Keepalive]);
    rig.now += Duration::from_secs(60);
    rig.on(Side::Incoming, &[Event::TcpClosed("reset".into())]);
    assert!(rig.input(Input::Accepted).contains(&Output::Accept), "a stable session forgives");
}

#[test]
fn a_try_of_our_own_that_fails_does_not_keep_the_neighbour_from_dialling_any_longer() {
    let mut rig = Rig::new(1);
    let mut wait = Duration::ZERO;
    for _ in 0..5 {
        rig.now += wait;
        rig.input(Input::Accepted);
        rig.on(Side::Incoming, &[open(), Event::Keepalive]);
        let outputs = rig.on(Side::Incoming, &[Event::TcpClosed("reset".into())]);
        wait = idle_hold(&outputs, rig.now).unwrap();
    }
    rig.now += wait;
    rig.input(Input::IdleHoldExpired);
    rig.on(Side::Outgoing, &[Event::TcpConnected, Event::TcpClosed("refused".into())]);
    assert!(rig.input(Input::Accepted).contains(&Output::Accept));
}
