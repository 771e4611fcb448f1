//! Neighbours that are not known one by one.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{PeerConfig, PeerConfigError};
use crate::{Asn, AsnSet, Family, Prefix};

/// How many neighbours a group has at the same time, unless configured: several racks of them. Each costs a task, its
/// buffers and a series of each metric.
pub const DEFAULT_GROUP_LIMIT: usize = 256;

/// How long a neighbour of a group is remembered after its last connection, unless configured: long enough for whoever
/// is called to see what became of it.
pub const DEFAULT_LINGER: Duration = Duration::from_secs(300);

/// Whoever dials from one of some prefixes becomes a passive peer of its own, named `GROUP/ADDRESS`, until some time after
/// its last connection. A configured peer of the same address goes before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerGroup {
    /// The operator's name for it, unique.
    pub name: String,
    /// Where its neighbours dial from. Of two groups the one with the longer prefix takes a neighbour.
    pub prefixes: Vec<Prefix>,
    /// The AS numbers that they may be in.
    pub asns: AsnSet,
    /// So many neighbours at most, those that are remembered among them.
    pub limit: usize,
    /// How long a neighbour is remembered after its last connection; while routes of a neighbour that restarts are kept,
    /// as long as they are.
    pub linger: Duration,
    /// What holds for each of them. Its name, addresses, port, AS numbers and direction do not count.
    pub template: PeerConfig,
}

/// Why a group cannot be run as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerGroupError {
    /// Nobody could dial from there.
    #[error("it has no prefix; configure where its neighbours dial from")]
    NoPrefix,
    /// Nobody could be in it.
    #[error("it has no AS number; configure those that its neighbours may be in")]
    NoAsn,
    /// Nobody would be taken.
    #[error("a limit of 0 takes nobody; configure how many neighbours it may have")]
    Limit,
    /// What holds for each of its neighbours cannot be.
    #[error(transparent)]
    Peer(#[from] PeerConfigError),
}

impl PeerGroup {
    /// A group of one prefix and one AS, with the defaults of [`PeerConfig::new`] for each neighbour.
    pub fn new(name: impl Into<String>, prefix: Prefix, asn: Asn) -> Self {
        let name = name.into();
        Self {
            template: PeerConfig::new(&name, prefix.address(), asn),
            name,
            prefixes: vec![prefix],
            asns: asn.into(),
            limit: DEFAULT_GROUP_LIMIT,
            linger: DEFAULT_LINGER,
        }
    }

    /// Whether the speaker can run this group. It refuses one that fails, with
    /// [`SpeakerEvent::PeerRefused`](crate::SpeakerEvent::PeerRefused).
    ///
    /// # Errors
    /// What is wrong with it and what to configure.
    pub fn validate(&self) -> Result<(), PeerGroupError> {
        let first = self.prefixes.first().ok_or(PeerGroupError::NoPrefix)?;
        if self.asns.is_empty() {
            return Err(PeerGroupError::NoAsn);
        }
        if self.limit == 0 {
            return Err(PeerGroupError::Limit);
        }
        // Any host's address stands for its neighbours'.
        let any = match first.family() {
            Family::Ipv4 => Ipv4Addr::LOCALHOST.into(),
            Family::Ipv6 => Ipv6Addr::LOCALHOST.into(),
        };
        Ok(self.member(any).validate()?)
    }

    /// The length of the longest prefix that the address is in.
    pub(crate) fn longest_match(&self, address: IpAddr) -> Option<u8> {
        let host = Prefix::host(address);
        self.prefixes.iter().filter(|prefix| prefix.contains(host)).map(|prefix| prefix.len()).max()
    }

    /// The neighbour of this address.
    pub(crate) fn member(&self, address: IpAddr) -> PeerConfig {
        PeerConfig {
            name: format!("{}/{address}", self.name),
            address,
            remote_asn: self.asns.first().unwrap_or(self.template.remote_asn),
            other_asns: self.asns.clone(),
            local_address: None,
            passive: true,
            ..self.template.clone()
        }
    }
}
