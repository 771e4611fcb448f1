//! Adj-RIB-Out (RFC 4271 §3.2) and what is outstanding.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use super::{Export, Reflected, Said, WithheldReason};
use crate::{
    Family, Prefix, RouteAttributes, RouteSet,
    policy::{ExportFilter, Overrides},
    wire::RefreshKind,
};

/// Prefixes in a batch: as many /32 as one message holds.
const BATCH: usize = 800;

/// What one session's neighbour was told and has yet to be told.
#[derive(Clone, Debug)]
pub struct AdjRibOut {
    export: Export,
    told: BTreeMap<Prefix, Told>,
    withdraw: BTreeSet<Prefix>,
    announce: BTreeMap<(Family, Arc<Said>), BTreeSet<Prefix>>,
    withheld: BTreeMap<(Family, WithheldReason), usize>,
    /// Families whose End-of-RIB is due once everything outstanding is told.
    end_of_rib: BTreeSet<Family>,
    /// Families that the neighbour asked for before their End-of-RIB: repeated after it (RFC 7313 §4.1).
    asked_early: BTreeSet<Family>,
    /// Families whose repetition is about to begin, and those that it is to end of.
    refresh_begin: BTreeSet<Family>,
    refresh_end: BTreeSet<Family>,
    /// The owner has said at least once what it wants, all of it.
    known: bool,
}

/// The owner's attributes of routes of a family, judged.
type Verdicts<'a> = BTreeMap<(Family, &'a RouteAttributes), Result<Arc<Said>, WithheldReason>>;

#[derive(Clone, Debug)]
struct Told {
    said: Arc<Said>,
    /// The neighbour asked for it once more.
    again: bool,
}

/// What is outstanding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Prefixes to announce, for the first time or with other attributes.
    pub announce: usize,
    /// Prefixes to withdraw.
    pub withdraw: usize,
}

/// The next thing to tell the neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Withdraw these.
    Withdraw {
        /// The family of all of them.
        family: Family,
        /// The prefixes.
        prefixes: Vec<Prefix>,
    },
    /// Announce these.
    Announce {
        /// The family of all of them.
        family: Family,
        /// What is said of all of them.
        said: Arc<Said>,
        /// The prefixes.
        prefixes: Vec<Prefix>,
    },
    /// The family's initial routes are all told.
    EndOfRib(Family),
    /// The family's routes are told once more from here on (RFC 7313); or all of them were.
    Refresh(RefreshKind, Family),
}

impl AdjRibOut {
    /// A session that has just come up: the neighbour was told nothing.
    pub fn new(export: Export) -> Self {
        let end_of_rib = export.families().clone();
        Self {
            export,
            told: BTreeMap::new(),
            withdraw: BTreeSet::new(),
            announce: BTreeMap::new(),
            withheld: BTreeMap::new(),
            end_of_rib,
            asked_early: BTreeSet::new(),
            refresh_begin: BTreeSet::new(),
            refresh_end: BTreeSet::new(),
            known: false,
        }
    }

    /// The session's rules.
    pub const fn export(&self) -> &Export {
        &self.export
    }

    /// Other rules hold from the next [`set`](Self::set) on.
    pub fn set_rules(&mut self, filter: ExportFilter, overrides: Overrides) {
        self.export = self.export.clone().filtered(filter).overriding(overrides);
    }

    /// The neighbour shall hold exactly this set. Returns what is outstanding for that.
    pub fn set(&mut self, whole: &RouteSet) -> Pending {
        self.set_with(whole, &Reflected::default())
    }

    /// The neighbour shall hold exactly this set and, as a client, of this what is not its own. A route of the owner's set
    /// goes before a client's to the same prefix. Returns what is outstanding for that.
    pub fn set_with(&mut self, whole: &RouteSet, reflected: &Reflected) -> Pending {
        self.known = self.known || self.export.is_complete(reflected);
        self.announce.clear();
        self.withheld.clear();
        self.withdraw = self.told.keys().copied().collect();
        let mut judged = Verdicts::new();
        for (prefix, attributes) in whole.iter() {
            if self.export.concerns(*prefix, attributes) {
                self.want_own(*prefix, attributes, &mut judged);
            }
        }
        for (prefix, path) in reflected.routes() {
            let is_own = whole.get(prefix).is_some_and(|own| self.export.concerns(*prefix, own));
            if !is_own && self.export.passes_on(*prefix, path) {
                self.want_reflected(*prefix, Said::reflected(path));
            }
        }
        self.pending()
    }

