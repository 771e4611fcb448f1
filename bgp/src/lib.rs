//! A BGP speaker that announces addresses to routers, learns and reflects routes, watches paths (BFD), and feeds a monitoring
//! station (BMP).
//!
//! It announces what its owner sets, and keeps what the import rules of a peer take of what it hears: nothing without
//! rules (RFC 8212).
//!
//! ```text
//! owner ─set_routes(whole)─▶ speaker ─▶ session ─▶ rib ─▶ wire ─▶ TCP
//!       ◀─events, status, learned routes────└────▶ fsm
//! ```
//!
//! Reading order, the pure half first (no clock, no socket, no task, no randomness):
//!
//! - [`route`], [`path`], [`prefix`], [`asn`], [`asn_set`], [`community`], [`hold_time`], [`password`], [`key`], [`role`]: the
//!   vocabulary;
//! - [`wire`]: messages, both ways, and what to do about malformed ones;
//! - [`fsm`]: one connection, and one peer with its collisions;
//! - [`policy`]: what is taken from a peer, and what it is told;
//! - [`rib`]: what a peer holds of us and has yet to be told, what it told us, and the best of that;
//! - [`bfd`]: whether packets get to a neighbour and back; knows nothing of the others;
//! - [`bmp`]: a station hears what there is;
//! - `session`: one peer's task: TCP, timers, status;
//! - [`speaker`]: all peers behind one handle, the place to start as a user.

pub mod asn;
pub mod asn_set;
pub mod bfd;
pub mod bmp;
pub mod community;
pub mod fsm;
pub mod hold_time;
pub mod key;
pub mod password;
pub mod path;
pub mod policy;
pub mod prefix;
pub mod rib;
pub mod role;
pub mod route;
mod session;
pub mod speaker;
pub mod wire;

pub use asn::Asn;
pub use asn_set::AsnSet;
pub use bmp::{BmpConfig, BmpStatus};
pub use community::{Community, LargeCommunity};
pub use fsm::StateName;
pub use hold_time::HoldTime;
pub use key::{AoAlgorithm, AoKey, SessionKey};
pub use password::Password;
pub use path::Path;
pub use prefix::{Family, Prefix};
pub use role::{LocalRole, Role};
pub use route::{Route, RouteAttributes, RouteSet};
pub use speaker::{BfdConfig, PeerConfig, PeerGroup, PeerStatus, Speaker, SpeakerConfig, SpeakerEvent};
