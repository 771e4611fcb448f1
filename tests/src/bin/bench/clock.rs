//! One clock for all that is compared: the wall clock of the lab's kernel, which stamps logs and captures too.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// Microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(i64);

impl Moment {
    /// Now.
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// What a capture file says.
    pub(crate) fn captured(seconds: u32, microseconds: u32) -> Self {
        Self(i64::from(seconds) * 1_000_000 + i64::from(microseconds))
    }

    /// What a log says, `2026-11-20T11:02:39.305563Z`.
    pub(crate) fn logged(text: &str) -> Result<Self> {
        read(text).with_context(|| format!("not a time: {text}"))
    }

    /// Milliseconds from `earlier` to this; negative when it is later after all.
    pub(crate) fn since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0) as f64 / 1000.0
    }
}

fn read(text: &str) -> Option<Moment> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.split(':');
    let (hours, minutes) = (time.next()?.parse::<i64>().ok()?, time.next()?.parse::<i64>().ok()?);
    let seconds: f64 = time.next()?.parse().ok()?;
    // The calendar's year begins in March here, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let microseconds = (seconds * 1e6).round() as i64;
    Some(Moment(((days * 24 + hours) * 60 + minutes) * 60_000_000 + microseconds))
}
