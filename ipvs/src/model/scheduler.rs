//! How a service chooses the destination of a new connection.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A scheduler of the kernel (`net/netfilter/ipvs/ip_vs_<name>.c`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    /// Round robin.
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connections.
    Lc,
    /// Weighted least connections.
    Wlc,
    /// Locality-based least connections.
    Lblc,
    /// Locality-based least connections with replication.
    Lblcr,
    /// Destination hashing.
    Dh,
    /// Source hashing.
    Sh,
    /// Shortest expected delay.
    Sed,
    /// Never queue.
    Nq,
    /// Weighted failover.
    Fo,
    /// Weighted overflow.
    Ovf,
    /// Maglev hashing (since Linux 4.18).
    Mh,
    /// No scheduler: connections stay, new ones get no destination (since Linux 4.3).
    None,
    /// A scheduler that another program chose, by the kernel's name. Read only: [`Service::new`] refuses it.
    ///
    /// [`Service::new`]: crate::Service::new
    Other(String),
}

impl Scheduler {
    /// Every scheduler that balances; [`Scheduler::None`] does not.
    pub const KNOWN: [Self; 13] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Lblc,
        Self::Lblcr,
        Self::Dh,
        Self::Sh,
        Self::Sed,
        Self::Nq,
        Self::Fo,
        Self::Ovf,
        Self::Mh,
    ];

    /// The kernel's name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Dh => "dh",
            Self::Sh => "sh",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Mh => "mh",
            Self::None => "none",
            Self::Other(name) => name,
        }
    }

    /// The scheduler that the kernel calls so.
    pub(crate) fn from_kernel(name: &str) -> Self {
        match name {
            "none" => Self::None,
            _ => name.parse().unwrap_or_else(|_| Self::Other(name.to_owned())),
        }
    }

    /// Whether [`SchedulerFlags`] mean something to this scheduler.
    pub fn takes_flags(&self) -> bool {
        matches!(self, Self::Sh | Self::Mh)
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is no scheduler's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown scheduler {name:?}: expected one of {}",
    Scheduler::KNOWN.iter().map(Scheduler::as_str).collect::<Vec<_>>().join(", ")
)]
pub struct UnknownScheduler {
    name: String,
}

impl FromStr for Scheduler {
    type Err = UnknownScheduler;

    fn from_str(name: &str) -> Result<Self, UnknownScheduler> {
        Self::KNOWN
            .into_iter()
            .find(|scheduler| scheduler.as_str() == name)
            .ok_or_else(|| UnknownScheduler { name: name.to_owned() })
    }
}

/// Flags of the hashing schedulers [`Scheduler::Sh`] and [`Scheduler::Mh`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SchedulerFlags {
    /// Take another destination when the hashed one is at weight 0 or overloaded; without it such clients get none
    /// (`IP_VS_SVC_F_SCHED1`).
    pub fallback: bool,
    /// Hash the client's port too (`IP_VS_SVC_F_SCHED2`).
    pub port: bool,
    /// `IP_VS_SVC_F_SCHED3`: no scheduler uses it. Read only: [`Service::new`] refuses it.
    ///
    /// [`Service::new`]: crate::Service::new
    #[serde(default)]
    pub third: bool,
}

impl SchedulerFlags {
    /// No flag.
    pub const NONE: Self = Self { fallback: false, port: false, third: false };
}

impl fmt::Display for SchedulerFlags {
    /// The names of the flags that are set, with commas between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = [(self.fallback, "fallback"), (self.port, "port"), (self.third, "flag-3")];
        let names: Vec<_> = set.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
        f.pad(&names.join(","))
    }
}
