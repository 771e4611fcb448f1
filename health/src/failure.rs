//! Why a probe failed.

mod http;
mod tls;

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::spec::{Rcode, StatusRange};

pub use http::{ExampleFailure, HttpFailure};
pub use tls::TlsFailure;

/// What a probe found, or why it failed.
pub type Outcome = Result<Found, Failure>;

/// What a probe found at a target that answered as expected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Found {
    /// The time from the probe's start to its end.
    pub latency: Duration,
    /// What the target says of how much it wants to be given.
    pub advice: Option<Advice>,
    /// When the certificate that it showed expires.
    pub certificate_expires: Option<SystemTime>,
    /// What speaks for it.
    pub evidence: Evidence,
}

/// What speaks for a target that did not fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// It answered.
    #[default]
    Answer,
    /// Nothing came back, not even an error. After an error that [holds](Failure::holds_for) it counts as that one.
    Silence,
    /// It answered, and said nothing of whether it serves. The verdict stays; a target of which nothing is known yet
    /// counts as up.
    Neutral,
}

/// What a target says of how much it wants to be given. A part that is absent was not spoken of: what it said before
/// of it still holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Advice {
    /// The share of its configured weight that it wants, in percent.
    pub percent: Option<u16>,
    /// Whether it wants new connections at all.
    pub mode: Option<Mode>,
}

impl Advice {
    /// What holds after `later` was said as well.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self { percent: later.percent.or(self.percent), mode: later.mode.or(self.mode) }
    }
}

/// Whether a target wants new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It takes them.
    Ready,
    /// It finishes those that it has.
    Drain,
    /// It is being worked on.
    Maintenance,
}

/// Why a probe failed, in words that tell an operator where to look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The target answered the connection with a reset: nothing listens.
    #[error("connection refused")]
    Refused,
    /// A router or this host says that there is no way to the target.
    #[error("{error} while connecting")]
    Unreachable {
        /// The error in the system's words.
        error: String,
    },
    /// The time was over.
    #[error("timeout after {} while {stage}", Seconds(*after))]
    Timeout {
        /// The check's timeout.
        after: Duration,
        /// What was under way.
        stage: Stage,
    },
    /// The target reset the connection.
    #[error("connection reset while {stage}")]
    Reset {
        /// What was under way.
        stage: Stage,
    },
    /// The target closed the connection before its answer was whole.
    #[error("connection closed while {stage}")]
    Closed {
        /// What was under way.
        stage: Stage,
    },
    /// An answer with another status than expected.
    #[error("HTTP status {found}, expected {}", List(expected))]
    Status {
        /// The answer's status code.
        found: u16,
        /// The codes that would have been right.
        expected: Vec<StatusRange>,
    },
    /// The body did not contain what was expected.
    #[error("body lacks {wanted:?} in its first {read} bytes")]
    Body {
        /// The text that was looked for.
        wanted: String,
        /// How many bytes were looked at.
        read: u64,
    },
    /// The answer was not as expected.
    #[error("answer lacks {wanted}: found {found}")]
    Answer {
        /// What was looked for.
        wanted: String,
        /// The answer's beginning.
        found: String,
    },
    /// A name server's answer with another code than expected.
    #[error("answer is {found}, expected {}", Codes(expected))]
    Rcode {
        /// The answer's code.
        found: Rcode,
        /// The codes that would have been right.
        expected: BTreeSet<Rcode>,
    },
    /// Bytes that are no message of the protocol.
    #[error("answer cannot be read: {error}")]
    Garbled {
        /// What is wrong with them.
        error: String,
    },
    /// A command ended otherwise than with exit status 0.
    #[error("{status}{}", Description(output))]
    Exit {
        /// How it ended.
        status: String,
        /// The last line that it wrote; may be empty.
        output: String,
    },
    /// A packet was returned by an ICMP error, or could not be delivered on this segment.
    #[error("{error}: the packet was returned")]
    Returned {
        /// What the error says.
        error: String,
        /// How long silence counts as the same (see [`Failure::holds_for`]).
        hold: Duration,
    },
    /// An agent says that its server does not serve.
    #[error("the agent says {word}{}", Description(description))]
    Agent {
        /// `down`, `fail`, `failed` or `stopped`.
        word: String,
        /// What it says beside; may be empty.
        description: String,
    },
    /// An agent did not answer, and that says nothing of its server: see [`Failure::is_inconclusive`].
    #[error("no answer from the agent, so what it said last holds: {failure}")]
    Unanswered {
        /// Why not.
        failure: Box<Failure>,
    },
    /// The answer is HTTP, or what is said in it is, but not the one expected.
    #[error(transparent)]
    Http(#[from] HttpFailure),
    /// The connection could not be secured.
    #[error(transparent)]
    Tls(#[from] TlsFailure),
    /// Bytes that are not an HTTP/1 answer.
    #[error("not an HTTP/1 answer: {error}")]
    Malformed {
        /// What is wrong with them.
        error: String,
    },
    /// An answer whose headers exceed the bound.
    #[error("answer's header exceeds {limit} bytes")]
    HeadTooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// An error of the connection that none of the above describes.
    #[error("{error} while {stage}")]
    Io {
        /// The error in the system's words.
        error: String,
        /// What was under way.
        stage: Stage,
    },
    /// The probe could not be made for want of something on this host (file descriptors, memory, ports). It
    /// says nothing of the target: see [`Failure::is_inconclusive`].
    #[error("cannot probe: {error}")]
    Local {
        /// What is wanting.
        error: String,
    },
}

impl Failure {
    /// Whether the failure is this host's own, or an agent's, and says nothing of the target. No verdict moves on it:
    /// a host that is out of file descriptors must not declare all its servers dead.
    pub fn is_inconclusive(&self) -> bool {
        matches!(self, Self::Local { .. } | Self::Unanswered { .. })
    }

    /// How long [silence](Evidence::Silence) counts as this failure, which may be told of more rarely than it happens;
    /// none when it does not.
    pub fn holds_for(&self) -> Option<Duration> {
        match self {
            Self::Returned { hold, .. } if !hold.is_zero() => Some(*hold),
            _ => None,
        }
    }

    /// Whether the failure is certain of its moment: something answered, and its answer was no. A timeout may be a
    /// packet that was lost, and an answer of the wrong kind may be another one a second later; these cannot be
    /// mistaken, so asking again needs little time in between: see [`CONFIRM_GAP`](crate::schedule::CONFIRM_GAP).
    pub fn is_conclusive(&self) -> bool {
        match self {
            Self::Refused
            | Self::Reset { .. }
            | Self::Unreachable { .. }
            | Self::Returned { .. }
            | Self::Agent { .. } => true,
            Self::Http(failure) => failure.is_conclusive(),
            _ => false,
        }
    }

    /// The failure's class, for counts: one of few short words.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable { .. } | Self::Returned { .. } => "unreachable",
            Self::Agent { .. } => "agent",
            Self::Exit { .. } => "exit",
            Self::Unanswered { .. } => "unanswered",
            Self::Timeout { .. } => "timeout",
            Self::Reset { .. } => "reset",
            Self::Closed { .. } => "closed",
            Self::Status { .. } | Self::Rcode { .. } => "status",
            Self::Body { .. } | Self::Answer { .. } => "answer",
            Self::Http(failure) => failure.class(),
            Self::Tls(failure) => failure.class(),
            Self::Malformed { .. } | Self::Garbled { .. } | Self::HeadTooLarge { .. } => "malformed",
            Self::Io { .. } => "io",
            Self::Local { .. } => "local",
        }
    }
}

