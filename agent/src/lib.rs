//! lvsd

pub mod config;
pub mod pool_file;
pub mod suggest;
