//! Two peers on one virtual clock, with a network between them that is slow, refuses and breaks.
//!
//! A connection is two one-way streams. Whatever one end sends arrives in order, later; closing one end makes the
//! other see it closed after what was sent before. Each announces a set of routes that changes, and holds what it was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{connection_tests::settings, *};
use crate::{
    Family, Prefix, Route, RouteSet,
    rib::{AdjRibOut, Batch, Export},
};

/// A TCP connection: its number. The dialling end is `Outgoing` at node `dialler`.
type Wire = usize;

#[derive(Clone, Debug)]
enum Happening {
    /// Something arrives at a node from a connection.
    Arrives {
        node: usize,
        wire: Wire,
        event: Event,
    },
    /// A connection reaches the node that was dialled.
    Dialled {
        node: usize,
        wire: Wire,
    },
    /// A timer of a connection, valid while it is the latest of its kind.
    Timer {
        node: usize,
        side: Side,
        timer: Timer,
        serial: u64,
    },
    IdleHold {
        node: usize,
        serial: u64,
    },
    /// Routes arrive at a node from a connection.
    Told {
        node: usize,
        wire: Wire,
        batch: Batch,
    },
    /// A node is to announce so many routes from now on.
    Wants {
        node: usize,
        routes: u8,
    },
    Fault(Fault),
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Every connection breaks; both ends see it.
    Reset,
    /// A node forgets everything without a word; the other end learns of it when it sends.
    Crash(usize),
}

struct Node {
    peer: Peer,
    wires: BTreeMap<Side, Wire>,
    timers: BTreeMap<(Side, Timer), u64>,
    idle_hold: Option<u64>,
    wants: RouteSet,
    out: Option<AdjRibOut>,
    /// What it was told by the other in this session.
    holds: BTreeSet<Prefix>,
}

impl Node {
    fn new(node: usize, restarting: bool, seed: u64) -> Self {
        let (own, other) = if node == 0 { (64_600, 65_001) } else { (65_001, 64_600) };
        let router_id = u8::try_from(node).unwrap() + 1;
        Self {
            peer: Peer::new(settings(own, router_id, other), restarting, Jitter::seeded(seed)),
            wires: BTreeMap::new(),
            timers: BTreeMap::new(),
            idle_hold: None,
            wants: RouteSet::new(),
            out: None,
            holds: BTreeSet::new(),
        }
    }
}

/// Some routes of both families.
fn routes(count: u8) -> RouteSet {
    let prefix = |n: u8| -> Prefix {
        let text = if n.is_multiple_of(2) { format!("10.0.0.{n}/32") } else { format!("fd00::{n:x}/128") };
        text.parse().unwrap()
    };
    (0..count).map(|n| Route::new(prefix(n))).collect()
}

struct World {
    now: Instant,
    start: Instant,
    nodes: [Node; 2],
    queue: BTreeMap<(Instant, u64), Happening>,
    serial: u64,
    wires: Wire,
    /// Wires that no end has any more: what is sent on them is answered with a reset.
    dead: BTreeSet<Wire>,
    delays: Vec<u64>,
    /// When each stream's last octet arrives, so that nothing overtakes.
    last: BTreeMap<(Wire, usize), Instant>,
    sessions: usize,
}

impl World {
    fn new(delays: Vec<u64>, seed: u64) -> Self {
        let start = Instant::now();
        let nodes = [0, 1].map(|node| {
            Node::new(node, false, seed.wrapping_mul(2).wrapping_add(u64::try_from(node).unwrap()))
        });
        let mut world = Self {
            now: start,
            start,
            nodes,
            queue: BTreeMap::new(),
            serial: 0,
            wires: 0,
            dead: BTreeSet::new(),
            delays,
            last: BTreeMap::new(),
            sessions: 0,
        };
        for node in 0..2 {
            world.input(node, Input::Start);
        }
        world
    }

    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn at(&mut self, at: Instant, happening: Happening) {
        let serial = self.serial();
        self.queue.insert((at, serial), happening);
    }

    fn delay(&mut self) -> Duration {
        let index = usize::try_from(self.serial()).unwrap() % self.delays.len();
        Duration::from_millis(self.delays[index])
    }

    /// Towards `node`, after everything that is already on its way there.
    fn deliver(&mut self, node: usize, wire: Wire, happening: Happening) {
        let at = (self.now + self.delay()).max(self.last.get(&(wire, node)).copied().unwrap_or(self.now));
        self.last.insert((wire, node), at);
        self.at(at, happening);
    }

    fn input(&mut self, node: usize, input: Input) {
        let outputs = self.nodes[node].peer.handle(input, self.now);
        for output in outputs {
            self.output(node, output, None);
        }
    }

    fn accepted(&mut self, node: usize, wire: Wire) {
        let outputs = self.nodes[node].peer.handle(Input::Accepted, self.now);
        for output in outputs {
            self.output(node, output, Some(wire));
        }
    }

