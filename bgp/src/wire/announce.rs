//! UPDATEs that are sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Aggregator, HEADER_LEN, MARKER, MAX_MESSAGE, MessageType, Origin,
    attribute::{EXTENDED_LENGTH, OPTIONAL, PARTIAL, TRANSITIVE, code},
    nlri, path,
};
use crate::{Community, Family, LargeCommunity, Path, Prefix, asn::AS_TRANS};

/// Octets for attributes other than `MP_REACH_NLRI` in a message that still has room for a prefix: what is left
/// after the header, two lengths, `MP_REACH_NLRI` with an IPv6 next hop and a link-local one, and a /128.
pub const MAX_ATTRIBUTES: usize = MAX_MESSAGE - HEADER_LEN - 4 - MP_REACH_V6 - LINK_LOCAL - 17;

/// What the attributes of most routes take; more is allocated when it is needed.
const TYPICAL_ATTRIBUTES: usize = 256;

/// `MP_REACH_NLRI` without routes: flags, type, long length, AFI, SAFI, next hop with its length, reserved octet.
const MP_REACH_V6: usize = 4 + 2 + 1 + 17 + 1;

/// What a link-local next hop adds to it.
const LINK_LOCAL: usize = 16;

/// `MP_UNREACH_NLRI` without routes: flags, type, long length, AFI, SAFI.
const MP_UNREACH: usize = 4 + 2 + 1;

/// Where the routes lead to; it decides their family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// Of IPv4 routes.
    V4(Ipv4Addr),
    /// Of IPv6 routes, global.
    V6(Ipv6Addr),
    /// Of IPv4 routes, an IPv6 one, global: only where that was agreed on (RFC 8950).
    V4ByV6(Ipv6Addr),
}

impl NextHop {
    /// The family of the routes.
    pub const fn family(self) -> Family {
        match self {
            Self::V4(_) | Self::V4ByV6(_) => Family::Ipv4,
            Self::V6(_) => Family::Ipv6,
        }
    }
}

impl From<NextHop> for IpAddr {
    fn from(hop: NextHop) -> Self {
        match hop {
            NextHop::V4(address) => address.into(),
            NextHop::V6(address) | NextHop::V4ByV6(address) => address.into(),
        }
    }
}

/// What is said of a group of prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement<'a> {
    /// The path, nearest AS first; that of an own route is empty towards internal neighbours.
    pub as_path: Path,
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
    /// What few routes carry.
    pub extra: Extra<'a>,
}

/// What few routes carry: mostly those that are passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra<'a> {
    /// `ORIGIN`; own routes are from within the AS.
    pub origin: Origin,
    /// The link-local address beside an IPv6 next hop, for a neighbour on the same link (RFC 2545 §3).
    pub link_local: Option<Ipv6Addr>,
    /// `ATOMIC_AGGREGATE`.
    pub atomic_aggregate: bool,
    /// `AGGREGATOR`.
    pub aggregator: Option<Aggregator>,
    /// `ORIGINATOR_ID`, towards internal neighbours alone (RFC 4456).
    pub originator_id: Option<Ipv4Addr>,
    /// `CLUSTER_LIST`, the latest first, towards internal neighbours alone (RFC 4456).
    pub cluster_list: Vec<Ipv4Addr>,
    /// `ONLY_TO_CUSTOMER` (RFC 9234).
    pub only_to_customer: Option<u32>,
    /// Extended communities.
    pub extended_communities: &'a [[u8; 8]],
    /// Transitive attributes that this speaker does not know: flags, type, value.
    pub unknown: &'a [(u8, u8, Vec<u8>)],
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
    /// What every route has, and nothing else.
    pub fn new(as_path: Path, next_hop: NextHop) -> Self {
        Self {
            as_path,
            next_hop,
            med: None,
            local_pref: None,
            communities: &[],
            large_communities: &[],
            extra: Extra::default(),
        }
    }

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
        let extra = &self.extra;
        push_attribute(out, TRANSITIVE, code::ORIGIN, &[extra.origin.octet()]);
        push_head(out, TRANSITIVE, code::AS_PATH, path::encoded_len(&self.as_path, four_octet_asn));
        path::push(out, &self.as_path, four_octet_asn);
        match self.next_hop {
            NextHop::V4(address) => push_attribute(out, TRANSITIVE, code::NEXT_HOP, &address.octets()),
            NextHop::V6(_) | NextHop::V4ByV6(_) => {}
        }
        if let Some(med) = self.med {
            push_attribute(out, OPTIONAL, code::MED, &med.to_be_bytes());
        }
        if let Some(local_pref) = self.local_pref {
            push_attribute(out, TRANSITIVE, code::LOCAL_PREF, &local_pref.to_be_bytes());
        }
        extra.push_aggregation(out, four_octet_asn);
        if !self.communities.is_empty() {
            push_head(out, OPTIONAL | TRANSITIVE, code::COMMUNITIES, 4 * self.communities.len());
            self.communities.iter().for_each(|one| out.extend_from_slice(&one.0.to_be_bytes()));
        }
        extra.push_reflection(out);
        if !four_octet_asn && self.as_path.is_wide() {
            push_head(out, OPTIONAL | TRANSITIVE, code::AS4_PATH, path::encoded_len(&self.as_path, true));
            path::push(out, &self.as_path, true);
        }
        extra.push_wide_aggregator(out, four_octet_asn);
        if !self.large_communities.is_empty() {
            push_head(out, OPTIONAL | TRANSITIVE, code::LARGE_COMMUNITIES, 12 * self.large_communities.len());
            for large in self.large_communities {
                let words = [large.global, large.local1, large.local2];
                words.into_iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
            }
        }
        if let Some(asn) = extra.only_to_customer {
            push_attribute(out, OPTIONAL | TRANSITIVE, code::ONLY_TO_CUSTOMER, &asn.to_be_bytes());
        }
        for (flags, kind, value) in extra.unknown {
            push_attribute(out, (flags & (OPTIONAL | TRANSITIVE)) | PARTIAL, *kind, value);
        }
    }
}

