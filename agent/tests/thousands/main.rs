//! What the core costs with thousands of services: counted in bytes that are allocated, which no busy machine changes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod balancer;
mod counted;
mod memory;
mod work;
