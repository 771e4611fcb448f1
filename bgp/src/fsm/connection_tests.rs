//! Every state with every event.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use super::{connection::Surroundings, *};
use crate::{
    Asn, AsnSet, Family, HoldTime, LocalRole, Role,
    wire::{Capability, DecodeError, ErrorCode, Message, Notification, Open, RefreshKind, RouteRefresh},
};

pub(super) fn settings(asn: u32, router_id: u8, remote_asn: u32) -> Settings {
    Settings {
        asn: Asn::new(asn).unwrap(),
        router_id: Ipv4Addr::new(192, 0, 2, router_id),
        remote_asn: Asn::new(remote_asn).unwrap(),
        other_asns: AsnSet::NONE,
        passive: false,
        hold_time: HoldTime::DEFAULT,
        connect_retry: Duration::from_secs(5),
        families: Family::ALL.into(),
        graceful_restart: Some(Duration::from_secs(120)),
        graceful_notification: false,
        long_lived: None,
        add_path: true,
        extended_next_hop: false,
        role: None,
    }
}

struct Rig {
    settings: Settings,
    connection: Connection,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        Self { settings: settings(64_600, 1, 65_001), connection: Connection::idle(), now: Instant::now() }
    }

    /// In a state, by the events that lead there.
    fn in_state(state: StateName) -> Self {
        let path: &[Event] = match state {
            StateName::Idle => &[],
            StateName::Connect => &[Event::Start],
            StateName::Active => &[Event::Start, Event::TcpFailed(String::new())],
            StateName::OpenSent => &[Event::Accepted],
            StateName::OpenConfirm => &[Event::Accepted, Event::Open(remote_open())],
            StateName::Established => &[Event::Accepted, Event::Open(remote_open()), Event::Keepalive],
        };
        let mut rig = Self::new();
        for event in path {
            rig.handle(event.clone());
        }
        assert_eq!(rig.connection.state(), state);
        rig
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        let mut jitter = Jitter::none();
        let mut with =
            Surroundings { settings: &self.settings, restarting: false, jitter: &mut jitter, now: self.now };
        self.connection.handle(event, &mut with)
    }

    /// What an event does, in few words.
    fn does(&mut self, event: Event) -> String {
        let actions = self.handle(event);
        let words: Vec<_> = actions.iter().map(|action| word(action, self.now)).collect();
        let state = self.connection.state();
        if words.is_empty() { state.to_string() } else { format!("{state}: {}", words.join(", ")) }
    }
}

/// What is to be done, in few words.
pub(super) fn word(action: &Action, now: Instant) -> String {
    match action {
        Action::Connect => "dial".into(),
        Action::Send(Outgoing::Open(_)) => "send open".into(),
        Action::Send(Outgoing::Keepalive) => "send keepalive".into(),
        Action::Send(Outgoing::Notification(n)) => format!("send {}/{}", n.code.code, n.code.subcode),
        Action::Close => "close".into(),
        Action::SetTimer(timer, at) => format!("{timer:?} in {}", (*at - now).as_secs()),
        Action::StopTimer(timer) => format!("stop {timer:?}"),
        Action::AttemptFailed(_) => "attempt failed".into(),
        Action::SessionUp(_) => "up".into(),
        Action::Refresh(kind, family) => format!("{kind:?} refresh {family}"),
        Action::Ended(EndReason::Sent { .. }) => "ended by us".into(),
        Action::Ended(EndReason::Received(_)) => "ended by them".into(),
        Action::Ended(EndReason::TcpClosed(_)) => "ended by TCP".into(),
        Action::Ended(EndReason::SendHold) => "ended by send hold".into(),
        Action::Ended(EndReason::Stopped) => "stopped".into(),
    }
}

pub(super) fn remote_open() -> Open {
    settings(65_001, 2, 64_600).open(false)
}

