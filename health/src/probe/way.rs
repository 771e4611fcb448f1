//! The way to a target: what every probe that opens a socket is given.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::timeout_at;

use super::sockets::Sockets;
use super::{Limit, words};
use crate::failure::Failure;
use crate::spec::Route;

/// Where to, by which sockets, and until when.
pub(super) struct Way<'a> {
    pub(super) target: SocketAddr,
    pub(super) route: &'a Route,
    pub(super) sockets: &'a dyn Sockets,
    pub(super) limit: Limit,
}

impl Way<'_> {
    /// A socket of the target's family whose packets go this way. One that does not come in time says nothing of the
    /// target.
    pub(super) async fn socket(&self, kind: Type, protocol: Option<Protocol>) -> Result<Socket, Failure> {
        self.try_socket(kind, protocol).await?.map_err(|error| wanting(&error))
    }

    /// The same for those who know what to do when it is refused.
    pub(super) async fn try_socket(
        &self,
        kind: Type,
        protocol: Option<Protocol>,
    ) -> Result<io::Result<Socket>, Failure> {
        let opening = self.sockets.open(self.route, Domain::for_address(self.target), kind, protocol);
        let late = |_| Failure::Local { error: format!("no socket within {:?}", self.limit.timeout) };
        timeout_at(self.limit.at, opening).await.map_err(late)
    }
}

/// Something on this host is missing.
pub(super) fn wanting(error: &io::Error) -> Failure {
    Failure::Local { error: words(error) }
}
