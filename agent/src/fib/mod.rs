//! Routes for the kernel (pure): where next hops are, and what is to be written in which order.
//!
//! ```text
//! FibRoute ──hop──▶ Hop ─┐
//!                        ├─ plan ─▶ operations
//! what the kernel has ───┘
//! ```
//!
//! Routes are in a table of lvsd's own, with a protocol number and a metric of its own; a rule has packets looked up in it
//! before the main table. Everything else in that table is foreign: left alone, and counted.
//!
//! Reading order: [`setting`], [`hop`], [`plan`], then [`crate::exec::fib`], which acts.

pub mod hop;
pub mod plan;
pub mod setting;

pub use hop::{Hop, OffLink, Refusal, Way, Ways};
pub use plan::{Key, Op, Plan, Table, plan};
pub use setting::{ProtocolNumber, RulePriority, Settings, TableNumber};

use bgp::Prefix;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A route that is wanted in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FibRoute {
    /// The node that packets go to.
    pub next_hop: IpAddr,
}

/// Routes that are wanted, all of them.
pub type Routes = BTreeMap<Prefix, FibRoute>;

/// What the kernel has, after it was read or written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Routes of ours that are in the kernel; what is wanted and not refused is among them.
    pub installed: usize,
    /// Routes in our table that are not ours.
    pub foreign: usize,
    /// Routes that are wanted and not there as they are wanted, with the reason.
    pub refused: BTreeMap<Prefix, String>,
    /// What else went wrong: a reading, a rule.
    pub failures: Vec<String>,
    /// What an earlier process left, in the first report only: who wants it again has it without a gap.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left: Routes,
}
