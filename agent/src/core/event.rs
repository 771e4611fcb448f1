//! What can happen: plain data, everything that the core ever learns.

use super::change::{Object, Word, Written};
use super::found::FoundService;
use super::inventory::{Progress, Snapshots};
use super::nodes::{Cluster, Seen};
use super::path::PathSeen;
use super::saved::{Saved, SetWeight, VipWord};
use crate::config::{Admin, Backend, Config, PoolId};
use crate::fib;
use bgp::Prefix;
use health::{Advice, Check, Verdict};
use ipvs::{DaemonRole, DestinationKey, ServiceKey, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// One thing that happened. Events are all that changes the core's state, so a file of them replays it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// What earlier processes have left; the first event of a process.
    Restored {
        /// What the state file holds.
        saved: Saved,
        /// The last good content of each pool that is kept elsewhere.
        snapshots: Snapshots,
    },
    /// A validated configuration, whole: at start, and for each reload that was accepted.
    Configured(Arc<Config>),
    /// A pool was read, whole, or could not be: then the message, which names it and the place.
    PoolRead {
        /// The pool.
        pool: PoolId,
        /// Its backends, or why there are none.
        outcome: Result<Vec<Backend>, String>,
    },
    /// All that a source of revisions has so far was said.
    SourceSeen {
        /// Its name.
        source: Arc<str>,
        /// How far it is heard.
        progress: Progress,
    },
    /// A source of several pools can be read and has said all that is wanted of it; or it cannot, and why.
    SourceSaid {
        /// Its name.
        source: Arc<str>,
        /// How it is.
        outcome: Result<(), String>,
    },
    /// What a source has of services by itself.
    ServicesSaid {
        /// The source's name.
        source: Arc<str>,
        /// What it says of some of them, or of all.
        services: Vec<FoundService>,
        /// Whether it has no others.
        whole: bool,
    },
    /// A host name was looked up.
    Resolved {
        /// The name as the configuration or pool file has it.
        host: String,
        /// Its addresses, at least one, or why there are none.
        outcome: Result<Vec<IpAddr>, String>,
    },
    /// A check gave its first result, changed its verdict, or its target asks for something else than before.
    Checked {
        /// The check.
        check: Arc<Check>,
        /// What it says now.
        verdict: Verdict,
        /// What the last probe met, when it failed.
        failure: Option<String>,
        /// What the target says of how much it wants to be given, all that it has said so far.
        #[serde(default)]
        advice: Advice,
    },
    /// The kernel's IPVS table was read, whole.
    KernelRead {
        /// Every service, ours and foreign ones.
        table: Table,
        /// Connections of each destination that has any.
        connections: Vec<ConnectionCount>,
        /// Services that hash by their destinations (mh) and whose destinations were not added in the order of their keys.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        unsorted: BTreeSet<ServiceKey>,
    },
    /// The kernel's table was brought to a wanted state, as far as it let us.
    KernelSynced {
        /// Our services that are in the kernel now.
        services: BTreeSet<ServiceKey>,
        /// Sync daemons that run, if any is wanted or ours.
        #[serde(default)]
        daemons: BTreeSet<DaemonRole>,
        /// What the kernel refused.
        failures: Vec<String>,
    },
    /// The addresses of our own device were read or changed.
    AddressesSynced {
        /// Addresses that are there now.
        present: BTreeSet<IpAddr>,
        /// What the kernel refused.
        failures: Vec<String>,
    },
    /// The ways to the watched addresses, as far as they are known.
    PathsSeen(Vec<PathSeen>),
    /// Watched addresses were asked for on their link (ARP, ND) and did not answer.
    NeighboursFailed(BTreeSet<IpAddr>),
    /// The cluster's source was read, whole, or could not be.
    ClusterRead(Result<Cluster, String>),
    /// What the speaker knows of nodes, whole.
    NodesSeen(Seen),
    /// The networks that this host is in.
    ConnectedSeen(BTreeSet<Prefix>),
    /// The routes to nodes in the kernel were read or written.
    FibSynced(fib::Report),
    /// An operator asks for something.
    Operator(Request),
    /// What an operator's request had to be written to a source was, or was not.
    SourceWritten {
        /// The request's id.
        id: u64,
        /// What came of each object.
        written: Vec<Written>,
    },
    /// Several of these that were heard together: what follows from them is done once.
    Several(Vec<Event>),
    /// Time has passed; sent when [`super::State::next_wakeup`] asked for it.
    Tick,
    /// The daemon was asked to stop.
    Stop,
}

/// How many connections a destination has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionCount {
    /// The service.
    pub service: ServiceKey,
    /// The destination.
    pub destination: DestinationKey,
    /// Active and inactive connections.
    pub connections: u64,
}

/// An operator's request, with the identity that the control socket vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Names the reply; unique within a process.
    pub id: u64,
    /// Who asks: a user name, or `uid N`.
    pub who: String,
    /// What for.
    pub command: Command,
}

/// What an operator can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Take a backend out of every pool that it is in.
    TakeOut {
        /// The backend's host name.
        host: String,
        /// How far out.
        to: TakenOut,
        /// Why, and for how long.
        note: Note,
    },
    /// Take an operator's taking out back.
    Pool {
        /// The backend's host name.
        host: String,
    },
    /// Change what sources say, for every balancer that reads them.
    ChangeSource {
        /// The hosts in their pools.
        objects: Vec<Object>,
        /// What is to be said of them.
        to: Word,
        /// Why.
        note: Note,
    },
    /// Let through what the guard against large changes holds back of a service's source.
    Confirm {
        /// The service.
        service: String,
    },
    /// Give a backend another weight than its source does.
    Weigh {
        /// The backend's host name.
        host: String,
        /// The weight; none takes an operator's weight back.
        to: Option<SetWeight>,
        /// Why, and for how long.
        note: Note,
    },
    /// Have a VIP announced or withdrawn in place of what its services say.
    Vip {
        /// The VIP.
        vip: String,
        /// What is wanted; none leaves it to its services again.
        to: Option<VipWord>,
        /// Why, and for how long.
        note: Note,
    },
    /// Drain the whole balancer: ask routers to prefer others, then withdraw every VIP.
    DrainBalancer {
        /// Why, and for how long.
        note: Note,
    },
    /// Take a drain of the whole balancer back.
    UndrainBalancer,
}

/// How far out of its pools a backend is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakenOut {
    /// No new connections, as if its weight were 0; those that it has finish.
    Drained,
    /// The same, said of a backend that is not to be used.
    Depooled,
    /// No part of the pool any more: it does not count in the threshold's denominator, and is deleted once its
    /// connections are gone.
    Inactive,
}

impl TakenOut {
    /// The administrative state that it comes to.
    pub fn admin(self) -> Admin {
        match self {
            Self::Drained => Admin::Drained,
            Self::Depooled => Admin::Depooled,
            Self::Inactive => Admin::Inactive,
        }
    }
}

/// What an operator says beside the change itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Why.
    pub reason: Option<String>,
    /// Also when a pool falls below its threshold.
    pub force: bool,
    /// How long it holds; for good when absent.
    pub lasts: Option<Duration>,
}
