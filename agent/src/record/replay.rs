//! From a recording to the actions that it led to.

use super::digest::Digester;
use super::{FORMAT, Found, Line, Reader, RecordingError};
use crate::core::{Action, State, Timestamp, step};
use serde::Serialize;
use std::io::{BufRead, Write};
use std::path::Path;

/// One action as it is printed.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    /// Which process of the recording, from 1.
    process: u64,
    /// Its event.
    event: u64,
    at: Timestamp,
    action: &'a Action,
}

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Processes in the recording.
    pub processes: u64,
    /// Events in all of them.
    pub events: u64,
    /// Events whose actions were compared with what the recording process did.
    pub compared: u64,
    /// The first event whose actions are others now, and how many such events there are.
    pub differs: Option<(Place, u64)>,
    /// Lines that end in the middle, by their numbers.
    pub cut_off: Vec<u64>,
    /// Versions of lvsd that recorded.
    pub versions: Vec<String>,
}

impl Replayed {
    /// What there is to know of it, in lines for people.
    pub fn report(&self, path: &Path) -> String {
        let name = path.display();
        let Self { processes, events, compared, .. } = self;
        let mut text = format!(
            "{name}: {events} events of {processes} process{} went through lvsd {}; compared with what lvsd {} did: {compared}\n",
            if *processes == 1 { "" } else { "es" },
            env!("CARGO_PKG_VERSION"),
            self.versions.join(", ")
        );
        for line in &self.cut_off {
            text += &format!(
                "{name}:{line}: the line ends in the middle, as a crash leaves it; it was left out\n"
            );
        }
        if let Some((Place { process, event, line }, count)) = self.differs {
            text += &format!(
                "{name}:{line}: event {event} of process {process} leads to other actions than it did; so do {count} events in all\n"
            );
        }
        text
    }
}

/// Where in a recording an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The process, from 1.
    pub process: u64,
    /// The event.
    pub event: u64,
    /// The line in the file.
    pub line: u64,
}

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// What it leads to cannot be written.
    #[error("writing the actions: {0}")]
    Output(#[source] std::io::Error),
}

/// Steps fresh states through a recording and writes every action, one JSON object a line: the same bytes for the
/// same recording, each time. `path` is what errors call the input.
///
/// # Errors
/// See [`ReplayError`]. What was written until then holds.
pub fn replay(path: &Path, input: impl BufRead, output: impl Write) -> Result<Replayed, ReplayError> {
    let mut reader = Reader::new(path, input);
    let mut replay = Replay { output, process: None, replayed: Replayed::default() };
    while let Some(found) = reader.read_next()? {
        match found {
            Found::CutOff(line) => replay.replayed.cut_off.push(line),
            Found::Line(line, content) => match replay.take(line, *content) {
                Ok(()) => {}
                Err(Wrong::Order(problem)) => return Err(reader.wrong(1, problem).into()),
                Err(Wrong::Output(error)) => return Err(ReplayError::Output(error)),
            },
        }
    }
    if replay.process.is_none() {
        return Err(reader.wrong(1, NO_BEGINNING.into()).into());
    }
    replay.output.flush().map_err(ReplayError::Output)?;
    Ok(replay.replayed)
}

const NO_BEGINNING: &str = "no recording: it begins with {\"begin\":…}, as `lvsd --record` writes it";

struct Replay<W> {
    output: W,
    process: Option<Process>,
    replayed: Replayed,
}

/// A process of the recording, gone through again.
#[derive(Default)]
struct Process {
    state: State,
    digester: Digester,
    /// Its last event, and the digest of what that led to now.
    last: u64,
    digest: String,
}

enum Wrong {
    Order(String),
    Output(std::io::Error),
}

impl<W: Write> Replay<W> {
    fn take(&mut self, line: u64, content: Line) -> Result<(), Wrong> {
        if let Line::Begin { format, lvsd } = content {
            if format != FORMAT {
                return Err(Wrong::Order(format!(
                    "a recording of format {format} by lvsd {lvsd}; this lvsd reads format {FORMAT}"
                )));
            }
            self.replayed.processes += 1;
            if !self.replayed.versions.contains(&lvsd) {
                self.replayed.versions.push(lvsd);
            }
            self.process = Some(Process::default());
            return Ok(());
        }
        let process = self.process.as_mut().ok_or_else(|| Wrong::Order(NO_BEGINNING.into()))?;
        match content {
            Line::Begin { .. } => Ok(()),
            Line::Event { number, .. } if number != process.last + 1 => {
                let last = process.last;
                Err(Wrong::Order(format!("event {number} after event {last}: some are missing")))
            }
            Line::Event { number, at, what } => {
                process.last = number;
                let actions = step(&mut process.state, what, at);
                process.digest = process.digester.digest(&actions);
                self.replayed.events += 1;
                self.print(number, at, &actions).map_err(Wrong::Output)
            }
            Line::Did { number, .. } if number != process.last || number == 0 => {
                Err(Wrong::Order(format!("what event {number} led to, but no such event before it")))
            }
            Line::Did { number, digest } => {
                self.replayed.compared += 1;
                if digest != process.digest {
                    let here = Place { process: self.replayed.processes, event: number, line };
                    let differs = self.replayed.differs.get_or_insert((here, 0));
                    differs.1 += 1;
                }
                Ok(())
            }
        }
    }

    fn print(&mut self, event: u64, at: Timestamp, actions: &[Action]) -> std::io::Result<()> {
        for action in actions {
            let printed = Printed { process: self.replayed.processes, event, at, action };
            serde_json::to_writer(&mut self.output, &printed)?;
            self.output.write_all(b"\n")?;
        }
        Ok(())
    }
}
