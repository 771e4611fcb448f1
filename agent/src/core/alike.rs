//! Notices of one step that say the same of many: a start would have a line for each of thousands of services and VIPs.

use super::action::{Level, Notice};
use std::collections::{BTreeMap, HashMap};

/// Of so many services or VIPs each has a notice of its own, as after what an operator did to one server; of more one tells of all:
/// nobody reads as many.
const EACH: usize = 100;

/// Notices that say the same, by their places.
struct Many {
    first: usize,
    last: usize,
    count: usize,
    is_reason_same: bool,
}

/// Those that say the same at [`Level::Info`] of more than [`EACH`] services or VIPs as one, in the place of the first. What
/// somebody should look at is told of each.
pub(super) fn together(notices: Vec<Notice>) -> Vec<Notice> {
    if notices.len() <= EACH {
        return notices;
    }
    let mut found: HashMap<&str, Many> = HashMap::new();
    for (place, notice) in notices.iter().enumerate().filter(|(_, notice)| about(notice).is_some()) {
        let new = Many { first: place, last: place, count: 0, is_reason_same: true };
        let many = found.entry(&notice.what).or_insert(new);
        (many.last, many.count) = (place, many.count + 1);
        many.is_reason_same &= notice.reason == notices[many.first].reason;
    }
    let told = found.into_values().filter(|many| many.count > EACH);
    let mut told: BTreeMap<usize, Notice> = told.map(|many| (many.first, one(&notices, &many))).collect();
    let alike: Vec<String> = told.values().map(|notice| notice.what.clone()).collect();
    let stays =
        |(place, notice): (usize, Notice)| match about(&notice).is_some() && alike.contains(&notice.what) {
            true => told.remove(&place),
            false => Some(notice),
        };
    notices.into_iter().enumerate().filter_map(stays).collect()
}

/// The service or VIP that a notice is about, if it may be told with others.
fn about(notice: &Notice) -> Option<&str> {
    let about = notice.service.as_deref().or(notice.subject.as_deref());
    about.filter(|_| notice.level == Level::Info)
}

fn one(notices: &[Notice], many: &Many) -> Notice {
    let (first, last) = (&notices[many.first], &notices[many.last]);
    let name = |notice| about(notice).unwrap_or_default();
    let others = if many.is_reason_same { "" } else { "; and so on" };
    Notice {
        level: Level::Info,
        service: None,
        subject: Some(format!("{} from {} to {}", many.count, name(first), name(last))),
        what: first.what.clone(),
        reason: format!("{}{others}", first.reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(service: usize, level: Level) -> Notice {
        let (service, subject) = (Some(format!("s{service:05}")), Some("rs1".to_owned()));
        Notice { level, service, subject, what: "pooled".into(), reason: "it is up".into() }
    }

    fn able(vip: usize) -> Notice {
        let (subject, reason) = (Some(format!("192.0.2.{vip}")), format!("s{vip:05}: 1 of 1 can serve"));
        Notice { level: Level::Info, service: None, subject, what: "VIP can be announced".into(), reason }
    }

    #[test]
    fn what_is_the_same_of_thousands_is_one_line_and_what_needs_a_look_is_told_of_each() {
        let mut notices: Vec<Notice> = (0..2000).map(|service| pooled(service, Level::Info)).collect();
        notices.push(pooled(7, Level::Warn));
        notices.extend((0..101).map(able));
        let lines: Vec<String> = together(notices).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "2000 from s00000 to s01999: pooled: it is up",
                "s00007: rs1: pooled: it is up",
                "101 from 192.0.2.0 to 192.0.2.100: VIP can be announced: s00000: 1 of 1 can serve; and so on",
            ]
        );
    }

    #[test]
    fn each_of_a_hundred_has_its_own_line_whatever_else_is_told() {
        let mut notices: Vec<Notice> = (0..EACH).map(|service| pooled(service, Level::Info)).collect();
        notices.extend((0..EACH).map(|service| pooled(service, Level::Error)));
        notices.extend((0..EACH).map(able));
        assert_eq!(together(notices.clone()), notices);
    }
}
