//! lvsd

pub mod config;
pub mod suggest;
