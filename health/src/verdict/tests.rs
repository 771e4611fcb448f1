use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::failure::Stage;

fn timing(fall: u32, rise: u32) -> Timing {
    Timing::new(Duration::from_secs(2), Duration::from_secs(1), fall, rise).expect("a valid timing")
}

const GOOD: Outcome = by(Evidence::Answer);
const BAD: Outcome = Err(Failure::Refused);

const fn by(evidence: Evidence) -> Outcome {
    Ok(Found { latency: Duration::from_millis(3), advice: None, certificate_expires: None, evidence })
}

fn unknown(failures: u32) -> State {
    State::Unknown { failures }
}

fn up(failures: u32) -> State {
    State::Up { failures }
}

fn down(successes: u32) -> State {
    State::Down { successes }
}

#[test]
fn every_state_moves_on_success_and_failure_as_the_diagram_says() {
    use Notice::{First, Nothing, Transition};
    let timing = timing(3, 2);
    for (from, outcome, to, notice) in [
        (unknown(0), GOOD, up(0), Transition),
        (unknown(1), GOOD, up(0), Transition),
        (unknown(2), GOOD, up(0), Transition),
        (unknown(0), BAD, unknown(1), First),
        (unknown(1), BAD, unknown(2), Nothing),
        (unknown(2), BAD, down(0), Transition),
        (up(0), GOOD, up(0), Nothing),
        (up(2), GOOD, up(0), Nothing),
        (up(0), BAD, up(1), Nothing),
        (up(1), BAD, up(2), Nothing),
        (up(2), BAD, down(0), Transition),
        (down(0), GOOD, down(1), Nothing),
        (down(1), GOOD, up(0), Transition),
        (down(0), BAD, down(0), Nothing),
        (down(1), BAD, down(0), Nothing),
    ] {
        assert_eq!(from.after(&outcome, &timing), (to, notice), "{from:?} after {outcome:?}");
    }
}

#[test]
fn with_fall_and_rise_of_one_every_change_is_a_transition() {
    let timing = timing(1, 1);
    assert_eq!(State::NEW.after(&BAD, &timing), (down(0), Notice::Transition));
    assert_eq!(down(0).after(&GOOD, &timing), (up(0), Notice::Transition));
    assert_eq!(up(0).after(&BAD, &timing), (down(0), Notice::Transition));
}

#[test]
fn a_host_without_file_descriptors_moves_no_verdict() {
    let wanting = Err(Failure::Local { error: "Too many open files".to_owned() });
    for state in [unknown(0), unknown(2), up(2), down(1)] {
        assert_eq!(state.after(&wanting, &timing(3, 2)), (state, Notice::Nothing));
    }
}

#[test]
fn a_counter_at_its_limit_does_not_overflow() {
    let timing = timing(u32::MAX, u32::MAX);
    assert_eq!(up(u32::MAX).after(&BAD, &timing), (down(0), Notice::Transition));
    assert_eq!(down(u32::MAX).after(&GOOD, &timing), (up(0), Notice::Transition));
}

/// The verdict by its definition, from the whole history, with no state kept.
fn verdict_of_history(history: &[bool], fall: u32, rise: u32) -> Verdict {
    let mut verdict = Verdict::Unknown;
    for end in 1..=history.len() {
        let last = history[end - 1];
        let in_a_row = history[..end].iter().rev().take_while(|good| **good == last).count() as u32;
        verdict = match (verdict, last) {
            (Verdict::Unknown, true) => Verdict::Up,
            (Verdict::Down, true) if in_a_row >= rise => Verdict::Up,
            (_, false) if in_a_row >= fall => Verdict::Down,
            (unchanged, _) => unchanged,
        };
    }
    verdict
}

proptest! {
    #[test]
    fn the_verdict_is_what_the_whole_history_says(
        history in prop::collection::vec(any::<bool>(), 0..60), fall in 1u32..6, rise in 1u32..6,
    ) {
        let timing = timing(fall, rise);
        let mut state = State::NEW;
        let mut told = 0;
        for (i, good) in history.iter().enumerate() {
            let (next, notice) = state.after(&if *good { GOOD } else { BAD }, &timing);
            prop_assert_eq!(next.verdict(), verdict_of_history(&history[..=i], fall, rise));
            prop_assert_eq!(notice == Notice::Transition, next.verdict() != state.verdict());
            prop_assert_eq!(notice == Notice::First, i == 0 && next.verdict() == Verdict::Unknown);
            told += u32::from(i == 0 && notice != Notice::Nothing);
            state = next;
        }
        prop_assert_eq!(told, u32::from(!history.is_empty()), "the first result is always told");
    }
}

#[test]
fn an_agent_that_says_nothing_of_health_moves_no_verdict_but_presumes_an_unknown_server_up() {
    let timing = timing(3, 2);
    let unanswered = Err(Failure::Unanswered { failure: Box::new(Failure::Refused) });
    for outcome in [by(Evidence::Neutral), unanswered] {
        for failures in [0, 2] {
            assert_eq!(unknown(failures).after(&outcome, &timing), (up(0), Notice::Transition));
        }
        for state in [up(0), up(2), down(0), down(1)] {
            assert_eq!(state.after(&outcome, &timing), (state, Notice::Nothing), "{outcome:?}");
        }
    }
    assert_eq!(down(1).after(&by(Evidence::Silence), &timing), (up(0), Notice::Transition));
}

#[test]
fn a_check_looks_sooner_while_its_verdict_is_being_confirmed_and_at_once_after_a_refusal() {
    let timeout = Failure::Timeout { after: Duration::from_secs(1), stage: Stage::Connecting };
    let local = Failure::Local { error: "no sockets".to_owned() };
    let (timeout, local): (Outcome, Outcome) = (Err(timeout), Err(local));
    for (state, outcome, pace) in [
        (unknown(0), &local, Pace::Regular),
        (up(0), &GOOD, Pace::Regular),
        (up(0), &local, Pace::Regular),
        (down(0), &BAD, Pace::Regular),
        (unknown(1), &timeout, Pace::Confirming),
        (up(2), &timeout, Pace::Confirming),
        (up(1), &local, Pace::Confirming),
        (down(1), &GOOD, Pace::Confirming),
        (unknown(1), &BAD, Pace::AtOnce),
        (up(1), &BAD, Pace::AtOnce),
    ] {
        assert_eq!(state.pace(outcome), pace, "{state:?} after {outcome:?}");
    }
}
