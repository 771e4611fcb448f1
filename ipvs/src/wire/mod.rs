//! Generic netlink messages of the `IPVS` family, both ways: bytes in, bytes out, no socket.
//!
//! Numbers and layouts are those of `linux/ip_vs.h` and `net/netfilter/ipvs/ip_vs_ctl.c`. What is sent is byte for
//! byte what ipvsadm 1.31 sends, so that the kernel sees nothing from us that it has not always seen.

mod decode;
mod encode;
mod message;
mod settings;
mod writer;

pub use decode::{DecodeError, DestinationRecord, ServiceRecord, destination, family_id, service};
pub use encode::{EncodeError, Request, without_acknowledgement};
pub use message::{Body, Message, Messages};
pub use settings::{daemon, info, timeouts};

#[cfg(test)]
mod tests;

/// Name of the generic netlink family.
pub const FAMILY_NAME: &str = "IPVS";

/// Version of the family's protocol.
pub const FAMILY_VERSION: u8 = 1;

/// Commands (`IPVS_CMD_*`).
mod command {
    pub(super) const NEW_SERVICE: u8 = 1;
    pub(super) const SET_SERVICE: u8 = 2;
    pub(super) const DELETE_SERVICE: u8 = 3;
    pub(super) const GET_SERVICE: u8 = 4;
    pub(super) const NEW_DESTINATION: u8 = 5;
    pub(super) const SET_DESTINATION: u8 = 6;
    pub(super) const DELETE_DESTINATION: u8 = 7;
    pub(super) const GET_DESTINATION: u8 = 8;
    pub(super) const NEW_DAEMON: u8 = 9;
    pub(super) const DELETE_DAEMON: u8 = 10;
    pub(super) const GET_DAEMON: u8 = 11;
    pub(super) const SET_CONFIG: u8 = 12;
    pub(super) const GET_CONFIG: u8 = 13;
    pub(super) const GET_INFO: u8 = 15;
    pub(super) const ZERO: u8 = 16;
}

/// Attributes of a command (`IPVS_CMD_ATTR_*`).
mod command_attribute {
    pub(super) const SERVICE: u16 = 1;
    pub(super) const DESTINATION: u16 = 2;
    pub(super) const DAEMON: u16 = 3;
    pub(super) const TIMEOUT_TCP: u16 = 4;
    pub(super) const TIMEOUT_TCP_FIN: u16 = 5;
    pub(super) const TIMEOUT_UDP: u16 = 6;
}

/// Attributes of the answer to GET_INFO (`IPVS_INFO_ATTR_*`).
mod info_attribute {
    pub(super) const VERSION: u16 = 1;
    pub(super) const CONNECTION_TABLE_SIZE: u16 = 2;
}

/// Attributes of a sync daemon (`IPVS_DAEMON_ATTR_*`).
mod daemon_attribute {
    pub(super) const STATE: u16 = 1;
    pub(super) const INTERFACE: u16 = 2;
    pub(super) const SYNC_ID: u16 = 3;
    pub(super) const MAX_LEN: u16 = 4;
    pub(super) const GROUP: u16 = 5;
    pub(super) const GROUP_V6: u16 = 6;
    /// In host order, unlike every other port.
    pub(super) const PORT: u16 = 7;
    pub(super) const TTL: u16 = 8;
}

/// What a sync daemon is for (`IP_VS_STATE_*`).
mod daemon_state {
    pub(super) const MASTER: u32 = 1;
    pub(super) const BACKUP: u32 = 2;
}

/// Attributes of a service (`IPVS_SVC_ATTR_*`).
mod service_attribute {
    pub(super) const FAMILY: u16 = 1;
    pub(super) const PROTOCOL: u16 = 2;
    pub(super) const ADDRESS: u16 = 3;
    pub(super) const PORT: u16 = 4;
    pub(super) const FWMARK: u16 = 5;
    pub(super) const SCHEDULER: u16 = 6;
    pub(super) const FLAGS: u16 = 7;
    pub(super) const TIMEOUT: u16 = 8;
    pub(super) const NETMASK: u16 = 9;
    pub(super) const PERSISTENCE_ENGINE: u16 = 11;
    pub(super) const STATISTICS: u16 = 12;
}

/// Attributes of a destination (`IPVS_DEST_ATTR_*`).
mod destination_attribute {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const PORT: u16 = 2;
    pub(super) const FORWARD: u16 = 3;
    pub(super) const WEIGHT: u16 = 4;
    pub(super) const UPPER_THRESHOLD: u16 = 5;
    pub(super) const LOWER_THRESHOLD: u16 = 6;
    pub(super) const ACTIVE: u16 = 7;
    pub(super) const INACTIVE: u16 = 8;
    pub(super) const PERSISTENT: u16 = 9;
    pub(super) const FAMILY: u16 = 11;
    pub(super) const STATISTICS: u16 = 12;
    pub(super) const TUNNEL_TYPE: u16 = 13;
    pub(super) const TUNNEL_PORT: u16 = 14;
    pub(super) const TUNNEL_FLAGS: u16 = 15;
}

/// Service flags (`IP_VS_SVC_F_*`). HASHED (2) is the kernel's own and never looked at.
mod service_flag {
    pub(super) const PERSISTENT: u32 = 1;
    pub(super) const ONE_PACKET: u32 = 4;
    pub(super) const SCHEDULER_1: u32 = 8;
    pub(super) const SCHEDULER_2: u32 = 0x10;
    pub(super) const SCHEDULER_3: u32 = 0x20;
}

/// Forwarding methods (`IP_VS_CONN_F_*` within `IP_VS_CONN_F_FWD_MASK`).
mod forward {
    pub(super) const MASQUERADE: u32 = 0;
    pub(super) const LOCAL: u32 = 1;
    pub(super) const TUNNEL: u32 = 2;
    pub(super) const DIRECT_ROUTING: u32 = 3;
}

/// Tunnel types (`IP_VS_CONN_F_TUNNEL_TYPE_*`).
mod tunnel_type {
    pub(super) const IPIP: u8 = 0;
    pub(super) const GUE: u8 = 1;
    pub(super) const GRE: u8 = 2;
}

/// IP protocol numbers and address families, in the width that the attributes have.
mod number {
    pub(super) const TCP: u16 = 6;
    pub(super) const UDP: u16 = 17;
    pub(super) const SCTP: u16 = 132;
    pub(super) const INET: u16 = nix::libc::AF_INET as u16;
    pub(super) const INET6: u16 = nix::libc::AF_INET6 as u16;
}
