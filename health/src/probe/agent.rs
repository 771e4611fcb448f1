//! An agent beside the server, which says in a line of text how the server is and how much it wants.
//!
//! The line is that of HAProxy's agent-check (its configuration manual, `agent-check`): words in any order and any case,
//! parted by blanks, tabs and commas, up to the first end of line; after a `#` a description.
//!
//! | word | meaning |
//! |---|---|
//! | `up` | it serves |
//! | `down`, `fail`, `failed`, `stopped` | it does not; the description says why |
//! | `ready`, `drain`, `maint` | whether it wants new connections |
//! | `75%` | the share of its weight that it wants |
//! | `maxconn:30` | passed over: a balancer by direct routing counts no connections of a server's |
//!
//! What is not spoken of stays as it was: a server that was said to be down stays down until it is said to be `up`.
//! Of two words about the same the last one counts. Other words are passed over as long as there is one that is known.

use tokio::io::AsyncReadExt;

use super::way::{Way, told};
use super::{connection_failure, excerpt, exchange, tcp};
use crate::failure::{Advice, Evidence, Failure, Found, Mode, Stage};
use crate::spec::{AgentQuestion, Unanswered};

/// The bound on an agent's line, in bytes: all words at once and a description of some sentences.
const MAX_LINE: usize = 1024;

/// Connects, sends what is to be sent, reads one line, and resets the connection.
pub(super) async fn probe(way: &Way<'_>, question: &AgentQuestion) -> Result<Found, Failure> {
    let sent = told(&question.parts().send, "what is sent is")?;
    let answer = match line(way, sent).await {
        Ok(line) => Answer::read(&line),
        Err(failure) => Err(failure),
    };
    match (answer, question.parts().unanswered) {
        (Ok(answer), _) => answer.outcome(),
        (Err(failure), Unanswered::Keep) if !failure.is_inconclusive() => {
            Err(Failure::Unanswered { failure: Box::new(failure) })
        }
        (Err(failure), Unanswered::Keep | Unanswered::Fail) => Err(failure),
    }
}

/// What the agent says, up to its first end of line.
async fn line(way: &Way<'_>, send: &[u8]) -> Result<Vec<u8>, Failure> {
    let stage = Stage::AwaitingAnswer;
    let mut stream = tcp::connect(way).await?;
    exchange::send(&mut stream, send, &way.limit).await?;
    let mut said = vec![0; MAX_LINE];
    let mut length = 0;
    while length < MAX_LINE {
        let read = way.limit.within(stage, stream.read(&mut said[length..])).await?;
        let count = read.map_err(|error| connection_failure(&error, stage))?;
        let piece = length..length + count;
        length += count;
        let end = said[piece.clone()].iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        if let Some(end) = end {
            length = piece.start + end;
            break;
        }
        if count == 0 {
            break;
        }
    }
    said.truncate(length);
    match length {
        0 => Err(Failure::Closed { stage }),
        MAX_LINE => Err(not_an_agent("the end of its line", &said)),
        _ => Ok(said),
    }
}

fn not_an_agent(wanted: &str, said: &[u8]) -> Failure {
    Failure::Answer { wanted: wanted.to_owned(), found: excerpt(said) }
}

/// What a line says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    health: Option<Health>,
    advice: Advice,
    description: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Health {
    Up,
    /// With the agent's own word for it.
    Down(String),
}

impl Answer {
    /// Reads a line; one without any word that is known is none.
    fn read(line: &[u8]) -> Result<Self, Failure> {
        let text = String::from_utf8_lossy(line);
        let (words, description) = text.split_once('#').unwrap_or((&text, ""));
        let mut answer = Self { description: printable(description), ..Self::default() };
        let words = words.split([' ', '\t', ',']).filter(|word| !word.is_empty());
        if words.filter(|word| answer.take(word)).count() == 0 {
            return Err(not_an_agent("a word of an agent such as up, down, drain or 50%", line));
        }
        Ok(answer)
    }

