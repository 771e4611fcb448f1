//! Every state of a peer with every input, held against `peer_table.txt`, where it can be read.
//!
//! A state is what its two connections are in, and what keeps it from dialling or from letting the neighbour in.

use std::time::{Duration, Instant};

use super::{
    connection_tests::{remote_open, settings, word},
    *,
};
use crate::wire::{ErrorCode, Notification, Open};

const HOLD_OFF: Duration = Duration::from_secs(300);

struct Rig {
    peer: Peer,
    now: Instant,
}

impl Rig {
    fn new(passive: bool) -> Self {
        // The neighbour's identifier is 192.0.2.2, above ours: of two connections the one that it dialled survives.
        let settings = Settings { passive, ..settings(64_600, 1, 65_001) };
        Self { peer: Peer::new(settings, false, Jitter::none()), now: Instant::now() }
    }

    fn does(&mut self, input: Input) -> String {
        let outputs = self.peer.handle(input, self.now);
        outputs.iter().map(|output| self.word(output)).collect::<Vec<_>>().join(", ")
    }

    fn word(&self, output: &Output) -> String {
        match output {
            Output::On(Side::Outgoing, action) => format!("our {}", word(action, self.now)),
            Output::On(Side::Incoming, action) => format!("their {}", word(action, self.now)),
            Output::Accept => "accept".into(),
            Output::Refuse(with) => format!("refuse {}/{}", with.code.code, with.code.subcode),
            Output::SetIdleHold(at) => format!("idle hold {}", (*at - self.now).as_secs()),
            Output::StopIdleHold => "stop idle hold".into(),
        }
    }

    fn states(&self) -> String {
        let [outgoing, incoming] = Side::BOTH.map(|side| self.peer.connection(side).state());
        format!("{outgoing}/{incoming}")
    }
}

fn on(side: Side, event: Event) -> Input {
    Input::Connection(side, event)
}

fn open() -> Event {
    Event::Open(remote_open())
}

/// Every state, by the inputs that lead there.
fn states() -> Vec<(&'static str, bool, Vec<Input>)> {
    let (ours, theirs) = (Side::Outgoing, Side::Incoming);
    let lost = || Event::TcpClosed("reset".into());
    let stop = || Input::Stop(Notification::shutdown("bye"));
    let hold_off = || Input::HoldOff(Notification::new(ErrorCode::MAX_PREFIXES), HOLD_OFF);
    let connected = || vec![Input::Start, on(ours, Event::TcpConnected)];
    let up = |side| {
        let mut path = if side == ours { connected() } else { vec![Input::Start, Input::Accepted] };
        path.extend([on(side, open()), on(side, Event::Keepalive)]);
        path
    };
    let then = |mut path: Vec<Input>, more: Vec<Input>| {
        path.extend(more);
        path
    };
    let session =
        || vec![Input::Accepted, on(theirs, open()), on(theirs, Event::Keepalive), on(theirs, lost())];
    let flaps = (0..4).flat_map(|_| session()).collect();
    vec![
        ("new", false, vec![]),
        ("dialling", false, vec![Input::Start]),
        ("dial failed", false, vec![Input::Start, on(ours, Event::TcpFailed("refused".into()))]),
        ("passive", true, vec![Input::Start]),
        ("idle hold", false, then(connected(), vec![on(ours, lost())])),
        ("we said open", false, connected()),
        ("they dialled", false, vec![Input::Start, Input::Accepted]),
        ("both said open", false, then(connected(), vec![Input::Accepted])),
        ("ours confirmed", false, then(connected(), vec![on(ours, open())])),
        ("ours confirmed, they dialled", false, then(connected(), vec![on(ours, open()), Input::Accepted])),
        ("theirs confirmed, we dialled", false, then(connected(), vec![Input::Accepted, on(theirs, open())])),
        ("established, ours", false, up(ours)),
        ("established, theirs", false, up(theirs)),
        ("damped", false, then(vec![Input::Start], flaps)),
        ("held off", false, then(up(ours), vec![hold_off()])),
        ("stopped", false, then(up(ours), vec![stop()])),
    ]
}

/// Every input, and of events on a connection one for each thing that a peer makes of it: it goes on, is up, or is over.
fn inputs() -> Vec<(String, Input)> {
    let wrong = || Event::Open(Open { my_as: 1, capabilities: Vec::new(), ..remote_open() });
    let collision = || Event::Notification(Notification::new(ErrorCode::COLLISION));
    let mut inputs = vec![
        ("start".to_owned(), Input::Start),
        ("they dial".into(), Input::Accepted),
        ("idle hold expires".into(), Input::IdleHoldExpired),
        ("stop".into(), Input::Stop(Notification::shutdown("bye"))),
        ("hold off".into(), Input::HoldOff(Notification::new(ErrorCode::MAX_PREFIXES), HOLD_OFF)),
    ];
    for (name, side) in [("our", Side::Outgoing), ("their", Side::Incoming)] {
        let events = [
            ("open", open()),
            ("wrong open", wrong()),
            ("keepalive", Event::Keepalive),
            ("TCP lost", Event::TcpClosed("reset".into())),
            ("collision", collision()),
        ];
        inputs.extend(events.map(|(event, what)| (format!("{name} {event}"), on(side, what))));
    }
    inputs
}

/// A line for each pair that does something; the others leave the state as it is.
fn table() -> String {
    let mut table = String::new();
    for (name, passive, path) in states() {
        let mut rig = Rig::new(passive);
        path.into_iter().for_each(|input| drop(rig.peer.handle(input, rig.now)));
        let before = rig.states();
        table += &format!("{name}: {before}\n");
        for (event, input) in inputs() {
            let mut rig = Rig { peer: rig.peer.clone(), now: rig.now };
            let does = rig.does(input);
            let after = rig.states();
            if !does.is_empty() || after != before {
                table += &format!("    {event:<18} {after}: {does}\n");
            }
        }
    }
    table
}

#[test]
fn every_state_of_a_peer_answers_every_input_as_the_table_says() {
    let (table, path) = (table(), concat!(env!("CARGO_MANIFEST_DIR"), "/src/fsm/peer_table.txt"));
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap();
    for (line, is) in expected.lines().zip(table.lines()) {
        assert_eq!(is, line);
    }
    assert_eq!(table.lines().count(), expected.lines().count());
}
