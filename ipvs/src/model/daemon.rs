//! The daemons that tell other balancers of this one's connections, or learn of theirs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU8, NonZeroU16};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Interface names have at most 15 bytes (`IP_VS_IFNAME_MAXLEN`: 16 with the NUL).
const INTERFACE_MAX: usize = 15;

/// Why a daemon cannot be as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// What no interface is called.
    #[error("interface {name:?}: expected a name of 1 to {INTERFACE_MAX} bytes without '/' and white space")]
    Interface {
        /// What was asked for.
        name: String,
    },
    /// An address that is not multicast.
    #[error("sync group {address}: expected a multicast address (like 224.0.0.81 or ff02::81)")]
    Group {
        /// What was asked for.
        address: IpAddr,
    },
    /// A length that the kernel would change.
    #[error("sync messages of {bytes} bytes: expected {} to {}", SyncMaxLen::MIN.get(), SyncMaxLen::MAX.get())]
    MaxLen {
        /// What was asked for.
        bytes: u16,
    },
}

/// The name of a network interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct InterfaceName(String);

impl InterfaceName {
    /// Checked name; whether there is such an interface is for the kernel to say.
    ///
    /// # Errors
    /// [`DaemonError::Interface`] for what `dev_valid_name` of the kernel refuses.
    pub fn new(name: impl Into<String>) -> Result<Self, DaemonError> {
        let name = name.into();
        let is_bad = |byte: u8| byte == b'/' || byte == b':' || byte == 0 || byte.is_ascii_whitespace();
        if name.is_empty()
            || name.len() > INTERFACE_MAX
            || name == "."
            || name == ".."
            || name.bytes().any(is_bad)
        {
            return Err(DaemonError::Interface { name });
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for InterfaceName {
    type Err = DaemonError;

    fn from_str(name: &str) -> Result<Self, DaemonError> {
        Self::new(name)
    }
}

impl From<InterfaceName> for String {
    fn from(name: InterfaceName) -> Self {
        name.0
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = DaemonError;

    fn try_from(name: String) -> Result<Self, DaemonError> {
        Self::new(name)
    }
}

/// The multicast group that sync messages go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "IpAddr", try_from = "IpAddr")]
pub struct SyncGroup(IpAddr);

impl SyncGroup {
    /// The kernel's own choice, 224.0.0.81 (`IP_VS_SYNC_GROUP`).
    pub const DEFAULT: Self = Self(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81)));

    /// Checked group.
    ///
    /// # Errors
    /// [`DaemonError::Group`] for an address that is not multicast.
    pub fn new(address: IpAddr) -> Result<Self, DaemonError> {
        if address.is_multicast() { Ok(Self(address)) } else { Err(DaemonError::Group { address }) }
    }

    /// Its address.
    pub fn address(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for SyncGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<SyncGroup> for IpAddr {
    fn from(group: SyncGroup) -> Self {
        group.0
    }
}

impl TryFrom<IpAddr> for SyncGroup {
    type Error = DaemonError;

    fn try_from(address: IpAddr) -> Result<Self, DaemonError> {
        Self::new(address)
    }
}

/// The longest sync message, in bytes of UDP payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u16", try_from = "u16")]
pub struct SyncMaxLen(u16);

impl SyncMaxLen {
    /// Below this the kernel takes this for a backup (`start_sync_thread`).
    pub const MIN: Self = Self(1024);
    /// What an IPv6 datagram has room for: 65535 less 40 and 8 bytes of headers. Above it the kernel takes less.
    pub const MAX: Self = Self(65_535 - 40 - 8);

    /// Checked length: one that the kernel takes as it is.
    ///
    /// # Errors
    /// [`DaemonError::MaxLen`].
    pub fn new(bytes: u16) -> Result<Self, DaemonError> {
        if (Self::MIN.0..=Self::MAX.0).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(DaemonError::MaxLen { bytes })
        }
    }

    /// What the kernel has, which may have been asked for by another program.
    pub(crate) fn from_kernel(bytes: u16) -> Self {
        Self(bytes)
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl From<SyncMaxLen> for u16 {
    fn from(max_len: SyncMaxLen) -> Self {
        max_len.0
    }
}

impl TryFrom<u16> for SyncMaxLen {
    type Error = DaemonError;

    fn try_from(bytes: u16) -> Result<Self, DaemonError> {
        Self::new(bytes)
    }
}

/// What a sync daemon is for. A network namespace has at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DaemonRole {
    /// Tells others of this balancer's connections.
    Master,
    /// Learns of others' connections.
    Backup,
}

impl fmt::Display for DaemonRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Master => "master",
            Self::Backup => "backup",
        })
    }
}

