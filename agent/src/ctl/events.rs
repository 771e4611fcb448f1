//! `lvsctl events` and `lvsctl log-level`.

use super::announcements::seconds;
use super::client::{Client, ClientError};
use super::output::Output;
use super::render::{Paint, fold};
use super::watch::ended;
use super::yaml;
use crate::api::messages::Levels;
use crate::chronicle::Line;
use crate::core::Timestamp;
use clap::{Args, ValueEnum};
use std::io::Write;
use std::time::{Duration, SystemTime};

/// How long lvsd is asked to wait for a line, in seconds.
const WAIT: u64 = 30;

/// How often an lvsd that is gone is looked for.
const RETRY: Duration = Duration::from_secs(1);

/// `lvsctl events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Go on, and print each line as it comes, also over a restart of lvsd.
    #[arg(short, long)]
    pub follow: bool,
    /// Only those of the last time, like 90s, 30m or 2h.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub since: Option<u64>,
    /// Only those about this service, backend, VIP or peer.
    #[arg(long, value_name = "NAME")]
    pub about: Option<String>,
    /// Only those of this level and above.
    #[arg(long, value_enum, default_value = "info")]
    pub level: Level,
    /// Only so many, the latest.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub lines: Option<usize>,
}

/// How loud a line is at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    /// Decisions and what went as it should.
    Info,
    /// What somebody should look at.
    Warn,
    /// What somebody must look at.
    Error,
}

impl Level {
    fn of(line: &Line) -> Self {
        Self::from_str(&line.level, true).unwrap_or(Self::Error)
    }
}

impl Events {
    fn wants(&self, line: &Line, now: Timestamp) -> bool {
        // A service and a subject are whole; a list of backends or a peer's address is part of a text.
        let is_about = |name: &String| line.message.contains(name) || line.about.values().any(|v| v == name);
        let is_new = |since: u64| line.at + Duration::from_secs(since) >= now;
        Level::of(line) >= self.level
            && self.about.as_ref().is_none_or(is_about)
            && self.since.is_none_or(is_new)
    }

