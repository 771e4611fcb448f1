//! lvsd's own log, in which each decision has its time.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};
use lab::host::Host;
use serde::Deserialize;

use crate::clock::Moment;

#[derive(Debug, Deserialize)]
struct Raw {
    timestamp: String,
    message: String,
    subject: Option<String>,
}

/// A line of the log.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// When it was written.
    pub(crate) at: Moment,
    /// What happened.
    pub(crate) message: String,
    /// To which backend or VIP.
    pub(crate) subject: String,
}

/// Reads what is new each time.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    offset: u64,
}

impl Journal {
    /// From the log's present end on.
    pub(crate) fn from_now(host: &Host) -> Result<Self> {
        let path = host.log("lvsd");
        let offset = std::fs::metadata(&path).with_context(|| format!("look at {}", path.display()))?.len();
        Ok(Self { path, offset })
    }

    /// The whole lines that were written since the last time.
    pub(crate) fn new_lines(&mut self) -> Result<Vec<Line>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let end = text.rfind('\n').map_or(0, |last| last + 1);
        self.offset += end as u64;
        text[..end].lines().map(line).collect()
    }
}

fn line(text: &str) -> Result<Line> {
    let raw: Raw = serde_json::from_str(text).with_context(|| format!("a line of lvsd's log: {text}"))?;
    let at = Moment::logged(&raw.timestamp)?;
    Ok(Line { at, message: raw.message, subject: raw.subject.unwrap_or_default() })
}
