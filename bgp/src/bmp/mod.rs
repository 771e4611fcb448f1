//! The BGP Monitoring Protocol (RFC 7854): a station hears of every router's session, of the routes that the import
//! rules took of it, and, if it is wanted, of those that it told before any rule.
//!
//! ```text
//! sessions ──sightings, statuses, table──▶ Told::look ──news──▶ message ──octets──▶ TCP ──▶ station
//!             (watch: the latest alone)      (pure)              (pure)
//! ```
//!
//! The exporter looks at what is and tells the station what is different from what it was told: sessions wait for nobody,
//! nothing queues up, and what came and went between two looks is not told. A station that does not read loses its
//! connection. Neighbours that send path identifiers (RFC 7911) are left out.
//!
//! Reading order: [`sighting`], [`message`], [`update`], [`told`] (pure), [`exporter`].

mod exporter;
mod message;
mod sighting;
mod told;
mod update;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub(crate) use exporter::{Exporter, Sources};
pub(crate) use sighting::{Session, Sighting, Sightings};

use crate::rib::LocRib;

/// How often the station hears each session's counts, unless configured.
pub const DEFAULT_STATISTICS: Duration = Duration::from_secs(60);

/// A station.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BmpConfig {
    /// Where it listens.
    pub station: SocketAddr,
    /// What we are called (`sysName`).
    pub name: String,
    /// What we are (`sysDescr`).
    pub description: String,
    /// How often it hears each session's counts.
    pub statistics: Duration,
    /// It hears of what neighbours tell before the import rules as well. That is kept then, which takes memory.
    pub pre_policy: bool,
}

/// What a session does for a station that wants to hear of routes before the rules.
#[derive(Clone, Debug)]
pub(crate) struct PrePolicy {
    /// Whether one does.
    pub(crate) wanted: watch::Receiver<bool>,
    /// Where the routes go.
    pub(crate) table: Arc<watch::Sender<LocRib>>,
}

/// How it goes with the station.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BmpStatus {
    /// There is a connection.
    pub is_connected: bool,
    /// Connections so far.
    pub connections: u64,
    /// Messages written.
    pub messages: u64,
    /// Why there is no connection, or the last one ended.
    pub last_error: Option<String>,
}
