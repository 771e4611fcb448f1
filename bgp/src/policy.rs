//! What is taken from a neighbour: import rules (RFC 8212: without a rule that accepts, nothing). And what it is told:
//! [`export`].

pub mod export;
mod range;

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Community, LargeCommunity, Prefix, rib::Received};

pub use export::{ExportFilter, ExportRule, Overrides};
pub use range::{PrefixRange, PrefixRangeError};

/// Which next hop a route may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextHopRule {
    /// Any that is a host's.
    #[default]
    Any,
    /// The neighbour itself.
    Neighbour,
    /// One of these.
    OneOf(Vec<IpAddr>),
}

/// One rule: what a route must be, all of it, and what then happens. The first rule that matches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// It is one of these; any when empty.
    pub prefixes: Vec<PrefixRange>,
    /// It carries one of these; whether or not when empty.
    pub communities: Vec<Community>,
    /// It carries one of these; whether or not when empty.
    pub large_communities: Vec<LargeCommunity>,
    /// Its path has at most so many hops.
    pub longest_path: Option<usize>,
    /// Its next hop.
    pub next_hop: NextHopRule,
    /// What happens to it.
    pub verdict: Verdict,
}

/// What a rule does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not taken.
    #[default]
    Reject,
    /// Taken, with these attributes changed.
    Accept {
        /// The new `LOCAL_PREF`; the old one when `None`.
        local_pref: Option<u32>,
        /// The new `MULTI_EXIT_DISC`; the old one when `None`.
        med: Option<u32>,
    },
}

impl Verdict {
    /// Taken as it is.
    pub const ACCEPT: Self = Self::Accept { local_pref: None, med: None };
}

/// How many routes of one family a neighbour may have us keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaxPrefixes {
    /// At so many the owner is warned.
    pub warn: usize,
    /// With more the session ends (Cease, Maximum Number of Prefixes Reached; RFC 4486).
    pub limit: usize,
    /// How long it then stays down.
    pub hold_off: Duration,
}

/// What is taken from one neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The rules; what none accepts is not taken.
    pub rules: Vec<Rule>,
    /// The most that is kept of each family.
    pub max_prefixes: MaxPrefixes,
    /// An external neighbour's own AS must be the first in each path (RFC 4271 §6.3), unless it is a route server.
    pub first_as: bool,
    /// Several paths to one prefix are taken (RFC 7911).
    pub add_path: bool,
}

impl MaxPrefixes {
    /// Room for every node's blocks of a large cluster, and a bound on memory all the same.
    pub const DEFAULT: Self = Self { warn: 8_000, limit: 10_000, hold_off: Duration::from_secs(300) };
}

impl Import {
    /// These rules and the defaults for everything else.
    pub const fn new(rules: Vec<Rule>) -> Self {
        Self { rules, max_prefixes: MaxPrefixes::DEFAULT, first_as: true, add_path: false }
    }

    /// What the rules say of a route; the number of the rule that decided, `None` when none did.
    pub fn judge(&self, prefix: Prefix, route: &Received, neighbour: IpAddr) -> (Option<usize>, &Verdict) {
        let found = self.rules.iter().enumerate().find(|(_, rule)| rule.matches(prefix, route, neighbour));
        found.map_or((None, &Verdict::Reject), |(index, rule)| (Some(index), &rule.verdict))
    }
}

/// Whether one of the wanted is there, if any is wanted.
fn any<T: PartialEq>(wanted: &[T], has: &[T]) -> bool {
    wanted.is_empty() || wanted.iter().any(|one| has.contains(one))
}

