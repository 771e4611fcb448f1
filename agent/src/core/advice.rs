//! What a backend's own agent asks for: a share of its weight, no new connections, or to be left alone.
//!
//! The share is of the weight that the backend would have otherwise, be it its source's or an operator's. It is rounded
//! up, so that only 0 % means none, which is the same as asking for no new connections.

use super::pool::Wish;
use crate::config::value::MAX_WEIGHT;
use health::{Advice, Mode};
use ipvs::Weight;
use std::fmt;

/// What follows from an agent's words for a backend of this weight: the weight that it is to have when pooled, and what
/// else the agent wishes. More than the whole weight is given only where `may_exceed`.
pub fn heed(weight: Weight, advice: Advice, may_exceed: bool) -> (Weight, Option<Wish>) {
    let wish = match (advice.mode, advice.percent) {
        (Some(Mode::Maintenance), _) => Some(Wish::Maintenance),
        (Some(Mode::Drain), _) | (_, Some(0)) => Some(Wish::Drain),
        (Some(Mode::Ready) | None, _) => None,
    };
    let percent = match advice.percent {
        // One that is pooled all the same, for the threshold's sake, has to have a weight.
        None | Some(0) => 100,
        Some(percent) if may_exceed => percent,
        Some(percent) => percent.min(100),
    };
    (share(weight, percent), wish)
}

fn share(weight: Weight, percent: u16) -> Weight {
    let share = (u64::from(weight.get()) * u64::from(percent)).div_ceil(100);
    let most = u64::from(weight.get().max(MAX_WEIGHT));
    u32::try_from(share.min(most)).ok().and_then(|weight| Weight::new(weight).ok()).unwrap_or(weight)
}

/// An agent's words as `lvsctl` shows them: `drain, 50%`; nothing when it asks for nothing.
pub fn in_words(advice: Advice) -> Option<String> {
    let mode = match advice.mode {
        Some(Mode::Drain) => Some("drain"),
        Some(Mode::Maintenance) => Some("maintenance"),
        Some(Mode::Ready) | None => None,
    };
    let percent = advice.percent.filter(|percent| *percent != 100).map(Percent);
    match (mode, percent) {
        (None, None) => None,
        (Some(mode), None) => Some(mode.to_owned()),
        (None, Some(percent)) => Some(percent.to_string()),
        (Some(mode), Some(percent)) => Some(format!("{mode}, {percent}")),
    }
}

struct Percent(u16);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn advice(percent: Option<u16>, mode: Option<Mode>) -> Advice {
        Advice { percent, mode }
    }

    fn heeded(weight: u32, percent: Option<u16>, mode: Option<Mode>) -> (u32, Option<Wish>) {
        let (weight, wish) = heed(Weight::new(weight).expect("a weight"), advice(percent, mode), true);
        (weight.get(), wish)
    }

    #[test]
    fn a_share_is_rounded_up_and_none_is_a_drain() {
        assert_eq!(heeded(10, Some(55), None), (6, None));
        assert_eq!(heeded(10, Some(1), None), (1, None));
        assert_eq!(heeded(10, Some(100), Some(Mode::Ready)), (10, None));
        assert_eq!(heeded(10, Some(0), None), (10, Some(Wish::Drain)));
        assert_eq!(heeded(10, None, Some(Mode::Drain)), (10, Some(Wish::Drain)));
        assert_eq!(heeded(10, Some(50), Some(Mode::Maintenance)), (5, Some(Wish::Maintenance)));
    }

    #[test]
    fn more_than_the_whole_is_given_only_where_there_is_room_for_it() {
        assert_eq!(heeded(10, Some(150), None), (15, None));
        assert_eq!(heeded(60_000, Some(u16::MAX), None), (65_535, None));
        let ten = Weight::new(10).expect("a weight");
        assert_eq!(heed(ten, advice(Some(150), None), false), (ten, None));
    }

    #[test]
    fn what_asks_for_nothing_is_not_said() {
        assert_eq!(in_words(advice(Some(100), Some(Mode::Ready))), None);
        assert_eq!(in_words(advice(Some(50), Some(Mode::Drain))).as_deref(), Some("drain, 50%"));
    }

    proptest! {
        #[test]
        fn a_backend_with_a_weight_keeps_one(weight in 0..70_000u32, percent in any::<Option<u16>>()) {
            let (heeded, _) = heeded(weight, percent, None);
            prop_assert_eq!(heeded == 0, weight == 0);
        }
    }
}