    fn output(&mut self, node: usize, output: Output, dialled: Option<Wire>) {
        match output {
            Output::Accept => {
                self.nodes[node].wires.insert(Side::Incoming, dialled.expect("accepted"));
            }
            Output::Refuse(_) => {
                let wire = dialled.expect("refused");
                let event = Event::TcpClosed("refused".into());
                self.deliver(1 - node, wire, Happening::Arrives { node: 1 - node, wire, event });
            }
            Output::SetIdleHold(at) => {
                let serial = self.serial();
                self.nodes[node].idle_hold = Some(serial);
                self.at(at, Happening::IdleHold { node, serial });
            }
            Output::StopIdleHold => self.nodes[node].idle_hold = None,
            Output::On(side, action) => self.action(node, side, action),
        }
    }

    fn action(&mut self, node: usize, side: Side, action: Action) {
        match action {
            Action::Connect => {
                self.wires += 1;
                let wire = self.wires;
                self.nodes[node].wires.insert(side, wire);
                self.deliver(1 - node, wire, Happening::Dialled { node: 1 - node, wire });
            }
            Action::Send(message) => {
                let event = match message {
                    Outgoing::Open(open) => Event::Open(open),
                    Outgoing::Keepalive => Event::Keepalive,
                    Outgoing::Notification(notification) => Event::Notification(notification),
                };
                self.send(node, side, event);
            }
            Action::Close => {
                self.send(node, side, Event::TcpClosed("closed by the other end".into()));
                self.nodes[node].wires.remove(&side);
                self.nodes[node].timers.retain(|(of, _), _| *of != side);
            }
            Action::SetTimer(timer, at) => {
                let serial = self.serial();
                self.nodes[node].timers.insert((side, timer), serial);
                self.at(at, Happening::Timer { node, side, timer, serial });
            }
            Action::StopTimer(timer) => {
                self.nodes[node].timers.remove(&(side, timer));
            }
            Action::SessionUp(negotiated) => {
                self.sessions += 1;
                let asn = settings(if node == 0 { 64_600 } else { 65_001 }, 1, 64_600).asn;
                let (four, six) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().ok());
                let export = Export::new(asn, &Family::ALL.into(), &negotiated, four, None, six);
                self.nodes[node].out = Some(AdjRibOut::new(export));
                self.nodes[node].holds.clear();
                self.tell(node);
            }
            Action::Ended(_) => {
                if self.nodes[node].peer.established().is_none() {
                    self.nodes[node].out = None;
                    self.nodes[node].holds.clear();
                }
            }
            Action::AttemptFailed(_) | Action::Refresh(_, _) => {}
        }
    }

    /// Tells the other everything that is outstanding.
    fn tell(&mut self, node: usize) {
        let Some((side, _)) = self.nodes[node].peer.established() else { return };
        let Some(wire) = self.nodes[node].wires.get(&side).copied() else { return };
        let whole = self.nodes[node].wants.clone();
        if let Some(out) = &mut self.nodes[node].out {
            out.set(&whole);
        }
        while let Some(batch) = self.nodes[node].out.as_mut().and_then(AdjRibOut::next_batch) {
            if self.dead.contains(&wire) {
                self.send(node, side, Event::Update);
            } else {
                self.deliver(1 - node, wire, Happening::Told { node: 1 - node, wire, batch });
            }
        }
    }

    fn told(&mut self, node: usize, wire: Wire, batch: Batch) {
        let side = self.nodes[node].wires.iter().find(|(_, of)| **of == wire).map(|(side, _)| *side);
        let Some(side) = side else { return };
        if self.nodes[node].peer.connection(side).state() == StateName::Established {
            let holds = &mut self.nodes[node].holds;
            match batch {
                Batch::Withdraw { prefixes, .. } => holds.retain(|prefix| !prefixes.contains(prefix)),
                Batch::Announce { prefixes, .. } => holds.extend(prefixes),
                Batch::EndOfRib(_) | Batch::Refresh(_, _) => {}
            }
        }
        self.input(node, Input::Connection(side, Event::Update));
    }

    fn send(&mut self, node: usize, side: Side, event: Event) {
        let Some(wire) = self.nodes[node].wires.get(&side).copied() else { return };
        if self.dead.contains(&wire) {
            let event = Event::TcpClosed("reset by the other end".into());
            self.deliver(node, wire, Happening::Arrives { node, wire, event });
        } else {
            self.deliver(1 - node, wire, Happening::Arrives { node: 1 - node, wire, event });
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrives { node, wire, event } => {
                let side = self.nodes[node].wires.iter().find(|(_, of)| **of == wire).map(|(side, _)| *side);
                if let Some(side) = side {
                    self.input(node, Input::Connection(side, event));
                }
            }
            Happening::Dialled { node, wire } => {
                let event = Event::TcpConnected;
                self.deliver(1 - node, wire, Happening::Arrives { node: 1 - node, wire, event });
                self.accepted(node, wire);
            }
            Happening::Timer { node, side, timer, serial } => {
                if self.nodes[node].timers.get(&(side, timer)) == Some(&serial) {
                    self.nodes[node].timers.remove(&(side, timer));
                    self.input(node, Input::Connection(side, Event::Timer(timer)));
                }
            }
            Happening::IdleHold { node, serial } => {
                if self.nodes[node].idle_hold == Some(serial) {
                    self.nodes[node].idle_hold = None;
                    self.input(node, Input::IdleHoldExpired);
                }
            }
            Happening::Told { node, wire, batch } => self.told(node, wire, batch),
            Happening::Wants { node, routes: count } => {
                self.nodes[node].wants = routes(count);
                self.tell(node);
            }
            Happening::Fault(fault) => self.fault(fault),
        }
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Reset => {
                for node in 0..2 {
                    for (_, wire) in self.nodes[node].wires.clone() {
                        let event = Event::TcpClosed("reset".into());
                        self.deliver(node, wire, Happening::Arrives { node, wire, event });
                    }
                }
            }
            Fault::Crash(node) => {
                let wires: Vec<_> = self.nodes[node].wires.values().copied().collect();
                self.dead.extend(wires);
                let wants = self.nodes[node].wants.clone();
                let seed = self.serial();
                self.nodes[node] = Node { wants, ..Node::new(node, true, seed) };
                self.input(node, Input::Start);
            }
        }
    }

    /// Runs until a time, checking after every happening that a node never has two sessions.
    fn run_until(&mut self, until: Duration) -> Result<(), TestCaseError> {
        let until = self.start + until;
        while let Some(entry) = self.queue.first_entry() {
            let at = entry.key().0;
            if at > until {
                break;
            }
            let happening = entry.remove();
            self.now = at;
            self.happen(happening);
            for node in &self.nodes {
                let established = |side: &Side| node.peer.connection(*side).state() == StateName::Established;
                let sessions = Side::BOTH.iter().filter(|side| established(side)).count();
                prop_assert!(sessions <= 1, "a node has two sessions");
                prop_assert!(node.wires.len() <= 2);
            }
        }
        self.now = until;
        Ok(())
    }

    /// Both are established, on the same connection.
    fn one_session(&self) -> bool {
        let wire = |node: usize| {
            let (side, _) = self.nodes[node].peer.established()?;
            self.nodes[node].wires.get(&side).copied()
        };
        wire(0).is_some() && wire(0) == wire(1)
    }

    /// Each holds exactly what the other wants it to.
    fn agree(&self) -> bool {
        (0..2).all(|node| self.nodes[1 - node].holds.iter().eq(self.nodes[node].wants.keys()))
    }
}