/// One event of every kind, by a name for the table.
fn events() -> Vec<(&'static str, Event)> {
    let error = DecodeError { what: "x", code: ErrorCode::INVALID_NETWORK_FIELD, data: Vec::new() };
    let mut events = vec![
        ("start", Event::Start),
        ("accepted", Event::Accepted),
        ("tcp connected", Event::TcpConnected),
        ("tcp failed", Event::TcpFailed("refused".into())),
        ("tcp closed", Event::TcpClosed("reset".into())),
        ("open", Event::Open(remote_open())),
        ("bad open", Event::Open(Open { my_as: 1, capabilities: Vec::new(), ..remote_open() })),
        ("keepalive", Event::Keepalive),
        ("update", Event::Update),
        ("refresh", Event::RouteRefresh(RouteRefresh::new(RefreshKind::Request, Family::Ipv6))),
        ("notification", Event::Notification(Notification::new(ErrorCode::ADMINISTRATIVE_RESET))),
        ("malformed", Event::Malformed(error)),
        ("blocked", Event::SendBlocked),
        ("drained", Event::SendDrained),
        ("stop", Event::Stop(Notification::shutdown("bye"))),
    ];
    let name = |timer| match timer {
        Timer::ConnectRetry => "connect retry",
        Timer::Hold => "hold",
        Timer::Keepalive => "keepalive timer",
        Timer::SendHold => "send hold",
    };
    events.extend(Timer::ALL.map(|timer| (name(timer), Event::Timer(timer))));
    events
}

/// What is not listed leaves the state and does nothing.
fn table(state: StateName) -> &'static [(&'static str, &'static str)] {
    match state {
        StateName::Idle => {
            &[("start", "Connect: dial, ConnectRetry in 5"), ("accepted", "OpenSent: send open, Hold in 240")]
        }
        StateName::Connect => &[
            ("tcp connected", "OpenSent: stop ConnectRetry, send open, Hold in 240"),
            ("tcp failed", "Active: attempt failed, ConnectRetry in 5"),
            ("tcp closed", "Active: attempt failed, ConnectRetry in 5"),
            ("connect retry", "Connect: attempt failed, dial, ConnectRetry in 5"),
            ("stop", "Idle: close, stopped"),
        ],
        StateName::Active => {
            &[("connect retry", "Connect: dial, ConnectRetry in 5"), ("stop", "Idle: close, stopped")]
        }
        StateName::OpenSent => &[
            ("tcp failed", "Idle: close, ended by TCP"),
            ("tcp closed", "Idle: close, ended by TCP"),
            ("open", "OpenConfirm: send keepalive, Keepalive in 30, Hold in 90"),
            ("bad open", "Idle: send 2/2, close, ended by us"),
            ("keepalive", "Idle: send 5/1, close, ended by us"),
            ("update", "Idle: send 5/1, close, ended by us"),
            ("refresh", "Idle: send 5/1, close, ended by us"),
            ("notification", "Idle: close, ended by them"),
            ("malformed", "Idle: send 3/10, close, ended by us"),
            ("blocked", "OpenSent: SendHold in 240"),
            ("drained", "OpenSent: stop SendHold"),
            ("stop", "Idle: send 6/2, close, ended by us"),
            ("hold", "Idle: send 4/0, close, ended by us"),
            ("send hold", "Idle: close, ended by send hold"),
        ],
        StateName::OpenConfirm => &[
            ("tcp failed", "Idle: close, ended by TCP"),
            ("tcp closed", "Idle: close, ended by TCP"),
            ("open", "Idle: send 5/2, close, ended by us"),
            ("bad open", "Idle: send 5/2, close, ended by us"),
            ("keepalive", "Established: Hold in 90, up"),
            ("update", "Idle: send 5/2, close, ended by us"),
            ("refresh", "Idle: send 5/2, close, ended by us"),
            ("notification", "Idle: close, ended by them"),
            ("malformed", "Idle: send 3/10, close, ended by us"),
            ("blocked", "OpenConfirm: SendHold in 90"),
            ("drained", "OpenConfirm: stop SendHold"),
            ("stop", "Idle: send 6/2, close, ended by us"),
            ("hold", "Idle: send 4/0, close, ended by us"),
            ("keepalive timer", "OpenConfirm: send keepalive, Keepalive in 30"),
            ("send hold", "Idle: close, ended by send hold"),
        ],
        StateName::Established => &[
            ("tcp failed", "Idle: close, ended by TCP"),
            ("tcp closed", "Idle: close, ended by TCP"),
            ("open", "Idle: send 5/3, close, ended by us"),
            ("bad open", "Idle: send 5/3, close, ended by us"),
            ("keepalive", "Established: Hold in 90"),
            ("update", "Established: Hold in 90"),
            ("refresh", "Established: Request refresh ipv6"),
            ("notification", "Idle: close, ended by them"),
            ("malformed", "Idle: send 3/10, close, ended by us"),
            ("blocked", "Established: SendHold in 90"),
            ("drained", "Established: stop SendHold"),
            ("stop", "Idle: send 6/2, close, ended by us"),
            ("hold", "Idle: send 4/0, close, ended by us"),
            ("keepalive timer", "Established: send keepalive, Keepalive in 30"),
            ("send hold", "Idle: close, ended by send hold"),
        ],
    }
}

