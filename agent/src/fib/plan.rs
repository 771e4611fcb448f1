//! What is to be written so that the kernel has what is wanted, in an order in which no packet goes a third way.

use super::Hop;
use bgp::Prefix;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;

/// What names a route within a table: the kernel has one of each, but for those that are appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The prefix.
    pub prefix: Prefix,
    /// The type of service that it is for; 0 for all, as ours are.
    pub tos: u8,
    /// The metric; the lowest one is used.
    pub metric: u32,
}

/// What the kernel has in our table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Routes with our protocol number; none for one that has another form than lvsd writes.
    pub ours: BTreeMap<Key, Option<Hop>>,
    /// All others.
    pub foreign: BTreeSet<Key>,
}

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Makes a route that is not there; it must fail if one is.
    Add(Prefix, Hop),
    /// Puts a route in place of our own, in one step.
    Replace(Prefix, Hop),
    /// Removes a route of ours.
    Remove(Key),
}

impl Op {
    /// The prefix.
    pub fn prefix(&self) -> Prefix {
        match self {
            Self::Add(prefix, _) | Self::Replace(prefix, _) => *prefix,
            Self::Remove(key) => key.prefix,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(prefix, hop) => write!(f, "add {prefix} via {}", hop.gateway),
            Self::Replace(prefix, hop) => write!(f, "replace {prefix} via {}", hop.gateway),
            Self::Remove(key) => write!(f, "remove {}", key.prefix),
        }
    }
}

/// What is to be written, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The writes, in their order.
    pub ops: Vec<Op>,
    /// Prefixes that somebody else has a route for with our metric: it would have to go, and it is not ours.
    pub taken: BTreeSet<Prefix>,
}

/// The fewest writes that make what the kernel has to what is wanted.
///
/// A route that changes is replaced, never removed and added. What is made comes first, the longest prefix first; what
/// goes comes after it, the shortest first. So a packet to any address goes, at each moment, where it went before or
/// where it is to go.
pub fn plan(have: &Table, want: &BTreeMap<Prefix, Hop>, metric: NonZeroU32) -> Plan {
    let metric = metric.get();
    let mut plan = Plan::default();
    for (prefix, hop) in want {
        let key = Key { prefix: *prefix, tos: 0, metric };
        match have.ours.get(&key) {
            Some(Some(have)) if have == hop => {}
            _ if have.foreign.contains(&key) => drop(plan.taken.insert(*prefix)),
            Some(_) => plan.ops.push(Op::Replace(*prefix, *hop)),
            None => plan.ops.push(Op::Add(*prefix, *hop)),
        }
    }
    plan.ops.sort_by_key(|op| Reverse(op.prefix().len()));
    let is_stale = |key: &&Key| key.tos != 0 || key.metric != metric || !want.contains_key(&key.prefix);
    let mut stale: Vec<Key> = have.ours.keys().filter(is_stale).copied().collect();
    stale.sort_by_key(|key| key.prefix.len());
    plan.ops.extend(stale.into_iter().map(Op::Remove));
    plan
}

impl Table {
    /// Takes in that the kernel has done an operation.
    pub fn record(&mut self, op: &Op, metric: NonZeroU32) {
        match op {
            Op::Add(prefix, hop) | Op::Replace(prefix, hop) => {
                let key = Key { prefix: *prefix, tos: 0, metric: metric.get() };
                self.ours.insert(key, Some(*hop));
            }
            Op::Remove(key) => drop(self.ours.remove(key)),
        }
    }
}

#[cfg(test)]
mod tests;
