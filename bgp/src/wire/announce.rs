//! UPDATEs that are sent.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    HEADER_LEN, MAX_MESSAGE, MessageType,
    attribute::{EXTENDED_LENGTH, OPTIONAL, TRANSITIVE, code},
    nlri, path, push_message,
};
use crate::{Community, Family, LargeCommunity, Prefix};

/// Octets for attributes other than `MP_REACH_NLRI` in a message that still has room for a prefix: what is left
/// after the header, two lengths, `MP_REACH_NLRI` with an IPv6 next hop, and a /128.
pub const MAX_ATTRIBUTES: usize = MAX_MESSAGE - HEADER_LEN - 4 - MP_REACH_V6 - 17;

/// `MP_REACH_NLRI` without routes: flags, type, long length, AFI, SAFI, next hop with its length, reserved octet.
const MP_REACH_V6: usize = 4 + 2 + 1 + 17 + 1;

/// `MP_UNREACH_NLRI` without routes: flags, type, long length, AFI, SAFI.
const MP_UNREACH: usize = 4 + 2 + 1;

/// Where the routes lead to; it decides their family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// Of IPv4 routes.
    V4(Ipv4Addr),
    /// Of IPv6 routes, global.
    V6(Ipv6Addr),
}

impl NextHop {
    /// The family of the routes.
    pub const fn family(self) -> Family {
        match self {
            Self::V4(_) => Family::Ipv4,
            Self::V6(_) => Family::Ipv6,
        }
    }
}

/// What is said of a group of prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement<'a> {
    /// The path, nearest AS first, as one sequence; empty towards internal neighbours.
    pub as_path: Vec<u32>,
    /// Where to.
    pub next_hop: NextHop,
    /// `MULTI_EXIT_DISC`.
    pub med: Option<u32>,
    /// `LOCAL_PREF`; must be set towards internal neighbours and towards no other.
    pub local_pref: Option<u32>,
    /// Standard communities.
    pub communities: &'a [Community],
    /// Large communities.
    pub large_communities: &'a [LargeCommunity],
}

/// A message that cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// OPEN does not fit.
    #[error("the capabilities do not fit into an OPEN")]
    Open,
    /// The attributes leave no room for a prefix.
    #[error(
        "the attributes need {0} octets and an UPDATE has room for {MAX_ATTRIBUTES}; use fewer communities"
    )]
    Attributes(usize),
    /// A prefix is of another family than the next hop.
    #[error("{0} is of another family than the next hop")]
    Family(Prefix),
}

impl Announcement<'_> {
    /// Octets of all attributes but `MP_REACH_NLRI`, on a session of the width that needs more.
    pub fn octets(&self) -> usize {
        let mut narrow = Vec::new();
        self.push_attributes(&mut narrow, false);
        let mut wide = Vec::new();
        self.push_attributes(&mut wide, true);
        narrow.len().max(wide.len())
    }

    /// Everything but `MP_REACH_NLRI`, in the order of the types.
    fn push_attributes(&self, out: &mut Vec<u8>, four_octet_asn: bool) {
        push_attribute(out, TRANSITIVE, code::ORIGIN, &[0]);
        let mut sequence = Vec::new();
        path::push_sequence(&mut sequence, &self.as_path, four_octet_asn);
        push_attribute(out, TRANSITIVE, code::AS_PATH, &sequence);
        match self.next_hop {
            NextHop::V4(address) => push_attribute(out, TRANSITIVE, code::NEXT_HOP, &address.octets()),
            NextHop::V6(_) => {}
        }
        if let Some(med) = self.med {
            push_attribute(out, OPTIONAL, code::MED, &med.to_be_bytes());
        }
        if let Some(local_pref) = self.local_pref {
            push_attribute(out, TRANSITIVE, code::LOCAL_PREF, &local_pref.to_be_bytes());
        }
        if !self.communities.is_empty() {
            let value: Vec<u8> =
                self.communities.iter().flat_map(|community| community.0.to_be_bytes()).collect();
            push_attribute(out, OPTIONAL | TRANSITIVE, code::COMMUNITIES, &value);
        }
        if !four_octet_asn && self.as_path.iter().any(|asn| u16::try_from(*asn).is_err()) {
            sequence.clear();
            path::push_sequence(&mut sequence, &self.as_path, true);
            push_attribute(out, OPTIONAL | TRANSITIVE, code::AS4_PATH, &sequence);
        }
        if !self.large_communities.is_empty() {
            let words = |large: &LargeCommunity| [large.global, large.local1, large.local2];
            let value: Vec<u8> =
                self.large_communities.iter().flat_map(words).flat_map(u32::to_be_bytes).collect();
            push_attribute(out, OPTIONAL | TRANSITIVE, code::LARGE_COMMUNITIES, &value);
        }
    }
}

