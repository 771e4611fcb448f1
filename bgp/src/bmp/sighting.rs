//! What is seen of a peer's sessions, as far as a station hears of it.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::SystemTime,
};

use crate::fsm::EndReason;

/// Every peer's last session, by the peer's configured name.
pub(crate) type Sightings = BTreeMap<String, Sighting>;

/// A session that came up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// Which of the peer's sessions.
    pub(crate) number: u64,
    /// When it came up.
    pub(crate) since: SystemTime,
    /// Our end.
    pub(crate) local: SocketAddr,
    /// The neighbour's.
    pub(crate) remote: SocketAddr,
    /// The neighbour's AS.
    pub(crate) asn: u32,
    /// Its BGP identifier.
    pub(crate) router_id: Ipv4Addr,
    /// Our OPEN, whole.
    pub(crate) sent: Vec<u8>,
    /// Its OPEN.
    pub(crate) received: Vec<u8>,
}

/// A session, and how it ended if it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) session: Session,
    pub(crate) ended: Option<EndReason>,
}
