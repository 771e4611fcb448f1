//! What may stand only once.

use super::walk::Node;
use super::{Place, Problem};
use std::collections::BTreeMap;

/// The values of one kind that were seen, each with its first place.
#[derive(Debug)]
pub(super) struct Seen<T>(BTreeMap<T, Place>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Ord + Clone> Seen<T> {
    /// Notes a value; when it was there before, that is reported with both places and the answer is false.
    pub(super) fn first(&mut self, node: &Node<'_>, value: &T, what: impl FnOnce() -> String) -> bool {
        self.noted(value, &node.place()).is_none_or(|first| {
            node.report(Problem::Twice { what: what(), first });
            false
        })
    }

    /// As [`Seen::first`], for a value that stands in a key.
    pub(super) fn first_key(&mut self, node: &Node<'_>, value: &T, what: impl FnOnce() -> String) -> bool {
        self.noted(value, &node.key_place()).is_none_or(|first| {
            node.report_key(Problem::Twice { what: what(), first });
            false
        })
    }

    fn noted(&mut self, value: &T, place: &Place) -> Option<Place> {
        if let Some(first) = self.0.get(value) {
            return Some(first.clone());
        }
        self.0.insert(value.clone(), place.clone());
        None
    }
}
