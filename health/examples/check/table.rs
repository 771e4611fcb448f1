//! The table.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use health::runner::Status;
use health::{Snapshot, Verdict};

/// Empties a terminal (ECMA-48: ED, then CUP at the next table).
pub(crate) const CLEAR: &str = "\x1b[2J";

/// Begins at the top, without wrapping of long lines (CUP, DECAWM).
const BEGIN: &str = "\x1b[H\x1b[?7l";

/// Ends a line, and empties what was behind it (EL).
const LINE: &str = "\x1b[K\n";

/// Empties what was below, and wraps again (ED, DECAWM).
const END: &str = "\x1b[J\x1b[?7h";

/// Draws all checks.
pub(crate) fn draw(snapshot: &Snapshot) -> io::Result<()> {
    let mut text = String::from(BEGIN);
    let width = snapshot.checks.keys().map(|check| check.to_string().chars().count()).max().unwrap_or(0);
    row(&mut text, ["STATE", "SINCE", "LATENCY"], &format!("{:width$}  LAST ERROR", "CHECK"));
    for (check, status) in &snapshot.checks {
        let verdict = status.state.verdict();
        let state = format!("{}{verdict}", colour(verdict));
        let latency = status.latency.map(milliseconds).unwrap_or_default();
        let words = format!("{:width$}  {}", check.to_string(), last_error(status));
        row(&mut text, [&state, &ago(status.since), &latency], &words);
    }
    text += END;
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn row(text: &mut String, [state, since, latency]: [&str; 3], rest: &str) {
    // The colour before a state takes no room on the screen.
    let room = 7 + state.find('m').map_or(0, |end| if state.starts_with('\x1b') { end + 1 } else { 0 });
    // Writing to a string does not fail.
    let _ = write!(text, "{state:<room$}\x1b[0m  {since:>7}  {latency:>9}  {rest}{LINE}");
}

fn colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Up => "\x1b[32m",
        Verdict::Down => "\x1b[31m",
        Verdict::Unknown => "\x1b[33m",
    }
}

/// What is wrong now, or what was wrong the last time.
fn last_error(status: &Status) -> String {
    let now = status.last.as_ref().and_then(|last| last.outcome.as_ref().err());
    if let Some(failure) = now {
        return failure.to_string();
    }
    let before = status.history.iter().rev().find_map(|change| Some((change.at, change.failure.as_ref()?)));
    before.map_or_else(String::new, |(at, failure)| format!("({} ago: {failure})", ago(at)))
}

/// `3 s`, `5 min`, `2 h`, `4 d`.
fn ago(at: SystemTime) -> String {
    let seconds = at.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `3.2 ms`
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
