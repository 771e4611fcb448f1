//! BFD beside a BGP session.

use serde::{Deserialize, Serialize};

use super::PeerConfig;
use crate::bfd::{PathConfig, Timing};

/// How the path to a neighbour is watched (RFC 5882). When it breaks the session ends at once (Cease, BFD Down; RFC
/// 9384) and the neighbour's routes are gone. A neighbour whose operator takes its BFD down ends nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdConfig {
    /// How often, and how many packets may be missed.
    pub timing: Timing,
    /// There is no BGP session before BFD is up, and none again before it is up again. Otherwise a neighbour without BFD
    /// gets its session all the same.
    pub strict: bool,
}

impl PeerConfig {
    /// The path to this peer that is watched.
    pub(super) fn path(&self) -> Option<PathConfig> {
        let multihop = self.multihop.is_some_and(|hops| hops > 1);
        self.bfd.map(|bfd| PathConfig { local: self.local_address, multihop, timing: bfd.timing })
    }
}