    /// Prints the lines that are wanted; with `--follow` until it is ended by a signal, or whoever reads has gone.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn run(&self, client: &Client, output: Output, paint: Paint) -> Result<(), ClientError> {
        if !self.follow {
            return self.print(client, output, paint).await;
        }
        // What is dropped halfway has printed whole lines only.
        tokio::select! {
            done = self.print(client, output, paint) => done,
            () = ended() => Ok(()),
        }
    }

    async fn print(&self, client: &Client, output: Output, paint: Paint) -> Result<(), ClientError> {
        let mut printer = Printer { output, paint, day: String::new() };
        let mut lines = read(client, 0, 0).await?;
        let mut last = lines.last().map_or(0, |line| line.id);
        let now = SystemTime::now().into();
        lines.retain(|line| self.wants(line, now));
        let surplus = self.lines.map_or(0, |number| lines.len().saturating_sub(number));
        let mut can_print = printer.print(&lines[surplus..])?;
        while self.follow && can_print {
            match read(client, last, WAIT).await {
                Ok(mut lines) => {
                    last = lines.last().map_or(last, |line| line.id);
                    lines.retain(|line| self.wants(line, line.at));
                    can_print = printer.print(&lines)?;
                }
                // The next one counts anew.
                Err(
                    ClientError::NotRunning { .. } | ClientError::Unreachable { .. } | ClientError::Http(_),
                ) => {
                    last = 0;
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

async fn read(client: &Client, after: u64, wait: u64) -> Result<Vec<Line>, ClientError> {
    client.get(&format!("/v1/events?after={after}&wait={wait}")).await
}

/// Prints lines, for people with each day once.
struct Printer {
    output: Output,
    paint: Paint,
    day: String,
}

impl Printer {
    /// Returns whether whoever reads is still there.
    fn print(&mut self, lines: &[Line]) -> Result<bool, ClientError> {
        let mut text = String::new();
        for line in lines {
            match self.output {
                Output::Json => text += &(serde_json::to_string(line).map_err(ClientError::Json)? + "\n"),
                Output::Yaml => {
                    let line = serde_json::to_value(line).map_err(ClientError::Json)?;
                    text += &format!("---\n{}", yaml::document(&line));
                }
                Output::Table | Output::Wide => self.render(&mut text, line),
            }
        }
        let mut stdout = std::io::stdout().lock();
        Ok(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok())
    }

    fn render(&mut self, text: &mut String, line: &Line) {
        let at = line.at.to_string();
        let (day, time) = at.split_once('T').unwrap_or((&at, ""));
        if day != self.day {
            text.push_str(&format!("{day} (UTC)\n"));
            self.day = day.into();
        }
        let time = time.trim_end_matches('Z');
        let message = match Level::of(line) {
            Level::Info => line.message.clone(),
            Level::Warn => self.paint.odd(&format!("! {}", line.message)),
            Level::Error => self.paint.bad(&format!("! {}", line.message)),
        };
        let line = format!("{time} {message}{}\n", more(line, self.output));
        text.push_str(&fold(&line, self.paint));
    }
}

/// What a line carries that its message does not say; all of it where there is room.
fn more(line: &Line, output: Output) -> String {
    let is_said =
        |(name, value): &(&String, &String)| *name == "event" || line.message.contains(value.as_str());
    let others = line.about.iter().filter(|pair| output == Output::Wide || !is_said(pair));
    let others: Vec<String> = others.map(|(name, value)| format!("{name}={value}")).collect();
    if others.is_empty() { String::new() } else { format!(" ({})", others.join(" ")) }
}

/// `lvsctl log-level`.
#[derive(Debug, Args)]
pub struct LogLevel {
    /// What is to be written from now on, until lvsd's next start: a level (error, warn, info, debug, trace), or
    /// LEVEL,TARGET=LEVEL,…
    #[arg(value_name = "LEVELS", conflicts_with = "reset")]
    pub levels: Option<String>,
    /// Go back to what lvsd was started with.
    #[arg(long)]
    pub reset: bool,
}

impl LogLevel {
    /// Asks for the levels, or sets them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn run(&self, client: &Client) -> Result<Levels, ClientError> {
        if self.levels.is_none() && !self.reset {
            return client.get("/v1/log").await;
        }
        client.post("/v1/log", &Levels { levels: self.levels.clone() }).await
    }
}

/// The levels, for people.
pub fn levels(levels: &Levels) -> String {
    format!("lvsd logs {}", levels.levels.as_deref().unwrap_or("as it was started")) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: &str, message: &str, about: &[(&str, &str)]) -> Line {
        let about = about.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let at = Timestamp::from_micros(1_770_091_506_789_000);
        Line { id: 1, at, level: level.into(), message: message.into(), target: "lvsd".into(), about }
    }

    #[test]
    fn lines_have_their_day_once_what_is_bad_is_marked_and_nothing_is_said_twice() {
        let mut printer = Printer { output: Output::Table, paint: Paint::new(false), day: String::new() };
        let lines = [
            line(
                "warn",
                "web: rs1: down: refused",
                &[("service", "web"), ("event", "7"), ("reason", "refused")],
            ),
            line("info", "BGP session up", &[("peer", "r1"), ("hold_time", "30")]),
        ];
        let text = lines.iter().fold(String::new(), |mut text, line| {
            printer.render(&mut text, line);
            text
        });
        assert_eq!(
            text,
            "2026-02-03 (UTC)\n04:05:06.789 ! web: rs1: down: refused\n\
             04:05:06.789 BGP session up (hold_time=30 peer=r1)\n"
        );
    }

    #[test]
    fn lines_are_chosen_by_level_subject_and_age() {
        let events = |about: Option<&str>, level, since| Events {
            follow: false,
            since,
            about: about.map(Into::into),
            level,
            lines: None,
        };
        let line = line("warn", "web: rs1 (10.64.0.11): down: refused", &[("service", "web")]);
        let later = line.at + Duration::from_secs(60);
        assert!(events(None, Level::Warn, Some(60)).wants(&line, later));
        assert!(!events(None, Level::Warn, Some(59)).wants(&line, later));
        assert!(!events(None, Level::Error, None).wants(&line, later));
        for (name, is_wanted) in [("web", true), ("rs1", true), ("10.64.0.11", true), ("rs2", false)] {
            assert_eq!(events(Some(name), Level::Info, None).wants(&line, later), is_wanted, "{name}");
        }
    }
}
