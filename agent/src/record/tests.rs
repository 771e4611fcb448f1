//! What is read again is what was written, and what is wrong is said with its place.

use super::digest::Digester;
use super::replay::{Replayed, replay};
use super::{Found, Line, Reader, RecordingError};
use crate::config;
use crate::core::{Action, Event, State, Timestamp, step};
use health::{Advice, Verdict};
use std::path::Path;
use std::sync::Arc;

const BEGIN: &str = "{\"begin\":{\"format\":2,\"lvsd\":\"0.1.0\"}}\n";

fn tick(number: u64) -> String {
    format!("{{\"event\":{{\"number\":{number},\"at\":7,\"what\":\"tick\"}}}}\n")
}

fn replayed(text: &str) -> Result<Replayed, String> {
    replay(Path::new("lvsd.rec"), text.as_bytes(), std::io::sink()).map_err(|error| error.to_string())
}

fn problem(text: &str) -> String {
    replayed(text).unwrap_err()
}

#[test]
fn a_wrong_line_is_named_with_file_line_and_column() {
    let text = format!("{BEGIN}{}{{\"event\":{{\"number\":\"x\"}}}}\n{}", tick(1), tick(2));
    assert!(problem(&text).starts_with("lvsd.rec:3:"), "{}", problem(&text));
    assert!(problem(&text).contains("expected u64"), "{}", problem(&text));
    let column: usize = problem(&text).split(':').nth(2).unwrap().parse().unwrap();
    assert!((20..25).contains(&column), "{}", problem(&text));
}

#[test]
fn a_last_line_that_is_cut_off_is_told_and_harms_nothing() {
    let whole = format!("{BEGIN}{}{}", tick(1), tick(2));
    let all = replayed(&whole).unwrap();
    assert_eq!((all.events, all.cut_off.len()), (2, 0));
    for length in whole.len() - tick(2).len() + 1..whole.len() - 1 {
        let cut = replayed(&whole[..length]).unwrap();
        assert_eq!((cut.events, cut.cut_off), (1, vec![3]), "cut off after {length} bytes");
    }
}

#[test]
fn a_process_that_follows_a_crash_begins_anew() {
    let text = format!("{BEGIN}{}{{\"event\":{{\"num\n{BEGIN}{}", tick(1), tick(1));
    let replayed = replayed(&text).unwrap();
    assert_eq!((replayed.processes, replayed.events, replayed.cut_off), (2, 2, vec![3]));
}

#[test]
fn a_line_that_is_cut_off_in_the_middle_of_a_process_is_an_error() {
    let text = format!("{BEGIN}{{\"event\":{{\"num\n{}", tick(1));
    assert!(problem(&text).starts_with("lvsd.rec:2:"), "{}", problem(&text));
}

#[test]
fn events_that_are_missing_are_told() {
    let text = format!("{BEGIN}{}{}", tick(1), tick(3));
    assert_eq!(problem(&text), "lvsd.rec:3:1: event 3 after event 1: some are missing");
}

#[test]
fn what_is_no_recording_is_refused() {
    assert!(problem("").starts_with("lvsd.rec:0:1: no recording"), "{}", problem(""));
    assert!(problem(&tick(1)).starts_with("lvsd.rec:1:1: no recording"), "{}", problem(&tick(1)));
    assert!(problem("[service.web]\n").starts_with("lvsd.rec:1:"), "{}", problem("[service.web]\n"));
    let later = BEGIN.replace("\"format\":2", "\"format\":3");
    assert!(
        problem(&later).contains("format 3 by lvsd 0.1.0; this lvsd reads format 2"),
        "{}",
        problem(&later)
    );
}

#[test]
fn an_event_that_leads_to_something_else_now_is_told() {
    let did = |number: u64| format!("{{\"did\":{{\"number\":{number},\"digest\":\"cbf29ce484222325\"}}}}\n");
    let same = format!("{BEGIN}{}{}", tick(1), did(1));
    assert_eq!(replayed(&same).map(|all| (all.compared, all.differs)), Ok((1, None)));
    let stop = "{\"event\":{\"number\":2,\"at\":8,\"what\":\"stop\"}}\n";
    let differs = replayed(&format!("{same}{stop}{}", did(2))).unwrap().differs.unwrap();
    assert_eq!((differs.0.event, differs.0.line, differs.1), (2, 5, 1));
}

#[test]
fn a_line_is_read_as_it_was_written() -> Result<(), RecordingError> {
    let mut text = Vec::new();
    Line::begin().write(&mut text).unwrap();
    let mut reader = Reader::new(Path::new("lvsd.rec"), text.as_slice());
    assert!(matches!(reader.read_next()?, Some(Found::Line(1, line)) if matches!(*line, Line::Begin { .. })));
    assert!(reader.read_next()?.is_none());
    Ok(())
}

const WITH_SECRETS: &str = r#"
[service.web]
vips = ["192.0.2.10"]
port = 80
[[service.web.checks]]
type = "http"
headers = { authorization = "Bearer s3cret" }
[[service.web.checks]]
type = "http"
headers = { authorization = "Bearer other" }
[[service.web.checks]]
type = "tcp"
send = "AUTH s3cret\\r\\n"
[[service.web.backends]]
host = "rs1"
addresses = ["10.64.0.11"]
"#;

#[test]
fn a_recording_holds_no_secret_of_a_check_and_replays_to_the_same_actions() {
    let read = config::parse(&[("/etc/lvsd/lvsd.toml".into(), WITH_SECRETS.to_owned())]);
    let (mut state, mut digester, mut text) = (State::default(), Digester::default(), Vec::new());
    Line::begin().write(&mut text).unwrap();
    let mut wanted = None;
    let mut number = 0;
    let mut take = |event: Event, text: &mut Vec<u8>| {
        number += 1;
        let at = Timestamp::from_micros(number);
        Line::Event { number, at, what: event.clone() }.write(&mut *text).unwrap();
        let actions = step(&mut state, event, at);
        Line::Did { number, digest: digester.digest(&actions) }.write(&mut *text).unwrap();
        let checks = actions.into_iter().filter_map(|action| match action {
            Action::SetChecks(checks) => Some(checks),
            _ => None,
        });
        wanted = checks.last().or(wanted.take());
        wanted.clone()
    };
    take(Event::Restored { saved: Default::default(), snapshots: Default::default() }, &mut text);
    take(Event::Configured(Arc::new(read.unwrap())), &mut text);
    take(
        Event::KernelRead {
            table: Default::default(),
            connections: Vec::new(),
            unsorted: Default::default(),
        },
        &mut text,
    );
    let synced = Event::AddressesSynced { present: Default::default(), failures: Vec::new() };
    let checks = take(synced, &mut text).expect("checks are wanted");
    assert_eq!(checks.len(), 3, "those that differ in their secret alone are two");
    for check in &checks {
        let (verdict, advice) = (Verdict::Up, Advice::default());
        take(Event::Checked { check: Arc::clone(check), verdict, failure: None, advice }, &mut text);
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("authorization") && !text.contains("s3cret") && !text.contains("Bearer"), "{text}");
    let mut output = Vec::new();
    let replayed = replay(Path::new("lvsd.rec"), text.as_bytes(), &mut output).unwrap();
    assert_eq!((replayed.compared, replayed.differs), (7, None));
    let output = String::from_utf8(output).unwrap();
    assert!(output.contains("authorization") && !output.contains("s3cret"), "{output}");
}
