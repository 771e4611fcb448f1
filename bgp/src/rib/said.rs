//! What a neighbour is told of a route.

use std::{net::Ipv4Addr, sync::Arc};

use super::{Candidate, Received};
use crate::RouteAttributes;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// A route of the owner's set, with these attributes.
    Own(RouteAttributes),
    /// A client's, passed on (RFC 4456).
    Reflected {
        /// As it came.
        route: Arc<Received>,
        /// Who brought it into the AS: its `ORIGINATOR_ID`, or else the identifier of who told it.
        originator_id: Ipv4Addr,
    },
}

impl Said {
    /// What clients are told of a path.
    pub fn reflected(path: &Candidate) -> Self {
        Self::Reflected { route: Arc::clone(&path.route), originator_id: path.originator_id() }
    }
}
