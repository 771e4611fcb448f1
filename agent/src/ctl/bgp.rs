//! `lvsctl bgp …`.

use super::client::{Client, ClientError};
use super::complete::{peers, vips};
use super::escape;
use crate::api::bgp::{BgpView, PathView, RibOutView};
use clap::{Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

/// `lvsctl bgp …`.
#[derive(Debug, Subcommand)]
pub enum Bgp {
    /// Everything about one peer, or all of them: timers, capabilities, counters, notifications.
    #[command(
        visible_alias = "neighbour",
        after_help = "Examples:\n  lvsctl bgp neighbor r1\n  lvsctl bgp neighbor 10.64.0.251"
    )]
    Neighbor {
        /// The peer's name or address.
        #[arg(add = ArgValueCandidates::new(peers))]
        peer: Option<String>,
    },
    /// What each peer is told, with which attributes and why; or what was taken of them, and why a path is the best.
    #[command(
        after_help = "Examples:\n  lvsctl bgp rib\n  lvsctl bgp rib out 192.0.2.10\n  lvsctl bgp rib in 0.0.0.0/0 -o json"
    )]
    Rib {
        /// Which way.
        #[arg(value_enum, default_value = "out")]
        direction: Direction,
        /// Only this prefix, or the host's of this address.
        #[arg(add = ArgValueCandidates::new(vips))]
        prefix: Option<String>,
    },
}

/// Which way routes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// What was taken of the peers' routes.
    In,
    /// What the peers are told.
    Out,
}

fn query(name: &str, value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| format!("?{name}={}", escape(value)))
}

/// Every peer, or one.
///
/// # Errors
/// See [`ClientError`]; an unknown peer is a problem of kind not found.
pub async fn neighbors(client: &Client, peer: Option<&str>) -> Result<BgpView, ClientError> {
    client.get(&format!("/v1/bgp{}", query("peer", peer))).await
}

/// What the peers are told.
///
/// # Errors
/// See [`ClientError`]; a prefix that nobody is told is a problem of kind not found.
pub async fn rib_out(client: &Client, prefix: Option<&str>) -> Result<Vec<RibOutView>, ClientError> {
    client.get(&format!("/v1/bgp/rib/out{}", query("prefix", prefix))).await
}

/// What was taken of the peers' routes.
///
/// # Errors
/// See [`ClientError`]; a prefix that was not taken is a problem of kind not found.
pub async fn rib_in(client: &Client, prefix: Option<&str>) -> Result<Vec<PathView>, ClientError> {
    client.get(&format!("/v1/bgp/rib/in{}", query("prefix", prefix))).await
}
