//! Where services' backends and a cluster's nodes come from.
//!
//! Each source gives whole contents first, what changed afterwards, and says when it cannot be read and when it can again.
//! What it said stays known to the core meanwhile. A new kind of source is a [`Source`] in a file of its own, its settings in
//! [`SourceSettings`](crate::config::SourceSettings), and a line in [`pools`], or in [`cluster`] if it knows nodes.
//!
//! Reading order: this file, [`pools`], [`cluster`], `report`, then any source: [`files`], [`http`], [`etcd`], [`kubernetes`]. Names'
//! addresses are no source: what is looked up is in what sources say, and of it nothing is ever whole or stale ([`names`]).

mod calico;
pub mod cluster;
pub mod etcd;
pub mod files;
pub mod http;
mod inotify;
pub mod kubernetes;
pub mod names;
pub mod pools;
mod report;
mod web;

use crate::config::{Backend, Query};
use crate::core::found::FoundService;
use crate::core::inventory::Progress;
use crate::core::nodes::Cluster;
use std::future::Future;
use std::path::PathBuf;

/// A source.
pub trait Source: Send + 'static {
    /// Waits until there is something new to say, and says it. Goes on for ever: a source that is away tries again by
    /// itself. Cancel-safe: what a dropped future has not said, the next call says.
    fn next(&mut self) -> impl Future<Output = Said> + Send;
}

/// What a source says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// What is in a pool, whole and sorted by host; or why that is refused, with the place and what to do. Then what was
    /// known of the pool stays.
    Pool {
        /// Which.
        query: Query,
        /// Its backends.
        outcome: Result<Vec<Backend>, String>,
    },
    /// The same of a pool file.
    File {
        /// Which.
        path: PathBuf,
        /// Its backends.
        outcome: Result<Vec<Backend>, String>,
    },
    /// What is in a cluster, whole; or why it cannot be read. Then what was known of it stays.
    Cluster(Result<Cluster, String>),
    /// What it has of services by itself.
    Services {
        /// Of some of them, or of all.
        services: Vec<FoundService>,
        /// Whether it has no others.
        whole: bool,
    },
    /// How far it is heard: all that it has so far was said.
    Seen(Progress),
    /// It can be read, and all that is wanted of it was said.
    Live,
    /// It cannot be read, and why. Said once for each reason; everything that it said stays.
    Stale(String),
}
