//! Pools from real etcd servers, of both versions of its API, and the nodes of a cluster whose Calico has its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod balancer;
mod calico;
mod changes;
mod cluster;
mod fleet;
mod proxy;
mod secured;
mod server;
mod single;
mod watched;
