//! Capabilities (RFC 5492).

use std::fmt;

use super::{DecodeError, ErrorCode, cursor::Cursor};
use crate::{Family, Role};

/// Something that a speaker can do, as it says in OPEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Routes of a family (RFC 4760).
    Multiprotocol {
        /// Address family identifier.
        afi: u16,
        /// Subsequent address family identifier.
        safi: u8,
    },
    /// ROUTE-REFRESH (RFC 2918).
    RouteRefresh,
    /// Next hops of another family than the routes' (RFC 8950 §4).
    ExtendedNextHop(Vec<NextHopFamily>),
    /// Messages up to 65535 octets are received (RFC 8654).
    ExtendedMessage,
    /// What the speaker is to its neighbour, by number (RFC 9234 §4.1).
    Role(u8),
    /// Graceful restart (RFC 4724).
    GracefulRestart(GracefulRestart),
    /// AS numbers in four octets, and the speaker's own (RFC 6793).
    FourOctetAsn(u32),
    /// Path identifiers, by family and direction (RFC 7911 §4).
    AddPath(Vec<AddPathFamily>),
    /// Markers around refreshed routes (RFC 7313).
    EnhancedRefresh,
    /// Routes are kept long beyond a graceful restart (RFC 9494 §3.1); without a family: of others.
    LongLived(Vec<LongLivedFamily>),
    /// Any other, tolerated.
    Unknown {
        /// The capability's code.
        code: u8,
        /// Its value.
        value: Vec<u8>,
    },
}

/// The graceful restart capability (RFC 4724 §3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GracefulRestart {
    /// The speaker has restarted.
    pub restarting: bool,
    /// NOTIFICATIONs too leave routes in place (RFC 8538).
    pub notification: bool,
    /// Seconds until the speaker should be back, 0-4095.
    pub restart_time: u16,
    /// The families that are kept.
    pub families: Vec<PreservedFamily>,
}

/// A family in the graceful restart capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreservedFamily {
    /// Address family identifier.
    pub afi: u16,
    /// Subsequent address family identifier.
    pub safi: u8,
    /// Forwarding went on over the restart.
    pub forwarding: bool,
}

/// A family of routes, and one that their next hops may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHopFamily {
    /// Address family identifier of the routes.
    pub afi: u16,
    /// Subsequent address family identifier of the routes; two octets here, unlike elsewhere.
    pub safi: u16,
    /// Address family identifier of the next hops.
    pub next_hop_afi: u16,
}

/// A family in the long-lived graceful restart capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongLivedFamily {
    /// Address family identifier.
    pub afi: u16,
    /// Subsequent address family identifier.
    pub safi: u8,
    /// Forwarding went on over the restart.
    pub forwarding: bool,
    /// Seconds for which routes may be kept once the restart time is over, of 24 bits.
    pub stale_time: u32,
}

/// A family in the add-path capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddPathFamily {
    /// Address family identifier.
    pub afi: u16,
    /// Subsequent address family identifier.
    pub safi: u8,
    /// The speaker takes path identifiers.
    pub receive: bool,
    /// The speaker would send them.
    pub send: bool,
}

const MULTIPROTOCOL: u8 = 1;
const ROUTE_REFRESH: u8 = 2;
const EXTENDED_NEXT_HOP: u8 = 5;
const EXTENDED_MESSAGE: u8 = 6;
const ROLE: u8 = 9;
const GRACEFUL_RESTART: u8 = 64;
const FOUR_OCTET_ASN: u8 = 65;
const ADD_PATH: u8 = 69;
const ENHANCED_REFRESH: u8 = 70;
const LONG_LIVED: u8 = 71;

const RESTART_STATE: u16 = 0x8000;
const NOTIFICATION_SUPPORT: u16 = 0x4000;
const RESTART_TIME: u16 = 0x0fff;
const FORWARDING_STATE: u8 = 0x80;

