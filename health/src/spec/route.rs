//! How a check's packets reach their target.

use std::fmt;
use std::net::IpAddr;

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
    },
}

/// The routing table's way and source.
impl Default for Route {
    fn default() -> Self {
        Self::Own { source: None }
    }
}

/// Empty, ` from 10.0.0.2` or ` through 10.0.0.11`: what follows the target in a check's display.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own { source: None } => Ok(()),
            Self::Own { source: Some(source) } => write!(f, " from {source}"),
            Self::Through { server } => write!(f, " through {server}"),
        }
    }
}