/// What a probe was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Establishing the connection.
    Connecting,
    /// Negotiating TLS on it.
    Securing,
    /// Sending the request and waiting for the header of the answer.
    AwaitingAnswer,
    /// Reading the body of the answer.
    ReadingBody,
    /// Waiting for the end of a command.
    RunningCommand,
    /// Keeping a connection over which nothing is asked.
    Holding,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Securing => "negotiating TLS",
            Self::AwaitingAnswer => "waiting for the answer",
            Self::ReadingBody => "reading the body",
            Self::RunningCommand => "running the command",
            Self::Holding => "idle",
        })
    }
}

/// `1 s`, `1.5 s`, `200 ms`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) {
            write!(f, "{} ms", self.0.as_micros() as f64 / 1000.0)
        } else {
            write!(f, "{} s", self.0.as_secs_f64())
        }
    }
}

/// Empty, or `: disk full`.
struct Description<'a>(&'a str);

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// `NOERROR or NXDOMAIN`.
struct Codes<'a>(&'a BTreeSet<Rcode>);

impl fmt::Display for Codes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, code) in self.0.iter().enumerate() {
            let or = if i == 0 { "" } else { " or " };
            write!(f, "{or}{code}")?;
        }
        Ok(())
    }
}

/// `200-299, 404`.
struct List<'a>(&'a [StatusRange]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_read_as_an_operator_would_say_them() {
        let second = Duration::from_secs(1);
        let expected = vec![StatusRange::SUCCESS, "404".parse().expect("a status")];
        for (failure, text) in [
            (Failure::Refused, "connection refused"),
            (
                Failure::Timeout { after: second, stage: Stage::Connecting },
                "timeout after 1 s while connecting",
            ),
            (
                Failure::Timeout { after: second * 5 / 2, stage: Stage::AwaitingAnswer },
                "timeout after 2.5 s while waiting for the answer",
            ),
            (
                Failure::Timeout { after: second / 5, stage: Stage::ReadingBody },
                "timeout after 200 ms while reading the body",
            ),
            (Failure::Status { found: 503, expected }, "HTTP status 503, expected 200-299, 404"),
            (Failure::Body { wanted: "OK".to_owned(), read: 12 }, "body lacks \"OK\" in its first 12 bytes"),
        ] {
            assert_eq!(failure.to_string(), text);
        }
    }
}
