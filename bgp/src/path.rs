//! The path that a route has come: what `AS_PATH` says, without the octets.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    asn::AS_TRANS,
    wire::{AsPath, Attributes, SegmentKind},
};

/// A path, the nearest AS first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Path(Vec<PathSegment>);

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PathSegment {
    /// Ordered or not.
    pub kind: SegmentKind,
    /// The AS numbers.
    pub asns: Vec<u32>,
}

impl Path {
    /// The path that an UPDATE's attributes give its routes: `AS_PATH`, completed by `AS4_PATH` when it went through
    /// speakers with two-octet numbers (RFC 6793 §4.2.3). `None` without `AS_PATH`.
    pub fn of(attributes: &Attributes<'_>) -> Option<Self> {
        let path = Self::from(attributes.as_path?);
        // Somebody without four-octet numbers has aggregated: what AS4_PATH says is of another route.
        let aggregated = attributes.aggregator.is_some_and(|by| by.asn != u32::from(AS_TRANS))
            && attributes.as4_aggregator.is_some();
        match attributes.as4_path.map(Self::from) {
            Some(wide) if !aggregated && wide.hops() <= path.hops() => Some(path.completed_by(wide)),
            Some(_) | None => Some(path),
        }
    }

    /// One sequence of numbers, the nearest first; the empty path without any.
    pub fn sequence(asns: Vec<u32>) -> Self {
        match asns.is_empty() {
            true => Self::default(),
            false => Self(vec![PathSegment { kind: SegmentKind::Sequence, asns }]),
        }
    }

    /// Whether it has a number that two octets do not hold.
    pub fn is_wide(&self) -> bool {
        self.asns().any(|asn| u16::try_from(asn).is_err())
    }

    /// Every number in it, the nearest first.
    pub fn asns(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|segment| segment.asns.iter().copied())
    }

    /// Its leading hops, as many as `wide` is shorter, before `wide`.
    fn completed_by(mut self, wide: Self) -> Self {
        let mut missing = self.hops() - wide.hops();
        self.0.retain_mut(|segment| {
            let keep = missing.min(segment.hops());
            missing -= keep;
            match segment.kind {
                SegmentKind::Sequence => segment.asns.truncate(keep),
                SegmentKind::Set => {}
            }
            keep > 0
        });
        self.0.extend(wide.0);
        self
    }

    /// The segments, the nearest first.
    pub fn segments(&self) -> &[PathSegment] {
        &self.0
    }

    /// Its length as routes are compared by it: a set counts as one (RFC 4271 §9.1.2.2).
    pub fn hops(&self) -> usize {
        self.0.iter().map(PathSegment::hops).sum()
    }

    /// The AS that told us: the first number, unless the path is empty or starts with a set.
    pub fn neighbour(&self) -> Option<u32> {
        self.0.first().filter(|segment| segment.kind == SegmentKind::Sequence)?.asns.first().copied()
    }

    /// The AS that the route comes from: the last number, unless the path is empty or ends with a set.
    pub fn origin(&self) -> Option<u32> {
        self.0.last().filter(|segment| segment.kind == SegmentKind::Sequence)?.asns.last().copied()
    }

    /// Whether the AS is anywhere in it.
    pub fn contains(&self, asn: u32) -> bool {
        self.asns().any(|other| other == asn)
    }
}

impl PathSegment {
    fn hops(&self) -> usize {
        match self.kind {
            SegmentKind::Sequence => self.asns.len(),
            SegmentKind::Set => 1,
        }
    }
}

impl From<AsPath<'_>> for Path {
    fn from(path: AsPath<'_>) -> Self {
        let owned = |segment: crate::wire::Segment<'_>| PathSegment {
            kind: segment.kind,
            asns: segment.asns().collect(),
        };
        Self(path.segments().map(owned).collect())
    }
}

/// As routers write it: `64500 64501 {64502,64503}`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            let words: Vec<_> = segment.asns.iter().map(ToString::to_string).collect();
            let gap = if index == 0 { "" } else { " " };
            match segment.kind {
                SegmentKind::Sequence => write!(f, "{gap}{}", words.join(" "))?,
                SegmentKind::Set => write!(f, "{gap}{{{}}}", words.join(","))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Aggregator;

    fn narrow(segments: &[(u8, &[u16])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, asns) in segments {
            bytes.extend_from_slice(&[*kind, u8::try_from(asns.len()).unwrap()]);
            asns.iter().for_each(|asn| bytes.extend_from_slice(&asn.to_be_bytes()));
        }
        bytes
    }

    fn wide(segments: &[(u8, &[u32])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, asns) in segments {
            bytes.extend_from_slice(&[*kind, u8::try_from(asns.len()).unwrap()]);
            asns.iter().for_each(|asn| bytes.extend_from_slice(&asn.to_be_bytes()));
        }
        bytes
    }

    fn merged(as_path: &[(u8, &[u16])], as4_path: &[(u8, &[u32])]) -> String {
        let (short, long) = (narrow(as_path), wide(as4_path));
        let mut attributes = Attributes::default();
        (attributes.as_path, attributes.as4_path) =
            (AsPath::parse(&short, false), AsPath::parse(&long, true));
        Path::of(&attributes).unwrap().to_string()
    }

    #[test]
    fn what_two_octet_speakers_added_stands_before_the_wide_path() {
        let as_path: &[(u8, &[u16])] = &[(2, &[64_500, 64_501, 23_456, 23_456])];
        assert_eq!(merged(as_path, &[(2, &[70_000, 80_000])]), "64500 64501 70000 80000");
        assert_eq!(merged(as_path, &[(2, &[64_501, 70_000, 80_000])]), "64500 64501 70000 80000");
        assert_eq!(
            merged(&[(2, &[64_500, 23_456]), (1, &[23_456, 9])], &[(1, &[70_000, 9])]),
            "64500 23456 {70000,9}"
        );
        assert_eq!(merged(&[(1, &[1, 2]), (2, &[23_456])], &[(2, &[70_000])]), "{1,2} 70000");
    }

    #[test]
    fn a_wide_path_that_is_longer_or_of_another_aggregate_is_ignored() {
        assert_eq!(merged(&[(2, &[23_456])], &[(2, &[70_000, 80_000])]), "23456");
        let (short, long) = (narrow(&[(2, &[23_456])]), wide(&[(2, &[70_000])]));
        let by = |asn| Some(Aggregator { asn, router_id: std::net::Ipv4Addr::new(192, 0, 2, 1) });
        let mut attributes = Attributes::default();
        (attributes.as_path, attributes.as4_path) =
            (AsPath::parse(&short, false), AsPath::parse(&long, true));
        (attributes.aggregator, attributes.as4_aggregator) = (by(64_500), by(70_000));
        assert_eq!(Path::of(&attributes).unwrap().to_string(), "23456");
        attributes.aggregator = by(23_456);
        assert_eq!(Path::of(&attributes).unwrap().to_string(), "70000");
    }

    #[test]
    fn a_set_counts_as_one_hop_and_has_no_first_or_last() {
        let bytes = wide(&[(2, &[1, 2]), (1, &[3, 4, 5])]);
        let path = Path::from(AsPath::parse(&bytes, true).unwrap());
        assert_eq!((path.hops(), path.neighbour(), path.origin()), (3, Some(1), None));
        assert!(path.contains(5) && !path.contains(6));
        assert_eq!(path.to_string(), "1 2 {3,4,5}");
        assert_eq!(Path::default().neighbour(), None);
    }
}
