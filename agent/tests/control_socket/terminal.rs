//! lvsctl on a terminal: a pseudo-terminal of script(1), which passes keys on as a person's terminal does.

use crate::daemon::Daemon;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

/// What is waited for comes within a second on a calm machine.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
}

impl Terminal {
    /// lvsctl with these words on a terminal of so many columns and rows.
    pub(crate) fn start(daemon: &Daemon, size: (u16, u16), words: &str) -> Self {
        Self::start_with(&daemon.directory.path().join("lvsctl"), &daemon.socket(), size, words)
    }

    /// The same, for any lvsd's control socket.
    pub(crate) fn start_with(
        program: &Path,
        socket: &Path,
        (columns, rows): (u16, u16),
        words: &str,
    ) -> Self {
        let (program, socket) = (program.display(), socket.display());
        let line =
            format!("stty cols {columns} rows {rows}; echo pid=$$; exec {program} --socket {socket} {words}");
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        script.env("TERM", "xterm-256color").env("SHELL", "/bin/sh").env_remove("NO_COLOR");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = script.spawn().expect("script can be started");
        let (keys, mut output) = (child.stdin.take(), child.stdout.take().unwrap());
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        tokio::spawn(async move {
            let mut bytes = vec![0; 65536];
            while let Ok(count @ 1..) = output.read(&mut bytes).await {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { child, keys, said }
    }

    /// Everything that was written to it.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until something is written to it that is as wanted; what that is.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let said = self.said();
            if is_so(&said) {
                return said;
            }
            assert!(begun.elapsed() < LIMIT, "waited for {what}:\n{said}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Tells lvsctl to end, as `kill` does.
    pub(crate) async fn kill(&self) {
        let said = self.until("its number", |said| said.contains("\n")).await;
        // Keys that were pressed before are echoed.
        let (_, pid) = said.split_once("pid=").expect("the shell has said it");
        let pid = pid.lines().next().unwrap_or_default();
        assert!(Command::new("kill").arg(pid.trim()).status().await.unwrap().success());
    }

    /// Presses keys.
    pub(crate) async fn press(&mut self, keys: &str) {
        let typed = self.keys.as_mut().unwrap();
        typed.write_all(keys.as_bytes()).await.unwrap();
        typed.flush().await.unwrap();
    }

    /// Whoever could press keys has gone.
    pub(crate) fn abandon(&mut self) {
        self.keys = None;
    }

    /// Waits for its end: everything that was written, and the exit code.
    pub(crate) async fn end(mut self) -> (String, Option<i32>) {
        let status = timeout(LIMIT, self.child.wait()).await.expect("it ends").unwrap();
        let begun = Instant::now();
        // What it wrote last is read a moment later.
        while Arc::strong_count(&self.said) > 1 && begun.elapsed() < LIMIT {
            sleep(Duration::from_millis(5)).await;
        }
        (self.said(), status.code())
    }
}

/// A text without its colours, and without what a terminal makes of an end of line.
pub(crate) fn plain(text: &str) -> String {
    let mut is_escape = false;
    let mut plain = String::new();
    for letter in text.chars().filter(|letter| *letter != '\r') {
        match (is_escape, letter) {
            (false, '\x1b') => is_escape = true,
            (false, letter) => plain.push(letter),
            (true, letter) => {
                is_escape = letter == '[' || letter == '?' || letter == ';' || letter.is_ascii_digit()
            }
        }
    }
    plain
}

/// What stands on a terminal of so many columns and rows after all of that was written to it, by what lvsctl writes of
/// ECMA-48: lines without the blanks at their ends.
pub(crate) fn screen(said: &str, (columns, rows): (u16, u16)) -> Vec<String> {
    let (columns, rows) = (usize::from(columns), usize::from(rows));
    let mut grid = vec![vec![' '; columns]; rows];
    let (mut x, mut y) = (0, 0);
    let mut letters = said.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' if letters.as_str().starts_with('[') => {
                let inner = &letters.as_str()[1..];
                let end = inner.find(|c: char| ('@'..='~').contains(&c)).unwrap_or(inner.len());
                let (parameters, last) = (&inner[..end], inner[end..].chars().next());
                letters = inner.get(end + 1..).unwrap_or_default().chars();
                let numbers: Vec<usize> =
                    parameters.split(';').filter_map(|number| number.parse().ok()).collect();
                match (last.unwrap_or_default(), parameters) {
                    ('H', _) => {
                        let at = |index: usize| numbers.get(index).map_or(0, |number| number - 1);
                        (y, x) = (at(0).min(rows - 1), at(1).min(columns - 1));
                    }
                    ('J', "2") | ('h', "?1049") => grid = vec![vec![' '; columns]; rows],
                    ('J', _) => {
                        grid[y][x..].fill(' ');
                        grid[y + 1..].iter_mut().for_each(|row| row.fill(' '));
                    }
                    ('K', _) => grid[y][x.min(columns)..].fill(' '),
                    _ => {}
                }
            }
            '\x1b' => drop(letters.next()),
            '\r' => x = 0,
            '\n' => y = (y + 1).min(rows - 1),
            letter if x < columns => {
                grid[y][x] = letter;
                x += 1;
            }
            _ => {}
        }
    }
    grid.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect()
}
