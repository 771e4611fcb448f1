//! `AS_PATH` (RFC 4271 §4.3; RFC 6793 for four octets).

use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use crate::{Path, asn::AS_TRANS};

/// A path, checked, still in the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsPath<'a> {
    bytes: &'a [u8],
    four_octet: bool,
}

/// What a segment's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SegmentKind {
    /// Unordered: ASes of which one aggregated.
    Set,
    /// Ordered: the last AS to have forwarded the route comes first.
    Sequence,
}

/// A segment of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Ordered or not.
    pub kind: SegmentKind,
    numbers: &'a [u8],
    four_octet: bool,
}

impl<'a> AsPath<'a> {
    /// Checks the path for what RFC 7606 §7.2 calls malformed: an unknown kind of segment, one that is empty, or
    /// one whose length disagrees with the attribute's. The width of the numbers is the session's; it cannot be
    /// told from the octets. Segments of confederations (RFC 5065) count as unknown: there are none here. AS 0
    /// makes a path malformed, too (RFC 7607 §2).
    pub fn parse(bytes: &'a [u8], four_octet: bool) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            if next_segment(&mut cursor, four_octet)?.asns().any(|asn| asn == 0) {
                return None;
            }
        }
        Some(Self { bytes, four_octet })
    }

    /// The segments, the nearest first.
    pub fn segments(self) -> impl Iterator<Item = Segment<'a>> {
        let mut cursor = Cursor::new(self.bytes);
        std::iter::from_fn(move || next_segment(&mut cursor, self.four_octet))
    }

    /// No segment: the route comes from the neighbour's own AS, which is ours.
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }
}

fn next_segment<'a>(cursor: &mut Cursor<'a>, four_octet: bool) -> Option<Segment<'a>> {
    let kind = match cursor.u8()? {
        1 => SegmentKind::Set,
        2 => SegmentKind::Sequence,
        _ => return None,
    };
    let count = usize::from(cursor.u8().filter(|count| *count > 0)?);
    let numbers = cursor.take(count * if four_octet { 4 } else { 2 })?;
    Some(Segment { kind, numbers, four_octet })
}

impl<'a> Segment<'a> {
    /// The AS numbers, as they stand: also reserved ones.
    pub fn asns(self) -> impl Iterator<Item = u32> + 'a {
        let mut cursor = Cursor::new(self.numbers);
        std::iter::from_fn(move || if self.four_octet { cursor.u32() } else { cursor.u16().map(u32::from) })
    }
}

/// The most numbers that a segment holds.
const MOST_NUMBERS: usize = u8::MAX as usize;

/// How many octets [`push`] appends.
pub(super) fn encoded_len(path: &Path, four_octet: bool) -> usize {
    let width = if four_octet { 4 } else { 2 };
    let segment = |count: usize| 2 * count.div_ceil(MOST_NUMBERS) + count * width;
    path.segments().iter().map(|one| segment(one.asns.len())).sum()
}

/// Appends a path, in segments of at most 255 numbers.
pub(super) fn push(out: &mut Vec<u8>, path: &Path, four_octet: bool) {
    for segment in path.segments() {
        let kind = match segment.kind {
            SegmentKind::Set => 1,
            SegmentKind::Sequence => 2,
        };
        for asns in segment.asns.chunks(MOST_NUMBERS) {
            out.extend_from_slice(&[kind, u8::try_from(asns.len()).unwrap_or(u8::MAX)]);
            asns.iter().for_each(|asn| push_number(out, *asn, four_octet));
        }
    }
}

fn push_number(out: &mut Vec<u8>, asn: u32, four_octet: bool) {
    if four_octet {
        out.extend_from_slice(&asn.to_be_bytes());
    } else {
        out.extend_from_slice(&u16::try_from(asn).unwrap_or(AS_TRANS).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(path: AsPath<'_>) -> Vec<u32> {
        path.segments().flat_map(|segment| segment.asns()).collect()
    }

    #[test]
    fn a_path_survives_the_wire_in_either_width() {
        let path: Vec<u32> = (64_512..64_512 + 300).collect();
        for four_octet in [false, true] {
            let mut bytes = Vec::new();
            let sent = Path::sequence(path.clone());
            push(&mut bytes, &sent, four_octet);
            let back = AsPath::parse(&bytes, four_octet).unwrap();
            assert_eq!(sequence(back), path);
            assert_eq!(back.segments().count(), 2);
            assert_eq!(bytes.len(), encoded_len(&sent, four_octet));
        }
    }

    #[test]
    fn a_path_with_sets_survives_the_wire() {
        let bytes = [2, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 0, 0, 0, 3, 0, 0, 0, 4, 2, 1, 0, 0, 0, 5];
        let path = Path::from(AsPath::parse(&bytes, true).unwrap());
        let mut out = Vec::new();
        push(&mut out, &path, true);
        assert_eq!((out.as_slice(), encoded_len(&path, true)), (&bytes[..], bytes.len()));
    }

    #[test]
    fn a_number_that_does_not_fit_two_octets_becomes_as_trans() {
        let mut bytes = Vec::new();
        push(&mut bytes, &Path::sequence(vec![4_200_000_001, 64_600]), false);
        assert_eq!(sequence(AsPath::parse(&bytes, false).unwrap()), [23_456, 64_600]);
    }

    #[test]
    fn a_path_in_the_other_width_is_malformed() {
        let mut bytes = Vec::new();
        push(&mut bytes, &Path::sequence(vec![64_600]), false);
        assert_eq!(AsPath::parse(&bytes, true), None);
    }

    #[test]
    fn unknown_empty_and_cut_segments_are_malformed() {
        for bytes in [&[3, 1, 0, 0, 0, 1][..], &[2, 0], &[2], &[2, 2, 0, 0, 0, 1], &[2, 1, 0, 0, 0, 1, 2]] {
            assert_eq!(AsPath::parse(bytes, true), None, "{bytes:?}");
        }
        assert!(AsPath::parse(&[], true).unwrap().is_empty());
    }
}
