//! What thousands of services and nodes cost: counted in bytes that are allocated, which no busy machine changes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod balancer;
mod cluster;
mod counted;
mod memory;
mod nodes;
mod work;
