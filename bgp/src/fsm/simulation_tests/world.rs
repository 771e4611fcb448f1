//! Two peers, what is between them, and what happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    super::{connection_tests::settings, *},
    fault::{Happening, Wire, Wrong},
};
use crate::{
    Family, LocalRole, Prefix, Role, Route, RouteSet,
    rib::{AdjRibOut, Batch, Export},
    wire::Open,
};

pub(super) struct Node {
    pub(super) peer: Peer,
    pub(super) wires: BTreeMap<Side, Wire>,
    timers: BTreeMap<(Side, Timer), u64>,
    idle_hold: Option<u64>,
    pub(super) wants: RouteSet,
    out: Option<AdjRibOut>,
    /// What it was told by the other in this session.
    pub(super) holds: BTreeSet<Prefix>,
    /// When something last came over the session's connection.
    heard: Instant,
}

impl Node {
    pub(super) fn new(node: usize, internal: bool, restarting: bool, seed: u64) -> Self {
        let (own, other) = ases(node, internal);
        let router_id = u8::try_from(node).unwrap() + 1;
        let role = if node == 0 { Role::Provider } else { Role::Customer };
        let role = Some(LocalRole { role, strict: true });
        let settings = Settings { role, ..settings(own, router_id, other) };
        Self {
            peer: Peer::new(settings, restarting, Jitter::seeded(seed)),
            wires: BTreeMap::new(),
            timers: BTreeMap::new(),
            idle_hold: None,
            wants: RouteSet::new(),
            out: None,
            holds: BTreeSet::new(),
            heard: Instant::now(),
        }
    }
}

/// A node's AS and the other's.
const fn ases(node: usize, internal: bool) -> (u32, u32) {
    match (internal, node) {
        (true, _) => (64_600, 64_600),
        (false, 0) => (64_600, 65_001),
        (false, _) => (65_001, 64_600),
    }
}

/// The hold time of both.
const HOLD: Duration = Duration::from_secs(90);

/// Some routes of both families.
pub(super) fn routes(count: u8) -> RouteSet {
    let prefix = |n: u8| -> Prefix {
        let text = if n.is_multiple_of(2) { format!("10.0.0.{n}/32") } else { format!("fd00::{n:x}/128") };
        text.parse().unwrap()
    };
    (0..count).map(|n| Route::new(prefix(n))).collect()
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) nodes: [Node; 2],
    /// They are in the same AS.
    pub(super) internal: bool,
    queue: BTreeMap<(Instant, u64), Happening>,
    serial: u64,
    wires: Wire,
    /// Wires that no end has any more: what is sent on them is answered with a reset.
    pub(super) dead: BTreeSet<Wire>,
    /// Wires on which nothing arrives, and nobody is told.
    pub(super) deaf: BTreeSet<Wire>,
    /// Nothing arrives before.
    pub(super) parted_until: Instant,
    /// What is wrong with the OPENs of each.
    pub(super) wrong: [Option<Wrong>; 2],
    /// Wires on which an OPEN came that had to be refused.
    refused: BTreeSet<Wire>,
    delays: Vec<u64>,
    /// When each stream's last octet arrives, so that nothing overtakes.
    last: BTreeMap<(Wire, usize), Instant>,
    pub(super) sessions: usize,
    /// The first thing that must not have happened.
    broken: Option<String>,
    /// How often both were seen to hold what the other wants, with nothing under way.
    pub(super) quiet: usize,
}

impl World {
    pub(super) fn new(delays: Vec<u64>, seed: u64, internal: bool) -> Self {
        let start = Instant::now();
        let nodes = [0, 1].map(|node| {
            Node::new(node, internal, false, seed.wrapping_mul(2).wrapping_add(u64::try_from(node).unwrap()))
        });
        let mut world = Self {
            now: start,
            start,
            nodes,
            internal,
            queue: BTreeMap::new(),
            serial: 0,
            wires: 0,
            dead: BTreeSet::new(),
            deaf: BTreeSet::new(),
            parted_until: start,
            wrong: [None; 2],
            refused: BTreeSet::new(),
            delays,
            last: BTreeMap::new(),
            sessions: 0,
            broken: None,
            quiet: 0,
        };
        for node in 0..2 {
            world.input(node, Input::Start);
        }
        world
    }

    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn at(&mut self, at: Instant, happening: Happening) {
        let serial = self.serial();
        self.queue.insert((at, serial), happening);
    }

    fn delay(&mut self) -> Duration {
        let index = usize::try_from(self.serial()).unwrap() % self.delays.len();
        Duration::from_millis(self.delays[index])
    }

