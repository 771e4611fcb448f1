//! What the state machine is told of a peer's configuration.

use super::Identity;
use crate::{fsm::Settings, speaker::PeerConfig};

pub(super) fn settings(identity: Identity, config: &PeerConfig) -> Settings {
    Settings {
        asn: identity.asn,
        router_id: identity.router_id,
        remote_asn: config.remote_asn,
        other_asns: config.other_asns.clone(),
        passive: config.passive,
        hold_time: config.hold_time,
        connect_retry: config.connect_retry,
        families: config.families.clone(),
        graceful_restart: config.graceful_restart.then_some(identity.restart_time),
        graceful_notification: config.graceful_notification,
        long_lived: config.long_lived,
        add_path: config.import.as_ref().is_some_and(|import| import.add_path),
        extended_next_hop: config.extended_next_hop,
        role: config.role,
    }
}
