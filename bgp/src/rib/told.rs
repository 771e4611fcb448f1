//! What a neighbour is told of each route, in detail: for people who ask.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::{AdjRibOut, Candidate, Reflected, Said};
use crate::{
    Community, LargeCommunity, Prefix, RouteAttributes, RouteSet, policy::ExportFilter, wire::Announcement,
};

/// A route that the owner wants announced or passed on, or that the neighbour still holds, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldRoute {
    /// The prefix.
    pub prefix: Prefix,
    /// With what it is told; none when it is not.
    pub attributes: Option<ToldAttributes>,
    /// The peer whose route it is, when it is passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Why it is not told, or not yet.
    pub reason: Option<String>,
}

/// The attributes that a neighbour is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// `ORIGINATOR_ID` of a route that is passed on (RFC 4456).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub originator_id: Option<Ipv4Addr>,
    /// `CLUSTER_LIST` of a route that is passed on, the latest first (RFC 4456).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_list: Vec<Ipv4Addr>,
    /// `ONLY_TO_CUSTOMER` (RFC 9234).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_to_customer: Option<u32>,
}

impl From<Announcement<'_>> for ToldAttributes {
    fn from(announcement: Announcement<'_>) -> Self {
        Self {
            next_hop: announcement.next_hop.into(),
            as_path: announcement.as_path.asns().collect(),
            med: announcement.med,
            local_pref: announcement.local_pref,
            communities: announcement.communities.to_vec(),
            large_communities: announcement.large_communities.to_vec(),
            originator_id: announcement.extra.originator_id,
            cluster_list: announcement.extra.cluster_list,
            only_to_customer: announcement.extra.only_to_customer,
        }
    }
}

impl AdjRibOut {
    /// What becomes of each route of this set and, towards a client, of what is passed on, and of those that the neighbour
    /// still holds beside them.
    pub fn in_detail(&self, whole: &RouteSet, reflected: &Reflected) -> Vec<ToldRoute> {
        let wanted = whole.iter().map(|(prefix, attributes)| self.detail(*prefix, attributes));
        let is_passed_on = |(prefix, path): &(&Prefix, &Candidate)| {
            !whole.contains_key(*prefix) && self.export().passes_on(**prefix, path)
        };
        let passed_on = reflected.routes().iter().filter(is_passed_on);
        let passed_on = passed_on.map(|(prefix, path)| ToldRoute {
            of: Some(path.source.peer.clone()),
            ..self.said(*prefix, &Said::reflected(path))
        });
        let is_left = |prefix: &Prefix| {
            !whole.contains_key(prefix)
                && reflected.routes().get_key_value(prefix).is_none_or(|it| !is_passed_on(&it))
        };
        let left = self.prefixes_told().filter(is_left);
        let left = left.map(|prefix| not_told(prefix, "its withdrawal is not written yet".into()));
        wanted.chain(passed_on).chain(left).collect()
    }

    fn detail(&self, prefix: Prefix, attributes: &RouteAttributes) -> ToldRoute {
        let (export, family) = (self.export(), prefix.family());
        if !export.carries(family) {
            return not_told(prefix, format!("{family} is not among this peer's families"));
        }
        if !export.concerns(prefix, attributes) {
            return not_told(prefix, "this peer's export rules do not let it through".into());
        }
        self.said(prefix, &Said::Own(export.overridden(attributes)))
    }

    fn said(&self, prefix: Prefix, said: &Said) -> ToldRoute {
        match self.export().announcement(prefix.family(), said) {
            Err(reason) => not_told(prefix, reason.to_string()),
            Ok(told) => {
                let is_waiting = !self.holds(prefix);
                let reason = is_waiting.then(|| "it is not written yet".to_owned());
                ToldRoute { prefix, attributes: Some(told.into()), of: None, reason }
            }
        }
    }
}

const fn not_told(prefix: Prefix, reason: String) -> ToldRoute {
    ToldRoute { prefix, attributes: None, of: None, reason: Some(reason) }
}

/// The same of a set while there is no session: nothing is told.
pub fn nothing_told(whole: &RouteSet, filter: &ExportFilter) -> Vec<ToldRoute> {
    let reason = |prefix: Prefix, attributes| match filter.permits(prefix, attributes) {
        true => "there is no session",
        false => "this peer's export rules do not let it through",
    };
    let told = |(prefix, attributes): (&Prefix, _)| not_told(*prefix, reason(*prefix, attributes).into());
    whole.iter().map(told).collect()
}
