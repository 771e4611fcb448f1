//! Where services' backends come from: each source gives whole snapshots, and says when it cannot.

pub mod files;
mod inotify;
pub mod names;
