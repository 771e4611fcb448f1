//! OPEN (RFC 4271 §4.2), with extended optional parameters (RFC 9072).

use std::{collections::BTreeSet, net::Ipv4Addr};

use super::{
    AddPathFamily, Capability, DecodeError, EncodeError, ErrorCode, GracefulRestart, LongLivedFamily,
    MAX_MESSAGE, MessageType, NextHopFamily, VERSION, cursor::Cursor, push_message,
};
use crate::Family;

/// The optional parameter that carries capabilities (RFC 5492 §4).
const CAPABILITIES: u8 = 2;

/// In the place of a parameter's type: lengths have two octets (RFC 9072 §2).
const EXTENDED: u8 = 255;

/// What a speaker says of itself when a session starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// `My Autonomous System`: the AS, or `AS_TRANS`.
    pub my_as: u16,
    /// The proposed hold time in seconds. Judged by the state machine, since 1 and 2 have an error of their own.
    pub hold_time: u16,
    /// The BGP identifier.
    pub router_id: Ipv4Addr,
    /// The capabilities, in the order sent.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// The speaker's AS: from the four-octet capability if there is one.
    pub fn asn(&self) -> u32 {
        self.four_octet_asn().unwrap_or(self.my_as.into())
    }

    /// The AS in the four-octet capability.
    pub fn four_octet_asn(&self) -> Option<u32> {
        self.capabilities.iter().find_map(|capability| {
            if let Capability::FourOctetAsn(asn) = capability { Some(*asn) } else { None }
        })
    }

    /// The graceful restart capability; the last one when there are several (RFC 4724 §3).
    pub fn graceful_restart(&self) -> Option<&GracefulRestart> {
        self.capabilities.iter().rev().find_map(|capability| {
            if let Capability::GracefulRestart(restart) = capability { Some(restart) } else { None }
        })
    }

    /// The long-lived graceful restart capability; the last one when there are several.
    pub fn long_lived(&self) -> Option<&[LongLivedFamily]> {
        self.capabilities.iter().rev().find_map(|capability| {
            if let Capability::LongLived(families) = capability { Some(families.as_slice()) } else { None }
        })
    }

    /// The numbers of the roles that the speaker says it has; one, or it contradicts itself (RFC 9234 §4.2).
    pub fn roles(&self) -> BTreeSet<u8> {
        let role = |capability: &Capability| {
            if let Capability::Role(role) = capability { Some(*role) } else { None }
        };
        self.capabilities.iter().filter_map(role).collect()
    }

    /// The speaker takes IPv4 routes with IPv6 next hops (RFC 8950 §4).
    pub fn takes_ipv4_by_ipv6(&self) -> bool {
        self.capabilities.iter().any(|capability| {
            if let Capability::ExtendedNextHop(families) = capability {
                return families.contains(&NextHopFamily::IPV4_BY_IPV6);
            }
            false
        })
    }

    /// What the speaker says of path identifiers for a family; the last entry when there are several (RFC 7911 §4).
    pub fn add_path(&self, family: Family) -> Option<AddPathFamily> {
        let families = self.capabilities.iter().rev().filter_map(|capability| {
            if let Capability::AddPath(families) = capability { Some(families) } else { None }
        });
        let entries = families.flat_map(|families| families.iter().rev());
        entries.copied().find(|entry| (entry.afi, entry.safi) == (family.afi(), family.safi()))
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let short = || DecodeError::new(ErrorCode::OPEN_UNSPECIFIC, "OPEN is cut short");
        let mut cursor = Cursor::new(body);
        let version = cursor.u8().ok_or_else(short)?;
        if version != VERSION {
            return Err(DecodeError::with(
                ErrorCode::UNSUPPORTED_VERSION,
                "OPEN is of another version than 4",
                u16::from(VERSION).to_be_bytes(),
            ));
        }
        let my_as = cursor.u16().ok_or_else(short)?;
        let hold_time = cursor.u16().ok_or_else(short)?;
        let router_id = Ipv4Addr::from(cursor.array::<4>().ok_or_else(short)?);
        let (parameters, extended) = parameters(cursor).ok_or_else(|| {
            DecodeError::new(
                ErrorCode::OPEN_UNSPECIFIC,
                "OPEN's length disagrees with its optional parameters'",
            )
        })?;
        let capabilities = capabilities(parameters, extended)?;
        Ok(Self { my_as, hold_time, router_id, capabilities })
    }

    /// Appends the message, with extended optional parameters when the capabilities need them.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut capabilities = Vec::new();
        if !self.capabilities.iter().all(|capability| capability.encode(&mut capabilities)) {
            return Err(EncodeError::Open);
        }
        let mut body = vec![VERSION];
        body.extend_from_slice(&self.my_as.to_be_bytes());
        body.extend_from_slice(&self.hold_time.to_be_bytes());
        body.extend_from_slice(&self.router_id.octets());
        match (u8::try_from(capabilities.len()), u8::try_from(capabilities.len() + 2)) {
            (Ok(0), _) => body.push(0),
            (Ok(length), Ok(total)) => body.extend_from_slice(&[total, CAPABILITIES, length]),
            (_, _) => {
                let length = u16::try_from(capabilities.len()).map_err(|_| EncodeError::Open)?;
                let total = length.checked_add(3).ok_or(EncodeError::Open)?.to_be_bytes();
                let length = length.to_be_bytes();
                body.extend_from_slice(&[EXTENDED, EXTENDED, total[0], total[1]]);
                body.extend_from_slice(&[CAPABILITIES, length[0], length[1]]);
            }
        }
        body.extend_from_slice(&capabilities);
        debug_assert!(MAX_MESSAGE > body.len() || capabilities.len() > 255, "a short OPEN fits");
        if push_message(out, MessageType::Open, &body) { Ok(()) } else { Err(EncodeError::Open) }
    }
}

