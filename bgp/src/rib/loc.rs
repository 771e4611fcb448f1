//! Loc-RIB (RFC 4271 §3.2) and the choice of the best path (§9.1.2.2; RFC 4456 §9; RFC 9494 §4.3).

use std::{cmp::Reverse, collections::BTreeMap, fmt, net::IpAddr, net::Ipv4Addr, sync::Arc};

use super::{Change, Received};
use crate::{Prefix, wire::PathId};

/// `LOCAL_PREF` of a path without one: what everybody takes.
const DEFAULT_LOCAL_PREF: u32 = 100;

/// The neighbour that a path comes from, as far as it decides between paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The peer's configured name.
    pub peer: String,
    /// Its address.
    pub address: IpAddr,
    /// Its BGP identifier.
    pub router_id: Ipv4Addr,
    /// It is in the own AS.
    pub internal: bool,
}

/// One path to a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who told it.
    pub source: Arc<Source>,
    /// Which of that neighbour's paths.
    pub path_id: PathId,
    /// What was told.
    pub route: Arc<Received>,
}

impl Candidate {
    /// Who brought it into the AS (RFC 4456 §8); of an external neighbour's path that neighbour.
    pub fn originator_id(&self) -> Ipv4Addr {
        self.route.originator_id.unwrap_or(self.source.router_id)
    }
}

/// The comparisons in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Not kept beyond a graceful restart (RFC 9494 §4.3).
    LongLivedStale,
    /// The highest `LOCAL_PREF`.
    LocalPref,
    /// The shortest path.
    PathLength,
    /// The lowest `ORIGIN`.
    Origin,
    /// The lowest `MULTI_EXIT_DISC` among paths from the same neighbouring AS.
    Med,
    /// From an external neighbour.
    External,
    /// The lowest BGP identifier, or `ORIGINATOR_ID` in its place.
    RouterId,
    /// The shortest list of clusters.
    ClusterList,
    /// The lowest address of a neighbour.
    Address,
    /// The lowest path identifier, so that the choice is always one.
    PathId,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LongLivedStale => "kept beyond a graceful restart",
            Self::LocalPref => "lower LOCAL_PREF",
            Self::PathLength => "longer AS path",
            Self::Origin => "worse ORIGIN",
            Self::Med => "higher MED",
            Self::External => "from an internal neighbour",
            Self::RouterId => "higher router id",
            Self::ClusterList => "longer cluster list",
            Self::Address => "higher neighbour address",
            Self::PathId => "higher path id",
        })
    }
}

/// All paths that the neighbours told and the best to each prefix. The metric towards a next hop (§9.1.2.2 e) is not
/// known here and decides nothing.
#[derive(Clone, Debug, Default)]
pub struct LocRib {
    /// The best path comes first.
    routes: BTreeMap<Prefix, Vec<Candidate>>,
}

impl LocRib {
    /// Takes one neighbour's changes; the prefixes whose best path is another one now.
    pub fn apply(&mut self, source: &Arc<Source>, changes: Vec<Change>) -> Vec<Prefix> {
        let mut moved = Vec::new();
        for ((prefix, path_id), route) in changes {
            let candidates = self.routes.entry(prefix).or_default();
            let before = candidates.first().cloned();
            candidates.retain(|other| other.source.peer != source.peer || other.path_id != path_id);
            // Most prefixes have one path or a few: room for exactly those.
            candidates.reserve_exact(usize::from(route.is_some()));
            candidates.extend(route.map(|route| Candidate { source: Arc::clone(source), path_id, route }));
            promote_best(candidates);
            if candidates.first() != before.as_ref() {
                moved.push(prefix);
            }
            if candidates.is_empty() {
                self.routes.remove(&prefix);
            }
        }
        moved
    }

    /// The best path to a prefix.
    pub fn best(&self, prefix: Prefix) -> Option<&Candidate> {
        self.routes.get(&prefix)?.first()
    }

