//! Keeping a table in step with what the kernel has confirmed.

use std::sync::Arc;

use super::Op;
use crate::model::{Entry, ServiceKey, Table};

impl Table {
    /// Takes over a write that the kernel has confirmed. With [`crate::diff()`] it lets a caller remember the
    /// kernel's table without reading it again after each write.
    pub fn record(&mut self, op: &Op) {
        match op {
            Op::NewService { key, service } => drop(self.insert(*key, Entry::new(service.clone()))),
            Op::SetService { key, service } => self.change(key, |entry| entry.service = service.clone()),
            Op::DeleteService { key } => drop(self.remove(key)),
            Op::NewDestination { service, key, destination }
            | Op::SetDestination { service, key, destination } => {
                self.change(service, |entry| {
                    entry.destinations.insert(*key, *destination);
                });
            }
            Op::DeleteDestination { service, key } => {
                self.change(service, |entry| {
                    entry.destinations.remove(key);
                });
            }
        }
    }

    /// Changes an entry in place; one that others share is copied first.
    fn change(&mut self, key: &ServiceKey, change: impl FnOnce(&mut Entry)) {
        if let Some(mut entry) = self.remove(key) {
            change(Arc::make_mut(&mut entry));
            self.insert(*key, entry);
        }
    }
}
