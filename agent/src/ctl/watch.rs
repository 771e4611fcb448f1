//! `--watch`: the same answer again and again, until it is ended.
//!
//! On a terminal it is drawn in place, and while lvsd cannot be asked what it said last stays, with since when it is stale.
//! Elsewhere each answer is printed anew, and that lvsd is away is said on the standard error.

use super::client::ClientError;
use super::output::{Output, size};
use super::render::{clip, fold};
use crate::config;
use crate::core::Timestamp;
use clap::Args;
use std::io::Write;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

/// How seldom and how often lvsd may be asked: an answer of thousands of services takes it milliseconds.
const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(3600);

/// How long lvsd may take for an answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often something is shown.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Watch {
    /// Show it again and again until Ctrl-C, every 2s or as given; on a terminal in place. When lvsd goes away, what it
    /// said last stays, with since when.
    #[arg(
        short = 'w',
        long = "watch",
        global = true,
        value_name = "INTERVAL",
        num_args = 0..=1,
        default_missing_value = "2s",
        value_parser = interval
    )]
    pub every: Option<Duration>,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = config::duration(text).filter(|interval| (LEAST..=MOST).contains(interval));
    interval.ok_or_else(|| "expected a time of 100ms to 1h like 2s; --watch without one stands last".into())
}

/// What was shown last, and what became of lvsd since.
#[derive(Debug)]
struct Shown {
    text: String,
    at: Timestamp,
    /// Why it is not as it is now.
    problem: Option<String>,
}

impl Shown {
    /// Takes the next answer; returns whether lvsd has just gone away.
    fn take(&mut self, answer: Result<String, ClientError>, now: Timestamp) -> bool {
        match answer {
            Ok(text) => {
                *self = Self { text, at: now, problem: None };
                false
            }
            Err(error) => self.problem.replace(error.to_string()).is_none(),
        }
    }

    /// `stale since …`, while it is.
    fn stale(&self) -> Option<String> {
        let problem = self.problem.as_ref()?;
        Some(format!("stale since {}: {problem}", self.at))
    }

    /// What a terminal of this size shows: a head, and as much of the answer as there is room for. Drawn over what is
    /// there, line by line, so that nothing flickers.
    fn screen(&self, head: &str, output: Output, (columns, rows): (usize, usize)) -> String {
        let paint = output.paint().within(Some(columns));
        let said = match self.stale() {
            Some(stale) => format!("{} {stale}\n", paint.bad("!")),
            None => format!("{head}: {}\n", self.at),
        };
        let mut lines: Vec<String> = fold(&said, paint).lines().map(Into::into).collect();
        lines.push(String::new());
        lines.extend(self.text.lines().map(Into::into));
        if lines.len() > rows {
            let hidden = lines.len() - rows + 1;
            lines.truncate(rows.saturating_sub(1));
            lines.push(format!("… {hidden} more lines"));
        }
        let lines: Vec<String> = lines.iter().map(|line| clip(line, columns)).collect();
        format!("{HOME}{}{REST_OF_LINE}{REST}", lines.join(&format!("{REST_OF_LINE}\r\n")))
    }
}

// ECMA-48: CUP, EL, ED; and DEC's DECTCEM.
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K";
const REST: &str = "\x1b[J";
const CLEAR: &str = "\x1b[2J";
const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";

/// The cursor is hidden while a screen is redrawn, and is back whatever ends that.
struct Cursor;

impl Cursor {
    fn hidden() -> Self {
        say(&format!("{HIDE_CURSOR}{CLEAR}"));
        Self
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        say(&format!("\r\n{SHOW_CURSOR}"));
    }
}

/// Returns whether whoever reads is still there.
fn say(text: &str) -> bool {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}

