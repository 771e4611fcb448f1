//! The services by name.

use super::state::ServiceState;
use std::collections::hash_map::{DefaultHasher, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

/// All services, in the order of their names and without gaps; a name is found at once among few and many: a tree of
/// thousands would have each flap look at a dozen names in as many places of the memory.
#[derive(Clone, Debug, Default)]
pub struct Services {
    sorted: Vec<ServiceState>,
    places: HashMap<Arc<str>, usize, BuildHasherDefault<DefaultHasher>>,
}

impl Services {
    /// The service of this name.
    pub fn get(&self, name: &str) -> Option<&ServiceState> {
        self.sorted.get(*self.places.get(name)?)
    }

    /// The service of this name, to be changed; not in its name.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut ServiceState> {
        self.sorted.get_mut(*self.places.get(name)?)
    }

    /// Whether there is one of this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// All of them by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &ServiceState)> {
        self.sorted.iter().map(|service| (&service.config.name, service))
    }

    /// All names in their order.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.sorted.iter().map(|service| &service.config.name)
    }

    /// All of them in the order of their names.
    pub fn values(&self) -> std::slice::Iter<'_, ServiceState> {
        self.sorted.iter()
    }
}

impl IntoIterator for Services {
    type Item = ServiceState;
    type IntoIter = std::vec::IntoIter<ServiceState>;

    fn into_iter(self) -> Self::IntoIter {
        self.sorted.into_iter()
    }
}

/// No two may have the same name.
impl FromIterator<ServiceState> for Services {
    fn from_iter<I: IntoIterator<Item = ServiceState>>(services: I) -> Self {
        let mut sorted: Vec<ServiceState> = services.into_iter().collect();
        sorted.sort_by(|one, other| one.config.name.cmp(&other.config.name));
        sorted.shrink_to_fit();
        let name = |(place, service): (usize, &ServiceState)| (Arc::clone(&service.config.name), place);
        let places = sorted.iter().enumerate().map(name).collect();
        Self { sorted, places }
    }
}
