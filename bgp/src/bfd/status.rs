//! What is known of a path now.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{Diagnostic, Discriminator, State};

/// The status of every path by the neighbour's address.
pub type Statuses = BTreeMap<IpAddr, Status>;

/// One path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Our end.
    pub state: State,
    /// Since when.
    pub since: SystemTime,
    /// Why our end last left Up.
    pub diagnostic: Diagnostic,
    /// The neighbour's end, as it last said; Down while it is not heard.
    pub remote_state: State,
    /// Why the neighbour's end last left Up, as it last said.
    pub remote_diagnostic: Diagnostic,
    /// What we call the session; another one is another session.
    pub local_discriminator: Discriminator,
    /// What the neighbour calls it, while it is heard.
    pub remote_discriminator: Option<Discriminator>,
    /// How often we send, before the jitter; `None`: the neighbour wants no packets.
    pub transmit_interval: Option<Duration>,
    /// After how long a silence the path counts as broken; `None` before the neighbour was heard.
    pub detection_time: Option<Duration>,
    /// How often the session came up.
    pub ups: u64,
    /// How often it left Up.
    pub downs: u64,
    /// How often of these the path broke, neither end having been taken down by its operator (RFC 5882 §3.2).
    pub failures: u64,
    /// Packets from the neighbour that were not taken.
    pub discarded: u64,
    /// Why packets cannot be sent or received, or why one was last not taken.
    pub last_error: Option<String>,
}