/// Appends the UPDATEs that announce the prefixes, as few as possible, each at most [`MAX_MESSAGE`] octets.
/// Returns how many. `four_octet_asn` is what the session negotiated: the width of the path's numbers depends on
/// it and on nothing else (RFC 6793 §4.1). Appends nothing on an error.
pub fn encode_announce(
    out: &mut Vec<u8>,
    announcement: &Announcement<'_>,
    prefixes: &[Prefix],
    four_octet_asn: bool,
) -> Result<usize, EncodeError> {
    let family = announcement.next_hop.family();
    if let Some(other) = prefixes.iter().find(|prefix| prefix.family() != family) {
        return Err(EncodeError::Family(*other));
    }
    let mut attributes = Vec::new();
    announcement.push_attributes(&mut attributes, four_octet_asn);
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(EncodeError::Attributes(attributes.len()));
    }
    let room = MAX_MESSAGE - HEADER_LEN - 4 - attributes.len();
    Ok(match announcement.next_hop {
        NextHop::V4(_) => packed(prefixes, room, |routes| push_update(out, &[], &attributes, routes)),
        NextHop::V6(next_hop) => packed(prefixes, room - MP_REACH_V6, |routes| {
            let mut value = vec![0, 2, 1, 16];
            value.extend_from_slice(&next_hop.octets());
            value.push(0);
            value.extend_from_slice(routes);
            // RFC 7606 §5.1: MP_REACH_NLRI comes first.
            let mut block = Vec::with_capacity(MAX_MESSAGE);
            push_long_attribute(&mut block, OPTIONAL, code::MP_REACH, &value);
            block.extend_from_slice(&attributes);
            push_update(out, &[], &block, &[]);
        }),
    })
}

/// Appends the UPDATEs that withdraw the prefixes of one family, as few as possible; returns how many. Prefixes of
/// another family are an error, and nothing is appended.
pub fn encode_withdraw(out: &mut Vec<u8>, family: Family, prefixes: &[Prefix]) -> Result<usize, EncodeError> {
    if let Some(other) = prefixes.iter().find(|prefix| prefix.family() != family) {
        return Err(EncodeError::Family(*other));
    }
    let room = MAX_MESSAGE - HEADER_LEN - 4;
    Ok(match family {
        Family::Ipv4 => packed(prefixes, room, |routes| push_update(out, routes, &[], &[])),
        Family::Ipv6 => packed(prefixes, room - MP_UNREACH, |routes| push_unreach(out, family, routes)),
    })
}

/// Appends the family's End-of-RIB (RFC 4724 §2).
pub fn encode_end_of_rib(out: &mut Vec<u8>, family: Family) {
    match family {
        Family::Ipv4 => push_update(out, &[], &[], &[]),
        Family::Ipv6 => push_unreach(out, family, &[]),
    }
}

/// Calls `message` with runs of encoded prefixes that fill `room`.
fn packed(prefixes: &[Prefix], room: usize, mut message: impl FnMut(&[u8])) -> usize {
    let mut messages = 0;
    let mut routes = Vec::with_capacity(room);
    for prefix in prefixes {
        if routes.len() + nlri::encoded_len(*prefix) > room {
            message(&routes);
            messages += 1;
            routes.clear();
        }
        nlri::push(&mut routes, *prefix);
    }
    if !routes.is_empty() {
        message(&routes);
        messages += 1;
    }
    messages
}

fn push_unreach(out: &mut Vec<u8>, family: Family, routes: &[u8]) {
    let mut value = family.afi().to_be_bytes().to_vec();
    value.push(family.safi());
    value.extend_from_slice(routes);
    let mut block = Vec::with_capacity(value.len() + 4);
    push_long_attribute(&mut block, OPTIONAL, code::MP_UNREACH, &value);
    push_update(out, &[], &block, &[]);
}

fn push_update(out: &mut Vec<u8>, withdrawn: &[u8], attributes: &[u8], routes: &[u8]) {
    let mut body = Vec::with_capacity(4 + withdrawn.len() + attributes.len() + routes.len());
    for block in [withdrawn, attributes] {
        body.extend_from_slice(&short_length(block).to_be_bytes());
        body.extend_from_slice(block);
    }
    body.extend_from_slice(routes);
    let fits = push_message(out, MessageType::Update, &body);
    debug_assert!(fits, "callers keep to the room of a message");
}

fn push_attribute(out: &mut Vec<u8>, flags: u8, kind: u8, value: &[u8]) {
    match u8::try_from(value.len()) {
        Ok(length) => {
            out.extend_from_slice(&[flags, kind, length]);
            out.extend_from_slice(value);
        }
        Err(_) => push_long_attribute(out, flags, kind, value),
    }
}

fn push_long_attribute(out: &mut Vec<u8>, flags: u8, kind: u8, value: &[u8]) {
    out.extend_from_slice(&[flags | EXTENDED_LENGTH, kind]);
    out.extend_from_slice(&short_length(value).to_be_bytes());
    out.extend_from_slice(value);
}

/// A block's length. One that two octets cannot hold is far past a message and refused before it is sent.
fn short_length(block: &[u8]) -> u16 {
    u16::try_from(block.len()).unwrap_or(u16::MAX)
}