/// The longest stale time that its field holds, in seconds: 194 days (RFC 9494 §3.1).
pub const MAX_STALE_TIME: u32 = 0xff_ffff;

impl Capability {
    /// The multiprotocol capability of a family.
    pub const fn family(family: Family) -> Self {
        Self::Multiprotocol { afi: family.afi(), safi: family.safi() }
    }

    /// The capabilities in one optional parameter.
    pub(super) fn decode_all(bytes: &[u8], into: &mut Vec<Self>) -> Result<(), DecodeError> {
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let (Some(code), Some(value)) = (cursor.u8(), cursor.block8()) else {
                return Err(DecodeError::new(ErrorCode::OPEN_UNSPECIFIC, "a capability is cut short"));
            };
            into.push(Self::decode(code, value)?);
        }
        Ok(())
    }

    fn decode(code: u8, value: &[u8]) -> Result<Self, DecodeError> {
        let wrong = || DecodeError::new(ErrorCode::OPEN_UNSPECIFIC, "a capability has a wrong length");
        match (code, value) {
            (MULTIPROTOCOL, &[high, low, _, safi]) => {
                Ok(Self::Multiprotocol { afi: u16::from_be_bytes([high, low]), safi })
            }
            (ROUTE_REFRESH, []) => Ok(Self::RouteRefresh),
            (EXTENDED_NEXT_HOP, _) => next_hop_families(value).map(Self::ExtendedNextHop).ok_or_else(wrong),
            (EXTENDED_MESSAGE, []) => Ok(Self::ExtendedMessage),
            (ROLE, &[role]) => Ok(Self::Role(role)),
            (FOUR_OCTET_ASN, &[a, b, c, d]) => Ok(Self::FourOctetAsn(u32::from_be_bytes([a, b, c, d]))),
            (GRACEFUL_RESTART, _) => {
                GracefulRestart::decode(value).map(Self::GracefulRestart).ok_or_else(wrong)
            }
            (ADD_PATH, _) => add_path_families(value).map(Self::AddPath).ok_or_else(wrong),
            (ENHANCED_REFRESH, []) => Ok(Self::EnhancedRefresh),
            (LONG_LIVED, _) => long_lived_families(value).map(Self::LongLived).ok_or_else(wrong),
            (
                MULTIPROTOCOL | ROUTE_REFRESH | EXTENDED_MESSAGE | ROLE | FOUR_OCTET_ASN | ENHANCED_REFRESH,
                _,
            ) => Err(wrong()),
            (code, value) => Ok(Self::Unknown { code, value: value.to_vec() }),
        }
    }

    /// Appends code, length and value; false, and nothing appended, when the value is longer than 255 octets.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> bool {
        let (code, value) = match self {
            Self::Multiprotocol { afi, safi } => {
                let [high, low] = afi.to_be_bytes();
                (MULTIPROTOCOL, vec![high, low, 0, *safi])
            }
            Self::RouteRefresh => (ROUTE_REFRESH, Vec::new()),
            Self::ExtendedNextHop(families) => {
                (EXTENDED_NEXT_HOP, families.iter().flat_map(NextHopFamily::octets).collect())
            }
            Self::ExtendedMessage => (EXTENDED_MESSAGE, Vec::new()),
            Self::Role(role) => (ROLE, vec![*role]),
            Self::GracefulRestart(restart) => (GRACEFUL_RESTART, restart.value()),
            Self::FourOctetAsn(asn) => (FOUR_OCTET_ASN, asn.to_be_bytes().to_vec()),
            Self::AddPath(families) => (ADD_PATH, families.iter().flat_map(AddPathFamily::octets).collect()),
            Self::EnhancedRefresh => (ENHANCED_REFRESH, Vec::new()),
            Self::LongLived(families) => {
                (LONG_LIVED, families.iter().flat_map(LongLivedFamily::octets).collect())
            }
            Self::Unknown { code, value } => (*code, value.clone()),
        };
        let Ok(length) = u8::try_from(value.len()) else {
            return false;
        };
        out.extend_from_slice(&[code, length]);
        out.extend_from_slice(&value);
        true
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multiprotocol { afi, safi } => f.write_str(&family_name(*afi, *safi)),
            Self::RouteRefresh => f.write_str("route refresh"),
            Self::ExtendedNextHop(families) => {
                let words: Vec<_> = families.iter().map(ToString::to_string).collect();
                write!(f, "extended next hop ({})", words.join(", "))
            }
            Self::ExtendedMessage => f.write_str("extended messages"),
            Self::Role(role) => match Role::from_octet(*role) {
                Some(role) => write!(f, "role {role}"),
                None => write!(f, "role {role}"),
            },
            Self::GracefulRestart(restart) => restart.fmt(f),
            Self::FourOctetAsn(asn) => write!(f, "four-octet AS number {asn}"),
            Self::AddPath(families) => {
                let direction = |family: &AddPathFamily| match (family.receive, family.send) {
                    (true, true) => "both ways",
                    (true, false) => "received",
                    (false, _) => "sent",
                };
                let words = |family: &AddPathFamily| {
                    format!("{} {}", family_name(family.afi, family.safi), direction(family))
                };
                write!(f, "several paths ({})", families.iter().map(words).collect::<Vec<_>>().join(", "))
            }
            Self::EnhancedRefresh => f.write_str("enhanced route refresh"),
            Self::LongLived(families) if families.is_empty() => {
                f.write_str("long-lived graceful restart of others")
            }
            Self::LongLived(families) => {
                let words: Vec<_> = families.iter().map(ToString::to_string).collect();
                write!(f, "long-lived graceful restart ({})", words.join(", "))
            }
            Self::Unknown { code, .. } => write!(f, "capability {code}"),
        }
    }
}

