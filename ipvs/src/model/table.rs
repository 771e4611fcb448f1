//! A whole table: services and their destinations.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Destination, DestinationError, DestinationKey, Service, ServiceKey};

/// One service and its destinations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// What the service is set to.
    pub service: Service,
    /// Its destinations, sorted: the Maglev table depends on the order of insertion, which is this one everywhere.
    pub destinations: BTreeMap<DestinationKey, Destination>,
}

impl Entry {
    /// A service without destinations.
    pub fn new(service: Service) -> Self {
        Self { service, destinations: BTreeMap::new() }
    }

    /// Puts in a destination that the kernel will take, in place of the one that was there, which is given back. `key`
    /// is that of this entry's service.
    ///
    /// # Errors
    /// See [`Destination::check`].
    pub fn add(
        &mut self,
        key: &ServiceKey,
        destination_key: DestinationKey,
        destination: Destination,
    ) -> Result<Option<Destination>, DestinationError> {
        destination.check(key, &destination_key)?;
        Ok(self.destinations.insert(destination_key, destination))
    }
}

/// Services by key, sorted. A persistent map: a clone costs nothing, a table that is derived from another shares with it
/// all but what differs, and [`crate::diff()`] passes over what they share.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table {
    entries: OrdMap<ServiceKey, Arc<Entry>>,
}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// The entry of a service.
    pub fn get(&self, key: &ServiceKey) -> Option<&Arc<Entry>> {
        self.entries.get(key)
    }

    /// Whether the service is there.
    pub fn contains_key(&self, key: &ServiceKey) -> bool {
        self.entries.contains_key(key)
    }

    /// Puts an entry in place of the one that was there, which is given back.
    pub fn insert(&mut self, key: ServiceKey, entry: impl Into<Arc<Entry>>) -> Option<Arc<Entry>> {
        self.entries.insert(key, entry.into())
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &ServiceKey) -> Option<Arc<Entry>> {
        self.entries.remove(key)
    }

    /// What differs from this table to another, in order of keys: what is here and what is there. Costs what the two do
    /// not share.
    pub fn differences<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Difference<'a>> {
        self.entries.diff(&other.entries).map(|item| match item {
            DiffItem::Add(key, new) => Difference { key: *key, old: None, new: Some(new) },
            DiffItem::Update { old: (key, old), new: (_, new) } => {
                Difference { key: *key, old: Some(old), new: Some(new) }
            }
            DiffItem::Remove(key, old) => Difference { key: *key, old: Some(old), new: None },
        })
    }

    /// The same table, which shares with `other` all that is equal.
    #[must_use]
    pub fn sharing(&self, other: &Self) -> Self {
        let mut shared = other.clone();
        for Difference { key, old, .. } in self.differences(other) {
            match old {
                Some(entry) => drop(shared.insert(key, Arc::clone(entry))),
                None => drop(shared.remove(&key)),
            }
        }
        shared
    }

    /// Services in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceKey, &Arc<Entry>)> {
        self.entries.iter()
    }

    /// Keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &ServiceKey> {
        self.entries.keys()
    }

    /// How many services.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no service.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// A service that differs between two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference<'a> {
    /// Which.
    pub key: ServiceKey,
    /// What it is in the first table, if it is there.
    pub old: Option<&'a Arc<Entry>>,
    /// What it is in the second, if it is there.
    pub new: Option<&'a Arc<Entry>>,
}

impl<E: Into<Arc<Entry>>> FromIterator<(ServiceKey, E)> for Table {
    fn from_iter<I: IntoIterator<Item = (ServiceKey, E)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().map(|(key, entry)| (key, entry.into())).collect() }
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, entry)| (key, entry.as_ref())))
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::<ServiceKey, Entry>::deserialize(deserializer)?.into_iter().collect())
    }
}
