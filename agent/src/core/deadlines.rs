//! Times at which something is due, one for each of some keys.

use super::Timestamp;
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

/// Times by key. The first of them costs no look at the others: it is asked for after every event.
#[derive(Clone, Debug)]
pub struct Deadlines<K> {
    by_key: BTreeMap<K, Timestamp>,
    by_time: BTreeSet<(Timestamp, K)>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// It is due then, and not when it was before.
    pub(super) fn set(&mut self, key: K, at: Timestamp) {
        if self.by_key.get(&key) != Some(&at) {
            self.remove(&key);
            self.by_time.insert((at, key.clone()));
            self.by_key.insert(key, at);
        }
    }

    /// It is due then, unless a time was set before.
    pub(super) fn set_if_new(&mut self, key: K, at: Timestamp) {
        if !self.by_key.contains_key(&key) {
            self.set(key, at);
        }
    }

    /// It is never due.
    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some((key, at)) = self.by_key.remove_entry(key) {
            self.by_time.remove(&(at, key));
        }
    }

    /// Only these are due.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&K) -> bool) {
        self.by_key.retain(|key, _| stays(key));
        let Self { by_key, by_time } = self;
        by_time.retain(|(_, key)| by_key.contains_key(key));
    }

    /// When the first is due.
    pub fn first(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Those that are due, the first first.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = &K> {
        self.by_time.iter().take_while(move |(at, _)| *at <= now).map(|(_, key)| key)
    }

    /// All of them with their times.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Timestamp)> {
        self.by_key.iter()
    }

    /// All of them.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.by_key.keys()
    }

    /// When it is due, if it is.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&Timestamp>
    where
        K: Borrow<Q>,
    {
        self.by_key.get(key)
    }

    /// Whether nothing is due, ever.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Set(u8, u64),
        SetIfNew(u8, u64),
        Remove(u8),
        Retain(u8),
    }

    fn a_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..6u8, 0..9u64).prop_map(|(key, at)| Step::Set(key, at)),
            (0..6u8, 0..9u64).prop_map(|(key, at)| Step::SetIfNew(key, at)),
            (0..6u8).prop_map(Step::Remove),
            (0..6u8).prop_map(Step::Retain),
        ]
    }

    proptest! {
        #[test]
        fn the_first_and_those_that_are_due_are_those_of_a_plain_map(steps in prop::collection::vec(a_step(), 0..40)) {
            let (mut deadlines, mut plain) = (Deadlines::default(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Set(key, at) => {
                        deadlines.set(key, Timestamp::from_micros(at));
                        plain.insert(key, Timestamp::from_micros(at));
                    }
                    Step::SetIfNew(key, at) => {
                        deadlines.set_if_new(key, Timestamp::from_micros(at));
                        plain.entry(key).or_insert(Timestamp::from_micros(at));
                    }
                    Step::Remove(key) => {
                        deadlines.remove(&key);
                        plain.remove(&key);
                    }
                    Step::Retain(least) => {
                        deadlines.retain(|key| *key >= least);
                        plain.retain(|key, _| *key >= least);
                    }
                }
                let now = Timestamp::from_micros(4);
                prop_assert_eq!(deadlines.first(), plain.values().min().copied());
                let due: BTreeSet<u8> = deadlines.due(now).copied().collect();
                prop_assert_eq!(due, plain.iter().filter(|(_, at)| **at <= now).map(|(key, _)| *key).collect());
                prop_assert!(deadlines.iter().eq(plain.iter()));
            }
        }
    }
}
