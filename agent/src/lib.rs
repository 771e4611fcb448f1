//! lvsd: the control daemon of an LVS load balancer, and what `lvsctl` shares with it.
//!
//! ```text
//! sources ──Event──▶ ┌────────┐ ──Action──▶ exec ──▶ kernel, BGP, checks
//! exec ────Event──▶  │ engine │
//! api ─────Event──▶  │ (core) │ ──answers──▶ api
//!                    └────────┘
//! ```
//!
//! Reading order:
//! - [`core`] (pure): what is known, what is decided, and why;
//! - [`config`], [`pool_file`] (pure): what people write, checked;
//! - [`engine`]: the one task that owns the core's state;
//! - [`sources`], [`exec`], [`api`]: the world around it;
//! - [`fib`] (pure): routes for the kernel, what is written in which order;
//! - [`probes`]: the network namespace that checks by VIP come from;
//! - [`ctl`]: the other end, `lvsctl`;
//! - [`import`] (pure): a configuration of PyBal's as one of lvsd's;
//! - [`doctor`]: what `lvsctl doctor` looks at on the host, and what it says;
//! - [`record`]: every event in a file, and the same actions from it again;
//! - [`logging`], [`chronicle`]: the log, and its latest lines;
//! - [`privileges`]: what of its capabilities commands get: nothing;
//! - [`daemon`]: how it is put together, and its life from start to drain.

pub mod api;
pub mod arguments;
pub mod chronicle;
pub mod config;
pub mod core;
pub mod ctl;
pub mod daemon;
pub mod doctor;
pub mod engine;
pub mod exec;
pub mod fib;
pub mod host;
pub mod import;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod pool_file;
pub mod privileges;
pub mod probes;
mod python;
pub mod record;
pub mod reload;
mod route_message;
pub mod sources;
pub mod suggest;
mod tls;