/// Shows what is asked for until it is ended by a signal, or whoever reads has gone.
///
/// # Errors
/// What the first question is answered with, when that is an error: there is nothing to go on showing.
pub async fn run(
    every: Duration,
    output: Output,
    ask: impl AsyncFn() -> Result<String, ClientError>,
) -> Result<(), ClientError> {
    let now = || Timestamp::from(SystemTime::now());
    let mut ended = pin!(ended());
    let text = tokio::select! {
        answer = ask() => answer?,
        () = &mut ended => return Ok(()),
    };
    let mut shown = Shown { text, at: now(), problem: None };
    let cursor = size().map(|_| Cursor::hidden());
    let words: Vec<String> = std::env::args().skip(1).collect();
    let head = format!("lvsctl {}", words.join(" "));
    let mut is_news = true;
    loop {
        let can_go_on = match size().filter(|_| cursor.is_some()) {
            Some(size) => say(&shown.screen(&head, output, size)),
            None => !is_news || say(&anew(&shown, output)),
        };
        if !can_go_on {
            return Ok(());
        }
        let next = async {
            sleep(every).await;
            timeout(PATIENCE, ask()).await.unwrap_or(Err(ClientError::Silent(PATIENCE)))
        };
        // Either may be dropped halfway: a question that nobody waits for changes nothing.
        let answer = tokio::select! {
            answer = next => answer,
            () = &mut ended => return Ok(()),
        };
        is_news = answer.is_ok();
        if shown.take(answer, now())
            && cursor.is_none()
            && let Some(stale) = shown.stale()
        {
            eprintln!("lvsctl: {stale}");
        }
    }
}

/// An answer for those who read one after the other.
fn anew(shown: &Shown, output: Output) -> String {
    match output {
        Output::Table | Output::Wide => format!("{}\n{}\n", shown.at, shown.text),
        Output::Json => shown.text.clone(),
        Output::Yaml => format!("---\n{}", shown.text),
    }
}

/// Until somebody ends it: Ctrl-C, `kill`, or a terminal that is closed. Heard from the call on, not only once it is waited for: a
/// terminal is changed after this is called, and has to be given back.
pub(super) fn ended() -> impl Future<Output = ()> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    // One that cannot be heard does what it does by itself.
    let mut heard: Vec<Signal> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    std::future::poll_fn(move |context| {
        let is_heard = heard.iter_mut().any(|signals| signals.poll_recv(context).is_ready());
        if is_heard { Poll::Ready(()) } else { Poll::Pending }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> Shown {
        Shown {
            text: "one\ntwo\nthree\n".into(),
            at: Timestamp::from_micros(1_770_091_506_789_000),
            problem: None,
        }
    }

    fn rows(shown: &Shown, size: (usize, usize)) -> Vec<String> {
        let screen = shown.screen("lvsctl status -w", Output::Table, size);
        let inner =
            screen.strip_prefix(HOME).and_then(|rest| rest.strip_suffix(REST)).expect("drawn in place");
        inner
            .split("\r\n")
            .map(|line| line.strip_suffix(REST_OF_LINE).expect("no rest of before").into())
            .collect()
    }

    #[test]
    fn a_screen_has_a_head_and_as_many_lines_as_fit() {
        let all = ["lvsctl status -w: 2026-02-03T04:05:06.789Z", "", "one", "two", "three"];
        assert_eq!(rows(&shown(), (80, 5)), all);
        assert_eq!(
            rows(&shown(), (80, 4)),
            ["lvsctl status -w: 2026-02-03T04:05:06.789Z", "", "one", "… 2 more lines"]
        );
    }

    #[test]
    fn what_lvsd_said_last_stays_with_since_when_until_it_says_more() {
        let mut shown = shown();
        let (later, gone) =
            (Timestamp::from_micros(1_770_091_600_000_000), || Err(ClientError::Silent(PATIENCE)));
        assert!(shown.take(gone(), later), "it has just gone");
        assert!(!shown.take(gone(), later), "it was gone");
        let seen = rows(&shown, (120, 9));
        assert_eq!(seen[0], "! stale since 2026-02-03T04:05:06.789Z: lvsd does not answer within 5s");
        assert_eq!(seen[2..], ["one", "two", "three"]);
        assert!(!shown.take(Ok("four\n".into()), later));
        assert_eq!(rows(&shown, (120, 9))[2..], ["four"]);
    }

    #[test]
    fn an_interval_is_a_time_within_reason() {
        assert_eq!(interval("100ms"), Ok(LEAST));
        for text in ["99ms", "2h", "web", "2"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
