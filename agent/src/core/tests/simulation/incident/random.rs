//! Histories from a seed.

use super::super::sources::{PATHS, Place, SERVICES as FOUND, SOURCES};
use super::super::{configurations, nodes};
use super::{
    Asked, ByHand, FileIs, InKernel, Incident, Link, Node, Probed, Refuses, ServiceIs, Source, SourceIs,
};
use crate::config::{Admin, Backend};
use crate::core::change::Word;
use crate::core::event::TakenOut;
use crate::core::path::{Neighbour, Path};
use crate::core::saved::{SetWeight, VipWord};
use health::{Advice, Mode, Verdict};
use ipvs::Weight;

/// Random numbers from a seed (SplitMix64, Steele et al. 2014): the same everywhere and for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Clone>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len())].clone()
    }
}

const ADDRESSES: [&str; 10] = [
    "10.64.0.11",
    "10.64.0.12",
    "10.64.0.13",
    "10.64.0.14",
    "10.64.0.15",
    "10.64.0.16",
    "fd00::11",
    "fd00::12",
    "fd00::13",
    "fd00::14",
];
pub(in super::super) const FILES: [&str; 2] = ["/pools/a.json", "/pools/b.json"];
pub(in super::super) const NAMES: [&str; 2] = ["rs5", "rs6"];
const HOSTS: [&str; 10] =
    ["rs1", "rs2", "rs3", "rs4", "rs5", "rs6", "10.64.0.11", "10.64.0.12", "10.64.0.13", "nobody"];
const FILE_HOSTS: [&str; 6] = ["10.64.0.11", "10.64.0.12", "10.64.0.13", "10.64.0.14", "rs5", "rs6"];
const VIPS: [&str; 5] = ["192.0.2.10", "192.0.2.10", "192.0.2.11", "2001:db8::10", "192.0.2.20"];
/// Whose sources are confirmed, and a source of services.
const SERVICES: [&str; 5] = ["web", "other", "dns", "site", "k8s"];

fn weight(number: u32) -> Weight {
    Weight::new(number).unwrap()
}

/// A pool file of some of the hosts, most of them pooled.
fn pool(random: &mut Random) -> Vec<Backend> {
    let kept = random.of(&[1, 2, 4, 100, 100]);
    let mut backends = Vec::new();
    for host in FILE_HOSTS {
        if random.one_in(kept) && kept < 100 || host.starts_with("rs") && !random.one_in(3) {
            continue;
        }
        let weight = weight(random.of(&[10, 10, 10, 1, 100, 0]));
        let pooled =
            random.of(&[Admin::Pooled, Admin::Pooled, Admin::Pooled, Admin::Depooled, Admin::Inactive]);
        let pooled = if random.one_in(2) { Admin::Pooled } else { pooled };
        backends.push(Backend {
            host: host.into(),
            weight,
            pooled,
            limits: Default::default(),
            addresses: None,
        });
    }
    if backends.is_empty() {
        backends.push(Backend {
            host: FILE_HOSTS[0].into(),
            weight: weight(10),
            pooled: Admin::Pooled,
            limits: Default::default(),
            addresses: None,
        });
    }
    backends
}

fn file_is(random: &mut Random) -> FileIs {
    match random.below(8) {
        0 => FileIs::Silent,
        1 => FileIs::Broken,
        _ => FileIs::Good(pool(random)),
    }
}

/// The history of a seed. It begins with the files, names, sources and configuration that there are at the first start.
pub(in super::super) fn history(seed: u64) -> Vec<Incident> {
    let mut random = Random(seed);
    let mut history = Vec::new();
    let mut source = |source| history.push(Incident::Source(source));
    for path in FILES {
        source(Source::File { path, is: file_is(&mut random) });
    }
    for host in NAMES {
        let addresses = if random.one_in(4) { Vec::new() } else { vec![ADDRESSES[4]] };
        source(Source::Name { host, addresses });
    }
    for place in Place::ALL {
        source(Source::Pool { place, is: file_is(&mut random) });
    }
    let are = (0..FOUND.len()).map(|number| (number, service_is(&mut random))).collect();
    source(Source::Services { are, whole: true });
    for name in SOURCES {
        source(Source::Is { source: name, is: source_is(&mut random) });
    }
    let number = Some(random.below(configurations::COUNT));
    history.push(Incident::Killed { loses_state: false, loses_snapshots: false, number });
    let length = 3 + random.below(40);
    history.extend((0..length).map(|_| incident(&mut random)));
    history
}

