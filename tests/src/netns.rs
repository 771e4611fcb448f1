//! Network namespaces by name, where iproute2 keeps them, so that `ip -n NAME` works beside this code.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

/// Where iproute2 looks for named namespaces.
pub const DIRECTORY: &str = "/run/netns";

/// The file that stands for the namespace `name`.
pub fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// Makes an empty namespace and binds it to its name.
pub fn create(name: &str) -> Result<()> {
    let target = path(name);
    std::fs::create_dir_all(DIRECTORY)?;
    File::create(&target).with_context(|| format!("create {}", target.display()))?;
    let bind = || -> Result<()> {
        unshare(CloneFlags::CLONE_NEWNET).context("unshare(CLONE_NEWNET)")?;
        mount(Some("/proc/thread-self/ns/net"), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("bind the namespace to {}", target.display()))
    };
    thread::scope(|scope| {
        scope.spawn(bind).join().map_err(|_| anyhow!("the thread making {name} panicked"))?
    })
}

/// Runs `work` on a thread of its own inside the namespace `name`; what it spawns starts there too.
pub fn enter<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
    let namespace = File::open(path(name)).with_context(|| format!("no namespace {name}"))?;
    let inside = || -> Result<T> {
        setns(&namespace, CloneFlags::CLONE_NEWNET).with_context(|| format!("setns({name})"))?;
        Ok(work())
    };
    thread::scope(|scope| scope.spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// The names of all namespaces of the lab, sorted.
pub fn names() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(DIRECTORY) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