    /// The best path to a prefix of those that are wanted.
    pub fn best_of(&self, prefix: Prefix, wanted: impl Fn(&Candidate) -> bool) -> Option<Candidate> {
        let candidates = self.routes.get(&prefix)?.iter();
        let mut wanted: Vec<_> = candidates.filter(|candidate| wanted(candidate)).cloned().collect();
        promote_best(&mut wanted);
        wanted.into_iter().next()
    }

    /// Every prefix with its best path, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &Candidate)> {
        self.routes.iter().filter_map(|(prefix, candidates)| Some((*prefix, candidates.first()?)))
    }

    /// Every path, by prefix, the best to each first; the others in no order that means anything.
    pub fn paths(&self) -> impl Iterator<Item = (Prefix, &Candidate)> {
        let all = self.routes.iter();
        all.flat_map(|(prefix, candidates)| candidates.iter().map(|candidate| (*prefix, candidate)))
    }

    /// Every path to a prefix, the best first, and the comparison that each of the others lost.
    pub fn explain(&self, prefix: Prefix) -> Vec<(&Candidate, Option<Step>)> {
        let Some(candidates) = self.routes.get(&prefix) else { return Vec::new() };
        let (_, lost) = choose(candidates);
        candidates.iter().zip(lost).collect()
    }

    /// Prefixes that have a path.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// No neighbour told anything.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

fn promote_best(candidates: &mut [Candidate]) {
    if candidates.len() > 1 {
        let (best, _) = choose(candidates);
        candidates[..=best].rotate_right(1);
    }
}

/// The index of the best, and the step at which each of the others was left out.
fn choose(candidates: &[Candidate]) -> (usize, Vec<Option<Step>>) {
    let mut lost = vec![None; candidates.len()];
    by_key(candidates, &mut lost, Step::LongLivedStale, |c| c.route.is_long_lived_stale());
    by_key(candidates, &mut lost, Step::LocalPref, |c| {
        Reverse(c.route.local_pref.unwrap_or(DEFAULT_LOCAL_PREF))
    });
    by_key(candidates, &mut lost, Step::PathLength, |c| c.route.path.hops());
    by_key(candidates, &mut lost, Step::Origin, |c| c.route.origin);
    lowest_med(candidates, &mut lost);
    by_key(candidates, &mut lost, Step::External, |c| c.source.internal);
    by_key(candidates, &mut lost, Step::RouterId, Candidate::originator_id);
    by_key(candidates, &mut lost, Step::ClusterList, |c| c.route.cluster_list.len());
    by_key(candidates, &mut lost, Step::Address, |c| c.source.address);
    by_key(candidates, &mut lost, Step::PathId, |c| (c.path_id, &c.source.peer));
    (lost.iter().position(Option::is_none).unwrap_or(0), lost)
}

/// Leaves out whom the step does not prefer, of those that are left.
fn by_key<'a, K: Ord>(
    candidates: &'a [Candidate],
    lost: &mut [Option<Step>],
    step: Step,
    key: impl Fn(&'a Candidate) -> K,
) {
    let left = |lost: &[Option<Step>], index: usize| lost[index].is_none();
    let best =
        candidates.iter().enumerate().filter(|(index, _)| left(lost, *index)).map(|(_, c)| key(c)).min();
    for (index, candidate) in candidates.iter().enumerate() {
        if left(lost, index) && best.as_ref().is_some_and(|best| key(candidate) > *best) {
            lost[index] = Some(step);
        }
    }
}

/// A path is left out when another that is left, from the same AS, has a lower MED; none at all counts as 0.
fn lowest_med(candidates: &[Candidate], lost: &mut [Option<Step>]) {
    let mut lowest = BTreeMap::new();
    let med = |candidate: &Candidate| candidate.route.med.unwrap_or(0);
    for (candidate, _) in candidates.iter().zip(&*lost).filter(|(_, lost)| lost.is_none()) {
        let least = lowest.entry(candidate.route.path.neighbour()).or_insert_with(|| med(candidate));
        *least = med(candidate).min(*least);
    }
    for (candidate, lost) in candidates.iter().zip(lost).filter(|(_, lost)| lost.is_none()) {
        if lowest.get(&candidate.route.path.neighbour()).is_some_and(|least| med(candidate) > *least) {
            *lost = Some(Step::Med);
        }
    }
}
