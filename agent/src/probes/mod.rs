//! Checks on the way of a client's packet: sockets whose packets, addressed to a VIP, are handed to one server.
//!
//! The balancer holds the VIPs itself, so that packets to them never leave it. Probes come from a network namespace
//! beside it, which has a foot in each segment of the servers (a macvlan on the balancer's interface there):
//!
//! ```text
//! root, once:  lvsd probes up     makes the namespace, its interfaces and addresses
//! CAP_NET_ADMIN inside it only:
//!              lvsd probes serve ──socket with mark N──▶ lvsd
//!                │                                        │ connects to VIP:port
//!                └─▶ rule: mark N ▶ table N ▶ default via server N, as direct routing hands it over
//! root, once:  lvsd probes down
//! ```
//!
//! The daemon tells the whole set of servers that its checks go through; `serve` keeps one mark for each and nothing
//! else. A server keeps its mark for as long as it is wanted, also over restarts of either process.
//!
//! Reading order: [`slots`] and [`way`] (pure), [`namespace`] (up and down), [`kernel`] (rules and routes),
//! `neighbours` (who answers for a VIP), [`wire`] (what goes over the socket), [`serve`]. The other end is [`crate::exec::probes`].

pub mod kernel;
pub mod namespace;
mod neighbours;
pub mod serve;
pub mod slots;
pub mod way;
pub mod wire;

use health::Encapsulation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// A server that checks go through, and what their packets are wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Server {
    /// Its own address.
    pub address: IpAddr,
    /// The tunnel to it; none for direct routing.
    pub encapsulation: Option<Encapsulation>,
}

/// `10.64.0.11`, `10.64.0.11 in gue 6080`.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.encapsulation {
            None => self.address.fmt(f),
            Some(encapsulation) => write!(f, "{} in {encapsulation}", self.address),
        }
    }
}

impl From<Server> for String {
    fn from(server: Server) -> Self {
        server.to_string()
    }
}

/// A text that is no [`Server`]'s.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a server such as 10.64.0.11 or 10.64.0.11 in gue 6080, found {0:?}")]
pub struct ServerError(String);

impl TryFrom<String> for Server {
    type Error = ServerError;

    fn try_from(text: String) -> Result<Self, ServerError> {
        let words: Vec<&str> = text.split(' ').collect();
        let encapsulation = match words[1..] {
            [] => Some(None),
            ["in", "ipip"] => Some(Some(Encapsulation::Ipip)),
            ["in", "gre"] => Some(Some(Encapsulation::Gre)),
            ["in", "gue", port] => port.parse().ok().map(|port| Some(Encapsulation::Gue { port })),
            _ => None,
        };
        match (words[0].parse(), encapsulation) {
            (Ok(address), Some(encapsulation)) => Ok(Self { address, encapsulation }),
            _ => Err(ServerError(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_read_back_from_its_words() {
        for text in ["10.64.0.11", "fd00:64::11 in ipip", "10.64.0.11 in gre", "fd00:64::11 in gue 6080"] {
            assert_eq!(Server::try_from(text.to_owned()).expect("a server").to_string(), text);
        }
        for text in
            ["", "rs1", "10.64.0.11 in", "10.64.0.11 in gue", "10.64.0.11 in gue 65536", "10.64.0.11 x"]
        {
            assert_eq!(Server::try_from(text.to_owned()), Err(ServerError(text.to_owned())));
        }
    }
}
