//! Names near to a mistyped one, for keys of the configuration and host names.

/// Longest name that is compared, in characters: a host name has at most 253. It bounds the cost.
const MAX_LENGTH: usize = 256;

/// How many names are offered at most: more is a list to read, not a hint.
const MAX_OFFERED: usize = 3;

/// The candidates that `name` was probably meant to be, the nearest first, at most three.
///
/// Near is what differs in no more than one letter of three (added, missing, another or swapped with its
/// neighbour; upper and lower case are the same), and a host's full name when `name` is its first label. What is
/// more than one letter farther than the nearest is left out.
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted: Vec<char> = name.chars().take(MAX_LENGTH + 1).flat_map(char::to_lowercase).collect();
    if wanted.is_empty() || wanted.len() > MAX_LENGTH {
        return Vec::new();
    }
    let mut near: Vec<(usize, &str)> =
        candidates.into_iter().filter_map(|c| score(&wanted, c).map(|score| (score, c))).collect();
    near.sort_unstable();
    near.dedup();
    let farthest = near.first().map_or(0, |(nearest, _)| nearest + 1);
    let offered = near.into_iter().take(MAX_OFFERED).take_while(|(score, _)| *score <= farthest);
    offered.map(|(_, candidate)| candidate).collect()
}

/// How far a candidate is from what is wanted; `None` when it is too far.
fn score(wanted: &[char], candidate: &str) -> Option<usize> {
    let candidate: Vec<char> = candidate.chars().take(MAX_LENGTH + 1).flat_map(char::to_lowercase).collect();
    if candidate.len() > MAX_LENGTH {
        return None;
    }
    if candidate.strip_prefix(wanted).is_some_and(|rest| rest.first() == Some(&'.')) {
        return Some(0);
    }
    let most = wanted.len().max(candidate.len()).div_ceil(3);
    if wanted.len().abs_diff(candidate.len()) > most {
        return None;
    }
    Some(distance(wanted, &candidate)).filter(|&distance| distance <= most && distance < wanted.len())
}

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut current = Vec::with_capacity(b.len() + 1);
        current.push(i + 1);
        for j in 0..b.len() {
            let substituted = previous[j] + usize::from(a[i] != b[j]);
            let mut least = substituted.min(previous[j + 1] + 1).min(current[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, suggest};
    use proptest::prelude::*;

    fn letters(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn a_slip_of_the_finger_finds_the_key() {
        let keys = ["port", "protocol", "vips", "scheduler", "scheduler_flags"];
        assert_eq!(suggest("prot", keys), ["port"]);
        assert_eq!(suggest("PORT", keys), ["port"]);
        assert_eq!(suggest("schedular", keys), ["scheduler"]);
        assert_eq!(suggest("scheduler-flags", keys), ["scheduler_flags"]);
        assert_eq!(suggest("vip", keys), ["vips"]);
    }

    #[test]
    fn nothing_is_offered_for_what_resembles_nothing() {
        assert!(suggest("colour", ["port", "vips"]).is_empty());
        assert!(suggest("x", ["y"]).is_empty());
        assert!(suggest("", ["port"]).is_empty());
        assert!(suggest(&"a".repeat(10_000), ["port"]).is_empty());
    }

    #[test]
    fn the_first_label_finds_the_full_name() {
        assert_eq!(suggest("cp1075", ["cp1075.example.org", "cp1076.example.org"])[0], "cp1075.example.org");
    }

    #[test]
    fn at_most_three_are_offered_and_the_nearest_first() {
        let hosts = ["rs12", "rs13", "rs14", "rs15", "rs1"];
        assert_eq!(suggest("rs1", hosts)[0], "rs1");
        assert_eq!(suggest("rs1", hosts).len(), 3);
    }

    #[test]
    fn what_is_far_is_not_offered_beside_what_is_near() {
        assert_eq!(suggest("resync_intervall", ["resolve_interval", "resync_interval"]), ["resync_interval"]);
    }

    #[test]
    fn a_swap_counts_once() {
        assert_eq!(distance(&letters("wieght"), &letters("weight")), 1);
        assert_eq!(distance(&letters("kitten"), &letters("sitting")), 3);
        assert_eq!(distance(&letters(""), &letters("abc")), 3);
    }

    proptest! {
        #[test]
        fn the_distance_is_symmetric_and_zero_only_for_equals(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
            let (x, y) = (letters(&a), letters(&b));
            prop_assert_eq!(distance(&x, &y), distance(&y, &x));
            prop_assert_eq!(distance(&x, &y) == 0, a == b);
        }
    }
}