    /// Towards `node`, after everything that is already on its way there.
    pub(super) fn deliver(&mut self, node: usize, wire: Wire, happening: Happening) {
        if self.deaf.contains(&wire) {
            return;
        }
        let earliest = self.now.max(self.parted_until);
        let at = (earliest + self.delay()).max(self.last.get(&(wire, node)).copied().unwrap_or(self.now));
        self.last.insert((wire, node), at);
        self.at(at, happening);
    }

    pub(super) fn input(&mut self, node: usize, input: Input) {
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
                    Outgoing::Open(open) => Event::Open(self.opens(node, side, open)),
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
                self.nodes[node].heard = self.now;
                if self.nodes[node].wires.get(&side).is_some_and(|wire| self.refused.contains(wire)) {
                    self.broken =
                        Some(format!("node {node} is established with an OPEN that has to be refused"));
                }
                let (own, other) = ases(node, self.internal);
                let asn = settings(own, 1, other).asn;
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

    /// The OPEN as it goes out.
    fn opens(&mut self, node: usize, side: Side, mut open: Open) -> Open {
        if let (Some(wrong), Some(wire)) = (self.wrong[node], self.nodes[node].wires.get(&side)) {
            let to = settings(1, u8::try_from(1 - node).unwrap() + 1, 1).router_id;
            wrong.spoil(&mut open, self.internal, to);
            self.refused.insert(*wire);
        }
        open
    }

    /// Puts off everything that is under way until the network is one again.
    pub(super) fn put_off(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        for ((at, serial), happening) in queue {
            let at = if happening.is_under_way() { at.max(self.parted_until) } else { at };
            self.queue.insert((at, serial), happening);
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
        self.heard(node, side);
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
                    self.heard(node, side);
                    self.input(node, Input::Connection(side, event));
                }
            }
            // Who gave up dialling answers the other's SYN with a reset.
            Happening::Dialled { node, wire }
                if !self.nodes[1 - node].wires.values().any(|of| *of == wire) => {}
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

    fn heard(&mut self, node: usize, side: Side) {
        if self.nodes[node].peer.established().is_some_and(|(established, _)| established == side) {
            self.nodes[node].heard = self.now;
        }
    }

    /// Runs until a time, checking after every happening what has to be so at any time.
    pub(super) fn run_until(&mut self, until: Duration) -> Result<(), TestCaseError> {
        let until = self.start + until;
        while let Some(entry) = self.queue.first_entry() {
            let at = entry.key().0;
            if at > until {
                break;
            }
            let happening = entry.remove();
            self.now = at;
            self.happen(happening);
            self.check()?;
        }
        self.now = until;
        Ok(())
    }

    /// A node never has two sessions, none with an OPEN that is to be refused, and none that was silent for longer than the
    /// hold time; and when nothing is under way each holds exactly what the other wants it to.
    fn check(&mut self) -> Result<(), TestCaseError> {
        prop_assert_eq!(&self.broken, &None);
        for node in &self.nodes {
            let established = |side: &Side| node.peer.connection(*side).state() == StateName::Established;
            let sessions = Side::BOTH.iter().filter(|side| established(side)).count();
            prop_assert!(sessions <= 1, "a node has two sessions");
            prop_assert!(node.wires.len() <= 2);
            if sessions == 1 {
                let silent = self.now.saturating_duration_since(node.heard);
                prop_assert!(silent <= HOLD, "a session lives on though it was silent for {silent:?}");
            }
        }
        if self.is_quiet() {
            self.quiet += 1;
            prop_assert!(self.agree(), "{:?}", self.nodes.each_ref().map(|node| (&node.wants, &node.holds)));
        }
        Ok(())
    }

    /// There is one session, over which everything arrives, and nothing is under way.
    fn is_quiet(&self) -> bool {
        let is_deaf = |node: &Node| node.wires.values().any(|wire| self.deaf.contains(wire));
        self.one_session()
            && !self.nodes.iter().any(is_deaf)
            && !self.queue.values().any(Happening::is_under_way)
    }

    /// Both are established, on the same connection.
    pub(super) fn one_session(&self) -> bool {
        let wire = |node: usize| {
            let (side, _) = self.nodes[node].peer.established()?;
            self.nodes[node].wires.get(&side).copied()
        };
        wire(0).is_some() && wire(0) == wire(1)
    }

    /// Each holds exactly what the other wants it to.
    pub(super) fn agree(&self) -> bool {
        (0..2).all(|node| self.nodes[1 - node].holds.iter().eq(self.nodes[node].wants.keys()))
    }
}
