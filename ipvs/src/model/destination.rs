//! What a destination is set to.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};

use serde::{Deserialize, Serialize};

use super::{DestinationKey, Family, ServiceKey};

/// Why a destination cannot be as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// Limits the wrong way round.
    #[error("lower threshold {lower} above upper threshold {upper}")]
    Thresholds {
        /// The upper one.
        upper: u32,
        /// The lower one.
        lower: u32,
    },
    /// A tunnel that the kernel has no such form of.
    #[error(
        "a {tunnel}: gue has a port, others have none; checksums are for gue and gre, remote ones for gue"
    )]
    Tunnel {
        /// What was asked for.
        tunnel: Forward,
    },
    /// Packets of one family cannot get to an address of the other but in a tunnel.
    #[error(
        "{destination} is of another family than {service}: only a tunnel gets packets there, not {forward}"
    )]
    Family {
        /// The service.
        service: ServiceKey,
        /// The destination.
        destination: DestinationKey,
        /// How packets were to get there.
        forward: Forward,
    },
    /// A forwarding method or tunnel that can be read but not chosen.
    #[error("{forward} can be read from the kernel but not chosen")]
    ReadOnly {
        /// It.
        forward: Forward,
    },
}

/// A weight that the kernel does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("weight {weight}: expected 0 to {}", Weight::MAX.get())]
pub struct WeightError {
    weight: u32,
}

/// A destination's weight: 0 takes no new connections and keeps those that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub struct Weight(u32);

impl Weight {
    /// No new connections.
    pub const ZERO: Self = Self(0);
    /// The kernel's limit: it keeps weights in an `int` and answers ERANGE beyond (`ip_vs_add_dest`).
    pub const MAX: Self = Self(i32::MAX as u32);

    /// Checked weight.
    ///
    /// # Errors
    /// Above [`Weight::MAX`].
    pub fn new(weight: u32) -> Result<Self, WeightError> {
        if weight > Self::MAX.0 { Err(WeightError { weight }) } else { Ok(Self(weight)) }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The weight in smaller units, rounded down.
    pub(crate) fn divided_by(self, divisor: NonZeroU32) -> Self {
        Self(self.0 / divisor)
    }
}

impl TryFrom<u32> for Weight {
    type Error = WeightError;

    fn try_from(weight: u32) -> Result<Self, WeightError> {
        Self::new(weight)
    }
}

impl From<Weight> for u32 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How packets are put into a tunnel (`IPVS_DEST_ATTR_TUN_TYPE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelKind {
    /// IP in IP.
    Ipip,
    /// Generic UDP encapsulation (since Linux 5.2).
    Gue,
    /// GRE (since Linux 5.3).
    Gre,
    /// What another program chose, by the kernel's number. Read only.
    Other(u8),
}

impl fmt::Display for TunnelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipip => f.write_str("ipip"),
            Self::Gue => f.write_str("gue"),
            Self::Gre => f.write_str("gre"),
            Self::Other(number) => write!(f, "type {number}"),
        }
    }
}

/// The checksum that a tunnel's outer header carries (`IP_VS_TUNNEL_ENCAP_FLAG_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelChecksum {
    /// None.
    #[default]
    None,
    /// Of the whole.
    Full,
    /// Of the whole, with the inner one left to the other end.
    Remote,
}

impl TunnelChecksum {
    /// The kernel's number.
    pub const fn flags(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Full => 1,
            Self::Remote => 2,
        }
    }
}

/// The tunnel to a destination. The constructors give those that a kernel has; others can be read and are refused by
/// [`Destination::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tunnel {
    /// Encapsulation.
    pub kind: TunnelKind,
    /// UDP port, in host order: for [`TunnelKind::Gue`], 0 otherwise.
    pub port: u16,
    /// Checksum flags (`IP_VS_TUNNEL_ENCAP_FLAG_*`).
    pub flags: u16,
}

impl Tunnel {
    /// IP in IP.
    pub const IPIP: Self = Self { kind: TunnelKind::Ipip, port: 0, flags: 0 };

    /// Generic UDP encapsulation to a port.
    pub fn gue(port: NonZeroU16, checksum: TunnelChecksum) -> Self {
        Self { kind: TunnelKind::Gue, port: port.get(), flags: checksum.flags() }
    }

