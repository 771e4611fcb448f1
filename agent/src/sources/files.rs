//! Pool files, read when they are wanted and again whenever they change.
//!
//! Directories are watched, not files: a rename over a file, the usual way to replace one as a whole, and the
//! swapped symbolic link of a mounted volume are changes of the directory. A file is read when a writer has closed
//! it or it was put in place, so one that is being written is not seen half. What inotify cannot see (a network file
//! system, a directory that appears later) is found by looking at the files' metadata now and then.

use super::{Said, Source};
use crate::config::Backend;
use crate::pool_file;
use crate::sources::inotify::Directories;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often files are looked at without a sign from inotify: their metadata only, so it costs next to nothing.
const LOOK: Duration = Duration::from_secs(5);

/// The pool files that are wanted.
#[derive(Debug)]
pub struct Files {
    wanted: watch::Receiver<BTreeSet<PathBuf>>,
    directories: Directories,
    /// Each file's stamp when it was last read; none when there was no such file.
    seen: BTreeMap<PathBuf, Option<Stamp>>,
    /// Those that are still to be looked at, the next one first.
    due: VecDeque<PathBuf>,
    reading: Option<Reading>,
}

/// What tells one content from another without reading it: device, inode, size, and times in nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

/// A file that is being read, on a thread for what may wait.
#[derive(Debug)]
struct Reading {
    path: PathBuf,
    stamp: Option<Stamp>,
    outcome: JoinHandle<Result<Vec<Backend>, String>>,
}

impl Files {
    /// None of them was read yet.
    ///
    /// # Errors
    /// When the kernel gives no inotify instance.
    pub fn new(wanted: watch::Receiver<BTreeSet<PathBuf>>) -> std::io::Result<Self> {
        let (seen, due, reading) = Default::default();
        let mut files = Self { wanted, directories: Directories::new()?, seen, due, reading };
        files.begin();
        Ok(files)
    }

    /// All that are wanted are to be looked at.
    fn begin(&mut self) {
        let files = self.wanted.borrow_and_update().clone();
        self.watch_directories(&files);
        self.seen.retain(|file, _| files.contains(file));
        self.due = files.into_iter().collect();
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

    /// Begins to read a file if it is not the one that was read last.
    fn look(&mut self, path: PathBuf) {
        let stamp = stamp(&path);
        if self.seen.get(&path) != Some(&stamp) {
            let file = path.clone();
            let outcome = tokio::task::spawn_blocking(move || read(&file));
            self.reading = Some(Reading { path, stamp, outcome });
        }
    }

    /// Waits until files are to be looked at again. Can be dropped at any point: changes that were not taken are still there.
    async fn sign(&mut self) {
        tokio::select! {
            changed = self.wanted.changed() => if changed.is_err() { std::future::pending().await },
            changed = self.directories.changed() => if let Err(error) = changed {
                tracing::error!(%error, "inotify failed; pool files are looked at periodically only");
                tokio::time::sleep(LOOK).await;
            },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

impl Source for Files {
    async fn next(&mut self) -> Said {
        loop {
            if let Some(reading) = &mut self.reading {
                // Dropped here, it goes on being read.
                let outcome = (&mut reading.outcome).await;
                let failed = |error| format!("{}: reading it failed: {error}", reading.path.display());
                let outcome = outcome.map_err(failed).flatten();
                let Some(Reading { path, stamp, .. }) = self.reading.take() else { continue };
                self.seen.insert(path.clone(), stamp);
                return Said::File { path, outcome };
            }
            match self.due.pop_front() {
                Some(path) => self.look(path),
                None => {
                    self.sign().await;
                    self.begin();
                }
            }
        }
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    let changed = metadata.ctime().wrapping_mul(1_000_000_000).wrapping_add(metadata.ctime_nsec());
    let modified = metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec());
    Some((metadata.dev(), metadata.ino(), metadata.size(), modified, changed))
}

fn read(file: &Path) -> Result<Vec<Backend>, String> {
    let error = |error: std::io::Error| format!("{}: {error}", file.display());
    // One byte more than is allowed is enough to be refused, and never more than that is held.
    let limit = pool_file::MAX_BYTES as u64 + 1;
    let mut text = Vec::new();
    std::fs::File::open(file).map_err(error)?.take(limit).read_to_end(&mut text).map_err(error)?;
    pool_file::parse(file, &text).map_err(|error| error.to_string())
}