fn incident(random: &mut Random) -> Incident {
    match random.below(58) {
        0..=6 => Incident::Passes {
            millis: random.of(&[0, 1, 250, 1000, 1000, 3000, 5000, 10_000, 25_000, 61_000]),
        },
        7 => Incident::Tick,
        8..=21 => Incident::Probed(probed(random)),
        22..=33 => Incident::Source(source(random)),
        34 | 35 => Incident::Configured { number: random.below(configurations::COUNT) },
        36..=44 => Incident::Asked(operator(random)),
        45..=49 => kernel(random),
        50 => Incident::Slow(random.one_in(2)),
        51 => Incident::Link(link(random)),
        52 => random.of(&[
            Incident::Stop,
            Incident::KilledAfter { actions: 0 },
            Incident::KilledAfter { actions: 2 },
        ]),
        53 => Incident::Leaps { millis: random.of(&[1000, 30_000, 3_600_000]) },
        54 => Incident::SetBack { millis: random.of(&[1, 1000, 10_000]) },
        55 | 56 => Incident::Node(node(random)),
        _ => Incident::Killed {
            loses_state: random.one_in(6),
            loses_snapshots: random.one_in(4),
            number: random.one_in(2).then(|| random.below(configurations::COUNT)),
        },
    }
}

fn probed(random: &mut Random) -> Probed {
    match random.below(14) {
        0..=6 => Probed::Checked {
            address: random.of(&ADDRESSES),
            only_first: random.one_in(4),
            verdict: random.of(&[Verdict::Down, Verdict::Down, Verdict::Up, Verdict::Up, Verdict::Unknown]),
        },
        7 => Probed::LateReport { verdict: random.of(&[Verdict::Down, Verdict::Up]) },
        8..=10 => Probed::ChecksSpeak { count: random.of(&[1, 2, 100, 100]) },
        _ => Probed::Advised {
            address: random.of(&ADDRESSES),
            advice: Advice {
                percent: random.of(&[None, None, Some(0), Some(1), Some(50), Some(100), Some(150)]),
                mode: random.of(&[None, Some(Mode::Ready), Some(Mode::Drain), Some(Mode::Maintenance)]),
            },
        },
    }
}

fn source(random: &mut Random) -> Source {
    match random.below(12) {
        0 | 1 => Source::File { path: random.of(&FILES), is: file_is(random) },
        2 => Source::Files { are: [file_is(random), file_is(random)] },
        3 => Source::Name {
            host: random.of(&NAMES),
            addresses: random.of(&[
                vec![],
                vec![ADDRESSES[4]],
                vec![ADDRESSES[5], "fd00::14"],
                vec![ADDRESSES[0]],
            ]),
        },
        4 | 5 => Source::Is { source: random.of(&SOURCES), is: source_is(random) },
        6..=8 => Source::Pool { place: random.of(&Place::ALL), is: file_is(random) },
        9 | 10 => {
            let count = random.of(&[1, 1, 2, FOUND.len()]);
            let are = (0..count).map(|_| (random.below(FOUND.len()), service_is(random))).collect();
            Source::Services { are, whole: random.one_in(3) }
        }
        _ => Source::Late { source: random.of(&SOURCES) },
    }
}

fn source_is(random: &mut Random) -> SourceIs {
    random.of(&[SourceIs::Live, SourceIs::Live, SourceIs::Live, SourceIs::Away, SourceIs::Silent])
}

fn service_is(random: &mut Random) -> ServiceIs {
    use ServiceIs::{Gone, Moved, Refused, There, Wrong};
    random.of(&[There, There, Moved, Gone, Refused, Wrong])
}

