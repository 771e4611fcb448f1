//! The last good content of each pool that is kept elsewhere, and each service that a source has, one file each, for the
//! next process.

use crate::config::{Backend, PoolId, Service};
use crate::core::Timestamp;
use crate::core::inventory::{Kept, Snapshots};
use crate::ctl::escape;
use crate::exec::state_file::{StateFileError, Synced, sync, write_beside};
use crate::privileges;
use nix::unistd::syncfs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// The longest file name that file systems take (`NAME_MAX`).
const NAME_MAX: usize = 255;

/// Files that are written together at most: so many are in memory as they will be.
const TOGETHER: usize = 1024;

/// With more than these the whole file system is synced once: that is quicker by far than each for itself.
const FEW: usize = 32;

/// One snapshot's file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Snapshot {
    Pool {
        source: PoolId,
        backends: Arc<Vec<Backend>>,
    },
    Service {
        source: Arc<str>,
        service: Arc<Service>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created: Option<Timestamp>,
    },
}

/// Where the snapshots of a state directory are.
pub fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("pools")
}

/// Reads all snapshots. One that cannot be read is left out and said: its source will speak for itself.
pub fn load(directory: &Path) -> Snapshots {
    let Ok(entries) = std::fs::read_dir(directory) else { return Snapshots::new() };
    let files = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "json"));
    let (mut pools, mut services) = (Vec::new(), Vec::new());
    for file in files {
        match read(&file) {
            Ok(Snapshot::Pool { source, backends }) => pools.push((source, backends)),
            Ok(Snapshot::Service { source, service, created }) => {
                services.push((source, Kept { service, created }));
            }
            Err(error) => tracing::warn!(%error, "a snapshot cannot be used"),
        }
    }
    let mut snapshots: Snapshots = pools.into_iter().collect();
    snapshots.add_services(services);
    snapshots
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
    /// Starts a writer of this directory; without one, as in a dry run, nothing is kept.
    pub fn spawn(directory: Option<PathBuf>) -> Self {
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

async fn run(directory: Option<PathBuf>, mut wanted: watch::Receiver<Snapshots>) {
    let mut written = None;
    let Some(directory) = directory else { return };
    // When the sender is gone, what it set last is still seen as a change first.
    while wanted.changed().await.is_ok() {
        let now = wanted.borrow_and_update().clone();
        let (directory, before) = (directory.clone(), written.replace(now.clone()));
        let done = aside(move || match before {
            Some(before) => write_changed(&directory, &before, &now),
            None => write_all(&directory, &now),
        });
        match done.await {
            Ok(errors) => {
                errors.iter().for_each(|error| tracing::warn!(%error, "a snapshot could not be kept"))
            }
            Err(error) => tracing::error!(%error, "the writer of snapshots has failed"),
        }
    }
}

/// Does something on a thread of its own before which all others go: a start has thousands of files to write, and the kernel's table
/// is not to wait for them.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (done, result) = oneshot::channel();
    let work = move || {
        privileges::give_way();
        // Who waits may have gone.
        drop(done.send(work()));
    };
    let thread = std::thread::Builder::new().name("snapshots".into()).spawn(work);
    thread.map_err(|error| error.to_string())?;
    result.await.map_err(|_| "its thread has ended".into())
}

/// Writes all snapshots and removes whatever else is there. Goes on after errors, and gives them.
fn write_all(directory: &Path, now: &Snapshots) -> Vec<StateFileError> {
    let mut errors = write_changed(directory, &Snapshots::new(), now);
    let pools = now.iter().map(|(id, _)| pool_file(id));
    let services = now.services().map(|(source, kept)| service_file(source, &kept.service.name));
    let names: BTreeSet<PathBuf> = pools.chain(services).map(|name| directory.join(name)).collect();
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let others = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    errors.extend(others.filter(|file| !names.contains(file)).filter_map(|file| remove(&file)));
    errors
}

/// Writes those that changed and removes those that are gone.
fn write_changed(directory: &Path, before: &Snapshots, now: &Snapshots) -> Vec<StateFileError> {
    if let Err(source) = std::fs::create_dir_all(directory) {
        return vec![StateFileError::Io { path: directory.into(), source }];
    }
    let pools = now.changed_since(before).map(|(id, backends)| {
        let content =
            backends.map(|backends| Snapshot::Pool { source: id.clone(), backends: Arc::clone(backends) });
        (directory.join(pool_file(id)), content)
    });
    let services = now.services_changed_since(before).map(|(source, name, kept)| {
        let (source, kept) = (Arc::clone(source), kept.cloned());
        let file = directory.join(service_file(&source, name));
        (file, kept.map(|Kept { service, created }| Snapshot::Service { source, service, created }))
    });
    let (mut changed, mut errors) = (pools.chain(services), Vec::new());
    loop {
        let together: Vec<_> = changed.by_ref().take(TOGETHER).collect();
        if together.is_empty() {
            break;
        }
        errors.extend(write(directory, &together));
    }
    // Once for all: thousands come together at a start.
    errors.extend(sync(directory).err());
    errors
}

