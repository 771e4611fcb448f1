//! Sets of autonomous system numbers.

use std::{fmt, ops::RangeInclusive};

use serde::{Deserialize, Serialize};

use crate::Asn;

/// Single AS numbers and ranges of them. Prints `64600, 64610-64620`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsnSet(Vec<(Asn, Asn)>);

impl AsnSet {
    /// No number at all.
    pub const NONE: Self = Self(Vec::new());

    /// Whether the number is one of them.
    pub fn contains(&self, number: u32) -> bool {
        self.0.iter().any(|(first, last)| (first.get()..=last.get()).contains(&number))
    }

    /// The first number of the first range.
    pub fn first(&self) -> Option<Asn> {
        self.0.iter().find(|(first, last)| first <= last).map(|(first, _)| *first)
    }

    /// Whether there is no number in it.
    pub fn is_empty(&self) -> bool {
        self.first().is_none()
    }
}

impl From<Asn> for AsnSet {
    fn from(asn: Asn) -> Self {
        Self(vec![(asn, asn)])
    }
}

impl FromIterator<RangeInclusive<Asn>> for AsnSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<Asn>>>(ranges: I) -> Self {
        Self(ranges.into_iter().map(RangeInclusive::into_inner).collect())
    }
}

impl fmt::Display for AsnSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            if first == last {
                write!(f, "{separator}{first}")?;
            } else {
                write!(f, "{separator}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asn(number: u32) -> Asn {
        Asn::new(number).unwrap()
    }

    #[test]
    fn a_set_has_its_single_numbers_and_both_ends_of_its_ranges() {
        let set: AsnSet = [asn(64_600)..=asn(64_600), asn(64_610)..=asn(64_620)].into_iter().collect();
        let found: Vec<_> = (64_590..64_630).filter(|number| set.contains(*number)).collect();
        assert_eq!(found, [vec![64_600], (64_610..=64_620).collect()].concat());
        assert_eq!((set.first(), set.to_string()), (Some(asn(64_600)), "64600, 64610-64620".to_owned()));
        assert!(AsnSet::NONE.is_empty() && !AsnSet::from(asn(1)).is_empty());
    }
}
