//! `-o` and `--watch`, with every command that shows something.

use crate::daemon::{Daemon, World, err, interrupt, json, out};
use crate::terminal::{Terminal, plain};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// What another reader of YAML makes of it, as JSON.
async fn as_json(yaml: &str) -> serde_json::Value {
    let program = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().expect("Debian's python3-yaml is installed: make deps");
    let mut input = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut input, yaml.as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "no YAML:\n{yaml}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn yaml_says_what_json_says_of_everything_that_is_shown() {
    let daemon = Daemon::start().await;
    out(&daemon.lvsctl(&["depool", "rs1", "--reason", "a: \"b\" #c\n- é"]).await);
    for words in [&["status"][..], &["why", "rs1"], &["simulate", "--down", "rs1,no:where"], &["log-level"]] {
        let told = json(&daemon.lvsctl(&[words, &["-o", "json"]].concat()).await);
        let yaml = out(&daemon.lvsctl(&[words, &["-o", "yaml"]].concat()).await);
        assert_eq!(as_json(&yaml).await, serde_json::json!([told]), "{words:?}:\n{yaml}");
    }
    let yaml = out(&daemon.lvsctl(&["-o", "yaml", "status"]).await);
    assert!(yaml.contains("\nservices:\n  - backend_port: 80\n    forwarding: direct routing\n"), "{yaml}");
    let done = out(&daemon.lvsctl(&["pool", "rs1", "-o", "yaml"]).await);
    assert!(done.contains("\nservices:\n  - web\n"), "{done}");
}

#[tokio::test]
async fn wide_shows_columns_that_a_table_leaves_out() {
    let daemon = Daemon::start().await;
    let (table, wide) =
        (out(&daemon.lvsctl(&["status"]).await), out(&daemon.lvsctl(&["status", "-o", "wide"]).await));
    for column in ["  PATH  ", "  OPERATOR  ", "eth0"] {
        assert!(!table.contains(column) && wide.contains(column.trim()), "{column}:\n{table}\n{wide}");
    }
}

/// Services of three backends, each of which serves.
fn many(services: usize) -> String {
    let service = |n: usize| {
        let backends =
            (0..3).map(|b| format!("{{ host = \"b{n}-{b}\", addresses = [\"10.64.{n}.{b}\"] }}, "));
        let backends: String = backends.collect();
        format!("[service.s{n}]\nvips = [\"192.0.2.{n}\"]\nport = 80\nchecks = []\nbackends = [{backends}]\n")
    };
    (1..=services).map(service).collect()
}

#[tokio::test]
async fn of_many_services_each_has_a_line_and_only_what_is_not_as_it_should_be_has_more() {
    let daemon = Daemon::start_in(&many(30), World::Obedient).await;
    out(&daemon.lvsctl(&["depool", "b7-1", "--reason", "disk"]).await);
    let brief = out(&daemon.lvsctl(&["status"]).await);
    for shown in
        ["\n  b7-1 ", "depooled", "\n  and 2 that serve as they should\n", "\n89 backends that serve as"]
    {
        assert!(brief.contains(shown), "{shown}:\n{brief}");
    }
    let lines_of = |name: &str| brief.lines().filter(|line| line.starts_with(&format!("{name} "))).count();
    assert_eq!((lines_of("s3"), lines_of("s30"), lines_of("s7")), (1, 1, 2), "{brief}");
    assert!(!brief.contains("b7-0") && !brief.contains("b3-0"), "{brief}");

    for whole in [&["status", "-o", "wide"][..], &["status", "-o", "json"], &["status", "-o", "yaml"]] {
        let text = out(&daemon.lvsctl(whole).await);
        let all = (1..=30).flat_map(|n| (0..3).map(move |b| format!("b{n}-{b}")));
        all.for_each(|host| assert!(text.contains(&host), "{whole:?} lacks {host}:\n{text}"));
    }
    let one = out(&daemon.lvsctl(&["status", "s3"]).await);
    assert!(one.contains("b3-0") && !one.contains("left out"), "{one}");
}

#[tokio::test]
async fn of_few_services_nothing_is_left_out() {
    let daemon = Daemon::start_in(&many(20), World::Obedient).await;
    let text = out(&daemon.lvsctl(&["status"]).await);
    assert!(text.contains("b20-2") && text.contains("192.0.2.20  "), "{text}");
}