/// The optional parameters and whether their lengths have two octets; `None` when the lengths are wrong.
fn parameters(mut cursor: Cursor<'_>) -> Option<(&[u8], bool)> {
    let length = cursor.u8()?;
    let mut ahead = cursor;
    // RFC 9072 §2: the extended format is told by the type; a receiver takes any non-zero length before it.
    if length != 0 && ahead.u8() == Some(EXTENDED) {
        let parameters = ahead.block16()?;
        return ahead.is_empty().then_some((parameters, true));
    }
    let parameters = cursor.take(length.into())?;
    cursor.is_empty().then_some((parameters, false))
}

fn capabilities(parameters: &[u8], extended: bool) -> Result<Vec<Capability>, DecodeError> {
    let mut capabilities = Vec::new();
    let mut cursor = Cursor::new(parameters);
    while !cursor.is_empty() {
        let kind = cursor.u8();
        let value = if extended { cursor.block16() } else { cursor.block8() };
        match (kind, value) {
            (Some(CAPABILITIES), Some(value)) => Capability::decode_all(value, &mut capabilities)?,
            (Some(_), Some(_)) => {
                return Err(DecodeError::new(
                    ErrorCode::UNSUPPORTED_PARAMETER,
                    "OPEN has an optional parameter that is not capabilities",
                ));
            }
            (_, _) => {
                return Err(DecodeError::new(
                    ErrorCode::OPEN_UNSPECIFIC,
                    "an optional parameter is cut short",
                ));
            }
        }
    }
    Ok(capabilities)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{HEADER_LEN, MAX_STALE_TIME, PreservedFamily};

    fn open(capabilities: Vec<Capability>) -> Open {
        Open { my_as: 23456, hold_time: 90, router_id: Ipv4Addr::new(192, 0, 2, 1), capabilities }
    }

    fn round_trip(open: &Open) -> Open {
        let mut out = Vec::new();
        open.encode(&mut out).unwrap();
        Open::decode(&out[HEADER_LEN..]).unwrap()
    }

    #[test]
    fn every_capability_survives_the_wire() {
        let families = vec![
            PreservedFamily { afi: 1, safi: 1, forwarding: true },
            PreservedFamily { afi: 2, safi: 1, forwarding: false },
        ];
        let sent = open(vec![
            Capability::family(Family::Ipv4),
            Capability::family(Family::Ipv6),
            Capability::RouteRefresh,
            Capability::ExtendedNextHop(vec![
                NextHopFamily::IPV4_BY_IPV6,
                NextHopFamily { afi: 1, safi: 128, next_hop_afi: 2 },
            ]),
            Capability::ExtendedMessage,
            Capability::Role(3),
            Capability::GracefulRestart(GracefulRestart {
                restarting: true,
                notification: true,
                restart_time: 4095,
                families,
            }),
            Capability::FourOctetAsn(4_200_000_001),
            Capability::AddPath(vec![
                AddPathFamily { afi: 1, safi: 1, receive: true, send: false },
                AddPathFamily { afi: 2, safi: 1, receive: true, send: true },
            ]),
            Capability::EnhancedRefresh,
            Capability::LongLived(vec![
                LongLivedFamily { afi: 1, safi: 1, forwarding: true, stale_time: 3600 },
                LongLivedFamily { afi: 2, safi: 1, forwarding: false, stale_time: MAX_STALE_TIME },
            ]),
            Capability::Unknown { code: 73, value: b"lb1".to_vec() },
        ]);
        assert_eq!(round_trip(&sent), sent);
        assert_eq!(sent.asn(), 4_200_000_001);
        assert_eq!(round_trip(&open(Vec::new())).asn(), 23_456);
    }

    #[test]
    fn a_family_with_an_unknown_direction_of_path_identifiers_is_left_out() {
        let body = [4, 0xfc, 0x58, 0, 90, 192, 0, 2, 1, 12, 2, 10, 69, 8, 0, 1, 1, 4, 0, 2, 1, 3];
        let open = Open::decode(&body).unwrap();
        assert_eq!(open.add_path(Family::Ipv4), None);
        let six = AddPathFamily { afi: 2, safi: 1, receive: true, send: true };
        assert_eq!(open.add_path(Family::Ipv6), Some(six));
    }

    #[test]
    fn a_stale_time_has_three_octets_and_one_that_is_cut_short_resets() {
        let body = |families: &[u8]| {
            let octets =
                [u8::try_from(families.len() + 4).unwrap(), 2, u8::try_from(families.len() + 2).unwrap()];
            let head = [4, 0xfc, 0x58, 0, 90, 192, 0, 2, 1];
            [&head[..], &octets, &[71, u8::try_from(families.len()).unwrap()], families].concat()
        };
        let open = Open::decode(&body(&[0, 1, 1, 0x80, 1, 0, 2, 0, 25, 70, 0, 0, 0, 0])).unwrap();
        let kept = LongLivedFamily { afi: 1, safi: 1, forwarding: true, stale_time: 65_538 };
        let other = LongLivedFamily { afi: 25, safi: 70, forwarding: false, stale_time: 0 };
        assert_eq!(open.long_lived(), Some(&[kept, other][..]));
        assert_eq!(
            open.capabilities[0].to_string(),
            "long-lived graceful restart (ipv4 unicast for 65538 s forwarding, family 25/70 for 0 s)"
        );
        assert_eq!(Open::decode(&body(&[])).unwrap().long_lived(), Some(&[][..]));
        assert!(Open::decode(&body(&[0, 1, 1, 0x80, 1, 0])).is_err());
    }

    #[test]
    fn an_extended_next_hop_has_a_family_of_two_octets_each_way() {
        let body = [4, 0xfc, 0x58, 0, 90, 192, 0, 2, 1, 10, 2, 8, 5, 6, 0, 1, 0, 1, 0, 2];
        let open = Open::decode(&body).unwrap();
        assert!(open.takes_ipv4_by_ipv6());
        assert_eq!(open.capabilities[0].to_string(), "extended next hop (ipv4 unicast by ipv6)");
        let labelled = [4, 0xfc, 0x58, 0, 90, 192, 0, 2, 1, 10, 2, 8, 5, 6, 0, 1, 0, 4, 0, 2];
        assert!(!Open::decode(&labelled).unwrap().takes_ipv4_by_ipv6());
        assert!(Open::decode(&[4, 0xfc, 0x58, 0, 90, 192, 0, 2, 1, 9, 2, 7, 5, 5, 0, 1, 0, 1, 0]).is_err());
    }

    #[test]
    fn capabilities_past_255_octets_travel_as_extended_parameters() {
        for size in [250, 251, 252, 253, 254, 255] {
            let sent = open(vec![Capability::Unknown { code: 200, value: vec![7; size] }]);
            assert_eq!(round_trip(&sent), sent);
        }
        let many = open(vec![Capability::Unknown { code: 200, value: vec![7; 200] }; 15]);
        assert_eq!(round_trip(&many), many);
        let too_many = open(vec![Capability::Unknown { code: 200, value: vec![7; 255] }; 300]);
        assert_eq!(too_many.encode(&mut Vec::new()), Err(EncodeError::Open));
    }

    #[test]
    fn extended_parameters_are_read_whatever_their_short_length_says() {
        let body = [4, 0xfc, 0x58, 0, 90, 192, 0, 2, 1, 1, 255, 0, 5, 2, 0, 2, 2, 0];
        assert_eq!(Open::decode(&body).unwrap().capabilities, [Capability::RouteRefresh]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_code() {
        let refused = |parameters: &[u8]| {
            let body = [&[4, 0xfc, 0x58, 0, 90, 192, 0, 2, 1], parameters].concat();
            Open::decode(&body).unwrap_err().code
        };
        assert_eq!(refused(&[1]), ErrorCode::OPEN_UNSPECIFIC);
        assert_eq!(refused(&[0, 0]), ErrorCode::OPEN_UNSPECIFIC);
        assert_eq!(refused(&[2, 1, 0]), ErrorCode::UNSUPPORTED_PARAMETER);
        assert_eq!(refused(&[4, 2, 2, 65, 4]), ErrorCode::OPEN_UNSPECIFIC);
        assert_eq!(refused(&[4, 2, 2, 65, 0]), ErrorCode::OPEN_UNSPECIFIC);
        assert_eq!(refused(&[255, 255, 0, 9, 2]), ErrorCode::OPEN_UNSPECIFIC);
        let version = Open::decode(&[3, 0, 1, 0, 90, 1, 1, 1, 1, 0]).unwrap_err();
        assert_eq!((version.code, version.data), (ErrorCode::UNSUPPORTED_VERSION, vec![0, 4]));
    }
}