fn node(random: &mut Random) -> Node {
    let numbers = [vec![1], vec![1, 2], vec![1, 2, 3], vec![2, 3], vec![]];
    match random.below(6) {
        0 | 1 => Node::Listed((!random.one_in(4)).then(|| random.of(&numbers))),
        2 | 3 => Node::Up { nodes: random.of(&numbers), told: random.below(4) },
        4 => Node::Tells { node: random.of(&[1, 2, 3]), prefix: random.of(&nodes::STRANGE) },
        _ => Node::Connected(random.of(&[vec!["10.64.0.0/24"], vec!["10.64.0.0/24", "10.67.3.0/24"]])),
    }
}

fn link(random: &mut Random) -> Link {
    let address = random.of(&ADDRESSES);
    let interface = || "eth0".into();
    match random.below(6) {
        0 => Link::Blind(random.one_in(2)),
        1 | 2 => Link::NeighboursFailed { addresses: vec![address, random.of(&ADDRESSES)] },
        _ => {
            let path = random.of(&[
                Path::Direct { interface: interface() },
                Path::Direct { interface: interface() },
                Path::Gateway { interface: interface(), gateway: [10, 64, 0, 254].into() },
                Path::Local,
                Path::Unreachable { error: "ENETUNREACH".into() },
            ]);
            let neighbour = random.of(&[Neighbour::Resolved, Neighbour::Failed, Neighbour::Unknown]);
            Link::Way { address, path, neighbour }
        }
    }
}

fn operator(random: &mut Random) -> Asked {
    let (host, seconds, force) =
        (random.of(&HOSTS), random.of(&[None, Some(1), Some(10), Some(60)]), random.one_in(4));
    match random.below(14) {
        0..=2 => {
            let to = random.of(&[TakenOut::Depooled, TakenOut::Drained, TakenOut::Inactive]);
            Asked::TakeOut { host, to, seconds, force }
        }
        3 | 4 => Asked::Pool { host },
        5 => Asked::Confirm { service: random.of(&SERVICES) },
        6 | 7 => {
            let to = random.of(&[
                None,
                Some(SetWeight::Percent(0)),
                Some(SetWeight::Percent(15)),
                Some(SetWeight::Absolute(weight(7))),
            ]);
            Asked::Weigh { host, to, seconds, force }
        }
        8 | 9 => Asked::Vip {
            vip: random.of(&VIPS),
            to: random.of(&[None, Some(VipWord::Withdrawn), Some(VipWord::Announced)]),
            seconds,
            force,
        },
        10 if force => Asked::Drain { seconds },
        10 => Asked::Undrain,
        _ => {
            let hosts = (0..random.of(&[1, 1, 2, 3])).map(|_| random.of(&FILE_HOSTS)).collect();
            let to = random.of(&[
                Word::Pooled(Admin::Pooled),
                Word::Pooled(Admin::Depooled),
                Word::Pooled(Admin::Inactive),
                Word::Weight(0),
                Word::Weight(5),
            ]);
            Asked::Change { hosts, path: random.of(&PATHS), to, force }
        }
    }
}

fn kernel(random: &mut Random) -> Incident {
    let what = match random.below(8) {
        0 | 1 => InKernel::ByHand(random.of(&[
            ByHand::AddsForeign,
            ByHand::DeletesOurs,
            ByHand::ClearsOurs,
            ByHand::ChangesWeight,
            ByHand::AddsDestination,
            ByHand::Shuffles,
        ])),
        2 => InKernel::Deaf(random.one_in(2)),
        3 => return Incident::DeviceRefuses(random.one_in(2)),
        4 => InKernel::Refuses(Refuses::Nothing),
        5 => InKernel::AnswersLost { done: random.of(&[0, 1, 3, usize::MAX]) },
        6 => InKernel::Connections { address: random.of(&ADDRESSES), count: random.of(&[0, 0, 7]) },
        _ => InKernel::Refuses(random.of(&[
            Refuses::NewServices,
            Refuses::NewDestinations,
            Refuses::Weights,
            Refuses::Deletions,
            Refuses::Port(443),
            Refuses::Port(80),
        ])),
    };
    Incident::Kernel(what)
}