    /// Takes in a word, if it is known.
    fn take(&mut self, word: &str) -> bool {
        let word = word.to_ascii_lowercase();
        match word.as_str() {
            "up" => self.health = Some(Health::Up),
            "down" | "fail" | "failed" | "stopped" => self.health = Some(Health::Down(word)),
            "ready" => self.advice.mode = Some(Mode::Ready),
            "drain" => self.advice.mode = Some(Mode::Drain),
            "maint" => self.advice.mode = Some(Mode::Maintenance),
            _ => match percent(&word) {
                Some(percent) => self.advice.percent = Some(percent),
                None => return word.starts_with("maxconn:"),
            },
        }
        true
    }

    fn outcome(self) -> Result<Found, Failure> {
        let evidence = match self.health {
            Some(Health::Down(word)) => {
                return Err(Failure::Agent { word, description: self.description });
            }
            Some(Health::Up) => Evidence::Answer,
            None => Evidence::Neutral,
        };
        let advice = Some(self.advice).filter(|advice| *advice != Advice::default());
        Ok(Found { advice, evidence, ..Found::default() })
    }
}

/// `75%`.
fn percent(word: &str) -> Option<u16> {
    let digits = word.strip_suffix('%')?;
    // A sign is none of HAProxy's digits.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// A description as it may stand in a log or on a terminal.
fn printable(description: &str) -> String {
    let text: String = description.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome(line: &str) -> Result<Found, Failure> {
        Answer::read(line.as_bytes())?.outcome()
    }

    fn found(evidence: Evidence, percent: Option<u16>, mode: Option<Mode>) -> Result<Found, Failure> {
        let advice = Some(Advice { percent, mode }).filter(|advice| *advice != Advice::default());
        Ok(Found { evidence, advice, ..Found::default() })
    }

    #[test]
    fn every_word_is_taken_as_haproxys_manual_says() {
        let (answer, neutral) = (Evidence::Answer, Evidence::Neutral);
        for (line, expected) in [
            ("up", found(answer, None, None)),
            ("UP 75%", found(answer, Some(75), None)),
            ("75%", found(neutral, Some(75), None)),
            ("0%", found(neutral, Some(0), None)),
            ("ready", found(neutral, None, Some(Mode::Ready))),
            ("drain,50%", found(neutral, Some(50), Some(Mode::Drain))),
            ("\tmaint , up", found(answer, None, Some(Mode::Maintenance))),
            ("up ready 100% maxconn:30", found(answer, Some(100), Some(Mode::Ready))),
            ("down up", found(answer, None, None)),
            ("10% 20% drain ready", found(neutral, Some(20), Some(Mode::Ready))),
            ("maxconn:30", found(neutral, None, None)),
            ("up what?", found(answer, None, None)),
        ] {
            assert_eq!(outcome(line), expected, "{line}");
        }
    }

    #[test]
    fn a_server_that_is_said_to_be_down_fails_with_the_agents_word_and_description() {
        for (line, words) in [
            ("down", "the agent says down"),
            ("Down # disk full\u{7}", "the agent says down: disk full"),
            ("stopped#by hand", "the agent says stopped: by hand"),
            ("fail # a, b # c", "the agent says fail: a, b # c"),
            ("up 50% failed", "the agent says failed"),
        ] {
            let failure = outcome(line).expect_err("down");
            assert_eq!(failure.to_string(), words);
        }
    }

    #[test]
    fn what_holds_no_word_of_an_agent_is_no_answer() {
        for line in
            ["", " ,", "# up", "HTTP/1.1 400 Bad Request", "50", "-5%", "+5%", "%", "65536%", "uplink"]
        {
            assert!(matches!(outcome(line), Err(Failure::Answer { .. })), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(line in prop::collection::vec(any::<u8>(), 0..MAX_LINE)) {
            if let Err(failure) = Answer::read(&line) {
                prop_assert!(!failure.to_string().chars().any(char::is_control));
            }
        }
    }
}
