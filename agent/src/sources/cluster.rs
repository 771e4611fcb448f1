//! What is in a cluster, from wherever it is written down.
//!
//! Such a source says [`Said::Cluster`] only: the first as soon as it can, another whenever something has changed or it has begun
//! to fail.

use crate::config::SourceSettings;
use crate::core::action::WatchedCluster;
use crate::core::nodes::{Cluster, objects};
use crate::engine::Inbox;
use crate::sources::etcd::CalicoKeys;
use crate::sources::kubernetes::CalicoNodes;
use crate::sources::report::report;
use crate::sources::{Said, Source};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

/// There is one cluster, whose name as a source nobody sees.
const NAME: &str = "cluster";

/// How often a file is looked at: its metadata only, which costs next to nothing.
const LOOK: Duration = Duration::from_secs(1);

/// The largest file that is read: a thousand nodes with all that Kubernetes says of them take 20 MB.
const MAX_BYTES: u64 = 256 << 20;

/// What tells one content of a file from another: device, inode, size, and times in nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

/// A file with a list of objects, as `kubectl get … -o json` prints it, read again whenever it changes.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    /// What was last read; the inner none when there was no such file.
    seen: Option<Option<Stamp>>,
}

impl File {
    /// A file that was not read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, seen: None }
    }
}

impl Source for File {
    async fn next(&mut self) -> Said {
        loop {
            let stamp = stamp(&self.path);
            if self.seen != Some(stamp) {
                let outcome = read(&self.path).await;
                self.seen = Some(stamp);
                return Said::Cluster(outcome.map_err(|error| format!("{}: {error}", self.path.display())));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    let changed = metadata.ctime().wrapping_mul(1_000_000_000).wrapping_add(metadata.ctime_nsec());
    let modified = metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec());
    Some((metadata.dev(), metadata.ino(), metadata.size(), modified, changed))
}

async fn read(file: &Path) -> Result<Cluster, String> {
    let error = |error: std::io::Error| error.to_string();
    let mut text = Vec::new();
    let opened = tokio::fs::File::open(file).await.map_err(error)?;
    opened.take(MAX_BYTES + 1).read_to_end(&mut text).await.map_err(error)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {MAX_BYTES} bytes"));
    }
    objects::cluster(&text).map_err(|error| error.to_string())
}

/// The source that is watched.
#[derive(Debug)]
pub struct Handle {
    wanted: watch::Sender<Option<WatchedCluster>>,
    task: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Starts with none.
    pub fn spawn(inbox: Inbox) -> Self {
        let (wanted, receiver) = watch::channel(None);
        Self { wanted, task: tokio::spawn(run(receiver, inbox)) }
    }

    /// Watches this one.
    pub fn set(&self, place: Option<WatchedCluster>) {
        self.wanted.send_replace(place);
    }

    /// Ends the watch.
    pub fn stop(&self) {
        self.task.abort();
    }
}

async fn run(mut wanted: watch::Receiver<Option<WatchedCluster>>, inbox: Inbox) {
    loop {
        let place = wanted.borrow_and_update().clone();
        let (name, inbox) = (Arc::from(NAME), inbox.clone());
        let following = async {
            match place {
                Some(WatchedCluster::File(file)) => report(File::new(file), name, inbox).await,
                Some(WatchedCluster::Source(SourceSettings::Kubernetes(settings))) => {
                    report(CalicoNodes::new(settings), name, inbox).await;
                }
                Some(WatchedCluster::Source(SourceSettings::Etcd(settings))) => {
                    report(CalicoKeys::new(settings), name, inbox).await;
                }
                // The configuration names no other.
                Some(WatchedCluster::Source(SourceSettings::Http(_))) | None => {
                    std::future::pending::<()>().await;
                }
            }
        };
        // Another source is read from its beginning: what a dropped one did not say does not matter any more.
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = following => {}
        }
    }
}
