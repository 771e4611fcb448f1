//! Prefixes with something to each, to be asked by what is around or inside of another.

use bgp::Prefix;
use std::collections::{BTreeMap, BTreeSet};

/// A map of prefixes. A question costs a look-up for each length that occurs.
#[derive(Clone, Debug)]
pub struct PrefixMap<T> {
    entries: BTreeMap<Prefix, T>,
    /// The lengths that occur, of either family: a length too much costs a look-up, no wrong answer.
    lengths: BTreeSet<u8>,
}

impl<T> Default for PrefixMap<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), lengths: BTreeSet::new() }
    }
}

impl<T> PrefixMap<T> {
    /// Puts something to a prefix; what was there before is replaced.
    pub fn insert(&mut self, prefix: Prefix, value: T) {
        self.lengths.insert(prefix.len());
        self.entries.insert(prefix, value);
    }

    /// What is exactly there.
    pub fn get(&self, prefix: Prefix) -> Option<&T> {
        self.entries.get(&prefix)
    }

    /// The longest of the prefixes that hold this one, itself among them.
    pub fn around(&self, prefix: Prefix) -> Option<(Prefix, &T)> {
        let lengths = self.lengths.range(..=prefix.len()).rev();
        lengths.map(|length| prefix.shortened(*length)).find_map(|key| Some((key, self.entries.get(&key)?)))
    }

    /// The first of the prefixes inside this one, itself among them.
    pub fn inside(&self, prefix: Prefix) -> Option<(Prefix, &T)> {
        // Whatever is inside comes right after it, in the order of prefixes.
        let (found, value) = self.entries.range(prefix..).next()?;
        prefix.contains(*found).then_some((*found, value))
    }

    /// One that shares an address with this one.
    pub fn overlapping(&self, prefix: Prefix) -> Option<(Prefix, &T)> {
        self.around(prefix).or_else(|| self.inside(prefix))
    }

    /// Everything, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &T)> {
        self.entries.iter().map(|(prefix, value)| (*prefix, value))
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<T> FromIterator<(Prefix, T)> for PrefixMap<T> {
    fn from_iter<I: IntoIterator<Item = (Prefix, T)>>(entries: I) -> Self {
        let mut map = Self::default();
        entries.into_iter().for_each(|(prefix, value)| map.insert(prefix, value));
        map
    }
}
