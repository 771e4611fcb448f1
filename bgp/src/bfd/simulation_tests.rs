//! Two sessions on one virtual clock, with a network between them that delays, loses and reorders.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;
use crate::fsm::Jitter;

#[derive(Clone, Debug)]
enum Happening {
    Arrives {
        to: usize,
        packet: Packet,
    },
    /// Valid while it is the latest of its kind.
    Timer {
        node: usize,
        timer: Timer,
        serial: u64,
    },
    Fault(Fault),
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A node forgets everything without a word and starts again.
    Restart(usize),
    /// Nothing gets through for so many milliseconds.
    Cut(u64),
    /// Another timing.
    Configure(usize, Timing),
    /// An operator takes a node down, and up again after so many milliseconds.
    Disable(usize, u64),
    Enable(usize),
}

struct Node {
    session: Session,
    timers: BTreeMap<Timer, u64>,
    changes: Vec<(Instant, Transition)>,
}

struct World {
    start: Instant,
    now: Instant,
    nodes: [Node; 2],
    queue: BTreeMap<(Instant, u64), Happening>,
    serial: u64,
    /// In milliseconds, in turn; `None` is lost.
    network: Vec<Option<u64>>,
    sent: usize,
    cut_until: Instant,
}

impl World {
    fn new(network: Vec<Option<u64>>, timings: [Timing; 2], seed: u64) -> Self {
        let start = Instant::now();
        let nodes = [0, 1].map(|node| fresh(node, timings[node], seed));
        let mut world = Self {
            start,
            now: start,
            nodes,
            queue: BTreeMap::new(),
            serial: 10,
            network,
            sent: 0,
            cut_until: start,
        };
        (0..2).for_each(|node| world.input(node, Event::Start));
        world
    }

    fn at(&mut self, at: Instant, happening: Happening) -> u64 {
        self.serial += 1;
        self.queue.insert((at, self.serial), happening);
        self.serial
    }

    fn fault(&mut self, after: Duration, fault: Fault) {
        self.at(self.start + after, Happening::Fault(fault));
    }

    fn input(&mut self, node: usize, event: Event) {
        for output in self.nodes[node].session.handle(event, self.now) {
            match output {
                Output::Send(packet) => self.send(1 - node, packet),
                Output::SetTimer(timer, at) => {
                    let serial = self.serial + 1;
                    self.at(at, Happening::Timer { node, timer, serial });
                    self.nodes[node].timers.insert(timer, serial);
                }
                Output::StopTimer(timer) => {
                    self.nodes[node].timers.remove(&timer);
                }
                Output::Changed(transition) => self.nodes[node].changes.push((self.now, transition)),
            }
        }
    }

    fn send(&mut self, to: usize, packet: Packet) {
        assert!(!(packet.poll && packet.is_final), "never both (RFC 5880 §6.5)");
        self.sent += 1;
        let delay = self.network[self.sent % self.network.len()];
        if let Some(delay) = delay.filter(|_| self.now >= self.cut_until) {
            let packet = Packet::decode(&packet.encode()).expect("what is sent is well-formed");
            self.at(self.now + Duration::from_millis(delay), Happening::Arrives { to, packet });
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrives { to, packet } => {
                let own = self.nodes[to].session.local_discriminator();
                // What the service's demultiplexing lets through.
                let is_ours =
                    packet.your_discriminator.map_or(packet.state <= State::Down, |yours| yours == own);
                if is_ours && self.now >= self.cut_until {
                    self.input(to, Event::Received(packet));
                }
            }
            Happening::Timer { node, timer, serial } => {
                if self.nodes[node].timers.get(&timer) == Some(&serial) {
                    self.nodes[node].timers.remove(&timer);
                    self.input(node, Event::Timer(timer));
                }
            }
            Happening::Fault(Fault::Restart(node)) => {
                let seed = self.serial;
                self.nodes[node] = fresh(node, Timing::DEFAULT, seed);
                self.input(node, Event::Start);
            }
            Happening::Fault(Fault::Cut(millis)) => {
                self.cut_until = self.cut_until.max(self.now + Duration::from_millis(millis));
            }
            Happening::Fault(Fault::Configure(node, timing)) => self.input(node, Event::Configure(timing)),
            Happening::Fault(Fault::Disable(node, millis)) => {
                self.input(node, Event::Disable);
                self.at(self.now + Duration::from_millis(millis), Happening::Fault(Fault::Enable(node)));
            }
            Happening::Fault(Fault::Enable(node)) => self.input(node, Event::Start),
        }
    }

    fn run_until(&mut self, after: Duration) {
        let until = self.start + after;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) {
            self.now = entry.key().0;
            let happening = entry.remove();
            self.happen(happening);
        }
        self.now = until;
    }

    fn both_up(&self) -> bool {
        self.nodes.iter().all(|node| node.session.state() == State::Up)
    }

    fn failures(&self) -> usize {
        self.nodes.iter().flat_map(|node| &node.changes).filter(|(_, change)| change.is_failure()).count()
    }

    /// The longest that either end may take to see a cut, from the last packet that came through.
    fn detection_time(&self) -> Duration {
        self.nodes.iter().filter_map(|node| node.session.detection_time()).max().expect("both are heard")
    }
}

