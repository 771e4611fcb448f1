//! The BGP Monitoring Protocol (RFC 7854): a station hears of every router's session and of the routes that the import
//! rules took of it.
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

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

pub(crate) use exporter::{Exporter, Sources};
pub(crate) use sighting::{Session, Sighting, Sightings};

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
