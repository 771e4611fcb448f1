//! Recordings: every event that the core takes in, in a file, and the same actions from it again.
//!
//! A recording is one JSON object a line:
//!
//! ```text
//! {"begin":{"format":1,"lvsd":"0.1.0"}}                      a process begins: from here on a fresh state
//! {"event":{"number":1,"at":1700000000000000,"what":{…}}}    an event, written before it is acted on
//! {"did":{"number":1,"digest":"a430d84680aabd0b"}}           the digest of the actions that it led to
//! ```
//!
//! Events are all that changes the core's state, so that who steps a fresh one through them gets the same actions;
//! the digests tell whether they are. Several processes may follow one another in a file.
//!
//! Reading order: this file (the lines, pure), [`digest`] and [`replay`] (pure but for the reading), [`recorder`].

pub mod digest;
pub mod recorder;
pub mod replay;
#[cfg(test)]
mod tests;

use crate::core::{Event, Timestamp};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

/// The format that is written, and the only one that is read.
pub const FORMAT: u32 = 2;

/// The longest line that is read, in bytes: a kernel's table of some hundred thousand services. What is longer is no
/// recording, and must not fill the memory.
const MAX_LINE: u64 = 256 * 1024 * 1024;

/// One line of a recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(
    clippy::large_enum_variant,
    reason = "every other line is an event; a box for each would save nothing"
)]
pub enum Line {
    /// A process begins; what follows are its events.
    Begin {
        /// The format of the lines.
        format: u32,
        /// The version of the lvsd that recorded.
        lvsd: String,
    },
    /// Something happened.
    Event {
        /// Counts the events of a process, from 1.
        number: u64,
        /// When.
        at: Timestamp,
        /// What.
        what: Event,
    },
    /// What came of it.
    Did {
        /// Of which event.
        number: u64,
        /// The digest of the actions, see [`digest`].
        digest: String,
    },
}

impl Line {
    /// The line that this lvsd begins with.
    pub fn begin() -> Self {
        Self::Begin { format: FORMAT, lvsd: env!("CARGO_PKG_VERSION").into() }
    }

    /// Writes the line, with its end.
    ///
    /// # Errors
    /// The writer's; and a path that is no UTF-8, which JSON has no words for.
    pub fn write(&self, mut writer: impl io::Write) -> io::Result<()> {
        serde_json::to_writer(&mut writer, self)?;
        writer.write_all(b"\n")
    }
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A line that is none of a recording.
    #[error("{}:{line}:{column}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column in bytes, from 1.
        column: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// What the reader found.
#[derive(Clone, Debug)]
pub enum Found {
    /// A line and its number in the file.
    Line(u64, Box<Line>),
    /// A line, by its number, that ends in the middle, as a crash leaves it: nothing of that process follows.
    CutOff(u64),
}

/// Reads a recording line by line.
#[derive(Debug)]
pub struct Reader<R> {
    path: PathBuf,
    input: R,
    line: u64,
    /// What was read ahead, after a line that was cut off.
    ahead: Option<Vec<u8>>,
}

impl<R: BufRead> Reader<R> {
    /// A reader; `path` is what errors call its input.
    pub fn new(path: &Path, input: R) -> Self {
        Self { path: path.into(), input, line: 0, ahead: None }
    }

    /// The next line; none at the end. A line that is cut off where a process ends is no error.
    ///
    /// # Errors
    /// What names the file, line and column.
    pub fn read_next(&mut self) -> Result<Option<Found>, RecordingError> {
        let text = match self.ahead.take() {
            Some(text) => text,
            None => self.text()?,
        };
        if text.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        // Without its end, a line that is cut off is one that ends too early, however much was written of it.
        match serde_json::from_slice(text.strip_suffix(b"\n").unwrap_or(&text)) {
            Ok(line) => Ok(Some(Found::Line(self.line, Box::new(line)))),
            Err(error) if error.is_eof() && self.is_last_of_process()? => Ok(Some(Found::CutOff(self.line))),
            Err(error) => {
                let whole = error.to_string();
                let place = format!(" at line {} column {}", error.line(), error.column());
                let problem = whole.strip_suffix(&place).unwrap_or(&whole).to_owned();
                Err(self.wrong(error.column().max(1), problem))
            }
        }
    }

    /// An error in the line that was read last.
    pub(crate) fn wrong(&self, column: usize, problem: String) -> RecordingError {
        RecordingError::Line { path: self.path.clone(), line: self.line, column, problem }
    }

    fn is_last_of_process(&mut self) -> Result<bool, RecordingError> {
        let next = self.text()?;
        let is_last = next.is_empty() || next.starts_with(br#"{"begin":"#);
        self.ahead = Some(next);
        Ok(is_last)
    }

    fn text(&mut self) -> Result<Vec<u8>, RecordingError> {
        let mut text = Vec::new();
        let read = self.input.by_ref().take(MAX_LINE).read_until(b'\n', &mut text);
        read.map_err(|source| RecordingError::Io { path: self.path.clone(), source })?;
        Ok(text)
    }
}
