//! Who is at the two ends of a session.

use std::net::SocketAddr;

use super::{task::Session, transport::Transport};
use crate::{
    fsm::{Negotiated, Side},
    rib::Neighbourhood,
};

impl Session {
    /// Both ends of a connection.
    pub(super) fn ends(&mut self, side: Side) -> Option<(SocketAddr, SocketAddr)> {
        self.slot(side).as_ref().map(Transport::addresses)?.ok()
    }

    /// Who talks to whom over a connection that agreed on this.
    pub(super) fn neighbourhood(&mut self, side: Side, negotiated: &Negotiated) -> Option<Neighbourhood> {
        let (local, remote) = self.ends(side)?;
        Some(Neighbourhood {
            asn: self.identity.asn.get(),
            router_id: self.identity.router_id,
            cluster_id: self.config.cluster_id.unwrap_or(self.identity.router_id),
            local: local.ip().to_canonical(),
            remote: remote.ip().to_canonical(),
            negotiated: negotiated.clone(),
        })
    }
}