impl Rule {
    fn matches(&self, prefix: Prefix, route: &Received, neighbour: IpAddr) -> bool {
        let next_hop = match &self.next_hop {
            NextHopRule::Any => true,
            NextHopRule::Neighbour => route.next_hop == neighbour,
            NextHopRule::OneOf(hops) => hops.contains(&route.next_hop),
        };
        next_hop
            && (self.prefixes.is_empty() || self.prefixes.iter().any(|range| range.matches(prefix)))
            && any(&self.communities, &route.communities)
            && any(&self.large_communities, &route.large_communities)
            && self.longest_path.is_none_or(|longest| route.path.hops() <= longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn route() -> Received {
        Received {
            next_hop: "10.64.0.5".parse().unwrap(),
            communities: vec![Community::new(64_512, 1)],
            ..Received::default()
        }
    }

    #[test]
    fn nothing_is_taken_without_a_rule_and_the_first_that_matches_decides() {
        let neighbour = "10.64.0.5".parse().unwrap();
        let judge = |rules| {
            let import = Import::new(rules);
            let (rule, verdict) = import.judge(prefix("10.67.1.0/26"), &route(), neighbour);
            (rule, *verdict == Verdict::ACCEPT)
        };
        assert_eq!(judge(vec![]), (None, false));
        let accept = Rule { verdict: Verdict::ACCEPT, ..Rule::default() };
        assert_eq!(judge(vec![accept.clone()]), (Some(0), true));
        let other = Rule { prefixes: vec![PrefixRange::inside(prefix("10.68.0.0/16"))], ..Rule::default() };
        let own = Rule { prefixes: vec![PrefixRange::inside(prefix("10.67.0.0/16"))], ..Rule::default() };
        assert_eq!(judge(vec![other.clone(), accept.clone()]), (Some(1), true));
        assert_eq!(judge(vec![other, own, accept]), (Some(1), false));
    }

    #[test]
    fn every_condition_of_a_rule_must_hold() {
        let matches =
            |rule: Rule| rule.matches(prefix("10.67.1.0/26"), &route(), "10.64.0.5".parse().unwrap());
        assert!(matches(Rule::default()));
        assert!(matches(Rule { next_hop: NextHopRule::Neighbour, ..Rule::default() }));
        let hop = vec!["10.64.0.9".parse().unwrap()];
        assert!(!matches(Rule { next_hop: NextHopRule::OneOf(hop), ..Rule::default() }));
        let communities = vec![Community::new(1, 1), Community::new(64_512, 1)];
        assert!(matches(Rule { communities, ..Rule::default() }));
        assert!(!matches(Rule { communities: vec![Community::NO_EXPORT], ..Rule::default() }));
        let large_communities = vec![LargeCommunity { global: 1, local1: 2, local2: 3 }];
        assert!(!matches(Rule { large_communities, ..Rule::default() }));
        assert!(matches(Rule { longest_path: Some(0), ..Rule::default() }));
    }

    #[test]
    fn length_next_hop_and_large_communities_take_and_refuse() {
        let large = |local2| LargeCommunity { global: 64_600, local1: 2, local2 };
        let route = Received {
            path: crate::Path::sequence(vec![65_001, 65_002]),
            large_communities: vec![large(3), large(4)],
            ..route()
        };
        let by = |neighbour: &str, rule: &Rule| {
            rule.matches(prefix("10.67.1.0/26"), &route, neighbour.parse().unwrap())
        };
        let matches = |rule: Rule| by("10.64.0.5", &rule);
        let length = |longest| matches(Rule { longest_path: Some(longest), ..Rule::default() });
        assert_eq!([0, 1, 2, 3].map(length), [false, false, true, true]);
        let own = Rule { next_hop: NextHopRule::Neighbour, ..Rule::default() };
        assert!(by("10.64.0.5", &own));
        assert!(!by("10.64.0.6", &own), "its next hop is another's");
        let one_of = |hops: &[&str]| {
            let hops = hops.iter().map(|hop| hop.parse().unwrap()).collect();
            matches(Rule { next_hop: NextHopRule::OneOf(hops), ..Rule::default() })
        };
        assert!(one_of(&["10.64.0.9", "10.64.0.5"]));
        assert!(!one_of(&["10.64.0.9"]));
        let tagged = |large_communities| matches(Rule { large_communities, ..Rule::default() });
        assert!(tagged(vec![large(9), large(4)]));
        assert!(!tagged(vec![large(9)]));
        // One condition that does not hold is enough.
        let both = Rule { longest_path: Some(1), large_communities: vec![large(3)], ..Rule::default() };
        assert!(!matches(both));
    }
}
