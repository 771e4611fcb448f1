//! Adj-RIB-In (RFC 4271 §3.2): what a neighbour told us and the import rules took.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{Received, Source, received::Shared};
use crate::{
    Community, Family, Prefix,
    fsm::Negotiated,
    policy::{Import, Verdict},
    wire::{Nlri, PathId, Update},
};

/// A prefix, and which of the neighbour's paths to it.
pub type PathKey = (Prefix, PathId);

/// Something that changed: the path with its new attributes, or `None` when it is gone.
pub type Change = (PathKey, Option<Arc<Received>>);

/// Why a route is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The family was not agreed on.
    Family,
    /// No import rule accepts it.
    Policy,
    /// Our own AS is in the path: it is our own route.
    OwnAs,
    /// Our identifier is its originator's (RFC 4456 §8).
    Reflected,
    /// Our cluster is in its list of clusters (RFC 4456 §8).
    Cluster,
    /// The neighbour's AS is not the first in the path.
    FirstAs,
    /// Its next hop is our own address.
    NextHop,
    /// The neighbour's role gives it no right to tell it (RFC 9234 §5).
    Leak,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Family => "its family was not agreed on",
            Self::Policy => "no import rule accepts it",
            Self::OwnAs => "our own AS is in its path",
            Self::Reflected => "it is our own, reflected",
            Self::Cluster => "it has been through our own cluster",
            Self::FirstAs => "the neighbour's AS is not the first in its path",
            Self::NextHop => "its next hop is our own address",
            Self::Leak => "it is a leak: the neighbour may tell it to its customers only",
        })
    }
}

/// Who we are and whom we talk to, as far as it decides what is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbourhood {
    /// Our AS.
    pub asn: u32,
    /// Our identifier.
    pub router_id: Ipv4Addr,
    /// The cluster that we are a route reflector of; our identifier unless another is configured (RFC 4456 §7).
    pub cluster_id: Ipv4Addr,
    /// Our end of the session.
    pub local: IpAddr,
    /// The neighbour's.
    pub remote: IpAddr,
    /// What was agreed on.
    pub negotiated: Negotiated,
}