impl fmt::Display for GracefulRestart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "graceful restart in {} s", self.restart_time)?;
        let family = |kept: &PreservedFamily| {
            let forwarding = if kept.forwarding { " forwarding" } else { "" };
            format!("{}{forwarding}", family_name(kept.afi, kept.safi))
        };
        if !self.families.is_empty() {
            write!(f, " ({})", self.families.iter().map(family).collect::<Vec<_>>().join(", "))?;
        }
        f.write_str(if self.restarting { ", restarting" } else { "" })?;
        f.write_str(if self.notification { ", over notifications too" } else { "" })
    }
}

impl fmt::Display for NextHopFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = match u8::try_from(self.safi) {
            Ok(safi) => family_name(self.afi, safi),
            Err(_) => format!("family {}/{}", self.afi, self.safi),
        };
        match self.next_hop_afi {
            1 => write!(f, "{routes} by ipv4"),
            2 => write!(f, "{routes} by ipv6"),
            other => write!(f, "{routes} by family {other}"),
        }
    }
}

impl fmt::Display for LongLivedFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forwarding = if self.forwarding { " forwarding" } else { "" };
        write!(f, "{} for {} s{forwarding}", family_name(self.afi, self.safi), self.stale_time)
    }
}

/// A family in words, or its numbers.
fn family_name(afi: u16, safi: u8) -> String {
    match Family::from_afi_safi(afi, safi) {
        Some(family) => format!("{family} unicast"),
        None => format!("family {afi}/{safi}"),
    }
}

impl GracefulRestart {
    fn decode(value: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(value);
        let head = cursor.u16()?;
        let mut families = Vec::with_capacity(value.len() / 4);
        while !cursor.is_empty() {
            let (afi, safi, flags) = (cursor.u16()?, cursor.u8()?, cursor.u8()?);
            families.push(PreservedFamily { afi, safi, forwarding: flags & FORWARDING_STATE != 0 });
        }
        Some(Self {
            restarting: head & RESTART_STATE != 0,
            notification: head & NOTIFICATION_SUPPORT != 0,
            restart_time: head & RESTART_TIME,
            families,
        })
    }

