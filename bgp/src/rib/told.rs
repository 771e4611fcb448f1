//! What a neighbour is told of each route, in detail: for people who ask.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{AdjRibOut, Export};
use crate::{
    Community, Family, LargeCommunity, Prefix, RouteAttributes, RouteSet, policy::ExportFilter, wire::NextHop,
};

/// A route that the owner wants announced, or that the neighbour still holds, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldRoute {
    /// The prefix.
    pub prefix: Prefix,
    /// With what it is told; none when it is not.
    pub attributes: Option<ToldAttributes>,
    /// Why it is not told, or not yet.
    pub reason: Option<String>,
}

/// The attributes that a neighbour is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldAttributes {
    /// Where to.
    pub next_hop: IpAddr,
    /// The path's AS numbers; none towards internal neighbours.
    pub as_path: Vec<u32>,
    /// `MULTI_EXIT_DISC`.
    pub med: Option<u32>,
    /// `LOCAL_PREF`, towards internal neighbours.
    pub local_pref: Option<u32>,
    /// Standard communities.
    pub communities: Vec<Community>,
    /// Large communities.
    pub large_communities: Vec<LargeCommunity>,
}

impl ToldAttributes {
    fn of(export: &Export, family: Family, attributes: &RouteAttributes) -> Result<Self, String> {
        let announcement = export.announcement(family, attributes).map_err(|reason| reason.to_string())?;
        Ok(Self {
            next_hop: match announcement.next_hop {
                NextHop::V4(hop) => hop.into(),
                NextHop::V6(hop) => hop.into(),
            },
            as_path: announcement.as_path,
            med: announcement.med,
            local_pref: announcement.local_pref,
            communities: announcement.communities.to_vec(),
            large_communities: announcement.large_communities.to_vec(),
        })
    }
}

impl AdjRibOut {
    /// What becomes of each route of this set towards the neighbour, and of those that it still holds beside them.
    pub fn in_detail(&self, whole: &RouteSet) -> Vec<ToldRoute> {
        let wanted = whole.iter().map(|(prefix, attributes)| self.detail(*prefix, attributes));
        let left = self.prefixes_told().filter(|prefix| !whole.contains_key(prefix)).map(|prefix| {
            ToldRoute { prefix, attributes: None, reason: Some("its withdrawal is not written yet".into()) }
        });
        wanted.chain(left).collect()
    }

    fn detail(&self, prefix: Prefix, attributes: &RouteAttributes) -> ToldRoute {
        let not = |reason: String| ToldRoute { prefix, attributes: None, reason: Some(reason) };
        let (export, family) = (self.export(), prefix.family());
        if !export.carries(family) {
            return not(format!("{family} is not among this peer's families"));
        }
        if !export.concerns(prefix, attributes) {
            return not("this peer's export rules do not let it through".into());
        }
        match ToldAttributes::of(export, family, &export.overridden(attributes)) {
            Err(reason) => not(reason),
            Ok(told) => {
                let is_waiting = !self.holds(prefix);
                let reason = is_waiting.then(|| "it is not written yet".to_owned());
                ToldRoute { prefix, attributes: Some(told), reason }
            }
        }
    }
}

/// The same of a set while there is no session: nothing is told.
pub fn nothing_told(whole: &RouteSet, filter: &ExportFilter) -> Vec<ToldRoute> {
    let reason = |prefix: Prefix, attributes| match filter.permits(prefix, attributes) {
        true => "there is no session",
        false => "this peer's export rules do not let it through",
    };
    let routes = whole.iter().map(|(prefix, attributes)| ToldRoute {
        prefix: *prefix,
        attributes: None,
        reason: Some(reason(*prefix, attributes).into()),
    });
    routes.collect()
}
