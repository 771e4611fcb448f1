//! What a destination is set to.

use std::fmt;

use serde::{Deserialize, Serialize};

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

/// The tunnel to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tunnel {
    /// Encapsulation.
    pub kind: TunnelKind,
    /// UDP port, in host order: for [`TunnelKind::Gue`], 0 otherwise.
    pub port: u16,
    /// Checksum flags (`IP_VS_TUNNEL_ENCAP_FLAG_*`).
    pub flags: u16,
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
        Self { forward: Forward::DirectRouting, weight, upper_threshold: 0, lower_threshold: 0 }
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