const STATES: [StateName; 6] = [
    StateName::Idle,
    StateName::Connect,
    StateName::Active,
    StateName::OpenSent,
    StateName::OpenConfirm,
    StateName::Established,
];

#[test]
fn every_state_answers_every_event_as_the_table_says() {
    for state in STATES {
        let listed = table(state);
        for (name, _) in listed {
            assert!(events().iter().any(|(event, _)| event == name), "{name} is no event");
        }
        for (name, event) in events() {
            let expected =
                listed.iter().find(|(event, _)| *event == name).map_or(state.as_str(), |(_, does)| does);
            assert_eq!(Rig::in_state(state).does(event), expected, "{name} in {state}");
        }
    }
}

/// What the neighbour is told about an OPEN, and what the operator reads.
fn refusal(settings: Settings, open: Open) -> (ErrorCode, String) {
    let mut rig = Rig { settings, ..Rig::in_state(StateName::OpenSent) };
    let actions = rig.handle(Event::Open(open));
    match actions.last() {
        Some(Action::Ended(reason @ EndReason::Sent { notification, .. })) => {
            (notification.code, reason.to_string())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unacceptable_open_is_answered_with_its_code_and_explained() {
    let own = || settings(64_600, 1, 65_001);
    let (code, text) = refusal(own(), settings(65_002, 2, 64_600).open(false));
    assert_eq!(code, ErrorCode::BAD_PEER_AS);
    assert!(text.contains("AS 65002") && text.contains("AS 65001"), "{text}");

    let zero = Open { my_as: 0, ..remote_open() };
    assert_eq!(refusal(own(), zero).0, ErrorCode::BAD_PEER_AS);
    let unspecified = Open { router_id: Ipv4Addr::UNSPECIFIED, ..remote_open() };
    assert_eq!(refusal(own(), unspecified).0, ErrorCode::BAD_BGP_IDENTIFIER);
    let internal = settings(64_600, 1, 64_600);
    assert_eq!(refusal(internal.clone(), internal.open(false)).0, ErrorCode::BAD_BGP_IDENTIFIER);
    for seconds in [1, 2] {
        let short = Open { hold_time: seconds, ..remote_open() };
        assert_eq!(refusal(own(), short).0, ErrorCode::UNACCEPTABLE_HOLD_TIME);
    }
    let mut evpn = remote_open();
    evpn.capabilities.retain(|capability| !matches!(capability, Capability::Multiprotocol { .. }));
    evpn.capabilities.push(Capability::Multiprotocol { afi: 25, safi: 70 });
    let (code, text) = refusal(own(), evpn);
    assert_eq!(code, ErrorCode::UNSUPPORTED_CAPABILITY);
    assert!(text.contains("ipv4, ipv6"), "{text}");
}

#[test]
fn another_as_may_use_our_router_id() {
    let same_id = settings(65_001, 1, 64_600).open(false);
    assert!(settings(64_600, 1, 65_001).negotiate(&same_id).is_ok(), "RFC 6286 §2.2");
}

#[test]
fn the_lower_hold_time_wins_and_zero_switches_keepalives_off() {
    for (theirs, expected) in [
        (9, "OpenConfirm: send keepalive, Keepalive in 3, Hold in 9"),
        (3, "OpenConfirm: send keepalive, Keepalive in 1, Hold in 3"),
        (u16::MAX, "OpenConfirm: send keepalive, Keepalive in 30, Hold in 90"),
        (0, "OpenConfirm: send keepalive, stop Hold"),
    ] {
        let open = Open { hold_time: theirs, ..remote_open() };
        assert_eq!(Rig::in_state(StateName::OpenSent).does(Event::Open(open)), expected);
    }
    let mut silent = Rig::in_state(StateName::OpenSent);
    silent.handle(Event::Open(Open { hold_time: 0, ..remote_open() }));
    assert_eq!(silent.does(Event::Keepalive), "Established: up");
    assert_eq!(silent.does(Event::SendBlocked), "Established: SendHold in 480");
}

#[test]
fn a_neighbour_without_capabilities_gets_ipv4_in_two_octets() {
    let plain = Open { my_as: 65_001, capabilities: Vec::new(), ..remote_open() };
    let agreed = settings(64_600, 1, 65_001).negotiate(&plain).unwrap();
    assert_eq!(agreed.families, [Family::Ipv4].into());
    assert!(!agreed.four_octet_asn && agreed.graceful_restart.is_none() && !agreed.extended_messages);
}

#[test]
fn our_open_survives_the_wire_and_says_what_we_are() {
    let settings = settings(4_200_000_001, 1, 65_001);
    for restarting in [false, true] {
        let open = settings.open(restarting);
        assert_eq!((open.my_as, open.asn()), (23_456, 4_200_000_001));
        let restart = open.graceful_restart().unwrap();
        assert_eq!((restart.restarting, restart.restart_time), (restarting, 120));
        assert!(restart.families.len() == 2 && restart.families.iter().all(|family| family.forwarding));
        let mut bytes = Vec::new();
        open.encode(&mut bytes).unwrap();
        let mut framer = crate::wire::Framer::new();
        framer.space()[..bytes.len()].copy_from_slice(&bytes);
        framer.filled(bytes.len());
        let frame = framer.next_frame(false).unwrap().unwrap();
        let context = crate::wire::Context::new(false, false);
        assert_eq!(Message::decode(frame, context), Ok(Message::Open(open)));
    }
}

#[test]
fn roles_that_do_not_go_together_end_the_session_and_none_is_taken_unless_we_insist() {
    let agreed = |local: Option<Role>, strict, theirs: &[u8], internal| {
        let role = local.map(|role| LocalRole { role, strict });
        let own = Settings { role, ..settings(if internal { 65_001 } else { 64_600 }, 1, 65_001) };
        let mut open = remote_open();
        open.capabilities.extend(theirs.iter().copied().map(Capability::Role));
        own.negotiate(&open).map(|agreed| agreed.role).map_err(|notification| notification.code)
    };
    for role in Role::ALL {
        for other in 0..=5 {
            let expected =
                if role.other().octet() == other { Ok(Some(role)) } else { Err(ErrorCode::ROLE_MISMATCH) };
            assert_eq!(agreed(Some(role), false, &[other], false), expected, "{role} with {other}");
        }
    }
    let customer = Some(Role::Customer);
    assert_eq!(agreed(customer, false, &[], false), Ok(customer));
    assert_eq!(agreed(customer, true, &[], false), Err(ErrorCode::ROLE_MISMATCH));
    assert_eq!(agreed(customer, false, &[0, 0], false), Ok(customer), "the same twice is one");
    assert_eq!(agreed(customer, false, &[0, 3], false), Err(ErrorCode::ROLE_MISMATCH));
    assert_eq!(agreed(customer, true, &[3], true), Ok(None), "within an AS there are none");
    assert_eq!(agreed(None, false, &[3], false), Ok(None));
}
