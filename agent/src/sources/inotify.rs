//! An inotify instance that a task can wait for.

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use tokio::io::unix::AsyncFd;

/// What counts as a change of a file in a watched directory.
fn changes() -> AddWatchFlags {
    AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ATTRIB
}

/// Watches directories.
#[derive(Debug)]
pub(super) struct Directories(AsyncFd<Instance>);

/// Owns its descriptor for as long as it lives, and has only this one.
#[derive(Debug)]
struct Instance(Inotify);

impl AsRawFd for Instance {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Directories {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the kernel gives no inotify instance (`fs.inotify.max_user_instances`).
    pub(super) fn new() -> std::io::Result<Self> {
        let instance = Instance(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?);
        // SAFETY: the instance owns its descriptor, returns the same one each time, and nothing closes it before
        // AsyncFd, which owns the instance, is dropped.
        #[expect(unsafe_code, reason = "the only way into tokio's poller for a descriptor of another crate")]
        let registered = unsafe { AsyncFd::register(instance) }?;
        Ok(Self(registered))
    }

    /// Watches a directory; again changes nothing.
    ///
    /// # Errors
    /// When it is not there, not readable, or there are too many watches.
    pub(super) fn watch(&self, directory: &Path) -> std::io::Result<()> {
        self.0.get_ref().0.add_watch(directory, changes())?;
        Ok(())
    }

    /// Waits until something has changed. All changes so far count as one. Cancel-safe: readiness stays until the
    /// changes were taken.
    ///
    /// # Errors
    /// When the descriptor cannot be polled any more.
    pub(super) async fn changed(&self) -> std::io::Result<()> {
        let mut ready = self.0.readable().await?;
        while self.0.get_ref().0.read_events().is_ok_and(|events| !events.is_empty()) {}
        ready.clear_ready();
        Ok(())
    }
}
