//! What can happen to a balancer, as plain data that a person can read.

mod random;

pub(super) use random::{FILES, NAMES, history};

use super::sources::Place;
use crate::config::Backend;
use crate::core::change::Word;
use crate::core::event::TakenOut;
use crate::core::path::{Neighbour, Path};
use crate::core::saved::{SetWeight, VipWord};
use health::{Advice, Verdict};

/// What a pool's file is like, or its place in a source.
#[derive(Clone, Debug)]
pub(super) enum FileIs {
    /// Not to be read, nor found missing: a network file system that hangs.
    Silent,
    Broken,
    Good(Vec<Backend>),
}

/// Whether a source can be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SourceIs {
    /// It says whatever it has.
    Live,
    /// It cannot be read, and that is said.
    Away,
    /// It hangs.
    Silent,
}

/// What a cluster has of a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ServiceIs {
    Gone,
    /// It is there and cannot be served.
    Refused,
    /// It is there, and its settings are wrong.
    Wrong,
    There,
    /// With another backend.
    Moved,
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
    /// Destinations are put back in another order.
    Shuffles,
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
    Probed(Probed),
    Source(Source),
    Configured {
        number: usize,
    },
    Asked(Asked),
    Link(Link),
    Kernel(InKernel),
    Node(Node),
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

/// What checks meet.
#[derive(Clone, Debug)]
pub(super) enum Probed {
    /// The checks of an address, or only the first of them, report this.
    Checked { address: &'static str, only_first: bool, verdict: Verdict },
    /// The agent of an address asks for something.
    Advised { address: &'static str, advice: Advice },
    /// A check that is not wanted any more reports all the same.
    LateReport { verdict: Verdict },
    /// So many checks that have not spoken do.
    ChecksSpeak { count: usize },
}

/// What becomes of where pools, services and names are kept.
#[derive(Clone, Debug)]
pub(super) enum Source {
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
    /// A source can be read again, or not.
    Is {
        source: &'static str,
        is: SourceIs,
    },
    /// A pool of a source is like this from now on.
    Pool {
        place: Place,
        is: FileIs,
    },
    /// Services of the cluster are like this from now on, said one by one or with all others.
    Services {
        are: Vec<(usize, ServiceIs)>,
        whole: bool,
    },
    /// What a source had said before a reload took it away is heard after it.
    Late {
        source: &'static str,
    },
}

/// What an operator asks for.
#[derive(Clone, Debug)]
pub(super) enum Asked {
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
    /// In etcd.
    Change {
        hosts: Vec<&'static str>,
        path: &'static str,
        to: Word,
        force: bool,
    },
    /// A service, or a source of services.
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
}

/// What becomes of the ways to servers.
#[derive(Clone, Debug)]
pub(super) enum Link {
    /// The way to an address is this one from now on.
    Way { address: &'static str, path: Path, neighbour: Neighbour },
    /// Nobody looks at the ways, or somebody does again.
    Blind(bool),
    /// Servers do not answer on their link; some of them may be nobody's.
    NeighboursFailed { addresses: Vec<&'static str> },
}

/// What becomes of the kernel.
#[derive(Clone, Debug)]
pub(super) enum InKernel {
    Connections {
        address: &'static str,
        count: u64,
    },
    Deaf(bool),
    Refuses(Refuses),
    /// Of the next list of writes the kernel does so many, and its answers are lost.
    AnswersLost {
        done: usize,
    },
    ByHand(ByHand),
}

/// What becomes of a cluster's nodes, by number.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// The cluster's file has these, or cannot be read.
    Listed(Option<Vec<u8>>),
    /// These are up; those among the first so many have told their routes.
    Up { nodes: Vec<u8>, told: usize },
    /// A node tells a route to this network as well.
    Tells { node: u8, prefix: &'static str },
    /// The host is in these networks.
    Connected(Vec<&'static str>),
}
