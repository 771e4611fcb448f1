use super::*;
use health::{Kind, Timing};
use proptest::prelude::*;
use std::num::NonZeroU16;

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn check(number: u16) -> Arc<Check> {
    let target = format!("10.0.0.1:{}", 1000 + number).parse().expect("an address");
    Arc::new(Check::new(target, Kind::Tcp, Timing::default()))
}

fn number(count: u16) -> Require {
    Require::AtLeast(NonZeroU16::new(count).expect("a count from 1"))
}

/// Checks that are parts of these, and what each said, if anything.
fn said(each: &[(u16, Option<(Verdict, u64)>)]) -> (Vec<MemberCheck>, Verdicts) {
    let mut verdicts = Verdicts::default();
    let mut checks = Vec::new();
    for (index, (of, said)) in each.iter().enumerate() {
        let check = check(index as u16);
        if let Some((verdict, since)) = said {
            verdicts.report(Arc::clone(&check), (*verdict, None, Advice::default()), at(*since));
        }
        checks.push(MemberCheck { check, of: *of });
    }
    (checks, verdicts)
}

fn together(each: &[(u16, Option<(Verdict, u64)>)], require: Require) -> Health {
    let (checks, verdicts) = said(each);
    verdicts.together(&checks, require, at(1))
}

const UP: Option<(Verdict, u64)> = Some((Verdict::Up, 5));
const DOWN: Option<(Verdict, u64)> = Some((Verdict::Down, 7));

#[test]
fn all_have_to_pass_unless_told_otherwise() {
    assert_eq!(together(&[(0, UP), (1, UP)], Require::All), Health::Up { since: at(5) });
    assert_eq!(together(&[(0, UP), (1, DOWN)], Require::All), Health::Down { since: at(7) });
    assert_eq!(together(&[(0, UP), (1, None)], Require::All), Health::Unknown);
    assert_eq!(together(&[(0, None), (1, DOWN)], Require::All), Health::Down { since: at(7) });
}

#[test]
fn any_that_passes_is_enough() {
    assert_eq!(together(&[(0, UP), (1, DOWN)], Require::Any), Health::Up { since: at(5) });
    assert_eq!(together(&[(0, UP), (1, None)], Require::Any), Health::Up { since: at(5) });
    assert_eq!(together(&[(0, DOWN), (1, None)], Require::Any), Health::Unknown);
    let later = Some((Verdict::Down, 9));
    assert_eq!(together(&[(0, DOWN), (1, later)], Require::Any), Health::Down { since: at(9) });
}

#[test]
fn a_number_has_to_pass() {
    assert_eq!(together(&[(0, UP), (1, UP), (2, DOWN)], number(2)), Health::Up { since: at(5) });
    assert_eq!(together(&[(0, UP), (1, DOWN), (2, DOWN)], number(2)), Health::Down { since: at(7) });
    assert_eq!(together(&[(0, UP), (1, DOWN), (2, None)], number(2)), Health::Unknown);
}

#[test]
fn parts_of_a_check_count_as_one_that_passes_when_all_of_them_do() {
    let (checks, verdicts) = said(&[(0, UP), (0, DOWN), (1, UP)]);
    assert_eq!(verdicts.together(&checks, Require::Any, at(1)), Health::Up { since: at(5) });
    assert_eq!(verdicts.together(&checks, number(2), at(1)), Health::Down { since: at(7) });
    let tally = Tally { passing: 1, failing: 1, needed: 2, total: 2 };
    assert_eq!(verdicts.tally(&checks, number(2)), tally);
}

#[test]
fn without_checks_a_backend_is_up_whatever_is_required() {
    for require in [Require::All, Require::Any, number(3)] {
        assert_eq!(together(&[], require), Health::Up { since: at(1) });
    }
}

#[test]
fn of_several_agents_the_strictest_is_heard() {
    let mut verdicts = Verdicts::default();
    let mut checks = Vec::new();
    for (index, (percent, mode)) in
        [(Some(50), None), (Some(80), Some(Mode::Drain)), (None, Some(Mode::Ready))].into_iter().enumerate()
    {
        let check = check(index as u16);
        verdicts.report(Arc::clone(&check), (Verdict::Up, None, Advice { percent, mode }), at(1));
        checks.push(MemberCheck { check, of: index as u16 });
    }
    assert_eq!(verdicts.advice(&checks), Advice { percent: Some(50), mode: Some(Mode::Drain) });
    assert_eq!(verdicts.advice(&checks[2..]), Advice { percent: None, mode: Some(Mode::Ready) });
}

fn any_said() -> impl Strategy<Value = Vec<(u16, Option<(Verdict, u64)>)>> {
    let verdict = prop_oneof![Just(Verdict::Up), Just(Verdict::Down), Just(Verdict::Unknown)];
    let one = proptest::option::weighted(0.9, (verdict, 2..9u64));
    proptest::collection::vec((one, any::<bool>()), 0..7).prop_map(|each| {
        let mut of = 0;
        each.into_iter()
            .map(|(said, is_part)| {
                of += u16::from(!is_part);
                (of, said)
            })
            .collect()
    })
}

fn any_require() -> impl Strategy<Value = Require> {
    prop_oneof![Just(Require::All), Just(Require::Any), (1..7u16).prop_map(number)]
}

fn rank(health: Health) -> u8 {
    match health {
        Health::Down { .. } => 0,
        Health::Unknown => 1,
        Health::Up { .. } => 2,
    }
}

proptest! {
    #[test]
    fn up_and_down_are_what_the_numbers_say(each in any_said(), require in any_require()) {
        let (checks, verdicts) = said(&each);
        let Tally { passing, failing, needed, total } = verdicts.tally(&checks, require);
        let expected = match () {
            () if passing >= needed => 2,
            () if failing > total - needed => 0,
            () => 1,
        };
        prop_assert_eq!(rank(verdicts.together(&checks, require, at(1))), expected);
    }

    #[test]
    fn a_check_that_passes_never_makes_it_worse(each in any_said(), require in any_require(), index: proptest::sample::Index) {
        prop_assume!(!each.is_empty());
        let index = index.index(each.len());
        let mut better = each.clone();
        better[index].1 = UP;
        prop_assert!(rank(together(&better, require)) >= rank(together(&each, require)));
    }

    #[test]
    fn requiring_less_never_makes_it_worse(each in any_said(), count in 1..7u16) {
        let less = rank(together(&each, number(count)));
        prop_assert!(less >= rank(together(&each, number(count + 1))));
        prop_assert!(less >= rank(together(&each, Require::All)));
        prop_assert!(rank(together(&each, Require::Any)) >= less);
    }

    #[test]
    fn the_time_since_which_it_is_so_is_one_at_which_something_was_said(each in any_said(), require in any_require()) {
        let since = match together(&each, require) {
            Health::Up { since } | Health::Down { since } => since,
            Health::Unknown => return Ok(()),
        };
        let times = each.iter().filter_map(|(_, said)| said.map(|(_, since)| at(since)));
        prop_assert!(since == at(1) || times.into_iter().any(|time| time == since));
    }
}
