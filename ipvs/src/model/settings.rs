//! What a network namespace's IPVS is set to beside its table.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Daemon, DaemonRole};

/// A timeout that the kernel does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timeout of {seconds} s: expected 1 to {} s", TimeoutSeconds::MAX.get())]
pub struct TimeoutError {
    seconds: u32,
}

/// How long a connection that is silent is kept, in seconds; never 0, which the kernel takes for "leave it".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub struct TimeoutSeconds(u32);

impl TimeoutSeconds {
    /// About 24 days: the kernel answers EINVAL above `INT_MAX / HZ` (`ip_vs_set_timeout`), here for HZ 1000.
    pub const MAX: Self = Self(i32::MAX as u32 / 1000);

    /// Checked timeout.
    ///
    /// # Errors
    /// 0, or above [`TimeoutSeconds::MAX`].
    pub fn new(seconds: u32) -> Result<Self, TimeoutError> {
        if (1..=Self::MAX.0).contains(&seconds) { Ok(Self(seconds)) } else { Err(TimeoutError { seconds }) }
    }

    /// What the kernel has; `None` for 0, which is what it says of a protocol that it was built without.
    pub(crate) fn from_kernel(seconds: u32) -> Option<Self> {
        (seconds != 0).then_some(Self(seconds))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for TimeoutSeconds {
    type Error = TimeoutError;

    fn try_from(seconds: u32) -> Result<Self, TimeoutError> {
        Self::new(seconds)
    }
}

impl From<TimeoutSeconds> for u32 {
    fn from(timeout: TimeoutSeconds) -> Self {
        timeout.0
    }
}

/// How long silent connections are kept. To write, `None` leaves a timeout as it is; what was read has all that the
/// kernel has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timeouts {
    /// Of established TCP connections. The kernel begins with 900 s.
    pub tcp: Option<TimeoutSeconds>,
    /// Of TCP connections that one side has closed. The kernel begins with 120 s.
    pub tcp_fin: Option<TimeoutSeconds>,
    /// Of UDP. The kernel begins with 300 s.
    pub udp: Option<TimeoutSeconds>,
}

impl Timeouts {
    /// Leaves everything as it is.
    pub const NONE: Self = Self { tcp: None, tcp_fin: None, udp: None };

    /// Name and value of each that is there.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, TimeoutSeconds)> {
        [("tcp", self.tcp), ("tcp-fin", self.tcp_fin), ("udp", self.udp)]
            .into_iter()
            .filter_map(|(name, timeout)| Some((name, timeout?)))
    }
}

impl fmt::Display for Timeouts {
    /// `tcp 900 s, tcp-fin 120 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> =
            self.named().map(|(name, timeout)| format!("{name} {} s", timeout.get())).collect();
        f.pad(&texts.join(", "))
    }
}

/// What a network namespace's IPVS is set to beside its table. What is wanted is best made from what was read, by
/// changing the caller's part of it: the rest is then left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// How long silent connections are kept.
    pub timeouts: Timeouts,
    /// Tells others of this balancer's connections.
    pub master: Option<Daemon>,
    /// Learns of others' connections.
    pub backup: Option<Daemon>,
}

impl Settings {
    /// The daemon of a role.
    pub fn daemon(&self, role: DaemonRole) -> Option<&Daemon> {
        match role {
            DaemonRole::Master => self.master.as_ref(),
            DaemonRole::Backup => self.backup.as_ref(),
        }
    }

    /// Puts a daemon in place of the one of its role.
    pub fn set_daemon(&mut self, role: DaemonRole, daemon: Option<Daemon>) {
        match role {
            DaemonRole::Master => self.master = daemon,
            DaemonRole::Backup => self.backup = daemon,
        }
    }
}

/// What the kernel says of its IPVS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Info {
    /// `IP_VS_VERSION_CODE`, a byte each of major, minor and patch. 1.2.1 since 2005, whatever the kernel: it tells
    /// nothing of what is there.
    pub version: (u8, u8, u8),
    /// Buckets of the connection table (module option `conn_tab_bits`).
    pub connection_table_size: u32,
}
