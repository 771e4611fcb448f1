//! What is to be done: whole desired states for the executors, and answers.

use super::change::{WriteOrder, Written};
use super::found::Conflicts;
use super::inventory::Snapshots;
use super::nodes::NodePeers;
use super::saved::Saved;
use super::settings::WantedSettings;
use crate::config::{Bgp, PoolId, SourceSettings};
use crate::fib;
use bgp::RouteSet;
use bgp::rib::Permits;
use health::Check;
use ipvs::{ServiceKey, Table};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// One thing to do. A state is always given whole: an executor that missed one is right after the next. The
/// order within one step matters: what must be on disk before the kernel knows it comes first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Write the state file. Replies that follow wait until it is written.
    Save(Saved),
    /// Write the state file, and wait until it is written before anything else: the kernel must not hold an entry
    /// that a crash would leave without an owner.
    SaveFirst(Saved),
    /// Keep exactly these contents of pools for a later process.
    KeepSnapshots(Snapshots),
    /// Bring our part of the kernel's IPVS table to this.
    SyncIpvs(WantedTable),
    /// Read the kernel's IPVS table again, repair it, and report.
    ReadKernel,
    /// Have exactly these addresses on our own device.
    SetAddresses(BTreeSet<IpAddr>),
    /// Announce exactly these routes to every peer.
    SetRoutes(RouteSet),
    /// Keep sessions with exactly the routers of this section, with its settings.
    SetPeers(Bgp),
    /// Keep exactly these sessions with nodes, beside those with routers.
    SetNodePeers(Option<NodePeers>),
    /// Tell nodes exactly this of one another's routes, where we are their route reflector.
    SetPermits(Permits),
    /// Watch this source of a cluster, or none.
    WatchCluster(Option<WatchedCluster>),
    /// Have exactly these routes in the kernel's table of ours, each with its next hop.
    SetFib(fib::Routes),
    /// Run exactly these checks.
    SetChecks(BTreeSet<Arc<Check>>),
    /// Let these of them look at once, as something speaks against their targets.
    Hasten(BTreeSet<Arc<Check>>),
    /// Watch the ways to exactly these addresses.
    WatchPaths(BTreeSet<IpAddr>),
    /// Follow exactly these pools.
    WatchPools(WantedPools),
    /// Tell sources which of their services are not served because others are in their way, and why; whole.
    TellSources(Conflicts),
    /// Look exactly these names up, now and periodically.
    ResolveHosts(BTreeSet<String>),
    /// Change what a source says, and report what came of it.
    WriteSource(WriteOrder),
    /// Answer an operator's request.
    Reply {
        /// The request's id.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// Tell people: a line of the log.
    Notice(Notice),
    /// The routes are withdrawn and the time for traffic to move is over: exit.
    Exit,
}

impl Action {
    /// Whether nobody's traffic waits for it.
    pub fn can_wait(&self) -> bool {
        match self {
            Self::Save(_) | Self::KeepSnapshots(_) | Self::Reply { .. } | Self::Notice(_) | Self::Exit => {
                true
            }
            Self::SaveFirst(_)
            | Self::SyncIpvs(_)
            | Self::ReadKernel
            | Self::SetAddresses(_)
            | Self::SetRoutes(_)
            | Self::SetPeers(_)
            | Self::SetNodePeers(_)
            | Self::SetPermits(_)
            | Self::WatchCluster(_)
            | Self::SetFib(_)
            | Self::SetChecks(_)
            | Self::Hasten(_)
            | Self::WatchPaths(_)
            | Self::WatchPools(_)
            | Self::TellSources(_)
            | Self::WriteSource(_)
            | Self::ResolveHosts(_) => false,
        }
    }
}

/// Which pools are wanted that are kept elsewhere, and how their sources are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WantedPools {
    /// The pools.
    pub pools: BTreeSet<PoolId>,
    /// The sources, also those that no pool is wanted of.
    pub sources: BTreeMap<Arc<str>, SourceSettings>,
}

/// Where a cluster is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchedCluster {
    /// In a file.
    File(PathBuf),
    /// In a source with these settings.
    Source(SourceSettings),
}

/// What the kernel's table is to hold of ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WantedTable {
    /// Our services as they are to be.
    pub table: Table,
    /// The services as they would be if every backend served, where that tells the kernel more.
    pub nominal: Table,
    /// Every service that is ours: one that is not in `table` is to be deleted. Anything else is foreign.
    pub owned: Arc<BTreeSet<ServiceKey>>,
    /// What is set beside the table.
    pub settings: Arc<WantedSettings>,
}

impl WantedTable {
    /// Whether a service counts as ours that is neither wanted nor in the kernel. Nothing that is written tells of it, as
    /// nothing has to be written: whoever keeps the record of what is ours has to be told.
    pub fn owns_what_is_nowhere(&self, have: &Table) -> bool {
        self.owned.iter().any(|key| !self.table.contains_key(key) && !have.contains_key(key))
    }
}

/// The answer to an operator's request.
pub type Answer = Result<Done, Refusal>;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    /// The host that was asked for, or the service.
    pub host: String,
    /// The services that it concerns.
    pub services: Vec<String>,
    /// In words.
    pub message: String,
    /// What was written where the truth is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<Written>,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Refusal {
    /// There is no such backend.
    #[error("no pool has a backend named {host}{}", did_you_mean(.near))]
    UnknownHost {
        /// What was asked for.
        host: String,
        /// Names that are near.
        near: Vec<String>,
    },
    /// A pool would fall below its depool threshold.
    #[error("{message}")]
    BelowThreshold {
        /// The numbers, pool by pool.
        message: String,
    },
    /// There is no such service.
    #[error("there is no service {service}{}", did_you_mean(.near))]
    UnknownService {
        /// What was asked for.
        service: String,
        /// Names that are near.
        near: Vec<String>,
    },
    /// No service has such a VIP.
    #[error("no service has the VIP {vip}{}", did_you_mean(.near))]
    UnknownVip {
        /// What was asked for.
        vip: String,
        /// VIPs that are near.
        near: Vec<String>,
    },
    /// A VIP would be announced that nothing serves.
    #[error("{message}")]
    NothingServes {
        /// Why nothing does.
        message: String,
    },
    /// There is nothing to be done.
    #[error("{message}")]
    Nothing {
        /// Why not.
        message: String,
    },
    /// What was to be written was not, or not all of it.
    #[error("{message}")]
    NotWritten {
        /// What came of each.
        message: String,
    },
    /// The truth is elsewhere.
    #[error("{message}")]
    NotOurs {
        /// Where, and what to do.
        message: String,
    },
}

/// ` (did you mean a or b?)`, or nothing.
pub fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(" or ")) }
}

/// How loud a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// For those who follow along.
    Info,
    /// Somebody should look when there is time.
    Warn,
    /// Somebody should look now.
    Error,
}

/// A decision or a finding, with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// How loud.
    pub level: Level,
    /// The service that it is about.
    pub service: Option<String>,
    /// The backend, peer or VIP that it is about.
    pub subject: Option<String>,
    /// What happened.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// Whom it is about, what happened, and why: `web: rs1 (10.64.0.11): down (was pooled): connection refused`.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for about in self.service.iter().chain(&self.subject) {
            write!(f, "{about}: ")?;
        }
        write!(f, "{}: {}", self.what, self.reason)
    }
}