impl Extra<'_> {
    fn push_aggregation(&self, out: &mut Vec<u8>, four_octet_asn: bool) {
        if self.atomic_aggregate {
            push_attribute(out, TRANSITIVE, code::ATOMIC_AGGREGATE, &[]);
        }
        let Some(Aggregator { asn, router_id }) = self.aggregator else { return };
        let asn = match four_octet_asn {
            true => asn.to_be_bytes().to_vec(),
            false => u16::try_from(asn).unwrap_or(AS_TRANS).to_be_bytes().to_vec(),
        };
        let value = [&asn[..], &router_id.octets()].concat();
        push_attribute(out, OPTIONAL | TRANSITIVE, code::AGGREGATOR, &value);
    }

    /// The aggregator's true AS, where the session's numbers cannot say it (RFC 6793 §4.2.2).
    fn push_wide_aggregator(&self, out: &mut Vec<u8>, four_octet_asn: bool) {
        let wide = self.aggregator.filter(|by| !four_octet_asn && u16::try_from(by.asn).is_err());
        if let Some(Aggregator { asn, router_id }) = wide {
            let value = [asn.to_be_bytes(), router_id.octets()].concat();
            push_attribute(out, OPTIONAL | TRANSITIVE, code::AS4_AGGREGATOR, &value);
        }
    }

    fn push_reflection(&self, out: &mut Vec<u8>) {
        if let Some(originator) = self.originator_id {
            push_attribute(out, OPTIONAL, code::ORIGINATOR_ID, &originator.octets());
        }
        if !self.cluster_list.is_empty() {
            push_head(out, OPTIONAL, code::CLUSTER_LIST, 4 * self.cluster_list.len());
            self.cluster_list.iter().for_each(|cluster| out.extend_from_slice(&cluster.octets()));
        }
        if !self.extended_communities.is_empty() {
            let octets = 8 * self.extended_communities.len();
            push_head(out, OPTIONAL | TRANSITIVE, code::EXTENDED_COMMUNITIES, octets);
            self.extended_communities.iter().for_each(|one| out.extend_from_slice(one));
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
    let mut attributes = Vec::with_capacity(TYPICAL_ATTRIBUTES);
    announcement.push_attributes(&mut attributes, four_octet_asn);
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(EncodeError::Attributes(attributes.len()));
    }
    let room = MAX_MESSAGE - HEADER_LEN - 4 - attributes.len();
    Ok(match announcement.next_hop {
        NextHop::V4(_) => packed(prefixes, room, |routes, octets| {
            push_start(out, 4 + attributes.len() + octets);
            push_length(out, 0);
            push_length(out, attributes.len());
            out.extend_from_slice(&attributes);
            routes.iter().for_each(|prefix| nlri::push(out, *prefix));
        }),
        NextHop::V6(next_hop) | NextHop::V4ByV6(next_hop) => {
            let link_local = announcement.extra.link_local;
            let start = MP_REACH_V6 + link_local.map_or(0, |_| LINK_LOCAL);
            packed(prefixes, room - start, |routes, octets| {
                let block = start + octets + attributes.len();
                push_start(out, 4 + block);
                push_length(out, 0);
                push_length(out, block);
                // RFC 7606 §5.1: MP_REACH_NLRI comes first.
                push_long_head(out, OPTIONAL, code::MP_REACH, start - 4 + octets);
                let [high, low] = family.afi().to_be_bytes();
                let length = if link_local.is_some() { 32 } else { 16 };
                out.extend_from_slice(&[high, low, family.safi(), length]);
                out.extend_from_slice(&next_hop.octets());
                link_local.iter().for_each(|hop| out.extend_from_slice(&hop.octets()));
                out.push(0);
                routes.iter().for_each(|prefix| nlri::push(out, *prefix));
                out.extend_from_slice(&attributes);
            })
        }
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
        Family::Ipv4 => packed(prefixes, room, |routes, octets| {
            push_start(out, 4 + octets);
            push_length(out, octets);
            routes.iter().for_each(|prefix| nlri::push(out, *prefix));
            push_length(out, 0);
        }),
        Family::Ipv6 => {
            packed(prefixes, room - MP_UNREACH, |routes, octets| push_unreach(out, routes, octets))
        }
    })
}

