//! The way to a target: what every probe that opens a socket is given.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::timeout_at;

use super::sockets::Sockets;
use super::{Limit, words};
use crate::failure::Failure;
use crate::spec::{Route, Secret};

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

/// What is to be sent.
pub(super) fn told<'a>(secret: &'a Secret, what: &str) -> Result<&'a [u8], Failure> {
    secret.bytes().ok_or_else(|| not_at_hand(what))
}

/// A part of a check that was written down and read again cannot be used.
pub(super) fn not_at_hand(what: &str) -> Failure {
    Failure::Local {
        error: format!("{what} not at hand: the check was read from a record, which holds digests only"),
    }
}

/// Something on this host is missing.
pub(super) fn wanting(error: &io::Error) -> Failure {
    Failure::Local { error: words(error) }
}