    /// Routes of a set mostly share their attributes: each of those is judged and kept once.
    fn want_own<'a>(&mut self, prefix: Prefix, own: &'a RouteAttributes, judged: &mut Verdicts<'a>) {
        let family = prefix.family();
        let verdict = match judged.entry((family, own)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let said = Said::Own(self.export.overridden(own));
                let can = self.export.announcement(family, &said).map(drop);
                entry.insert(can.map(|()| Arc::new(said)))
            }
        };
        match verdict {
            Err(reason) => *self.withheld.entry((family, *reason)).or_default() += 1,
            Ok(said) => {
                self.withdraw.remove(&prefix);
                if self.current(prefix).is_none_or(|current| *current != **said) {
                    self.announce.entry((family, Arc::clone(said))).or_default().insert(prefix);
                }
            }
        }
    }

    /// Paths that are told already share what they say with the table, and cost a look.
    fn want_reflected(&mut self, prefix: Prefix, said: Said) {
        let family = prefix.family();
        if self.current(prefix).is_some_and(|current| *current == said) {
            self.withdraw.remove(&prefix);
            return;
        }
        match self.export.announcement(family, &said).map(drop) {
            Err(reason) => *self.withheld.entry((family, reason)).or_default() += 1,
            Ok(()) => {
                self.withdraw.remove(&prefix);
                self.announce.entry((family, Arc::new(said))).or_default().insert(prefix);
            }
        }
    }

    /// What the neighbour holds of a prefix, unless it has asked for it once more.
    fn current(&self, prefix: Prefix) -> Option<&Said> {
        self.told.get(&prefix).filter(|told| !told.again).map(|told| &*told.said)
    }

    /// The neighbour asked for a family's routes once more (RFC 2918 §4). Those that wait to be announced or withdrawn
    /// go as they would.
    pub fn refresh(&mut self, family: Family) -> Pending {
        if self.end_of_rib.contains(&family) {
            self.asked_early.insert(family);
            return self.pending();
        }
        if self.export.enhanced_refresh() {
            self.refresh_begin.insert(family);
            self.refresh_end.insert(family);
        }
        let waiting: BTreeSet<Prefix> = self.announce.values().flatten().copied().collect();
        let told = self.told.iter_mut().filter(|(prefix, _)| prefix.family() == family);
        for (prefix, told) in told.filter(|(prefix, _)| !self.withdraw.contains(prefix)) {
            told.again = true;
            if !waiting.contains(prefix) {
                let key = (family, Arc::clone(&told.said));
                self.announce.entry(key).or_default().insert(*prefix);
            }
        }
        self.pending()
    }

    /// What is outstanding.
    pub fn pending(&self) -> Pending {
        Pending { announce: self.announce.values().map(BTreeSet::len).sum(), withdraw: self.withdraw.len() }
    }

    /// Nothing is outstanding, End-of-RIB included.
    pub fn is_in_sync(&self) -> bool {
        self.known
            && self.withdraw.is_empty()
            && self.announce.is_empty()
            && self.end_of_rib.is_empty()
            && self.refresh_end.is_empty()
    }

    /// The next thing to tell, which counts as told from then on. Nothing before the first [`set`](Self::set):
    /// not even End-of-RIB, on which a router that kept our routes over a restart would drop them.
    pub fn next_batch(&mut self) -> Option<Batch> {
        self.next_withdraw()
            .or_else(|| {
                self.refresh_begin.pop_first().map(|family| Batch::Refresh(RefreshKind::Begin, family))
            })
            .or_else(|| self.next_announce())
            .or_else(|| if self.known { self.next_end_of_rib() } else { None })
            .or_else(|| self.refresh_end.pop_first().map(|family| Batch::Refresh(RefreshKind::End, family)))
    }

    fn next_end_of_rib(&mut self) -> Option<Batch> {
        let family = self.end_of_rib.pop_first()?;
        if self.asked_early.remove(&family) {
            self.refresh(family);
        }
        Some(Batch::EndOfRib(family))
    }

    fn next_withdraw(&mut self) -> Option<Batch> {
        let family = self.withdraw.first()?.family();
        let of_family = self.withdraw.iter().take_while(|prefix| prefix.family() == family);
        let prefixes: Vec<_> = of_family.take(BATCH).copied().collect();
        for prefix in &prefixes {
            self.withdraw.remove(prefix);
            self.told.remove(prefix);
        }
        Some(Batch::Withdraw { family, prefixes })
    }

    fn next_announce(&mut self) -> Option<Batch> {
        let mut group = self.announce.first_entry()?;
        let (family, said) = group.key().clone();
        let prefixes: Vec<_> = group.get().iter().take(BATCH).copied().collect();
        for prefix in &prefixes {
            group.get_mut().remove(prefix);
            self.told.insert(*prefix, Told { said: Arc::clone(&said), again: false });
        }
        if group.get().is_empty() {
            group.remove();
        }
        Some(Batch::Announce { family, said, prefixes })
    }

    /// How many prefixes the neighbour holds of us, by family.
    pub fn told(&self) -> BTreeMap<Family, usize> {
        let mut counts: BTreeMap<_, _> = self.export.families().iter().map(|family| (*family, 0)).collect();
        for prefix in self.told.keys() {
            *counts.entry(prefix.family()).or_default() += 1;
        }
        counts
    }

    /// Every prefix that the neighbour holds of us.
    pub(super) fn prefixes_told(&self) -> impl Iterator<Item = Prefix> {
        self.told.keys().copied()
    }

    /// Whether the neighbour was told of a prefix what it is to be told.
    pub(super) fn holds(&self, prefix: Prefix) -> bool {
        self.told.contains_key(&prefix) && !self.announce.values().any(|waiting| waiting.contains(&prefix))
    }

    /// Routes that are wanted and cannot be told on this session: family, why, how many.
    pub fn withheld(&self) -> impl Iterator<Item = (Family, WithheldReason, usize)> {
        self.withheld.iter().map(|((family, reason), count)| (*family, *reason, *count))
    }
}
