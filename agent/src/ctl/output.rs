//! How an answer is printed: one way for all commands.

use super::client::ClientError;
use super::render::{Paint, fold};
use super::yaml;
use clap::ValueEnum;
use serde::Serialize;
use std::io::IsTerminal;

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people; on a terminal no wider than that.
    Table,
    /// For people with room: every column, each row in one line.
    Wide,
    /// For programs.
    Json,
    /// For programs, and people who look for what tables leave out.
    Yaml,
}

impl Output {
    /// Whether a program is to read it.
    pub fn is_for_programs(self) -> bool {
        match self {
            Self::Json | Self::Yaml => true,
            Self::Table | Self::Wide => false,
        }
    }

    /// How text for people looks where the standard output goes.
    pub fn paint(self) -> Paint {
        let is_terminal = std::io::stdout().is_terminal();
        let paint = Paint::new(is_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()));
        match self {
            Self::Wide => paint.wide(),
            Self::Table | Self::Json | Self::Yaml => paint.within(size().map(|(columns, _)| columns)),
        }
    }

    /// The answer's text, with `table` for people.
    ///
    /// # Errors
    /// When it cannot be said in JSON.
    pub fn text<T: Serialize>(self, answer: &T, table: impl Fn(&T) -> String) -> Result<String, ClientError> {
        self.verbatim(answer, |answer| fold(&table(answer), self.paint()))
    }

    /// As [`Output::text`], for a file's content, whose lines are what they are.
    ///
    /// # Errors
    /// When it cannot be said in JSON.
    pub fn verbatim<T: Serialize>(
        self,
        answer: &T,
        content: impl Fn(&T) -> String,
    ) -> Result<String, ClientError> {
        Ok(match self {
            Self::Table | Self::Wide => content(answer),
            Self::Json => serde_json::to_string_pretty(answer).map_err(ClientError::Json)? + "\n",
            Self::Yaml => yaml::document(&serde_json::to_value(answer).map_err(ClientError::Json)?),
        })
    }
}

/// Columns and rows of the terminal that the standard output is; none where it is not one, or does not know.
pub(super) fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    let is_known = size.ws_col > 0 && size.ws_row > 0;
    is_known.then(|| (size.ws_col.into(), size.ws_row.into()))
}
