//! Pool files, read when they are wanted and again whenever they change.
//!
//! Directories are watched, not files: a rename over a file, the usual way to replace one as a whole, and the
//! swapped symbolic link of a mounted volume are changes of the directory. A file is read when a writer has closed
//! it or it was put in place, so one that is being written is not seen half. What inotify cannot see (a network file
//! system, a directory that appears later) is found by looking at the files' metadata now and then.

use crate::config::PoolId;
use crate::core::Event;
use crate::engine::Inbox;
use crate::pool_file;
use crate::sources::inotify::Directories;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

/// How often files are looked at without a sign from inotify: their metadata only, so it costs next to nothing.
const LOOK: Duration = Duration::from_secs(5);

/// The set of files that is watched.
#[derive(Debug)]
pub struct Handle {
    wanted: watch::Sender<BTreeSet<PathBuf>>,
    task: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Starts with no files.
    ///
    /// # Errors
    /// When the kernel gives no inotify instance.
    pub fn spawn(inbox: Inbox) -> std::io::Result<Self> {
        let watcher = Watcher { directories: Directories::new()?, inbox, seen: BTreeMap::new() };
        let (wanted, receiver) = watch::channel(BTreeSet::new());
        Ok(Self { wanted, task: tokio::spawn(watcher.run(receiver)) })
    }

    /// Watches exactly these.
    pub fn set(&self, files: BTreeSet<PathBuf>) {
        self.wanted.send_replace(files);
    }

    /// Ends the watch.
    pub fn stop(&self) {
        self.task.abort();
    }
}

/// What tells one content from another without reading it: device, inode, size, and times in nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

struct Watcher {
    directories: Directories,
    inbox: Inbox,
    /// Each file's stamp when it was last read; none when there was no such file.
    seen: BTreeMap<PathBuf, Option<Stamp>>,
}

impl Watcher {
    async fn run(mut self, mut wanted: watch::Receiver<BTreeSet<PathBuf>>) {
        loop {
            let files = wanted.borrow_and_update().clone();
            self.watch_directories(&files);
            self.seen.retain(|file, _| files.contains(file));
            for file in &files {
                self.look(file).await;
            }
            // Every branch can be dropped at any point: changes that were not taken are still there.
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                changed = self.directories.changed() => if let Err(error) = changed {
                    tracing::error!(%error, "inotify failed; pool files are looked at periodically only");
                    tokio::time::sleep(LOOK).await;
                },
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Watches the directory of each file, and of what it links to. Watching one again changes nothing.
    fn watch_directories(&self, files: &BTreeSet<PathBuf>) {
        let target = |file: &PathBuf| std::fs::canonicalize(file).ok();
        let paths = files.iter().cloned().chain(files.iter().filter_map(target));
        let directories: BTreeSet<PathBuf> =
            paths.filter_map(|path| path.parent().map(Path::to_path_buf)).collect();
        for directory in directories {
            if let Err(error) = self.directories.watch(&directory) {
                tracing::debug!(directory = %directory.display(), %error, "cannot be watched; it is looked at periodically");
            }
        }
    }

    /// Reads a file if it is not the one that was read last.
    async fn look(&mut self, file: &Path) {
        let stamp = stamp(file);
        if self.seen.get(file) == Some(&stamp) {
            return;
        }
        let outcome = read(file).await;
        self.seen.insert(file.into(), stamp);
        self.inbox.event(Event::PoolRead { pool: PoolId::File(file.into()), outcome }).await;
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    let changed = metadata.ctime().wrapping_mul(1_000_000_000).wrapping_add(metadata.ctime_nsec());
    let modified = metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec());
    Some((metadata.dev(), metadata.ino(), metadata.size(), modified, changed))
}

async fn read(file: &Path) -> Result<Vec<crate::config::Backend>, String> {
    let error = |error: std::io::Error| format!("{}: {error}", file.display());
    // One byte more than is allowed is enough to be refused, and never more than that is held.
    let limit = pool_file::MAX_BYTES as u64 + 1;
    let mut text = Vec::new();
    tokio::fs::File::open(file)
        .await
        .map_err(error)?
        .take(limit)
        .read_to_end(&mut text)
        .await
        .map_err(error)?;
    pool_file::parse(file, &text).map_err(|error| error.to_string())
}