/// Writes files, or removes them when there is nothing to be kept. Goes on after errors, and gives them.
fn write(directory: &Path, together: &[(PathBuf, Option<Snapshot>)]) -> Vec<StateFileError> {
    let synced = if together.len() > FEW { Synced::Later } else { Synced::Now };
    let (mut written, mut errors) = (Vec::new(), Vec::new());
    for (file, content) in together {
        let Some(content) = content else {
            errors.extend(remove(file));
            continue;
        };
        match named(file).and_then(|()| write_beside(file, content, synced)) {
            Ok(beside) => written.push((beside, file)),
            Err(error) => errors.push(error),
        }
    }
    if synced == Synced::Later
        && let Err(source) = File::open(directory).and_then(|opened| Ok(syncfs(opened)?))
    {
        // Renamed, one might be empty after a crash; the former ones stay.
        errors.push(StateFileError::Io { path: directory.into(), source });
        return errors;
    }
    for (beside, file) in written {
        let renamed = std::fs::rename(beside, file);
        errors.extend(renamed.err().map(|source| StateFileError::Io { path: file.clone(), source }));
    }
    errors
}

fn named(file: &Path) -> Result<(), StateFileError> {
    if file.file_name().is_none_or(|name| name.len() <= NAME_MAX) {
        return Ok(());
    }
    let source = std::io::Error::other("the name is too long to be a file's");
    Err(StateFileError::Io { path: file.into(), source })
}

fn remove(file: &Path) -> Option<StateFileError> {
    let error = std::fs::remove_file(file).err().filter(|error| error.kind() != ErrorKind::NotFound);
    error.map(|source| StateFileError::Io { path: file.into(), source })
}

/// The file of a service's snapshot.
fn service_file(source: &str, name: &str) -> String {
    format!("{}=={}.json", escape(source), escape(name))
}

/// The file of a pool's snapshot. No two share one: what a name may not have is escaped, `=` among it.
fn pool_file(id: &PoolId) -> String {
    match id {
        PoolId::File(path) => format!("{}.json", escape(&path.to_string_lossy())),
        PoolId::Remote { source, query } => {
            format!("{}={}.json", escape(source), escape(&query.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Admin, Query};
    use std::time::Duration;

    fn pool(weight: u32) -> Arc<Vec<Backend>> {
        let weight = ipvs::Weight::new(weight).unwrap();
        let (pooled, limits) = (Admin::Pooled, Default::default());
        Arc::new(vec![Backend { host: "rs1".into(), weight, pooled, limits, addresses: None }])
    }

    fn snapshots(pools: &[(PoolId, u32)]) -> Snapshots {
        pools.iter().map(|(id, weight)| (id.clone(), pool(*weight))).collect()
    }

    fn file(path: &str) -> PoolId {
        PoolId::File(path.into())
    }

    #[tokio::test]
    async fn exactly_what_is_wanted_is_kept_also_when_it_was_wanted_last() {
        let place = tempfile::tempdir().unwrap();
        let directory = directory(place.path());
        let etcd =
            PoolId::Remote { source: "conftool".into(), query: Query::Path("eqiad/cache/text".into()) };
        let handle = Handle::spawn(Some(directory.clone()));
        handle.set(snapshots(&[(file("/pools/a.json"), 1), (file("/pools/b.json"), 2), (etcd.clone(), 4)]));
        tokio::time::timeout(Duration::from_secs(30), async {
            while load(&directory).iter().count() < 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("three are written");
        let second = snapshots(&[(file("/pools/b.json"), 3), (etcd, 4)]);
        handle.set(second.clone());
        handle.finish().await;
        assert_eq!(load(&directory), second);
        let again = Handle::spawn(Some(directory.clone()));
        again.set(Snapshots::new());
        again.finish().await;
        assert_eq!(load(&directory), Snapshots::new());
    }

    #[test]
    fn thousands_are_written_and_removed_as_one_is() {
        let place = tempfile::tempdir().unwrap();
        let all =
            |weight: u32| (0..TOGETHER + FEW + 9).map(move |n| (file(&format!("/pools/{n}.json")), weight));
        let first = snapshots(&all(1).collect::<Vec<_>>());
        assert!(write_all(place.path(), &first).is_empty());
        assert_eq!(load(place.path()), first);
        let too_long = file(&format!("/{}.json", "x".repeat(NAME_MAX)));
        let second = snapshots(&all(2).skip(9).chain([(too_long.clone(), 7)]).collect::<Vec<_>>());
        let errors = write_changed(place.path(), &first, &second);
        assert!(matches!(&errors[..], [error] if error.to_string().contains("too long")), "{errors:?}");
        assert_eq!(load(place.path()), snapshots(&all(2).skip(9).collect::<Vec<_>>()));
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), TOGETHER + FEW, "and nothing beside");
    }

    #[test]
    fn a_broken_snapshot_costs_only_itself() {
        let place = tempfile::tempdir().unwrap();
        let good = snapshots(&[(file("/pools/a.json"), 1)]);
        assert!(write_all(place.path(), &good).is_empty());
        std::fs::write(place.path().join("broken.json"), "{").unwrap();
        assert_eq!(load(place.path()), good);
    }

    #[test]
    fn a_file_and_a_sources_pool_of_the_same_name_do_not_share_a_snapshot() {
        let query = Query::Path("text".into());
        let remote = PoolId::Remote { source: "conftool".into(), query };
        assert_ne!(pool_file(&remote), pool_file(&file("conftool=text")));
        assert_ne!(pool_file(&remote), pool_file(&file("conftool:text")));
    }
}
