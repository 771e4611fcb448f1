//! How a check's packets reach their target.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// How a check's packets reach their target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Route {
    /// As this host's routing table says.
    Own {
        /// The address that they come from; the routing table's choice if none.
        source: Option<IpAddr>,
    },
    /// Handed to this server whatever their destination is, as a balancer by direct routing does. The target is then
    /// an address that several servers hold. Needs [`Sockets`](crate::probe::Sockets) that can do it.
    Through {
        /// The server's own address.
        server: IpAddr,
        /// What the packets are wrapped in on their way; none: nothing but the server's link-layer address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encapsulation: Option<Encapsulation>,
    },
    /// With a firewall mark (SO_MARK, socket(7)), by which this host decides where they go: a balancer that asks by way of
    /// its own table. Needs CAP_NET_ADMIN.
    Marked {
        /// The mark; with none such a check can say nothing.
        mark: Option<NonZeroU32>,
        /// They come from the address that packets to this one come from: the target may be this host's own.
        toward: IpAddr,
    },
}

/// What a balancer wraps packets in that it hands to a server by a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Encapsulation {
    /// IP in IP (RFC 2003, RFC 2473).
    Ipip,
    /// Generic routing encapsulation (RFC 2784).
    Gre,
    /// Generic UDP encapsulation (draft-ietf-intarea-gue), as the kernel's `fou` has it.
    Gue {
        /// The UDP port that the server takes it at.
        port: u16,
    },
}

/// `ipip`, `gre`, `gue 6080`.
impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipip => f.write_str("ipip"),
            Self::Gre => f.write_str("gre"),
            Self::Gue { port } => write!(f, "gue {port}"),
        }
    }
}

/// The routing table's way and source.
impl Default for Route {
    fn default() -> Self {
        Self::Own { source: None }
    }
}

/// Empty, ` from 10.0.0.2`, ` through 10.0.0.11`, ` through 10.0.0.11 in gue 6080` or ` with mark 0x7 towards 10.0.0.11`: what
/// follows the target in a check's display.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own { source: None } => Ok(()),
            Self::Own { source: Some(source) } => write!(f, " from {source}"),
            Self::Through { server, encapsulation: None } => write!(f, " through {server}"),
            Self::Through { server, encapsulation: Some(encapsulation) } => {
                write!(f, " through {server} in {encapsulation}")
            }
            Self::Marked { mark: Some(mark), toward } => write!(f, " with mark {mark:#x} towards {toward}"),
            Self::Marked { mark: None, toward } => write!(f, " without a mark towards {toward}"),
        }
    }
}