#[test]
fn two_speakers_that_dial_at_the_same_moment_end_with_one_session() {
    let mut world = World::new(vec![10], 1);
    world.run_until(Duration::from_secs(30)).unwrap();
    assert!(world.one_session());
}

#[test]
fn a_session_stays_up_for_hours_by_its_keepalives() {
    let mut world = World::new(vec![3, 20], 2);
    world.run_until(Duration::from_secs(60)).unwrap();
    let sessions = world.sessions;
    world.run_until(Duration::from_secs(4 * 3600)).unwrap();
    assert!(world.one_session());
    assert_eq!(world.sessions, sessions, "it never went down");
}

#[test]
fn a_lost_connection_comes_back() {
    let mut world = World::new(vec![10], 3);
    for seconds in [60, 200, 201, 400] {
        let at = world.start + Duration::from_secs(seconds);
        world.at(at, Happening::Fault(Fault::Reset));
    }
    world.run_until(Duration::from_secs(600)).unwrap();
    assert!(world.one_session());
}

#[test]
fn a_neighbour_that_crashed_and_came_back_is_found_without_waiting_for_the_hold_time() {
    for node in 0..2 {
        let mut world = World::new(vec![10], 4);
        let at = world.start + Duration::from_secs(120);
        world.at(at, Happening::Fault(Fault::Crash(node)));
        world.run_until(Duration::from_secs(150)).unwrap();
        assert!(world.one_session(), "node {node} is back within 30 s of a hold time of 90 s");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_the_network_does_there_are_never_two_sessions_and_in_the_end_one_with_all_routes(
        delays in proptest::collection::vec(0_u64..400, 1..40),
        seed: u64,
        faults in proptest::collection::vec((0_u64..300_000, prop_oneof![
            Just(Fault::Reset), (0_usize..2).prop_map(Fault::Crash),
        ]), 0..8),
        changes in proptest::collection::vec((0_u64..300_000, 0_usize..2, 0_u8..20), 0..12),
    ) {
        let mut world = World::new(delays, seed);
        for (millis, fault) in faults {
            let at = world.start + Duration::from_millis(millis);
            world.at(at, Happening::Fault(fault));
        }
        for (millis, node, routes) in changes {
            let at = world.start + Duration::from_millis(millis);
            world.at(at, Happening::Wants { node, routes });
        }
        // The last fault, a full idle hold on both ends, and some tries.
        world.run_until(Duration::from_secs(300 + 240))?;
        prop_assert!(world.one_session(), "{:?}", world.nodes.each_ref().map(|node| node.peer.state()));
        prop_assert!(world.agree(), "{:?}", world.nodes.each_ref().map(|node| (&node.wants, &node.holds)));
    }
}
