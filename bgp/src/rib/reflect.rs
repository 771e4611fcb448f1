//! What a route reflector passes on (RFC 4456): of what its clients told, the best path that may be passed on to each
//! prefix.
//!
//! A client is told of all of it but what it told itself or brought into the AS ([`Export`](super::Export)), with the
//! next hop and every other attribute as they came, and with who brought it and through which clusters it went added.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use super::{Candidate, LocRib};
use crate::{Community, Prefix};

/// One peer's way to a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Way {
    /// The peer's configured name.
    pub peer: String,
    /// The next hop that it told.
    pub next_hop: IpAddr,
}

/// What may be passed on to clients: always the whole of it. What the peers' import rules took is passed on when it is in
/// here, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permits {
    /// The ways by prefix.
    pub ways: BTreeMap<Prefix, BTreeSet<Way>>,
    /// Who may hear that this is all.
    pub complete: Complete,
}

/// Who may be told End-of-RIB. Told too early, clients that kept what they had heard of us over a restart of ours would drop
/// what we have not heard again ourselves (RFC 4724 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Complete {
    /// Nobody.
    #[default]
    No,
    /// Clients that restart themselves: all others have told what they have. These tell what they have when they have heard
    /// End-of-RIB from us, so that whoever waits for them waits for ever.
    ToRestarting,
    /// Everybody: every client has told what it has, or had the time to.
    ToAll,
}

/// What is passed on: a path to each prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reflected {
    routes: BTreeMap<Prefix, Candidate>,
    complete: Complete,
}

impl Reflected {
    /// Of the paths that neighbours in the own AS told, the best that may be passed on.
    pub fn of(table: &LocRib, permits: &Permits) -> Self {
        let best = |(prefix, ways): (&Prefix, &BTreeSet<Way>)| {
            let may_pass = |path: &Candidate| {
                let way = Way { peer: path.source.peer.clone(), next_hop: path.route.next_hop };
                // RFC 1997: to nobody else.
                let is_kept = path.route.communities.contains(&Community::NO_ADVERTISE);
                path.source.internal && !is_kept && ways.contains(&way)
            };
            Some((*prefix, table.best_of(*prefix, may_pass)?))
        };
        Self { routes: permits.ways.iter().filter_map(best).collect(), complete: permits.complete }
    }

    /// The path to each prefix.
    pub const fn routes(&self) -> &BTreeMap<Prefix, Candidate> {
        &self.routes
    }

    /// Who may be told that this is all.
    pub const fn complete(&self) -> Complete {
        self.complete
    }
}
