//! Where services' backends and a cluster's nodes come from: each source gives whole snapshots, and says when it cannot.

pub mod cluster;
pub mod files;
mod inotify;
pub mod names;