/// Appends the family's End-of-RIB (RFC 4724 §2).
pub fn encode_end_of_rib(out: &mut Vec<u8>, family: Family) {
    match family {
        Family::Ipv4 => {
            push_start(out, 4);
            out.extend_from_slice(&[0; 4]);
        }
        Family::Ipv6 => push_unreach(out, &[], 0),
    }
}

/// Calls `message` with runs of prefixes and their encoded length, as much as fits `room`.
fn packed(prefixes: &[Prefix], room: usize, mut message: impl FnMut(&[Prefix], usize)) -> usize {
    let (mut messages, mut start, mut octets) = (0, 0, 0);
    for (index, prefix) in prefixes.iter().enumerate() {
        let length = nlri::encoded_len(*prefix);
        if octets + length > room {
            message(&prefixes[start..index], octets);
            messages += 1;
            (start, octets) = (index, 0);
        }
        octets += length;
    }
    if start < prefixes.len() {
        message(&prefixes[start..], octets);
        messages += 1;
    }
    messages
}

/// An UPDATE that withdraws these IPv6 routes, or is the family's End-of-RIB.
fn push_unreach(out: &mut Vec<u8>, routes: &[Prefix], octets: usize) {
    push_start(out, 4 + MP_UNREACH + octets);
    push_length(out, 0);
    push_length(out, MP_UNREACH + octets);
    push_long_head(out, OPTIONAL, code::MP_UNREACH, MP_UNREACH - 4 + octets);
    out.extend_from_slice(&[0, 2, 1]);
    routes.iter().for_each(|prefix| nlri::push(out, *prefix));
}

/// An UPDATE's header for a body of so many octets.
fn push_start(out: &mut Vec<u8>, body: usize) {
    debug_assert!(HEADER_LEN + body <= MAX_MESSAGE, "callers keep to the room of a message");
    out.reserve(HEADER_LEN + body);
    out.extend_from_slice(&MARKER);
    push_length(out, HEADER_LEN + body);
    out.push(MessageType::Update as u8);
}

fn push_attribute(out: &mut Vec<u8>, flags: u8, kind: u8, value: &[u8]) {
    push_head(out, flags, kind, value.len());
    out.extend_from_slice(value);
}

/// An attribute's flags, type and length.
fn push_head(out: &mut Vec<u8>, flags: u8, kind: u8, length: usize) {
    match u8::try_from(length) {
        Ok(length) => out.extend_from_slice(&[flags, kind, length]),
        Err(_) => push_long_head(out, flags, kind, length),
    }
}

fn push_long_head(out: &mut Vec<u8>, flags: u8, kind: u8, length: usize) {
    out.extend_from_slice(&[flags | EXTENDED_LENGTH, kind]);
    push_length(out, length);
}

/// A length in two octets. One that they cannot hold is far past a message and refused before it is sent.
fn push_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
}
