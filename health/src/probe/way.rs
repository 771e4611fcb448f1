//! The way to a target: what every probe that opens a socket is given.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use super::sockets::Sockets;
use super::{Limit, words};
use crate::failure::{Failure, Stage};
use crate::spec::Route;

/// Where to, by which sockets, and until when.
pub(super) struct Way<'a> {
    pub(super) target: SocketAddr,
    pub(super) route: &'a Route,
    pub(super) sockets: &'a dyn Sockets,
    pub(super) limit: Limit,
}

impl Way<'_> {
    /// A socket of the target's family whose packets go this way.
    pub(super) async fn socket(&self, kind: Type, protocol: Option<Protocol>) -> Result<Socket, Failure> {
        let opening = self.sockets.open(self.route, Domain::for_address(self.target), kind, protocol);
        self.limit.within(Stage::Connecting, opening).await?.map_err(|error| wanting(&error))
    }
}

/// Something on this host is missing.
pub(super) fn wanting(error: &io::Error) -> Failure {
    Failure::Local { error: words(error) }
}
