//! What a person at a terminal sees.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::program;

const PATIENCE: Duration = Duration::from_secs(60);

/// Begins a table (`BEGIN` of the example: the cursor to the top left, lines not wrapped).
const TOP: &str = "\x1b[H\x1b[?7l";

/// Ends one (the rest of the screen is emptied, lines wrap again).
const BOTTOM: &str = "\x1b[J\x1b[?7h";

/// The example on a terminal of its own, by script(1).
struct Terminal {
    script: Child,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(arguments: &str) -> Self {
        let example = program();
        let mut command = Command::new("script");
        command.args(["--quiet", "--command"]).arg(format!("exec '{}' {arguments}", example.display()));
        command.arg("/dev/null").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut script = command.spawn().expect("script(1) of bsdutils");
        let mut output = script.stdout.take().expect("a pipe");
        let shown = Arc::new(Mutex::new(String::new()));
        let screen = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                screen.lock().expect("no panic").push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self { script, shown }
    }

    /// The last whole table, without colours, once it is as wanted.
    fn table(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let shown = self.shown.lock().expect("no panic").clone();
            let whole = shown.rfind(BOTTOM).and_then(|end| Some(shown[..end].rsplit_once(TOP)?.1));
            let table: Vec<_> = whole.unwrap_or_default().lines().map(plain).collect();
            if wanted(&table) {
                return table;
            }
            assert!(begun.elapsed() < PATIENCE, "the screen shows {table:#?} after {shown:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The example loses its terminal with script, and ends.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// A line without escape sequences.
fn plain(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest =
        parts.map(|part| part.split_once(|end: char| end.is_ascii_alphabetic()).map_or("", |(_, text)| text));
    rest.fold(first, |text, part| text + part).trim_end().to_owned()
}

/// The state, the time since, the latency (none while it never succeeded) and the rest of a row.
fn row(table: &[String], target: SocketAddr) -> (String, String, Option<f64>, String) {
    let check = format!("tcp {target}");
    let row = table.iter().find(|row| row.contains(&check)).expect("a row for each server");
    let (before, after) = row.split_once(&check).expect("found");
    let words: Vec<_> = before.split_whitespace().collect();
    let latency = (words.len() == 5).then(|| words[3].parse().expect("milliseconds"));
    (words[0].to_owned(), words[1..3].join(" "), latency, after.trim().to_owned())
}

#[test]
fn the_example_shows_who_is_up_and_who_is_down_and_why() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let up = listener.local_addr().expect("its address");
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address");
    let terminal = Terminal::start(&format!("{up} tcp://{closed}"));
    // One that was held up is followed by others.
    let is_quick = |table: &[String]| row(table, up).2.is_none_or(|latency| latency < 1000.0);
    let settled = |table: &[String]| {
        table.len() == 3 && !table[1..].iter().any(|row| row.starts_with("unknown")) && is_quick(table)
    };
    let table = terminal.table(settled);

    let titles: Vec<_> = table[0].split_whitespace().collect();
    assert_eq!(titles, ["STATE", "SINCE", "LATENCY", "CHECK", "LAST", "ERROR"]);
    let (state, since, latency, error) = row(&table, up);
    assert_eq!((state.as_str(), error.as_str()), ("up", ""), "{table:#?}");
    assert!(since.ends_with(" s") && latency.is_some_and(|latency| latency < 1000.0), "{table:#?}");
    let (state, _, latency, error) = row(&table, closed);
    assert_eq!((state.as_str(), latency, error.as_str()), ("down", None, "connection refused"), "{table:#?}");
    let column = |text: &str| table.iter().find_map(|line| line.find(text));
    assert_eq!(column("LAST ERROR"), column("connection refused"), "{table:#?}");

    // It lives: who ends is shown as down, and what was known of it stays.
    drop(listener);
    let table = terminal
        .table(|table| table.iter().any(|row| row.starts_with("down") && row.contains(&up.to_string())));
    let (_, _, latency, error) = row(&table, up);
    assert!(latency.is_some() && error == "connection refused", "{table:#?}");
}
