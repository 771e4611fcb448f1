//! A failure that holds for a while.
//!
//! A target that returns packets by ICMP errors does so at a limited rate, so of several probes some are met with
//! silence. Where silence is no failure, it would make the target come and go: so it counts as the failure for as long
//! as that says ([`Failure::holds_for`]). An answer ends it at once.

use std::time::Duration;

use crate::failure::{Evidence, Failure, Outcome};

/// The failure that holds, if any.
#[derive(Debug, Default)]
pub(crate) struct Hold(Option<Box<Held>>);

#[derive(Debug)]
struct Held {
    failure: Failure,
    until: Duration,
}

impl Hold {
    /// What an outcome at `now`, on any clock that does not go back, counts as.
    pub(crate) fn judge(&mut self, outcome: Outcome, now: Duration) -> Outcome {
        match outcome {
            Ok(found) if found.evidence == Evidence::Silence => match &self.0 {
                Some(held) if now < held.until => Err(held.failure.clone()),
                Some(_) | None => {
                    self.0 = None;
                    Ok(found)
                }
            },
            Ok(found) => {
                self.0 = None;
                Ok(found)
            }
            Err(failure) => {
                if let Some(hold) = failure.holds_for() {
                    let until = now.saturating_add(hold);
                    self.0 = Some(Box::new(Held { failure: failure.clone(), until }));
                }
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Found;

    const HOLD: Duration = Duration::from_secs(10);

    fn returned() -> Outcome {
        Err(Failure::Returned { error: "port unreachable".to_owned(), hold: HOLD })
    }

    fn by(evidence: Evidence) -> Outcome {
        Ok(Found { evidence, ..Found::default() })
    }

    #[test]
    fn silence_counts_as_the_failure_until_its_hold_is_over_and_each_failure_holds_anew() {
        let mut hold = Hold::default();
        let second = Duration::from_secs(1);
        assert_eq!(hold.judge(by(Evidence::Silence), Duration::ZERO), by(Evidence::Silence));
        assert_eq!(hold.judge(returned(), second), returned());
        assert_eq!(hold.judge(by(Evidence::Silence), second * 5), returned());
        assert_eq!(hold.judge(returned(), second * 6), returned());
        let last = second * 16 - Duration::from_nanos(1);
        assert_eq!(hold.judge(by(Evidence::Silence), last), returned());
        assert_eq!(hold.judge(by(Evidence::Silence), second * 16), by(Evidence::Silence));
        assert_eq!(hold.judge(by(Evidence::Silence), second * 16), by(Evidence::Silence));
    }

    #[test]
    fn an_answer_ends_the_hold_and_other_failures_neither_begin_nor_end_one() {
        let mut hold = Hold::default();
        assert_eq!(hold.judge(returned(), Duration::ZERO), returned());
        assert_eq!(hold.judge(Err(Failure::Refused), HOLD / 2), Err(Failure::Refused));
        assert_eq!(hold.judge(by(Evidence::Silence), HOLD / 2), returned());
        assert_eq!(hold.judge(by(Evidence::Answer), HOLD / 2), by(Evidence::Answer));
        assert_eq!(hold.judge(by(Evidence::Silence), HOLD / 2), by(Evidence::Silence));
    }
}