#[tokio::test]
async fn on_a_narrow_terminal_no_line_is_wider_than_that_and_nothing_is_lost() {
    let daemon = Daemon::start().await;
    let reason = "the disk of this machine makes sounds that nobody likes, see T12345 for the recording";
    out(&daemon.lvsctl(&["depool", "rs1", "--reason", reason]).await);
    for columns in [80, 60] {
        for words in ["status", "why rs1", "simulate --down rs1,rs2"] {
            let (said, code) = Terminal::start(&daemon, (columns, 24), words).end().await;
            let text = plain(&said);
            assert_eq!(code, Some(0), "{text}");
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(columns.into()), "{words}: {widest:?} of {columns} columns:\n{text}");
            let words: Vec<&str> = text.split_whitespace().collect();
            assert!(text.contains("simulate") || words.contains(&"rs1"), "{text}");
        }
        let (said, _) = Terminal::start(&daemon, (columns, 24), "status").end().await;
        let words: Vec<String> = plain(&said).split_whitespace().map(Into::into).collect();
        let reason: Vec<&str> = reason.split(' ').collect();
        let is_there = words
            .windows(reason.len())
            .any(|some| some.iter().zip(&reason).all(|(word, wanted)| word.trim_matches('"') == *wanted));
        assert!(is_there, "the reason is cut:\n{}", plain(&said));
        assert!(said.contains("\x1b[33m"), "colours on a terminal:\n{said}");
    }
}

#[tokio::test]
async fn colours_are_for_terminals_whose_owner_has_not_said_no_color() {
    let daemon = Daemon::start().await;
    out(&daemon.lvsctl(&["depool", "rs1"]).await);
    for (value, is_coloured) in [("1", false), ("anything", false), ("", true)] {
        let words = format!("env NO_COLOR={value} {}/lvsctl", daemon.directory.path().display());
        let (said, code) =
            Terminal::start_with(Path::new(&words), &daemon.socket(), (120, 24), "status").end().await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("depooled"), "{said}");
        assert_eq!(said.contains("\x1b["), is_coloured, "NO_COLOR={value}: {said:?}");
    }
    assert!(!out(&daemon.lvsctl(&["status"]).await).contains('\x1b'), "a pipe is no terminal");
}

#[tokio::test]
async fn a_watched_status_is_redrawn_in_place_stays_when_lvsd_goes_and_ends_with_the_keyboard() {
    let mut daemon = Daemon::start().await;
    let mut terminal = Terminal::start(&daemon, (80, 24), "status -w 100ms");
    let pooled = |said: &str| plain(said).contains("rs1      10.64.0.11  1       pooled");
    terminal.until("the status", pooled).await;
    out(&daemon.lvsctl(&["depool", "rs1"]).await);
    let said = terminal.until("the depool", |said| plain(said).contains("0       depooled")).await;
    assert_eq!(said.matches("\x1b[2J").count(), 1, "it is drawn over, not anew");
    assert!(said.matches("\x1b[H").count() > 1, "{said}");
    daemon.stop();
    let said = terminal.until("staleness", |said| said.contains("stale since ")).await;
    let (_, last) = said.rsplit_once("stale since ").unwrap();
    terminal
        .until("what it said last", |said| said.rsplit_once("stale since ").unwrap().1.contains("depooled"))
        .await;
    assert!(!last.starts_with("1970"), "{last}");
    terminal.press("\x03").await;
    let (said, code) = terminal.end().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("\x1b[?25h"), "the cursor is back: {said:?}");
}

/// A status that is watched, not on a terminal.
fn watched(daemon: &Daemon) -> tokio::process::Child {
    let mut lvsctl = Command::new(daemon.directory.path().join("lvsctl"));
    lvsctl.arg("--socket").arg(daemon.socket()).args(["status", "-o", "json", "--watch", "100ms"]);
    lvsctl.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

#[tokio::test]
async fn a_watched_status_that_is_no_terminals_is_printed_anew_and_ends_with_its_reader() {
    let mut daemon = Daemon::start().await;
    let mut child = watched(&daemon);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let mut text = String::new();
        while !text.ends_with("\n}\n") {
            text += &(lines.next_line().await.unwrap().expect("it goes on") + "\n");
        }
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status["services"][0]["name"], "web");
        assert!(!text.contains('\x1b'), "{text}");
    }
    drop(lines);
    assert_eq!(child.wait().await.unwrap().code(), Some(0));

    let mut child = watched(&daemon);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("{"));
    interrupt(&child);
    assert_eq!(child.wait().await.unwrap().code(), Some(0));

    let mut child = watched(&daemon);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("{"));
    daemon.stop();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let stale = errors.next_line().await.unwrap().expect("it says so");
    assert!(stale.starts_with("lvsctl: stale since 2"), "{stale}");
    assert!(child.try_wait().unwrap().is_none(), "it waits for lvsd");
}

#[tokio::test]
async fn what_cannot_be_shown_once_is_not_watched_and_what_changes_things_never() {
    let daemon = Daemon::start_in("", World::Checked).await;
    let unknown = daemon.lvsctl(&["why", "rs9", "--watch"]).await;
    assert_eq!(unknown.status.code(), Some(4), "{}", err(&unknown));
    for words in [&["reload", "--watch"][..], &["depool", "rs1", "-w"], &["status", "-w", "web"]] {
        assert_eq!(daemon.lvsctl(words).await.status.code(), Some(2), "{words:?}");
    }
}
