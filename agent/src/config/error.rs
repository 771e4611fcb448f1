//! What is wrong with a configuration, and where.

use super::excerpt::Shown;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The file, as it was named to us.
    pub file: PathBuf,
    /// Line, from 1; 0 stands for the file as a whole.
    pub line: u32,
    /// Column in characters, from 1; 0 stands for the line as a whole.
    pub column: u32,
}

impl Place {
    /// The file as a whole.
    pub fn whole(file: &Path) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0 }
    }

    /// A line, from 1, and a column, from 1 or 0 for the line as a whole.
    pub(crate) fn at(file: &Path, line: usize, column: usize) -> Self {
        // The files that are read are far smaller than 4 GiB.
        let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self { file: file.to_owned(), line: number(line), column: number(column) }
    }

    /// The line in which text that could not be decoded goes wrong, `valid` being what could.
    pub(crate) fn after(file: &Path, valid: &[u8]) -> Self {
        Self::at(file, valid.iter().filter(|&&byte| byte == b'\n').count() + 1, 0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        for number in [self.line, self.column].into_iter().take_while(|&number| number > 0) {
            write!(f, ":{number}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong with a configuration: `lvsd.toml:12:8: service.web.port: expected …, found …`.
#[derive(Debug, Error)]
#[error("{place}: {}{problem}", if key.is_empty() { String::new() } else { format!("{key}: ") })]
pub struct ConfigError {
    /// Where it stands.
    pub place: Place,
    /// The setting by its full name, empty when it is about the file.
    pub key: String,
    /// What is wrong with it.
    pub problem: Problem,
    /// The lines that it is about.
    pub(super) shown: Option<Box<Shown>>,
}

impl ConfigError {
    /// An error without lines of the file.
    pub(super) fn new(place: Place, key: String, problem: Problem) -> Self {
        Self { place, key, problem, shown: None }
    }

    /// The error, and below it the line that it is about with a caret. Nothing secret is in it.
    pub fn in_full(&self) -> String {
        self.shown.iter().fold(self.to_string(), |text, shown| format!("{text}\n{shown}"))
    }
}

/// Errors below a line that introduces them, with their lines.
pub fn listed(errors: &[ConfigError]) -> String {
    let texts: Vec<String> = errors.iter().map(ConfigError::in_full).collect();
    texts.join("\n").replace('\n', "\n  ")
}

/// What can be wrong with a setting or a file.
#[derive(Debug, Error)]
pub enum Problem {
    /// The value is not what the setting takes.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What the setting takes.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A setting that must be there is not.
    #[error("missing: expected {expected}")]
    Missing {
        /// What the setting takes.
        expected: String,
    },
    /// No setting has this name.
    #[error("unknown key; {}", hint(nearest, known))]
    Unknown {
        /// Settings of a similar name.
        nearest: Vec<&'static str>,
        /// All settings that could stand here.
        known: &'static [&'static str],
    },
    /// It is there for the second time.
    #[error("{what} for the second time; the first is at {first}")]
    Twice {
        /// What there is twice.
        what: String,
        /// Where it was first.
        first: Place,
    },
    /// Each setting is fine by itself, but not with the others.
    #[error("{0}")]
    Conflict(String),
    /// The file is not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
}

/// The help that goes with an unknown key.
fn hint(nearest: &[&str], known: &[&str]) -> String {
    let quoted =
        |names: &[&str], between| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(between);
    if nearest.is_empty() {
        format!("known here: {}", quoted(known, ", "))
    } else {
        format!("did you mean {}?", quoted(nearest, " or "))
    }
}
