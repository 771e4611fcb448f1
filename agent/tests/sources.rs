//! Pool files and host names as they really change: on a file system and at the system's resolver.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use futures_util::FutureExt;
use lvsd::core::Event;
use lvsd::engine::{Inbox, Input};
use lvsd::sources::files::Files;
use lvsd::sources::{Said, Source, names};
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// Longest that a slow machine may take for a change to arrive.
const LIMIT: Duration = Duration::from_secs(120);

struct Watched {
    source: Files,
    _wanted: watch::Sender<BTreeSet<PathBuf>>,
}

impl Watched {
    fn new(files: &[&Path]) -> Self {
        let (wanted, receiver) = watch::channel(files.iter().map(PathBuf::from).collect());
        Self { source: Files::new(receiver).unwrap(), _wanted: wanted }
    }

    /// The next reading whose weights are these, whatever was read before.
    async fn wait_for_weights(&mut self, weights: &[u32]) {
        self.wait(|outcome| {
            outcome
                .as_ref()
                .is_ok_and(|found| found.iter().map(|b| b.weight.get()).eq(weights.iter().copied()))
        })
        .await;
    }

    async fn wait_for_error(&mut self, words: &str) {
        self.wait(|outcome| outcome.as_ref().is_err_and(|error| error.contains(words))).await;
    }

    async fn wait(&mut self, is_it: impl Fn(&Result<Vec<lvsd::config::Backend>, String>) -> bool) {
        let wait = async {
            loop {
                let Said::File { outcome, .. } = self.source.next().await else {
                    panic!("files have no other word")
                };
                if is_it(&outcome) {
                    return;
                }
            }
        };
        tokio::time::timeout(LIMIT, wait).await.expect("the change arrives");
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_by_a_rename_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("web.json");
    fs::write(&file, r#"{"rs1": {"weight": 1}}"#).unwrap();
    let mut watched = Watched::new(&[&file]);
    watched.wait_for_weights(&[1]).await;
    for weight in 2..5 {
        let beside = directory.path().join(".web.json.new");
        fs::write(&beside, format!(r#"{{"rs1": {{"weight": {weight}}}}}"#)).unwrap();
        fs::rename(&beside, &file).unwrap();
        watched.wait_for_weights(&[weight]).await;
    }
}

#[tokio::test]
async fn a_file_that_is_written_in_place_is_read_when_it_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("web.json");
    fs::write(&file, r#"{"rs1": {"weight": 1}}"#).unwrap();
    let mut watched = Watched::new(&[&file]);
    watched.wait_for_weights(&[1]).await;
    fs::write(&file, r#"{"rs1": {"weight": 2}, "rs2": {"weight": 3}}"#).unwrap();
    watched.wait_for_weights(&[2, 3]).await;
}

#[tokio::test]
async fn a_link_that_is_swapped_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    for weight in [1, 2] {
        fs::create_dir(directory.path().join(format!("v{weight}"))).unwrap();
        let text = format!(r#"{{"rs1": {{"weight": {weight}}}}}"#);
        fs::write(directory.path().join(format!("v{weight}/web.json")), text).unwrap();
    }
    std::os::unix::fs::symlink("v1", directory.path().join("data")).unwrap();
    let file = directory.path().join("web.json");
    std::os::unix::fs::symlink("data/web.json", &file).unwrap();
    let mut watched = Watched::new(&[&file]);
    watched.wait_for_weights(&[1]).await;
    std::os::unix::fs::symlink("v2", directory.path().join("data.new")).unwrap();
    fs::rename(directory.path().join("data.new"), directory.path().join("data")).unwrap();
    watched.wait_for_weights(&[2]).await;
}

#[tokio::test]
async fn a_file_that_is_missing_empty_or_broken_is_an_error_until_it_is_right() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("not/yet/web.json");
    let mut watched = Watched::new(&[&file]);
    watched.wait_for_error("web.json: No such file").await;
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "").unwrap();
    watched.wait_for_error("empty").await;
    fs::write(&file, r#"{"rs1": {"weight": 7"#).unwrap();
    watched.wait_for_error("web.json:1:").await;
    fs::write(&file, r#"{"rs1": {"weight": 7}}"#).unwrap();
    watched.wait_for_weights(&[7]).await;
    fs::remove_file(&file).unwrap();
    watched.wait_for_error("No such file").await;
}

#[tokio::test]
async fn who_only_asks_now_and_then_hears_of_every_file_once() {
    let directory = tempfile::tempdir().unwrap();
    let files: BTreeSet<_> = (0..50).map(|number| directory.path().join(format!("{number}.json"))).collect();
    files.iter().for_each(|file| fs::write(file, r#"{"rs1": {"weight": 1}}"#).unwrap());
    let mut watched = Watched::new(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    let mut heard = Vec::new();
    let asking = async {
        while heard.len() < files.len() {
            match watched.source.next().now_or_never() {
                Some(Said::File { path, outcome: Ok(_) }) => heard.push(path),
                Some(other) => panic!("{other:?}"),
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    tokio::time::timeout(LIMIT, asking).await.expect("all are heard of");
    assert!(heard.iter().eq(&files), "{heard:?}");
}

#[tokio::test]
async fn a_file_without_end_is_refused_by_its_size() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("web.json");
    fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
    let mut watched = Watched::new(&[&file]);
    watched.wait_for_error("web.json").await;
}

#[tokio::test]
async fn names_are_looked_up_at_once_and_again() {
    let (inbox, mut receiver) = Inbox::new();
    let handle = names::Handle::spawn(Duration::from_millis(100), inbox);
    handle.set(BTreeSet::from(["localhost".to_string(), "no-such-host.invalid".to_string()]));
    let (mut found, mut failed) = (0, 0);
    let wait = async {
        while found < 2 || failed < 2 {
            let Some(Input::Event(Event::Resolved { host, outcome })) = receiver.recv().await else {
                continue;
            };
            match outcome {
                Ok(addresses) => {
                    assert_eq!(host, "localhost");
                    assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
                    found += 1;
                }
                Err(error) => {
                    assert!(error.starts_with("no-such-host.invalid: "), "{error}");
                    failed += 1;
                }
            }
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("both are looked up twice");
}
