//! The digest of actions: 64 bits that tell whether two lists of actions are the same.
//!
//! It is the FNV-1a hash of what `lvsd replay` prints of them: fixed by its definition
//! (<http://www.isthe.com/chongo/tech/comp/fnv/>), so that a recording can be held against a later build, which the
//! hashers of the standard library do not promise. It is made for finding mistakes, not against forgers.

use crate::core::Action;
use crate::core::action::WantedTable;
use ipvs::{Entry, ServiceKey};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

#[derive(Clone, Copy, Debug)]
struct Fnv(u64);

impl io::Write for Fnv {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Fnv {
    fn add(&mut self, value: &impl Serialize) {
        if serde_json::to_writer(&mut *self, value).is_err() {
            // A path that is no UTF-8, which has no words in JSON: the same mark each time.
            self.0 = self.0.wrapping_mul(PRIME);
        }
    }
}

/// Makes digests. The wanted table is the largest part of most answers and changes by an entry at a time, so that
/// what is known of its other entries is kept.
#[derive(Debug, Default)]
pub struct Digester {
    /// One for each service of the last wanted table.
    entries: BTreeMap<ServiceKey, (Arc<Entry>, u64)>,
    owned: Arc<BTreeSet<ServiceKey>>,
    owned_digest: u64,
}

impl Digester {
    /// The digest of what an event led to.
    pub fn digest(&mut self, actions: &[Action]) -> String {
        let mut all = Fnv(OFFSET);
        for action in actions {
            match action {
                Action::SyncIpvs(wanted) => all.add(&("sync_ipvs", self.table(wanted))),
                other => all.add(other),
            }
        }
        format!("{:016x}", all.0)
    }

    fn table(&mut self, wanted: &WantedTable) -> u64 {
        let mut all = Fnv(OFFSET);
        // What it would be if all served follows from the same as the table; it would double the work.
        let WantedTable { table, owned, nominal: _, settings } = wanted;
        self.entries.retain(|key, _| table.contains_key(key));
        for (key, entry) in table.iter() {
            let digest = match self.entries.get(key) {
                Some((known, digest)) if Arc::ptr_eq(known, entry) => *digest,
                Some(_) | None => {
                    let mut one = Fnv(OFFSET);
                    one.add(&(key, entry));
                    self.entries.insert(*key, (Arc::clone(entry), one.0));
                    one.0
                }
            };
            all.add(&digest);
        }
        if self.owned != *owned || self.owned_digest == 0 {
            let mut one = Fnv(OFFSET);
            one.add(owned);
            (self.owned, self.owned_digest) = (owned.clone(), one.0);
        }
        all.add(&self.owned_digest);
        if !settings.is_nothing() {
            all.add(settings);
        }
        all.0
    }
}