    /// GRE, with or without a checksum of the whole.
    pub fn gre(has_checksum: bool) -> Self {
        let checksum = if has_checksum { TunnelChecksum::Full } else { TunnelChecksum::None };
        Self { kind: TunnelKind::Gre, port: 0, flags: checksum.flags() }
    }

    /// Whether a kernel has it: with a port where one is needed, without what means nothing to its kind.
    fn is_sound(self) -> bool {
        match self.kind {
            TunnelKind::Ipip => self.port == 0 && self.flags == 0,
            TunnelKind::Gue => self.port != 0 && self.flags <= TunnelChecksum::Remote.flags(),
            TunnelKind::Gre => self.port == 0 && self.flags <= TunnelChecksum::Full.flags(),
            TunnelKind::Other(_) => false,
        }
    }
}

/// How packets get to a destination (`IP_VS_CONN_F_FWD_MASK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forward {
    /// Network address translation.
    Masquerade,
    /// The balancer itself.
    Local,
    /// Encapsulated.
    Tunnel(Tunnel),
    /// Sent on unchanged, to the destination's link-layer address.
    DirectRouting,
    /// What another program chose, by the kernel's number. Read only.
    Other(u32),
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masquerade => f.write_str("masquerade"),
            Self::Local => f.write_str("local"),
            Self::Tunnel(tunnel) => {
                write!(f, "{} tunnel", tunnel.kind)?;
                if tunnel.port != 0 {
                    write!(f, " port {}", tunnel.port)?;
                }
                if tunnel.flags != 0 {
                    write!(f, " flags {:#x}", tunnel.flags)?;
                }
                Ok(())
            }
            Self::DirectRouting => f.write_str("direct routing"),
            Self::Other(method) => write!(f, "forwarding method {method}"),
        }
    }
}

/// What a destination is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Destination {
    /// How packets get there.
    pub forward: Forward,
    /// Its share of new connections.
    pub weight: Weight,
    /// Connections at which it takes no more; 0 for no limit.
    pub upper_threshold: u32,
    /// Connections below which it takes some again; at most the upper one, 0 for three quarters of it.
    pub lower_threshold: u32,
}

impl Destination {
    /// Direct routing without connection limits.
    pub fn direct_routing(weight: Weight) -> Self {
        Self::new(Forward::DirectRouting, weight)
    }

    /// Any way of forwarding, without connection limits.
    pub fn new(forward: Forward, weight: Weight) -> Self {
        Self { forward, weight, upper_threshold: 0, lower_threshold: 0 }
    }

    /// Takes no more connections at `upper` (0 for no limit) and some again below `lower` (0 for three quarters of it).
    ///
    /// # Errors
    /// [`DestinationError::Thresholds`] when `lower` is above `upper`, as the kernel has it (ERANGE).
    pub fn with_thresholds(mut self, upper: u32, lower: u32) -> Result<Self, DestinationError> {
        if lower > upper {
            return Err(DestinationError::Thresholds { upper, lower });
        }
        (self.upper_threshold, self.lower_threshold) = (upper, lower);
        Ok(self)
    }

    /// Whether the kernel takes it as the destination `key` of `service`; see also [`Entry::add`](crate::Entry::add).
    ///
    /// # Errors
    /// What the kernel would refuse with EINVAL or ERANGE, and forms of tunnels that it would take and not heed. The
    /// kernel also refuses addresses that are neither unicast nor its own, which only it can tell.
    pub fn check(&self, service: &ServiceKey, key: &DestinationKey) -> Result<(), DestinationError> {
        let (forward, upper, lower) = (self.forward, self.upper_threshold, self.lower_threshold);
        match forward {
            Forward::Other(_) | Forward::Tunnel(Tunnel { kind: TunnelKind::Other(_), .. }) => {
                return Err(DestinationError::ReadOnly { forward });
            }
            Forward::Tunnel(tunnel) if !tunnel.is_sound() => {
                return Err(DestinationError::Tunnel { tunnel: forward });
            }
            Forward::Tunnel(_) => {}
            _ if Family::of(key.address) != service.family() => {
                return Err(DestinationError::Family { service: *service, destination: *key, forward });
            }
            _ => {}
        }
        if lower > upper { Err(DestinationError::Thresholds { upper, lower }) } else { Ok(()) }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weight {}, {}", self.weight, self.forward)?;
        if self.upper_threshold != 0 || self.lower_threshold != 0 {
            write!(f, ", thresholds {} and {}", self.upper_threshold, self.lower_threshold)?;
        }
        Ok(())
    }
}
