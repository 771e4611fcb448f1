//! What a neighbour is told of the owner's set, and with which attributes.

use serde::{Deserialize, Serialize};

use super::{PrefixRange, any};
use crate::{Community, LargeCommunity, Prefix, RouteAttributes};

/// What of the owner's set a neighbour is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFilter {
    /// All of it.
    #[default]
    All,
    /// What is in one of these ranges; nothing when there is none, End-of-RIB then being all it hears.
    Only(Vec<PrefixRange>),
    /// What these rules accept: the first that matches decides, and what none matches is not told.
    Rules(Vec<ExportRule>),
}

/// One rule: what a route must be, all of it, and whether it is then told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportRule {
    /// It is one of these; any when empty.
    pub prefixes: Vec<PrefixRange>,
    /// It carries one of these; whether or not when empty.
    pub communities: Vec<Community>,
    /// It carries one of these; whether or not when empty.
    pub large_communities: Vec<LargeCommunity>,
    /// Whether the neighbour is told of it.
    pub accept: bool,
}

impl ExportRule {
    fn matches(&self, prefix: Prefix, attributes: &RouteAttributes) -> bool {
        (self.prefixes.is_empty() || self.prefixes.iter().any(|range| range.matches(prefix)))
            && any(&self.communities, &attributes.communities)
            && any(&self.large_communities, &attributes.large_communities)
    }
}

impl ExportFilter {
    /// Whether the neighbour is told of a route with these attributes.
    pub fn permits(&self, prefix: Prefix, attributes: &RouteAttributes) -> bool {
        match self {
            Self::All => true,
            Self::Only(ranges) => ranges.iter().any(|range| range.matches(prefix)),
            Self::Rules(rules) => {
                rules.iter().find(|rule| rule.matches(prefix, attributes)).is_some_and(|rule| rule.accept)
            }
        }
    }
}

/// Attributes that a neighbour is told in place of the routes' own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// `MULTI_EXIT_DISC`.
    pub med: Option<u32>,
    /// How many more times than once the own AS stands in the path.
    pub prepend: Option<u8>,
}

impl Overrides {
    /// The attributes that the neighbour is told.
    pub fn apply(&self, attributes: &RouteAttributes) -> RouteAttributes {
        RouteAttributes {
            med: self.med.or(attributes.med),
            prepend: self.prepend.unwrap_or(attributes.prepend),
            ..attributes.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_export_rule_that_matches_decides_and_without_one_nothing_is_told() {
        let inside = |text: &str| PrefixRange::inside(text.parse().unwrap());
        let test_only = Community::new(64_600, 1);
        let rules = ExportFilter::Rules(vec![
            ExportRule { communities: vec![test_only], ..ExportRule::default() },
            ExportRule { prefixes: vec![inside("192.0.2.0/24")], accept: true, ..ExportRule::default() },
        ]);
        let plain = RouteAttributes::default();
        let tagged = RouteAttributes { communities: vec![test_only], ..RouteAttributes::default() };
        let permits = |text: &str, attributes| rules.permits(text.parse().unwrap(), attributes);
        assert!(permits("192.0.2.10/32", &plain));
        assert!(!permits("192.0.2.10/32", &tagged), "the first rule rejects it");
        assert!(!permits("198.51.100.1/32", &plain), "no rule accepts it");
    }

    #[test]
    fn what_a_peer_overrides_is_told_in_place_of_the_routes_own() {
        let own = RouteAttributes { med: Some(0), prepend: 1, ..RouteAttributes::default() };
        assert_eq!(Overrides::default().apply(&own), own);
        let told = Overrides { med: Some(100), prepend: Some(0) }.apply(&own);
        assert_eq!((told.med, told.prepend), (Some(100), 0));
    }
}
