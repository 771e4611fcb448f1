//! The links of a simulated balancer: the way to each address, and who looks at them.

use crate::core::Event;
use crate::core::path::{Neighbour, Path, PathSeen};
use health::{Check, Route};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

#[derive(Default)]
pub(super) struct Links {
    /// Ways that are not straight out of eth0, or were not once.
    ways: BTreeMap<IpAddr, (Path, Neighbour)>,
    watched: BTreeSet<IpAddr>,
    /// While true nobody looks.
    pub(super) is_blind: bool,
}

impl Links {
    pub(super) fn set(&mut self, address: IpAddr, path: Path, neighbour: Neighbour) {
        self.ways.insert(address, (path, neighbour));
    }

    pub(super) fn watch(&mut self, addresses: BTreeSet<IpAddr>) {
        self.watched = addresses;
    }

    /// The ways to the watched addresses as they are.
    pub(super) fn look(&self) -> Option<Event> {
        let straight = || (Path::Direct { interface: "eth0".into() }, Neighbour::Unknown);
        let seen = |address: &IpAddr| {
            let (path, neighbour) = self.ways.get(address).cloned().unwrap_or_else(straight);
            PathSeen { address: *address, path, neighbour }
        };
        let is_seen = !self.is_blind && !self.watched.is_empty();
        is_seen.then(|| Event::PathsSeen(self.watched.iter().map(seen).collect()))
    }
}

/// The server that a check asks, or, if it is a canary's, one that may answer.
pub(super) fn asked(check: &Check) -> IpAddr {
    match check.route {
        Route::Marked { toward, .. } => toward,
        Route::Own { .. } | Route::Through { .. } => check.target.ip(),
    }
}
