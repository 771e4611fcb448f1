//! The probe namespace: made and taken down by root, by a name that `ip netns` knows.
//!
//! Both are whole states: what is there already and right is left alone, so that `up` after a crash or with another
//! configuration ends where it should.

mod inside;

use crate::config::{Probes, Segment};
use anyhow::{Context, Result, anyhow, bail};
use futures_util::TryStreamExt;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{FsType, statfs};
use rtnetlink::{Handle, LinkMacVlan};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

/// Where iproute2 keeps named namespaces.
const DIRECTORY: &str = "/run/netns";

/// The file system of namespaces, NSFS_MAGIC of linux/magic.h.
const NSFS: FsType = FsType(0x6e73_6673);

/// This process' own namespace.
const OWN: &str = "/proc/self/ns/net";

/// Makes the namespace with an interface and addresses in each segment.
///
/// # Errors
/// What is missing, and where. What was made before stays.
pub fn up(settings: &Probes) -> Result<()> {
    let path = path(&settings.namespace);
    make(&path)?;
    let namespace = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    let missing = enter(&namespace, || over_rtnetlink(|rtnetlink| inside::begin(rtnetlink, settings)))?;
    over_rtnetlink(async |rtnetlink| {
        for (position, segment) in &missing {
            add_interface(&rtnetlink, segment, &inside::first_name(*position), &namespace)
                .await
                .with_context(|| format!("an interface on {} for the probes", segment.interface))?;
        }
        Ok(())
    })?;
    enter(&namespace, || over_rtnetlink(|rtnetlink| inside::finish(rtnetlink, settings)))
}

/// Takes the namespace down with everything in it.
///
/// # Errors
/// When a part of it stays, and why.
pub fn down(settings: &Probes) -> Result<()> {
    let path = path(&settings.namespace);
    if !is_namespace(&path) {
        return remove(&path);
    }
    let namespace = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    // The namespace itself lives until the last of its sockets is closed; its addresses must not.
    let emptied = enter(&namespace, || over_rtnetlink(inside::empty));
    umount2(&path, MntFlags::MNT_DETACH).with_context(|| format!("unmount {}", path.display()))?;
    remove(&path)?;
    emptied
}

/// Whether this process is in the namespace.
///
/// # Errors
/// When there is none of that name.
pub fn is_inside(name: &str) -> Result<bool> {
    let identity = |path: &Path| -> std::io::Result<(u64, u64)> {
        let metadata = fs::metadata(path)?;
        Ok((metadata.dev(), metadata.ino()))
    };
    let named = path(name);
    let its = identity(&named).with_context(|| {
        format!("no network namespace {name} ({}): run `lvsd probes up` as root", named.display())
    })?;
    Ok(its == identity(Path::new(OWN)).context(OWN)?)
}

fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

fn is_namespace(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == NSFS)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Has a namespace bound to the path.
fn make(path: &Path) -> Result<()> {
    if is_namespace(path) {
        return Ok(());
    }
    fs::create_dir_all(DIRECTORY).with_context(|| format!("create {DIRECTORY}"))?;
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("create {}", path.display()))?;
    on_a_thread(|| {
        let none = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNET)
            .context("a new network namespace; it needs root (CAP_SYS_ADMIN)")?;
        mount(Some("/proc/thread-self/ns/net"), path, none, MsFlags::MS_BIND, none)
            .with_context(|| format!("bind the network namespace to {}", path.display()))
    })
}

/// Does something inside a namespace.
fn enter<T: Send>(namespace: &File, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_a_thread(|| {
        setns(namespace, CloneFlags::CLONE_NEWNET)
            .context("enter the network namespace; it needs root (CAP_SYS_ADMIN)")?;
        work()
    })
}

/// A thread is in a namespace of its own choice, and ends with what it did.
fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(work).join().map_err(|_| anyhow!("a thread has panicked"))?)
}

/// Does something with a socket to the kernel, in the namespace that the thread is in.
fn over_rtnetlink<T, F: Future<Output = Result<T>>>(work: impl FnOnce(Handle) -> F) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (connection, rtnetlink, _) = rtnetlink::new_connection().context("no netlink socket")?;
        tokio::select! {
            () = connection => bail!("the rtnetlink connection has ended"),
            outcome = work(rtnetlink) => outcome,
        }
    })
}

/// Puts an interface into the namespace: a second foot on the wire of the balancer's interface.
async fn add_interface(rtnetlink: &Handle, segment: &Segment, name: &str, namespace: &File) -> Result<()> {
    let lower = index(rtnetlink, &segment.interface).await?;
    let lower = lower.with_context(|| format!("{} is not there", segment.interface))?;
    let message = LinkMacVlan::new(name, lower, netlink_packet_route::link::MacVlanMode::Bridge)
        .setns_by_fd(namespace.as_raw_fd())
        .build();
    let added = rtnetlink.link().add(message).execute().await;
    added.context("a macvlan; it needs CAP_NET_ADMIN and the kernel's module macvlan")
}

/// The index of an interface, if it is there.
async fn index(rtnetlink: &Handle, name: &str) -> Result<Option<u32>> {
    let mut links = rtnetlink.link().get().execute();
    while let Some(link) = links.try_next().await? {
        if inside::name_of(&link) == Some(name) {
            return Ok(Some(link.header.index));
        }
    }
    Ok(None)
}
