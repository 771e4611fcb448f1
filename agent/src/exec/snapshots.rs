//! The last good content of each pool file, one file each, for the next process.

use crate::config::Backend;
use crate::core::inventory::Snapshots;
use crate::ctl::escape;
use crate::exec::state_file::{StateFileError, replace};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// The longest file name that file systems take (`NAME_MAX`).
const NAME_MAX: usize = 255;

/// One snapshot's file.
#[derive(Debug, Serialize, Deserialize)]
struct Snapshot {
    source: PathBuf,
    backends: Arc<Vec<Backend>>,
}

/// Where the snapshots of a state directory are.
pub fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("pools")
}

/// Reads all snapshots. One that cannot be read is left out and said: its source will speak for itself.
pub fn load(directory: &Path) -> Snapshots {
    let Ok(entries) = std::fs::read_dir(directory) else { return Snapshots::new() };
    let files = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    files
        .filter(|file| file.extension().is_some_and(|extension| extension == "json"))
        .filter_map(|file| match read(&file) {
            Ok(Snapshot { source, backends }) => Some((source, backends)),
            Err(error) => {
                tracing::warn!(%error, "a snapshot of a pool file cannot be used");
                None
            }
        })
        .collect()
}

fn read(file: &Path) -> Result<Snapshot, StateFileError> {
    let text = std::fs::read(file).map_err(|source| StateFileError::Io { path: file.into(), source })?;
    serde_json::from_slice(&text).map_err(|source| StateFileError::Content { path: file.into(), source })
}

/// The task that writes.
#[derive(Debug)]
pub struct Handle {
    wanted: watch::Sender<Snapshots>,
    task: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Starts a writer of this directory.
    pub fn spawn(directory: PathBuf) -> Self {
        let (wanted, receiver) = watch::channel(Snapshots::new());
        Self { wanted, task: tokio::spawn(run(directory, receiver)) }
    }

    /// Keeps exactly these.
    pub fn set(&self, snapshots: Snapshots) {
        self.wanted.send_replace(snapshots);
    }

    /// Writes what is waiting, then ends.
    pub async fn finish(self) {
        drop(self.wanted);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the writer of snapshots has failed");
        }
    }
}

async fn run(directory: PathBuf, mut wanted: watch::Receiver<Snapshots>) {
    let mut written = Snapshots::new();
    // When the sender is gone, what it set last is still seen as a change first.
    while wanted.changed().await.is_ok() {
        let snapshots = wanted.borrow_and_update().clone();
        let (directory, before) = (directory.clone(), std::mem::take(&mut written));
        let now = snapshots.clone();
        let done = tokio::task::spawn_blocking(move || write(&directory, &before, &now)).await;
        match done {
            Ok(errors) => {
                errors.iter().for_each(|error| tracing::warn!(%error, "a snapshot could not be kept"))
            }
            Err(error) => tracing::error!(%error, "the writer of snapshots has failed"),
        }
        written = snapshots;
    }
}

/// Writes the snapshots that changed and removes all others. Goes on after errors, and gives them.
fn write(directory: &Path, before: &Snapshots, now: &Snapshots) -> Vec<StateFileError> {
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    for (source, backends) in now {
        let name = format!("{}.json", escape(&source.to_string_lossy()));
        let file = directory.join(&name);
        if name.len() > NAME_MAX {
            let error = std::io::Error::other("its path is too long to be a file's name");
            errors.push(StateFileError::Io { path: source.clone(), source: error });
            continue;
        }
        names.insert(file.clone());
        if before.get(source) != Some(backends) {
            let snapshot = Snapshot { source: source.clone(), backends: Arc::clone(backends) };
            errors.extend(replace(&file, &snapshot).err());
        }
    }
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    for file in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        if !names.contains(&file) {
            errors.extend(
                std::fs::remove_file(&file).err().map(|source| StateFileError::Io { path: file, source }),
            );
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Admin;

    fn pool(weight: u32) -> Arc<Vec<Backend>> {
        let weight = ipvs::Weight::new(weight).unwrap();
        Arc::new(vec![Backend {
            host: "rs1".into(),
            weight,
            pooled: Admin::Pooled,
            limits: Default::default(),
        }])
    }

    #[tokio::test]
    async fn exactly_what_is_wanted_is_kept_also_when_it_was_wanted_last() {
        let place = tempfile::tempdir().unwrap();
        let directory = directory(place.path());
        let first = Snapshots::from([("/pools/a.json".into(), pool(1)), ("/pools/b.json".into(), pool(2))]);
        let second = Snapshots::from([("/pools/b.json".into(), pool(3))]);
        let handle = Handle::spawn(directory.clone());
        handle.set(first);
        handle.set(second.clone());
        handle.finish().await;
        assert_eq!(load(&directory), second);
        let again = Handle::spawn(directory.clone());
        again.set(Snapshots::new());
        again.finish().await;
        assert_eq!(load(&directory), Snapshots::new());
    }

    #[test]
    fn a_broken_snapshot_costs_only_itself() {
        let place = tempfile::tempdir().unwrap();
        let good = Snapshots::from([("/pools/a.json".into(), pool(1))]);
        assert!(write(place.path(), &Snapshots::new(), &good).is_empty());
        std::fs::write(place.path().join("broken.json"), "{").unwrap();
        assert_eq!(load(place.path()), good);
    }
}
