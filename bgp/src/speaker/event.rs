//! What the speaker tells its owner as it happens.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Family, HoldTime};

/// Something happened. Plain data, to be logged, counted and recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SpeakerEvent {
    /// A session reached Established.
    PeerUp {
        /// The peer's configured name.
        peer: String,
        /// The router's BGP identifier.
        router_id: Ipv4Addr,
        /// The negotiated hold time.
        hold_time: HoldTime,
        /// The families that both sides offered.
        families: BTreeSet<Family>,
        /// Both sides offered graceful restart.
        graceful_restart: bool,
    },
    /// An established session ended.
    PeerDown {
        /// The peer's configured name.
        peer: String,
        /// Why, in words.
        reason: String,
    },
    /// A connection to the peer ended before it was established.
    PeerFailed {
        /// The peer's configured name.
        peer: String,
        /// Why, in words.
        reason: String,
    },
    /// A peer of the configuration is not run.
    PeerRefused {
        /// The peer's configured name.
        peer: String,
        /// Why, in words.
        reason: String,
    },
    /// Everything that was outstanding towards a peer was handed to the kernel's TCP.
    RoutesSent {
        /// The peer's configured name.
        peer: String,
        /// Prefixes announced.
        announced: usize,
        /// Prefixes withdrawn.
        withdrawn: usize,
        /// From `set_routes` (from the start of the session when that was later) to the return of the last write.
        elapsed: Duration,
    },
    /// A NOTIFICATION was sent to a peer.
    NotificationSent {
        /// The peer's configured name.
        peer: String,
        /// Code, subcode and text in words.
        notification: String,
    },
    /// A NOTIFICATION came from a peer.
    NotificationReceived {
        /// The peer's configured name.
        peer: String,
        /// Code, subcode and text in words.
        notification: String,
    },
    /// The configured address cannot be listened on; it is tried again.
    ListenFailed {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        error: String,
    },
}