/// A sync daemon (`struct ipvs_sync_daemon_cfg`). Build it with [`Daemon::new`] and the `with_` methods.
///
/// The kernel does not start one while a service has destinations of the other family, nor adds such a destination
/// while one runs: the sync protocol has no room for both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Daemon {
    /// The interface that messages leave by or arrive at.
    pub(crate) interface: InterfaceName,
    pub(crate) sync_id: u8,
    pub(crate) max_len: Option<SyncMaxLen>,
    pub(crate) group: SyncGroup,
    pub(crate) port: NonZeroU16,
    pub(crate) ttl: NonZeroU8,
}

impl Daemon {
    /// The kernel's own choice of port (`IP_VS_SYNC_PORT`).
    pub const DEFAULT_PORT: NonZeroU16 = NonZeroU16::new(8848).expect("not 0");

    /// A daemon with the kernel's own group, port and TTL (1), and messages as long as the interface's MTU has room for.
    ///
    /// A backup heeds masters with its own `sync_id` only, or all of them when it is 0.
    pub fn new(interface: InterfaceName, sync_id: u8) -> Self {
        Self {
            interface,
            sync_id,
            max_len: None,
            group: SyncGroup::DEFAULT,
            port: Self::DEFAULT_PORT,
            ttl: NonZeroU8::MIN,
        }
    }

    /// Sends to or hears another group (since Linux 4.3).
    #[must_use]
    pub fn with_group(mut self, group: SyncGroup) -> Self {
        self.group = group;
        self
    }

    /// Uses another UDP port (since Linux 4.3): the first of as many as `net.ipv4.vs.sync_ports` says.
    #[must_use]
    pub fn with_port(mut self, port: NonZeroU16) -> Self {
        self.port = port;
        self
    }

    /// Lets messages pass `ttl - 1` routers (since Linux 4.3).
    #[must_use]
    pub fn with_ttl(mut self, ttl: NonZeroU8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Bounds messages by other than the interface's MTU.
    #[must_use]
    pub fn with_max_len(mut self, max_len: SyncMaxLen) -> Self {
        self.max_len = Some(max_len);
        self
    }

    /// The interface that messages leave by or arrive at.
    pub fn interface(&self) -> &InterfaceName {
        &self.interface
    }

    /// Which daemons belong together.
    pub fn sync_id(&self) -> u8 {
        self.sync_id
    }

    /// The longest message; `None` for what the MTU has room for. What was read from the kernel always has it.
    pub fn max_len(&self) -> Option<SyncMaxLen> {
        self.max_len
    }

    /// The multicast group.
    pub fn group(&self) -> SyncGroup {
        self.group
    }

    /// The first UDP port.
    pub fn port(&self) -> NonZeroU16 {
        self.port
    }

    /// Hops, the first included.
    pub fn ttl(&self) -> NonZeroU8 {
        self.ttl
    }

    /// Whether a daemon of the kernel does what this one asks for. A length that is not asked for may be any.
    pub fn is_met_by(&self, running: &Self) -> bool {
        let max_len = self.max_len.or(running.max_len);
        Self { max_len, ..self.clone() } == *running
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, sync_id, group, port, ttl, .. } = self;
        write!(f, "on {interface}, sync id {sync_id}, group {group} port {port} ttl {ttl}")?;
        match self.max_len {
            Some(max_len) => write!(f, ", messages up to {} bytes", max_len.get()),
            None => Ok(()),
        }
    }
}