impl Neighbourhood {
    /// The neighbour, under its configured name.
    pub fn source(&self, peer: &str) -> Source {
        Source {
            peer: peer.to_owned(),
            address: self.remote,
            router_id: self.negotiated.remote_router_id,
            internal: self.negotiated.internal,
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    attributes: Arc<Received>,
    /// It was told before a restart or a refresh and not since.
    stale: bool,
}

/// What one neighbour told us. It outlives the session when the neighbour restarts gracefully.
#[derive(Clone, Debug)]
pub struct AdjRibIn {
    import: Import,
    paths: BTreeMap<PathKey, Entry>,
    shared: Shared,
    counts: BTreeMap<Family, usize>,
    refused: BTreeMap<Refusal, u64>,
}

impl AdjRibIn {
    /// Nothing was told yet.
    pub fn new(import: Import) -> Self {
        Self {
            import,
            paths: BTreeMap::new(),
            shared: Shared::default(),
            counts: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// The rules.
    pub const fn import(&self) -> &Import {
        &self.import
    }

    /// Judges everything that is kept by other rules, which hold from now on. What a rule has changed in a route, and no
    /// rule changes now, is as it was when the neighbour tells it again.
    pub fn set_import(&mut self, import: Import, neighbour: IpAddr) -> Vec<Change> {
        self.import = import;
        let kept: Vec<_> =
            self.paths.iter().map(|(key, entry)| (*key, Arc::clone(&entry.attributes))).collect();
        let mut changes = Vec::new();
        for (key, route) in kept {
            match self.accepted(key.0, &route, neighbour) {
                None => self.remove(key, &mut changes),
                Some(attributes) if attributes == route => {}
                Some(attributes) => {
                    if let Some(entry) = self.paths.get_mut(&key) {
                        entry.attributes = Arc::clone(&attributes);
                        changes.push((key, Some(attributes)));
                    }
                }
            }
        }
        changes
    }

    /// Takes an UPDATE: what changed, in its order, withdrawals first.
    pub fn update(&mut self, update: &Update<'_>, with: &Neighbourhood) -> Vec<Change> {
        let mut changes = Vec::new();
        for key in update.withdrawn().flat_map(Nlri::paths) {
            self.remove(key, &mut changes);
        }
        for nlri in update.announced() {
            let verdict =
                if update.treat_as_withdraw() { None } else { self.judged(update, nlri.family(), with) };
            for key in nlri.paths() {
                match verdict.as_ref().and_then(|attributes| self.accepted(key.0, attributes, with.remote)) {
                    Some(attributes) => self.insert(key, attributes, &mut changes),
                    None => self.remove(key, &mut changes),
                }
            }
        }
        changes
    }

    /// Takes an UPDATE as it is, whatever rules there are: what a neighbour told before any of them (RFC 7854 §2).
    pub fn hear(&mut self, update: &Update<'_>) -> Vec<Change> {
        let mut changes = Vec::new();
        for key in update.withdrawn().flat_map(Nlri::paths) {
            self.remove(key, &mut changes);
        }
        for nlri in update.announced() {
            let heard = if update.treat_as_withdraw() {
                None
            } else {
                Received::of(&update.attributes, nlri.family())
                    .map(|attributes| self.shared.intern(attributes))
            };
            for key in nlri.paths() {
                match &heard {
                    Some(attributes) => self.insert(key, Arc::clone(attributes), &mut changes),
                    None => self.remove(key, &mut changes),
                }
            }
        }
        changes
    }

    /// What holds for all routes of the message; `None` when none is taken.
    fn judged(&mut self, update: &Update<'_>, family: Family, with: &Neighbourhood) -> Option<Arc<Received>> {
        let mut attributes = Received::of(&update.attributes, family)?;
        let neighbour = with.negotiated.remote_asn.get();
        let marked = match with.negotiated.role {
            Some(role) => role.receive(attributes.only_to_customer, neighbour),
            None => Ok(attributes.only_to_customer),
        };
        let internal = with.negotiated.internal;
        let refusal = if !with.negotiated.families.contains(&family) {
            Some(Refusal::Family)
        } else if attributes.path.contains(with.asn) {
            Some(Refusal::OwnAs)
        } else if attributes.originator_id == Some(with.router_id) {
            Some(Refusal::Reflected)
        } else if attributes.cluster_list.contains(&with.cluster_id) {
            Some(Refusal::Cluster)
        } else if !internal && self.import.first_as && attributes.path.neighbour() != Some(neighbour) {
            Some(Refusal::FirstAs)
        } else if attributes.next_hop == with.local {
            Some(Refusal::NextHop)
        } else if marked.is_err() {
            Some(Refusal::Leak)
        } else {
            None
        };
        match refusal {
            Some(refusal) => {
                self.refuse(refusal);
                None
            }
            None => {
                attributes.only_to_customer = marked.ok().flatten();
                Some(self.shared.intern(attributes))
            }
        }
    }

    /// The attributes with which the rules take a route.
    fn accepted(
        &mut self,
        prefix: Prefix,
        route: &Arc<Received>,
        neighbour: IpAddr,
    ) -> Option<Arc<Received>> {
        match self.import.judge(prefix, route, neighbour).1 {
            Verdict::Reject => {
                self.refuse(Refusal::Policy);
                None
            }
            Verdict::Accept { local_pref: None, med: None } => Some(Arc::clone(route)),
            Verdict::Accept { local_pref, med } => {
                let (local_pref, med) = (local_pref.or(route.local_pref), med.or(route.med));
                Some(self.shared.intern(Received { local_pref, med, ..(**route).clone() }))
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        *self.refused.entry(refusal).or_default() += 1;
    }

    fn insert(&mut self, key: PathKey, attributes: Arc<Received>, changes: &mut Vec<Change>) {
        let entry = Entry { attributes: Arc::clone(&attributes), stale: false };
        match self.paths.insert(key, entry) {
            Some(old) if old.attributes == attributes => return,
            Some(_) => {}
            None => *self.counts.entry(key.0.family()).or_default() += 1,
        }
        changes.push((key, Some(attributes)));
    }

    fn remove(&mut self, key: PathKey, changes: &mut Vec<Change>) {
        if self.paths.remove(&key).is_some() {
            if let Some(count) = self.counts.get_mut(&key.0.family()) {
                *count -= 1;
            }
            changes.push((key, None));
        }
    }

    /// Everything of a family is stale until it is told again: the neighbour has restarted (RFC 4724 §4.2) or begins a
    /// refresh (RFC 7313 §4.2). What was stale already is gone, since it was told neither time.
    pub fn mark_stale(&mut self, family: Family) -> Vec<Change> {
        let changes = self.purge_stale(family);
        for (_, entry) in self.paths.iter_mut().filter(|((prefix, _), _)| prefix.family() == family) {
            entry.stale = true;
        }
        changes
    }

    /// What is still stale becomes the last choice, and is marked so for whoever it is passed on to; what is not to be kept
    /// so is gone (RFC 9494 §4.2).
    pub fn mark_long_lived(&mut self, family: Family) -> Vec<Change> {
        let is_stale = |(prefix, _): &PathKey, entry: &Entry| prefix.family() == family && entry.stale;
        let mut changes = self.remove_all(|key, entry| {
            is_stale(key, entry) && entry.attributes.communities.contains(&Community::NO_LLGR)
        });
        for (key, entry) in self.paths.iter_mut().filter(|(key, entry)| is_stale(key, entry)) {
            if !entry.attributes.is_long_lived_stale() {
                let mut marked = (*entry.attributes).clone();
                marked.communities.push(Community::LLGR_STALE);
                entry.attributes = self.shared.intern(marked);
                changes.push((*key, Some(Arc::clone(&entry.attributes))));
            }
        }
        changes
    }

    /// What is still stale is gone.
    pub fn purge_stale(&mut self, family: Family) -> Vec<Change> {
        self.remove_all(|(prefix, _), entry| prefix.family() == family && entry.stale)
    }

    /// Nothing of a family is left.
    pub fn clear(&mut self, family: Family) -> Vec<Change> {
        self.remove_all(|(prefix, _), _| prefix.family() == family)
    }

    fn remove_all(&mut self, gone: impl Fn(&PathKey, &Entry) -> bool) -> Vec<Change> {
        let keys: Vec<_> =
            self.paths.iter().filter(|(key, entry)| gone(key, entry)).map(|(key, _)| *key).collect();
        let mut changes = Vec::with_capacity(keys.len());
        keys.into_iter().for_each(|key| self.remove(key, &mut changes));
        changes
    }

    /// How many paths are kept of each family.
    pub const fn counts(&self) -> &BTreeMap<Family, usize> {
        &self.counts
    }

    /// How many paths are stale.
    pub fn stale(&self) -> usize {
        self.paths.values().filter(|entry| entry.stale).count()
    }

    /// How often a route was not taken, by reason; routes of one message that share the reason count once, except
    /// those that no rule accepts.
    pub const fn refused(&self) -> &BTreeMap<Refusal, u64> {
        &self.refused
    }

    /// Everything kept, in order.
    pub fn paths(&self) -> impl Iterator<Item = (PathKey, &Received)> {
        self.paths.iter().map(|(key, entry)| (*key, &*entry.attributes))
    }

    /// The family of which more is kept than the limit allows, and how much.
    pub fn over_limit(&self) -> Option<(Family, usize)> {
        self.counts
            .iter()
            .map(|(family, count)| (*family, *count))
            .find(|(_, count)| *count > self.import.max_prefixes.limit)
    }

    #[cfg(test)]
    pub(super) fn attribute_sets(&self) -> usize {
        self.shared.len()
    }
}
