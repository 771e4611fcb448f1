//! The state file: read at start, replaced as a whole.

use crate::core::saved::Saved;
use serde::Serialize;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A state file that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The content is no state.
    #[error("{}: {source}; move it away to start without operators' changes and ownership", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
}

/// The state file of a state directory.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("state.json")
}

/// Reads the file; one that does not exist is an empty state.
pub fn load(path: &Path) -> Result<Saved, StateFileError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Saved::default()),
        Err(source) => return Err(StateFileError::Io { path: path.into(), source }),
    };
    serde_json::from_slice(&text).map_err(|source| StateFileError::Content { path: path.into(), source })
}

/// Replaces the state file.
pub fn save(path: &Path, saved: &Saved) -> Result<(), StateFileError> {
    replace(path, saved)
}

/// Replaces a file: written beside it, synced, renamed over it, so that a crash leaves the old or the new one.
fn replace(path: &Path, content: &impl Serialize) -> Result<(), StateFileError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(|source| StateFileError::Io { path: path.into(), source })?;
    put(path, content)?;
    sync(directory)
}

/// Has the names in a directory survive a crash.
pub(super) fn sync(directory: &Path) -> Result<(), StateFileError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| StateFileError::Io { path: directory.into(), source })
}

/// Replaces a file in a directory that is there, and that has yet to be synced ([`sync`]).
pub(super) fn put(path: &Path, content: &impl Serialize) -> Result<(), StateFileError> {
    let beside = write_beside(path, content, Synced::Now)?;
    std::fs::rename(&beside, path).map_err(|source| StateFileError::Io { path: path.into(), source })
}

/// When what was written is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Synced {
    /// When it is written.
    Now,
    /// When whoever writes has it synced, with others.
    Later,
}

/// Writes what is to become a file beside it; where it is.
pub(super) fn write_beside(
    path: &Path,
    content: &impl Serialize,
    synced: Synced,
) -> Result<PathBuf, StateFileError> {
    let io = |source| StateFileError::Io { path: path.into(), source };
    let wrong = |source| StateFileError::Content { path: path.into(), source };
    let beside = path.with_extension("json.new");
    // Made whole first: a write for each brace and number would keep a processor from the kernel for milliseconds.
    let mut text = serde_json::to_vec_pretty(content).map_err(wrong)?;
    text.push(b'\n');
    let mut file = File::create(&beside).map_err(io)?;
    file.write_all(&text).map_err(io)?;
    if synced == Synced::Now {
        file.sync_all().map_err(io)?;
    }
    Ok(beside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Admin;
    use crate::core::Timestamp;
    use crate::core::saved::Change;
    use std::sync::Arc;

    #[test]
    fn what_is_saved_is_loaded_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(&directory.path().join("made/on/the/way"));
        let mut saved = Saved::default();
        let reason = Some("disk".into());
        let (to, who, at) = (Admin::Depooled, "root".into(), Timestamp::from_micros(7));
        saved.admin.insert("rs1".into(), Change { to, who, at, reason, until: None });
        saved.owned = Arc::new(["tcp 192.0.2.10:80".parse().unwrap()].into());
        save(&path, &saved).unwrap();
        assert_eq!(load(&path).unwrap(), saved);
        save(&path, &Saved::default()).unwrap();
        assert_eq!(load(&path).unwrap(), Saved::default());
    }

    #[test]
    fn no_file_is_an_empty_state() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(load(&path(directory.path())).unwrap(), Saved::default());
    }

    #[test]
    fn a_broken_file_is_said_with_its_path_and_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        std::fs::write(&path, "{\"admin\":\n 7}").unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(error.contains("state.json") && error.contains("line 2"), "{error}");
    }
}
