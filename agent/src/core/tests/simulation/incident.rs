//! What can happen to a balancer, as plain data that a person can read, and histories of it from a seed.

use super::configurations;
use crate::config::{Admin, Backend};
use crate::core::event::TakenOut;
use crate::core::path::{Neighbour, Path};
use crate::core::saved::{SetWeight, VipWord};
use health::{Advice, Mode, Verdict};
use ipvs::Weight;

/// Random numbers from a seed (SplitMix64, Steele et al. 2014): the same everywhere and for ever.
pub(super) struct Random(pub(super) u64);

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

/// What a pool file is like.
#[derive(Clone, Debug)]
pub(super) enum FileIs {
    /// Not to be read, nor found missing: a network file system that hangs.
    Silent,
    Broken,
    Good(Vec<Backend>),
}

/// What the kernel refuses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Refuses {
    Nothing,
    NewServices,
    NewDestinations,
    Weights,
    Deletions,
    /// Anything about services on this port.
    Port(u16),
}

/// What somebody does to the kernel's table by hand.
#[derive(Clone, Copy, Debug)]
pub(super) enum ByHand {
    AddsForeign,
    DeletesOurs,
    ClearsOurs,
    ChangesWeight,
    AddsDestination,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Incident {
    Passes {
        millis: u64,
    },
    /// Time passes and nobody is there to see it: a guest that was stopped, a process that did not get the processor. What was
    /// due meanwhile is due at once.
    Leaps {
        millis: u64,
    },
    /// The wall clock is set back: the next process begins at an earlier time than the one before had. Not by much: what an
    /// operator wants until a time is over by the clock.
    SetBack {
        millis: u64,
    },
    Tick,
    /// The checks of an address, or only the first of them, report this.
    Checked {
        address: &'static str,
        only_first: bool,
        verdict: Verdict,
    },
    /// The agent of an address asks for something.
    Advised {
        address: &'static str,
        advice: Advice,
    },
    /// A check that is not wanted any more reports all the same.
    LateReport {
        verdict: Verdict,
    },
    /// So many checks that have not spoken do.
    ChecksSpeak {
        count: usize,
    },
    File {
        path: &'static str,
        is: FileIs,
    },
    /// Both files change, and are heard of together.
    Files {
        are: [FileIs; 2],
    },
    Name {
        host: &'static str,
        addresses: Vec<&'static str>,
    },
    Configured {
        number: usize,
    },
    TakeOut {
        host: &'static str,
        to: TakenOut,
        seconds: Option<u64>,
        force: bool,
    },
    Pool {
        host: &'static str,
    },
    Weigh {
        host: &'static str,
        to: Option<SetWeight>,
        seconds: Option<u64>,
        force: bool,
    },
    Confirm {
        service: &'static str,
    },
    Vip {
        vip: &'static str,
        to: Option<VipWord>,
        seconds: Option<u64>,
        force: bool,
    },
    Drain {
        seconds: Option<u64>,
    },
    Undrain,
    Connections {
        address: &'static str,
        count: u64,
    },
    /// The way to an address is this one from now on.
    Way {
        address: &'static str,
        path: Path,
        neighbour: Neighbour,
    },
    /// Nobody looks at the ways, or somebody does again.
    Blind(bool),
    /// Servers do not answer on their link; some of them may be nobody's.
    NeighboursFailed {
        addresses: Vec<&'static str>,
    },
    KernelDeaf(bool),
    KernelRefuses(Refuses),
    /// Of the next list of writes the kernel does so many, and its answers are lost.
    AnswersLost {
        done: usize,
    },
    ByHand(ByHand),
    DeviceRefuses(bool),
    /// Results are late: they wait until this is over.
    Slow(bool),
    Stop,
    /// Killed, and started again with another configuration or the same.
    Killed {
        loses_state: bool,
        loses_snapshots: bool,
        number: Option<usize>,
    },
    /// Killed while the next event is acted on, after so many actions.
    KilledAfter {
        actions: usize,
    },
}

pub(super) const ADDRESSES: [&str; 10] = [
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
pub(super) const FILES: [&str; 2] = ["/pools/a.json", "/pools/b.json"];
pub(super) const NAMES: [&str; 2] = ["rs5", "rs6"];
const HOSTS: [&str; 10] =
    ["rs1", "rs2", "rs3", "rs4", "rs5", "rs6", "10.64.0.11", "10.64.0.12", "10.64.0.13", "nobody"];
const FILE_HOSTS: [&str; 6] = ["10.64.0.11", "10.64.0.12", "10.64.0.13", "10.64.0.14", "rs5", "rs6"];
const VIPS: [&str; 4] = ["192.0.2.10", "192.0.2.10", "192.0.2.11", "2001:db8::10"];
const SERVICES: [&str; 4] = ["web", "other", "dns", "site"];

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

/// The history of a seed. It begins with the files, names and configuration that there are at the first start.
pub(super) fn history(seed: u64) -> Vec<Incident> {
    let mut random = Random(seed);
    let mut history = Vec::new();
    for path in FILES {
        history.push(Incident::File { path, is: file_is(&mut random) });
    }
    for host in NAMES {
        let addresses = if random.one_in(4) { Vec::new() } else { vec![ADDRESSES[4]] };
        history.push(Incident::Name { host, addresses });
    }
    let number = Some(random.below(configurations::COUNT));
    history.push(Incident::Killed { loses_state: false, loses_snapshots: false, number });
    let length = 3 + random.below(40);
    history.extend((0..length).map(|_| incident(&mut random)));
    history
}

fn incident(random: &mut Random) -> Incident {
    match random.below(46) {
        0..=6 => Incident::Passes {
            millis: random.of(&[0, 1, 250, 1000, 1000, 3000, 5000, 10_000, 25_000, 61_000]),
        },
        7 => Incident::Tick,
        8..=14 => Incident::Checked {
            address: random.of(&ADDRESSES),
            only_first: random.one_in(4),
            verdict: random.of(&[Verdict::Down, Verdict::Down, Verdict::Up, Verdict::Up, Verdict::Unknown]),
        },
        15 => Incident::LateReport { verdict: random.of(&[Verdict::Down, Verdict::Up]) },
        16..=18 => Incident::ChecksSpeak { count: random.of(&[1, 2, 100, 100]) },
        19 => Incident::File { path: random.of(&FILES), is: file_is(random) },
        20 => Incident::Files { are: [file_is(random), file_is(random)] },
        21 => Incident::Name {
            host: random.of(&NAMES),
            addresses: random.of(&[
                vec![],
                vec![ADDRESSES[4]],
                vec![ADDRESSES[5], "fd00::14"],
                vec![ADDRESSES[0]],
            ]),
        },
        22 | 23 => Incident::Configured { number: random.below(configurations::COUNT) },
        24..=31 => operator(random),
        32 => Incident::Connections { address: random.of(&ADDRESSES), count: random.of(&[0, 0, 7]) },
        33..=36 => kernel(random),
        37 => Incident::Slow(random.one_in(2)),
        38 => way(random),
        39 => random.of(&[
            Incident::Stop,
            Incident::KilledAfter { actions: 0 },
            Incident::KilledAfter { actions: 2 },
        ]),
        40..=42 => Incident::Advised {
            address: random.of(&ADDRESSES),
            advice: Advice {
                percent: random.of(&[None, None, Some(0), Some(1), Some(50), Some(100), Some(150)]),
                mode: random.of(&[None, Some(Mode::Ready), Some(Mode::Drain), Some(Mode::Maintenance)]),
            },
        },
        43 => Incident::Leaps { millis: random.of(&[1000, 30_000, 3_600_000]) },
        44 => Incident::SetBack { millis: random.of(&[1, 1000, 10_000]) },
        _ => Incident::Killed {
            loses_state: random.one_in(6),
            loses_snapshots: random.one_in(4),
            number: random.one_in(2).then(|| random.below(configurations::COUNT)),
        },
    }
}

fn way(random: &mut Random) -> Incident {
    let address = random.of(&ADDRESSES);
    let interface = || "eth0".into();
    match random.below(6) {
        0 => Incident::Blind(random.one_in(2)),
        1 | 2 => Incident::NeighboursFailed { addresses: vec![address, random.of(&ADDRESSES)] },
        _ => {
            let path = random.of(&[
                Path::Direct { interface: interface() },
                Path::Direct { interface: interface() },
                Path::Gateway { interface: interface(), gateway: [10, 64, 0, 254].into() },
                Path::Local,
                Path::Unreachable { error: "ENETUNREACH".into() },
            ]);
            let neighbour = random.of(&[Neighbour::Resolved, Neighbour::Failed, Neighbour::Unknown]);
            Incident::Way { address, path, neighbour }
        }
    }
}

fn operator(random: &mut Random) -> Incident {
    let (host, seconds, force) =
        (random.of(&HOSTS), random.of(&[None, Some(1), Some(10), Some(60)]), random.one_in(4));
    match random.below(11) {
        8 | 9 => Incident::Vip {
            vip: random.of(&VIPS),
            to: random.of(&[None, Some(VipWord::Withdrawn), Some(VipWord::Announced)]),
            seconds,
            force,
        },
        10 if force => Incident::Drain { seconds },
        10 => Incident::Undrain,
        0..=2 => {
            let to = random.of(&[TakenOut::Depooled, TakenOut::Drained, TakenOut::Inactive]);
            Incident::TakeOut { host, to, seconds, force }
        }
        3 | 4 => Incident::Pool { host },
        5 => Incident::Confirm { service: random.of(&SERVICES) },
        _ => {
            let to = random.of(&[
                None,
                Some(SetWeight::Percent(0)),
                Some(SetWeight::Percent(15)),
                Some(SetWeight::Absolute(weight(7))),
            ]);
            Incident::Weigh { host, to, seconds, force }
        }
    }
}

fn kernel(random: &mut Random) -> Incident {
    match random.below(7) {
        6 => Incident::AnswersLost { done: random.of(&[0, 1, 3, usize::MAX]) },
        0 | 1 => Incident::ByHand(random.of(&[
            ByHand::AddsForeign,
            ByHand::DeletesOurs,
            ByHand::ClearsOurs,
            ByHand::ChangesWeight,
            ByHand::AddsDestination,
        ])),
        2 => Incident::KernelDeaf(random.one_in(2)),
        3 => Incident::DeviceRefuses(random.one_in(2)),
        4 => Incident::KernelRefuses(Refuses::Nothing),
        _ => Incident::KernelRefuses(random.of(&[
            Refuses::NewServices,
            Refuses::NewDestinations,
            Refuses::Weights,
            Refuses::Deletions,
            Refuses::Port(443),
            Refuses::Port(80),
        ])),
    }
}
