//! The peer of a cluster's nodes: which sessions to keep, and which of the nodes' routes to put into the kernel.
//!
//! ```text
//! configuration ─┐
//! cluster file ──┼▶ known ─┬▶ sessions ─────────────────▶ SetNodePeers
//!                │         └▶ judge ─┬▶ accepted ───────▶ SetFib
//! routes learned ┘              ▲    ├▶ refused, and why
//! VIPs, links of our own ───────┘    └▶ alarms
//! ```
//!
//! Reading order: [`cluster`] (what a source says), `guard` (what of it is not obeyed at once), [`known`] (that and the configuration together), [`sessions`],
//! [`judge`] (the rules), [`state`], [`view`]; [`objects`] reads what Kubernetes and Calico call these things, [`bgppeer`] writes what
//! nodes have to be told of us.

pub mod bgppeer;
pub mod cluster;
mod guard;
pub mod judge;
pub mod known;
pub mod objects;
pub mod prefixes;
pub mod sessions;
pub mod state;
#[cfg(test)]
mod tests;
pub mod view;

pub use cluster::{Cluster, ClusterNode, NodesNeighbour};
pub use guard::CONFIRMED_AS;
pub use judge::{Accepted, Judged, Offer, Refusal};
pub use sessions::{NodePeers, NodeSession};
pub use state::{Learned, Seen, SessionSeen};
