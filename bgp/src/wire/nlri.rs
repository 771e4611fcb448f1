//! Prefixes on the wire (RFC 4271 §4.3).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use crate::{Family, Prefix};

/// Tells several paths to one prefix apart (RFC 7911 §3); 0 where the session has none. It means something to the
/// neighbour that chose it and to nobody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PathId(pub u32);

/// A run of prefixes, checked, still in the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nlri<'a> {
    family: Family,
    /// A path identifier stands before each prefix.
    add_path: bool,
    bytes: &'a [u8],
}

impl<'a> Nlri<'a> {
    /// Checks every prefix's length; `None` when one is too long for the family or cut short.
    /// `add_path`: the session carries path identifiers in this direction.
    pub(super) fn parse(family: Family, add_path: bool, bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            if add_path {
                cursor.u32()?;
            }
            let bits = cursor.u8().filter(|bits| *bits <= family.bits())?;
            cursor.take(octets(bits))?;
        }
        Some(Self { family, add_path, bytes })
    }

    /// The family of all of them.
    pub const fn family(self) -> Family {
        self.family
    }

    /// No prefix at all.
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// The prefixes, path identifiers left out. Bits past a prefix's length are irrelevant (RFC 4271 §4.3) and come
    /// out as zero.
    pub fn iter(self) -> impl Iterator<Item = Prefix> + 'a {
        self.paths().map(|(prefix, _)| prefix)
    }

    /// The prefixes with their path identifiers.
    pub fn paths(self) -> impl Iterator<Item = (Prefix, PathId)> + 'a {
        let mut cursor = Cursor::new(self.bytes);
        std::iter::from_fn(move || {
            let id = if self.add_path { PathId(cursor.u32()?) } else { PathId::default() };
            let bits = cursor.u8()?;
            let bytes = cursor.take(octets(bits))?;
            let address = match self.family {
                Family::Ipv4 => IpAddr::from(padded::<4>(bytes)?),
                Family::Ipv6 => IpAddr::from(padded::<16>(bytes)?),
            };
            Some((Prefix::truncating(address, bits), id))
        })
    }
}

/// Octets that hold this many bits.
fn octets(bits: u8) -> usize {
    usize::from(bits).div_ceil(8)
}

fn padded<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let mut address = [0; N];
    address.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(address)
}

/// How many octets [`push`] appends.
pub(super) fn encoded_len(prefix: Prefix) -> usize {
    1 + octets(prefix.len())
}

/// Appends a prefix.
pub(super) fn push(out: &mut Vec<u8>, prefix: Prefix) {
    out.push(prefix.len());
    let count = octets(prefix.len());
    match prefix.address() {
        IpAddr::V4(address) => out.extend_from_slice(&address.octets()[..count]),
        IpAddr::V6(address) => out.extend_from_slice(&address.octets()[..count]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_survive_the_wire_at_every_length() {
        for (address, family) in [("255.255.255.255", Family::Ipv4), ("ffff:ffff::ffff", Family::Ipv6)] {
            let sent: Vec<_> = (0..=family.bits())
                .map(|length| Prefix::truncating(address.parse().unwrap(), length))
                .collect();
            let mut bytes = Vec::new();
            sent.iter().for_each(|prefix| push(&mut bytes, *prefix));
            assert_eq!(bytes.len(), sent.iter().map(|prefix| encoded_len(*prefix)).sum::<usize>());
            assert_eq!(Nlri::parse(family, false, &bytes).unwrap().iter().collect::<Vec<_>>(), sent);
        }
    }

    #[test]
    fn a_prefix_that_is_too_long_or_cut_short_is_refused() {
        assert_eq!(Nlri::parse(Family::Ipv4, false, &[33, 1, 2, 3, 4, 5]), None);
        assert_eq!(Nlri::parse(Family::Ipv4, false, &[24, 10, 0]), None);
        assert_eq!(Nlri::parse(Family::Ipv6, false, &[129]), None);
        assert!(Nlri::parse(Family::Ipv6, false, &[]).unwrap().is_empty());
    }

    #[test]
    fn bits_past_the_length_are_read_as_zero() {
        let nlri = Nlri::parse(Family::Ipv4, false, &[9, 10, 0xff]).unwrap();
        assert_eq!(nlri.iter().map(|prefix| prefix.to_string()).collect::<Vec<_>>(), ["10.128.0.0/9"]);
    }

    #[test]
    fn path_identifiers_come_before_prefixes_when_the_session_has_them() {
        let bytes = [0, 0, 0, 7, 8, 10, 0xff, 0xff, 0xff, 0xff, 0];
        let nlri = Nlri::parse(Family::Ipv4, true, &bytes).unwrap();
        let paths: Vec<_> = nlri.paths().map(|(prefix, id)| (id.0, prefix.to_string())).collect();
        assert_eq!(paths, [(7, "10.0.0.0/8".into()), (u32::MAX, "0.0.0.0/0".into())]);
        assert_eq!(Nlri::parse(Family::Ipv4, true, &bytes[..4]), None);
        assert_eq!(Nlri::parse(Family::Ipv4, true, &[8, 10]), None);
    }
}
