//! ROUTE-REFRESH (RFC 2918), with the markers of enhanced refresh (RFC 7313).

use super::{DecodeError, ErrorCode, HEADER_LEN, MARKER, MessageType, cursor::Cursor, push_message};
use crate::Family;

/// What a ROUTE-REFRESH is for (RFC 7313 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshKind {
    /// Send the family's routes once more.
    Request,
    /// The family's routes follow, all of them: what was sent before is stale.
    Begin,
    /// All of them were sent: what is still stale is gone.
    End,
}

/// Asks for a family's routes once more, or marks where they begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    /// Address family identifier.
    pub afi: u16,
    /// What RFC 7313 made of the reserved octet: 0 asks, 1 and 2 are its begin and end markers.
    pub subtype: u8,
    /// Subsequent address family identifier.
    pub safi: u8,
}

impl RouteRefresh {
    /// A request for a family.
    pub const fn of(family: Family) -> Self {
        Self { afi: family.afi(), subtype: 0, safi: family.safi() }
    }

    /// The marker that stands before or behind a family's routes, or the request for them.
    pub const fn new(kind: RefreshKind, family: Family) -> Self {
        let subtype = match kind {
            RefreshKind::Request => 0,
            RefreshKind::Begin => 1,
            RefreshKind::End => 2,
        };
        Self { afi: family.afi(), subtype, safi: family.safi() }
    }

    /// What is meant and for which family; `None` when either is unknown, and the message is to be ignored (RFC
    /// 2918 §4; RFC 7313 §5).
    pub const fn meaning(self) -> Option<(RefreshKind, Family)> {
        let kind = match self.subtype {
            0 => RefreshKind::Request,
            1 => RefreshKind::Begin,
            2 => RefreshKind::End,
            _ => return None,
        };
        match Family::from_afi_safi(self.afi, self.safi) {
            Some(family) => Some((kind, family)),
            None => None,
        }
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(body);
        match (cursor.u16(), cursor.u8(), cursor.u8(), cursor.is_empty()) {
            (Some(afi), Some(subtype), Some(safi), true) => Ok(Self { afi, subtype, safi }),
            (_, _, _, _) => Err(DecodeError::with(
                ErrorCode::ROUTE_REFRESH_LENGTH,
                "ROUTE-REFRESH has a wrong length",
                whole(body),
            )),
        }
    }

    /// Appends the message.
    pub fn encode(self, out: &mut Vec<u8>) {
        let [high, low] = self.afi.to_be_bytes();
        let fits = push_message(out, MessageType::RouteRefresh, &[high, low, self.subtype, self.safi]);
        debug_assert!(fits, "the body has four octets");
    }
}

/// The message with its header, which is what the neighbour is shown (RFC 7313 §5), as far as a NOTIFICATION has room.
fn whole(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER_LEN + body.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&MARKER[..], &length, &[MessageType::RouteRefresh as u8], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_wire_and_an_unknown_one_means_nothing() {
        for kind in [RefreshKind::Request, RefreshKind::Begin, RefreshKind::End] {
            for family in Family::ALL {
                let mut out = Vec::new();
                RouteRefresh::new(kind, family).encode(&mut out);
                let back = RouteRefresh::decode(&out[HEADER_LEN..]).unwrap();
                assert_eq!(back.meaning(), Some((kind, family)));
                assert_eq!(RouteRefresh { subtype: 3, ..back }.meaning(), None);
                assert_eq!(RouteRefresh { afi: 25, ..back }.meaning(), None);
            }
        }
    }

    #[test]
    fn a_wrong_length_is_refused_and_the_neighbour_is_shown_its_message() {
        let error = RouteRefresh::decode(&[0, 1, 1, 1, 9]).unwrap_err();
        assert_eq!(error.code, ErrorCode::ROUTE_REFRESH_LENGTH);
        assert_eq!(error.data, [&[0xff; 16][..], &[0, 24, 5, 0, 1, 1, 1, 9]].concat());
    }
}
