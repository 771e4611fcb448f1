//! Answers to operators: given when what was done is also written down.

use crate::core::action::Answer;
use crate::exec::saver::Written;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Operators who wait. Each holds a connection to the control socket, which bounds them.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// By request.
    waiting: BTreeMap<u64, oneshot::Sender<Answer>>,
    requests: u64,
    /// The last state that was handed to the disk.
    saving: u64,
    /// The last state that was dealt with there.
    saved: u64,
    /// Answers to be given when their state is on disk.
    held: Vec<(u64, u64, Answer)>,
}

impl Replies {
    /// Somebody waits for an answer; gives the request's id.
    pub(super) fn expect(&mut self, reply: oneshot::Sender<Answer>) -> u64 {
        self.requests += 1;
        self.waiting.insert(self.requests, reply);
        self.requests
    }

    /// Answers from now on wait for this state.
    pub(super) fn hold(&mut self, number: u64) {
        self.saving = number;
    }

    /// Gives an answer, or keeps it until the state that it follows from is on disk.
    pub(super) fn answer(&mut self, id: u64, answer: Answer) {
        if self.saving > self.saved {
            self.held.push((self.saving, id, answer));
        } else {
            self.give(id, answer);
        }
    }

    /// Gives the answers that waited for this.
    pub(super) fn written(&mut self, written: &Written) {
        self.saved = written.number;
        let (due, held) =
            std::mem::take(&mut self.held).into_iter().partition(|(number, ..)| *number <= self.saved);
        self.held = held;
        let due: Vec<(u64, u64, Answer)> = due;
        for (_, id, answer) in due {
            let answer = answer.map(|mut done| {
                if let Some(error) = &written.error {
                    done.message += &format!("; but a restart will forget it: {error}");
                }
                done
            });
            self.give(id, answer);
        }
    }

    fn give(&mut self, id: u64, answer: Answer) {
        if let Some(waiting) = self.waiting.remove(&id) {
            // Who asked may have gone; what was done is done and logged.
            drop(waiting.send(answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::action::Done;

    fn done() -> Answer {
        Ok(Done { host: "rs1".into(), message: "rs1 is depooled".into(), ..Done::default() })
    }

    #[test]
    fn an_answer_waits_for_the_disk_and_tells_when_it_failed() {
        let (mut replies, (sender, mut receiver)) = (Replies::default(), oneshot::channel());
        let id = replies.expect(sender);
        replies.hold(2);
        replies.answer(id, done());
        replies.written(&Written { number: 1, error: None });
        assert!(receiver.try_recv().is_err(), "an older state on disk is not this one");
        replies.written(&Written { number: 2, error: Some("disk full".into()) });
        let message = receiver.try_recv().unwrap().unwrap().message;
        assert_eq!(message, "rs1 is depooled; but a restart will forget it: disk full");
    }

    #[test]
    fn an_answer_that_needs_no_disk_is_given_at_once() {
        let (mut replies, (sender, mut receiver)) = (Replies::default(), oneshot::channel());
        let id = replies.expect(sender);
        replies.answer(id, done());
        assert_eq!(receiver.try_recv().unwrap(), done());
    }
}