fn fresh(node: usize, timing: Timing, seed: u64) -> Node {
    let number = u32::try_from(seed % 1_000_000).unwrap() * 2 + u32::try_from(node).unwrap() + 1;
    let local = Discriminator::new(number).unwrap();
    let session = Session::new(local, timing, Jitter::seeded(seed.wrapping_add(node as u64)));
    Node { session, timers: BTreeMap::new(), changes: Vec::new() }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn two_ends_are_up_within_three_seconds_and_stay_up_for_hours() {
    let mut world = World::new(vec![Some(5)], [Timing::DEFAULT; 2], 1);
    world.run_until(seconds(3));
    assert!(world.both_up());
    world.run_until(seconds(4 * 3600));
    assert_eq!(world.failures(), 0);
    let rate = world.sent as f64 / 2.0 / (4.0 * 3600.0);
    assert!((3.3..4.5).contains(&rate), "{rate} packets a second");
}

#[test]
fn a_cut_is_found_by_both_ends_within_the_detection_time() {
    for (interval, multiplier) in [(300, 3), (50, 3), (1000, 5), (300, 1)] {
        let timing = Timing::new(Duration::from_millis(interval), multiplier).unwrap();
        let mut world = World::new(vec![Some(1)], [timing; 2], interval);
        world.run_until(seconds(20));
        assert!(world.both_up());
        let within = timing.interval() * u32::from(multiplier);
        assert_eq!(world.detection_time(), within);
        world.fault(seconds(20), Fault::Cut(60_000));
        world.run_until(seconds(40));
        for node in &world.nodes {
            let (at, change) = node.changes.last().unwrap();
            let took = *at - world.start - seconds(20);
            assert!(change.is_failure() && change.diagnostic == Diagnostic::TIME_EXPIRED, "{change:?}");
            assert!(took <= within, "{took:?} for {timing:?}");
        }
    }
}

#[test]
fn a_cut_in_one_direction_is_told_to_the_end_that_does_not_see_it() {
    // Only packets to node 0 are lost: it finds out, and says so.
    let mut world = World::new(vec![Some(1)], [Timing::DEFAULT; 2], 3);
    world.run_until(seconds(10));
    let silence = Event::Timer(Timer::Detection);
    world.input(0, silence);
    world.run_until(seconds(10) + Duration::from_millis(2));
    let (_, change) = world.nodes[1].changes.last().unwrap();
    assert_eq!((change.to, change.diagnostic), (State::Down, Diagnostic::NEIGHBOR_DOWN));
    assert!(change.is_failure());
}

#[test]
fn an_end_that_is_taken_down_is_no_failure_to_the_other_and_both_come_back() {
    let mut world = World::new(vec![Some(3)], [Timing::DEFAULT; 2], 4);
    world.fault(seconds(20), Fault::Disable(0, 30_000));
    world.run_until(seconds(45));
    assert_eq!(world.nodes[1].session.state(), State::Down);
    assert_eq!(world.nodes[1].session.remote().0, State::AdminDown);
    world.run_until(seconds(60));
    assert!(world.both_up());
    assert_eq!(world.failures(), 0);
}

fn timings() -> impl Strategy<Value = Timing> {
    (10_u64..2000, 2_u8..6)
        .prop_map(|(millis, multiplier)| Timing::new(Duration::from_millis(millis), multiplier).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_network_did_both_ends_are_up_in_the_end_and_then_find_a_cut_in_time(
        network in proptest::collection::vec(proptest::option::weighted(0.8, 0_u64..400), 1..40),
        own in timings(), other in timings(), seed: u64,
        faults in proptest::collection::vec((0_u64..60_000, prop_oneof![
            (0_usize..2).prop_map(Fault::Restart),
            (0_u64..10_000).prop_map(Fault::Cut),
            (0_usize..2, timings()).prop_map(|(node, timing)| Fault::Configure(node, timing)),
            (0_usize..2, 0_u64..10_000).prop_map(|(node, millis)| Fault::Disable(node, millis)),
        ]), 0..8),
    ) {
        let mut world = World::new(network, [own, other], seed);
        for (millis, fault) in faults {
            world.fault(Duration::from_millis(millis), fault);
        }
        world.run_until(seconds(71));
        // The network is well again: everything that either end waited for is over, and they meet.
        world.network = vec![Some(1)];
        world.run_until(seconds(71 + 60));
        prop_assert!(world.both_up(), "{:?}", world.nodes.each_ref().map(|node| node.session.state()));
        let failures = world.failures();
        world.run_until(seconds(71 + 120));
        prop_assert_eq!(world.failures(), failures, "a path without loss does not flap");
        let within = world.detection_time();
        world.fault(seconds(71 + 120), Fault::Cut(60_000));
        world.run_until(seconds(71 + 120) + within);
        prop_assert!(world.nodes.iter().all(|node| node.session.state() == State::Down));
        prop_assert_eq!(world.failures(), failures + 2);
    }

    #[test]
    fn an_operators_down_is_never_a_failure_when_packets_arrive(
        delay in 0_u64..100, seed: u64,
        downs in proptest::collection::vec((0_usize..2, 5_000_u64..20_000), 1..6),
    ) {
        let mut world = World::new(vec![Some(delay)], [Timing::DEFAULT; 2], seed);
        for (index, (node, millis)) in (0_u64..).zip(downs) {
            world.fault(seconds(40 * index + 10), Fault::Disable(node, millis));
        }
        world.run_until(seconds(300));
        prop_assert!(world.both_up());
        prop_assert_eq!(world.failures(), 0);
    }
}