    fn value(&self) -> Vec<u8> {
        let mut head = self.restart_time.min(RESTART_TIME);
        if self.restarting {
            head |= RESTART_STATE;
        }
        if self.notification {
            head |= NOTIFICATION_SUPPORT;
        }
        let mut value = head.to_be_bytes().to_vec();
        for family in &self.families {
            value.extend_from_slice(&family.afi.to_be_bytes());
            value.extend_from_slice(&[family.safi, if family.forwarding { FORWARDING_STATE } else { 0 }]);
        }
        value
    }
}

fn next_hop_families(value: &[u8]) -> Option<Vec<NextHopFamily>> {
    let mut cursor = Cursor::new(value);
    let mut families = Vec::with_capacity(value.len() / 6);
    while !cursor.is_empty() {
        let (afi, safi, next_hop_afi) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
        families.push(NextHopFamily { afi, safi, next_hop_afi });
    }
    Some(families)
}

impl NextHopFamily {
    /// IPv4 unicast routes by IPv6 next hops.
    pub const IPV4_BY_IPV6: Self =
        Self { afi: Family::Ipv4.afi(), safi: Family::Ipv4.safi() as u16, next_hop_afi: Family::Ipv6.afi() };

    fn octets(&self) -> [u8; 6] {
        let [a, b] = self.afi.to_be_bytes();
        let [c, d] = self.safi.to_be_bytes();
        let [e, f] = self.next_hop_afi.to_be_bytes();
        [a, b, c, d, e, f]
    }
}

fn long_lived_families(value: &[u8]) -> Option<Vec<LongLivedFamily>> {
    let mut cursor = Cursor::new(value);
    let mut families = Vec::with_capacity(value.len() / 7);
    while !cursor.is_empty() {
        let (afi, safi, flags) = (cursor.u16()?, cursor.u8()?, cursor.u8()?);
        let [high, middle, low] = cursor.array::<3>()?;
        let stale_time = u32::from_be_bytes([0, high, middle, low]);
        families.push(LongLivedFamily { afi, safi, forwarding: flags & FORWARDING_STATE != 0, stale_time });
    }
    Some(families)
}

impl PreservedFamily {
    /// Whether it is this one.
    pub fn is(&self, family: Family) -> bool {
        (self.afi, self.safi) == (family.afi(), family.safi())
    }
}

impl LongLivedFamily {
    /// Whether it is this one.
    pub fn is(&self, family: Family) -> bool {
        (self.afi, self.safi) == (family.afi(), family.safi())
    }

    fn octets(&self) -> [u8; 7] {
        let [high, low] = self.afi.to_be_bytes();
        let flags = if self.forwarding { FORWARDING_STATE } else { 0 };
        let [_, first, second, third] = self.stale_time.min(MAX_STALE_TIME).to_be_bytes();
        [high, low, self.safi, flags, first, second, third]
    }
}

/// A family whose direction is not one of the three is left out (RFC 7911 §4).
fn add_path_families(value: &[u8]) -> Option<Vec<AddPathFamily>> {
    let mut cursor = Cursor::new(value);
    let mut families = Vec::with_capacity(value.len() / 4);
    while !cursor.is_empty() {
        let (afi, safi, direction) = (cursor.u16()?, cursor.u8()?, cursor.u8()?);
        if (1..=3).contains(&direction) {
            families.push(AddPathFamily { afi, safi, receive: direction & 1 != 0, send: direction & 2 != 0 });
        }
    }
    Some(families)
}

impl AddPathFamily {
    fn octets(&self) -> [u8; 4] {
        let [high, low] = self.afi.to_be_bytes();
        [high, low, self.safi, u8::from(self.receive) | u8::from(self.send) << 1]
    }
}
