//! What is announced.

use std::ops::Deref;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::{Community, LargeCommunity, Prefix};

/// The attributes of an announcement that its owner chooses. The speaker adds origin, AS path and next hop.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteAttributes {
    /// `MULTI_EXIT_DISC`; lower is preferred by the neighbouring AS. Not sent when `None`.
    pub med: Option<u32>,
    /// `LOCAL_PREF`, sent to internal neighbours alone; 100 when `None`.
    pub local_pref: Option<u32>,
    /// How many more times than once the own AS stands in the path towards external neighbours.
    pub prepend: u8,
    /// Standard communities, in the order in which they are sent.
    pub communities: Vec<Community>,
    /// Large communities, in the order in which they are sent.
    pub large_communities: Vec<LargeCommunity>,
}

impl RouteAttributes {
    /// The same on their way out: any other way is to be preferred (RFC 8326 §4).
    #[must_use]
    pub fn leaving(&self) -> Self {
        let mut leaving = self.clone();
        if !leaving.communities.contains(&Community::GRACEFUL_SHUTDOWN) {
            leaving.communities.push(Community::GRACEFUL_SHUTDOWN);
        }
        leaving.local_pref = Some(0);
        leaving
    }
}

/// One announcement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// What is announced; a VIP is [`Prefix::host`].
    pub prefix: Prefix,
    /// With what.
    pub attributes: RouteAttributes,
}

impl Route {
    /// An announcement without any attribute of its own.
    pub fn new(prefix: impl Into<Prefix>) -> Self {
        Self { prefix: prefix.into(), attributes: RouteAttributes::default() }
    }
}

/// Everything that is to be announced: always the whole set, never a change to one. A clone costs nothing, and a set that is
/// derived from another shares with it all but what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RouteSet(OrdMap<Prefix, RouteAttributes>);

impl RouteSet {
    /// The set that announces nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route; one with the same prefix is replaced and returned.
    pub fn insert(&mut self, prefix: Prefix, attributes: RouteAttributes) -> Option<RouteAttributes> {
        self.0.insert(prefix, attributes)
    }

    /// Takes the route of a prefix out, and returns its attributes.
    pub fn remove(&mut self, prefix: &Prefix) -> Option<RouteAttributes> {
        self.0.remove(prefix)
    }

    /// The same routes on their way out ([`RouteAttributes::leaving`]).
    #[must_use]
    pub fn leaving(&self) -> Self {
        self.0.iter().map(|(prefix, attributes)| (*prefix, attributes.leaving())).collect()
    }
}

impl Deref for RouteSet {
    type Target = OrdMap<Prefix, RouteAttributes>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromIterator<Route> for RouteSet {
    fn from_iter<I: IntoIterator<Item = Route>>(routes: I) -> Self {
        routes.into_iter().map(|route| (route.prefix, route.attributes)).collect()
    }
}

impl FromIterator<(Prefix, RouteAttributes)> for RouteSet {
    fn from_iter<I: IntoIterator<Item = (Prefix, RouteAttributes)>>(routes: I) -> Self {
        Self(routes.into_iter().collect())
    }
}
