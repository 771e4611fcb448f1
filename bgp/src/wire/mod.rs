//! Messages, both ways.
//!
//! Decoding borrows from the receive buffer and looks at every octet once or twice; nothing in it recurses or
//! allocates by a length that the neighbour only claims. Input is hostile: every function here returns an error
//! for it and none panics.
//!
//! ```text
//! bytes ─▶ Framer ─▶ Frame ─▶ Message::decode ─▶ Open | Update | Notification | Keepalive | RouteRefresh
//! ```
//!
//! A wrong message has one of three consequences (RFC 7606 §2): [`DecodeError`] resets the session and names the
//! NOTIFICATION; [`Update::malformed`] lists attributes that make the UPDATE's routes count as withdrawn, and
//! those that were discarded.

mod announce;
mod attribute;
mod capability;
mod cursor;
mod error;
mod frame;
#[cfg(test)]
mod hostile_tests;
mod list;
mod mp;
mod nlri;
mod notification;
mod open;
mod path;
mod refresh;
#[cfg(test)]
mod revised_error_tests;
mod update;
#[cfg(test)]
mod update_tests;

use crate::Family;

pub use announce::{
    Announcement, EncodeError, Extra, MAX_ATTRIBUTES, NextHop, encode_announce, encode_end_of_rib,
    encode_withdraw,
};
pub use attribute::{Aggregator, Attributes, Origin, RawAttribute, Unknown};
pub use capability::{
    AddPathFamily, Capability, GracefulRestart, LongLivedFamily, MAX_STALE_TIME, NextHopFamily,
    PreservedFamily,
};
pub use error::{DecodeError, ErrorCode};
pub use frame::{Frame, Framer};
pub use list::{ClusterList, Communities, ExtendedCommunities, LargeCommunities};
pub use mp::{MpReach, MpUnreach};
pub use nlri::{Nlri, PathId};
pub use notification::{MAX_SHUTDOWN_TEXT, Notification};
pub use open::Open;
pub use path::{AsPath, Segment, SegmentKind};
pub use refresh::{RefreshKind, RouteRefresh};
pub use update::{Handling, Malformed, Update};

/// Octets in a message's header (RFC 4271 §4.1).
pub const HEADER_LEN: usize = 19;

/// The longest message without the extended message capability (RFC 4271 §4.1). All that is sent keeps to it.
pub const MAX_MESSAGE: usize = 4096;

/// The longest message with the extended message capability (RFC 8654 §3).
pub const MAX_EXTENDED_MESSAGE: usize = 65_535;

/// The protocol's version (RFC 4271 §4.2).
pub const VERSION: u8 = 4;

const MARKER: [u8; 16] = [0xff; 16];

/// A message's type (RFC 4271 §4.1; RFC 2918 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MessageType {
    /// Starts a session.
    Open = 1,
    /// Announces and withdraws routes.
    Update = 2,
    /// Ends a session, with the reason.
    Notification = 3,
    /// Says that the neighbour is still there.
    Keepalive = 4,
    /// Asks for a family's routes once more.
    RouteRefresh = 5,
}

impl MessageType {
    /// The type that an octet stands for.
    pub const fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            1 => Some(Self::Open),
            2 => Some(Self::Update),
            3 => Some(Self::Notification),
            4 => Some(Self::Keepalive),
            5 => Some(Self::RouteRefresh),
            _ => None,
        }
    }

    /// The shortest message of the type, with its header (RFC 4271 §6.1).
    const fn min_len(self) -> usize {
        match self {
            Self::Open => 29,
            Self::Update => 23,
            Self::Notification => 21,
            Self::Keepalive => HEADER_LEN,
            Self::RouteRefresh => 23,
        }
    }
}

/// What the session agreed on, as far as it changes what messages mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// AS numbers are four octets wide (both sides sent capability 65).
    pub four_octet_asn: bool,
    /// The neighbour is in the own AS.
    pub internal: bool,
    /// Where path identifiers stand before the neighbour's prefixes.
    pub add_path: AddPath,
    /// IPv4 routes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
}

/// The families whose routes the neighbour sends with path identifiers (RFC 7911 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddPath {
    /// IPv4 unicast.
    pub ipv4: bool,
    /// IPv6 unicast.
    pub ipv6: bool,
}

impl Context {
    /// A session without path identifiers.
    pub const fn new(four_octet_asn: bool, internal: bool) -> Self {
        let add_path = AddPath { ipv4: false, ipv6: false };
        Self { four_octet_asn, internal, add_path, extended_next_hop: false }
    }
}

impl AddPath {
    /// Whether the family's routes have path identifiers.
    pub const fn of(self, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }
}

/// A message from the neighbour.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack for one call; a box would be an allocation for every UPDATE"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// OPEN.
    Open(Open),
    /// UPDATE.
    Update(Update<'a>),
    /// NOTIFICATION.
    Notification(Notification),
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH.
    RouteRefresh(RouteRefresh),
}

impl<'a> Message<'a> {
    /// Decodes what a [`Framer`] cut out of the stream.
    pub fn decode(frame: Frame<'a>, context: Context) -> Result<Self, DecodeError> {
        match frame.kind {
            MessageType::Open => Open::decode(frame.body).map(Self::Open),
            MessageType::Update => Update::decode(frame.body, context).map(Self::Update),
            MessageType::Notification => Notification::decode(frame.body).map(Self::Notification),
            MessageType::Keepalive => Ok(Self::Keepalive),
            MessageType::RouteRefresh => RouteRefresh::decode(frame.body).map(Self::RouteRefresh),
        }
    }
}

/// Appends a KEEPALIVE.
pub fn encode_keepalive(out: &mut Vec<u8>) {
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&[0, 19, MessageType::Keepalive as u8]);
}

/// Appends a message whose body is short enough for a message of [`MAX_MESSAGE`]; returns false and appends
/// nothing otherwise.
fn push_message(out: &mut Vec<u8>, kind: MessageType, body: &[u8]) -> bool {
    let length = HEADER_LEN + body.len();
    let Some(length) = u16::try_from(length).ok().filter(|_| length <= MAX_MESSAGE) else {
        return false;
    };
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&length.to_be_bytes());
    out.push(kind as u8);
    out.extend_from_slice(body);
    true
}
