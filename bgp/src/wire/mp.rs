//! Routes of other families than IPv4 in the message's body (RFC 4760).

use std::net::{IpAddr, Ipv6Addr};

use super::{AddPath, Context, DecodeError, ErrorCode, Nlri, cursor::Cursor};
use crate::Family;

/// `MP_REACH_NLRI` (RFC 4760 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MpReach<'a> {
    /// Routes of a family that this speaker knows.
    Known {
        /// The next hop; of IPv6 the global one.
        next_hop: IpAddr,
        /// The link-local next hop beside it (RFC 2545 §3).
        link_local: Option<Ipv6Addr>,
        /// The routes.
        nlri: Nlri<'a>,
    },
    /// Routes of another family.
    Other {
        /// Address family identifier.
        afi: u16,
        /// Subsequent address family identifier.
        safi: u8,
    },
}

impl MpReach<'_> {
    /// The next hop can be one: not unspecified (unless a link-local one stands beside it), not multicast.
    pub(super) fn has_usable_next_hop(&self) -> bool {
        match self {
            Self::Known { next_hop, link_local, .. } => {
                !next_hop.is_multicast() && (!next_hop.is_unspecified() || link_local.is_some())
            }
            Self::Other { .. } => true,
        }
    }
}

/// `MP_UNREACH_NLRI` (RFC 4760 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MpUnreach<'a> {
    /// Withdrawn routes of a family that this speaker knows.
    Known(Nlri<'a>),
    /// Withdrawn routes of another family.
    Other {
        /// Address family identifier.
        afi: u16,
        /// Subsequent address family identifier.
        safi: u8,
    },
}

/// The attribute's value. What hides where its routes are resets the session (RFC 7606 §7.11, §5.3).
pub(super) fn reach(value: &[u8], context: Context) -> Result<MpReach<'_>, DecodeError> {
    let wrong = |what| DecodeError::new(ErrorCode::OPTIONAL_ATTRIBUTE, what);
    let mut cursor = Cursor::new(value);
    let head = (cursor.u16(), cursor.u8(), cursor.block8(), cursor.u8());
    let (Some(afi), Some(safi), Some(next_hop), Some(_reserved)) = head else {
        return Err(wrong("MP_REACH_NLRI is cut short"));
    };
    let Some(family) = Family::from_afi_safi(afi, safi) else {
        return Ok(MpReach::Other { afi, safi });
    };
    let (next_hop, link_local) = next_hops(family, next_hop, context.extended_next_hop)
        .ok_or_else(|| wrong("MP_REACH_NLRI's next hop has a wrong length"))?;
    let nlri = Nlri::parse(family, context.add_path.of(family), cursor.rest())
        .ok_or_else(|| wrong("MP_REACH_NLRI's routes are malformed"))?;
    Ok(MpReach::Known { next_hop, link_local, nlri })
}

/// Four octets for IPv4; 16, or 32 with a link-local one, for IPv6 (RFC 2545 §3), and for IPv4 where that was agreed on (RFC
/// 8950 §3).
fn next_hops(family: Family, bytes: &[u8], extended: bool) -> Option<(IpAddr, Option<Ipv6Addr>)> {
    let mut cursor = Cursor::new(bytes);
    match (family, bytes.len()) {
        (Family::Ipv4, 4) => Some((cursor.array::<4>()?.into(), None)),
        (Family::Ipv4, _) if !extended => None,
        (_, 16) => Some((cursor.array::<16>()?.into(), None)),
        (_, 32) => Some((cursor.array::<16>()?.into(), Some(cursor.array::<16>()?.into()))),
        (_, _) => None,
    }
}

/// The attribute's value.
pub(super) fn unreach(value: &[u8], add_path: AddPath) -> Result<MpUnreach<'_>, DecodeError> {
    let wrong = |what| DecodeError::new(ErrorCode::OPTIONAL_ATTRIBUTE, what);
    let mut cursor = Cursor::new(value);
    let (Some(afi), Some(safi)) = (cursor.u16(), cursor.u8()) else {
        return Err(wrong("MP_UNREACH_NLRI is cut short"));
    };
    let Some(family) = Family::from_afi_safi(afi, safi) else {
        return Ok(MpUnreach::Other { afi, safi });
    };
    let nlri = Nlri::parse(family, add_path.of(family), cursor.rest());
    nlri.map(MpUnreach::Known).ok_or_else(|| wrong("MP_UNREACH_NLRI's routes are malformed"))
}
