//! What names a service and what names a destination within it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that does not name what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct KeyError {
    text: String,
    expected: &'static str,
}

impl KeyError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.to_owned(), expected }
    }
}

/// A transport protocol that IPVS balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, IP protocol 6.
    Tcp,
    /// UDP, IP protocol 17.
    Udp,
    /// SCTP, IP protocol 132.
    Sctp,
}

impl Protocol {
    /// The lower case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        [Self::Tcp, Self::Udp, Self::Sctp]
            .into_iter()
            .find(|protocol| protocol.as_str() == text)
            .ok_or_else(|| KeyError::new(text, "a protocol (one of tcp, udp, sctp)"))
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The longest prefix of this family, in bits.
    pub fn max_prefix_len(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        })
    }
}

/// What names a service: the kernel holds at most one service for each key.
///
/// Its text, which is also how it is serialized, is `tcp 192.0.2.10:80`, `tcp [2001:db8::1]:80` or `fwmark 7 v6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ServiceKey {
    /// Packets to this address and port.
    Address {
        /// Transport protocol.
        protocol: Protocol,
        /// Virtual address (VIP).
        address: IpAddr,
        /// Port in host order; 0 stands for every port of a persistent service.
        port: u16,
    },
    /// Packets that the firewall marked.
    FwMark {
        /// Family of the packets.
        family: Family,
        /// The mark; 0 means "not marked", so it names nothing.
        mark: NonZeroU32,
    },
}

impl ServiceKey {
    /// The address family of the service's clients.
    pub fn family(&self) -> Family {
        match *self {
            Self::Address { address, .. } => Family::of(address),
            Self::FwMark { family, .. } => family,
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address { protocol, address, port } => {
                write!(f, "{protocol} {}", SocketAddr::new(address, port))
            }
            Self::FwMark { family, mark } => write!(f, "fwmark {mark} {family}"),
        }
    }
}

impl FromStr for ServiceKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let wrong = || {
            KeyError::new(
                text,
                "a service (like \"tcp 192.0.2.10:80\", \"udp [2001:db8::1]:53\", \"fwmark 7 v4\")",
            )
        };
        let (kind, rest) = text.split_once(' ').ok_or_else(wrong)?;
        if kind == "fwmark" {
            let (mark, family) = rest.split_once(' ').ok_or_else(wrong)?;
            let family = match family {
                "v4" => Family::V4,
                "v6" => Family::V6,
                _ => return Err(wrong()),
            };
            return Ok(Self::FwMark { family, mark: mark.parse().map_err(|_| wrong())? });
        }
        let protocol = kind.parse().map_err(|_| wrong())?;
        let (address, port) = address_and_port(rest).ok_or_else(wrong)?;
        Ok(Self::Address { protocol, address, port })
    }
}

impl From<ServiceKey> for String {
    fn from(key: ServiceKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for ServiceKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

/// What names a destination (a real server's address and port) within its service.
///
/// Its text, which is also how it is serialized, is `10.0.0.7:80` or `[2001:db8::7]:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DestinationKey {
    /// The real server's address.
    pub address: IpAddr,
    /// The real server's port, in host order. With direct routing it is the service's port.
    pub port: u16,
}

impl fmt::Display for DestinationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.port).fmt(f)
    }
}

impl FromStr for DestinationKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (address, port) = address_and_port(text).ok_or_else(|| {
            KeyError::new(text, "an address and a port (like \"10.0.0.7:80\" or \"[2001:db8::7]:80\")")
        })?;
        Ok(Self { address, port })
    }
}

impl From<DestinationKey> for String {
    fn from(key: DestinationKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for DestinationKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

/// IPVS has no zones: an address with one names nothing in its table.
fn address_and_port(text: &str) -> Option<(IpAddr, u16)> {
    match text.parse().ok()? {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => None,
        socket => Some((socket.ip(), socket.port())),
    }
}
