//! Names that many objects have in common, kept once.

use std::collections::HashSet;
use std::sync::Arc;

/// More are none that objects have in common: then it begins anew.
const MOST: usize = 65_536;

/// The names of nodes, ports and namespaces that have been read.
#[derive(Debug, Default)]
pub struct Names(HashSet<Arc<str>>);

impl Names {
    /// A name, shared with all who have it already.
    pub fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let name: Arc<str> = name.into();
        self.0.insert(Arc::clone(&name));
        name
    }
}
