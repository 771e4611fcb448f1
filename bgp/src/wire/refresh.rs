//! ROUTE-REFRESH (RFC 2918).

use super::{DecodeError, ErrorCode, MessageType, cursor::Cursor, push_message};
use crate::Family;

/// Asks for a family's routes once more.
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

    /// The family that is asked for; `None` when it is unknown or the message is no request.
    pub const fn requested(self) -> Option<Family> {
        if self.subtype == 0 { Family::from_afi_safi(self.afi, self.safi) } else { None }
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(body);
        match (cursor.u16(), cursor.u8(), cursor.u8(), cursor.is_empty()) {
            (Some(afi), Some(subtype), Some(safi), true) => Ok(Self { afi, subtype, safi }),
            (_, _, _, _) => Err(DecodeError::with(
                ErrorCode::ROUTE_REFRESH_LENGTH,
                "ROUTE-REFRESH has a wrong length",
                body,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HEADER_LEN;

    #[test]
    fn a_request_survives_the_wire_and_a_marker_asks_for_nothing() {
        let mut out = Vec::new();
        RouteRefresh::of(Family::Ipv6).encode(&mut out);
        let back = RouteRefresh::decode(&out[HEADER_LEN..]).unwrap();
        assert_eq!(back.requested(), Some(Family::Ipv6));
        assert_eq!(RouteRefresh { subtype: 1, ..back }.requested(), None);
        assert_eq!(RouteRefresh { afi: 25, ..back }.requested(), None);
    }

    #[test]
    fn a_wrong_length_is_refused() {
        assert_eq!(RouteRefresh::decode(&[0; 5]).unwrap_err().code, ErrorCode::ROUTE_REFRESH_LENGTH);
    }
}
