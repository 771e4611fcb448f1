//! A cable between the machine and the lab's kernel: what is too heavy for that kernel runs on the machine's own and is reached
//! over it.
//!
//! ```text
//!   the machine, a network namespace of its own      inside
//!   bridge lab0, an address ── lab1 ═══════════ vec0 ── the servers' segment
//! ```
//!
//! Nobody else has that namespace: no name, port or address of the machine is in the way, and nothing is left behind.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use nix::sched::{CloneFlags, unshare};

use crate::wait::wait_until;

/// The end inside, in the namespace of process 1. User-mode Linux has given it this name.
pub(crate) const INSIDE: &str = "vec0";

/// How long a child may take to be in its own namespace.
const LIMIT: Duration = Duration::from_secs(60);

/// The end outside, of which there is nothing yet but the bridge that it will be put into.
#[derive(Clone, Copy, Debug)]
pub struct Cable(());

impl Cable {
    /// Does `work` on a thread in a network namespace of its own that has this address, and a length behind `/`. What it starts is
    /// there as well.
    pub fn laid<T: Send>(address: &str, work: impl FnOnce(Self) -> Result<T> + Send) -> Result<T> {
        let alone = || -> Result<T> {
            unshare(CloneFlags::CLONE_NEWNET).context("unshare(CLONE_NEWNET)")?;
            ip("link set lo up")?;
            ip("link add lab0 type bridge mcast_snooping 0")?;
            ip(&format!("addr add {address} dev lab0"))?;
            ip("link set lab0 up")?;
            work(Self(()))
        };
        thread::scope(|scope| scope.spawn(alone).join().map_err(|_| anyhow!("the machine's end panicked"))?)
    }

    /// Makes the end for a guest, and gives the word by which its kernel takes the other.
    pub(crate) fn to_guest(self) -> Result<&'static str> {
        ip("tuntap add dev lab1 mode tap")?;
        ip("link set lab1 master lab0 up")?;
        Ok("vec0:transport=tap,ifname=lab1")
    }

    /// Makes both ends for a child that is about to be in a network namespace of its own.
    pub(crate) fn to_child(self, pid: u32) -> Result<()> {
        let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
        let own = namespace("thread-self");
        let is_apart = || namespace(&pid.to_string()).is_some_and(|its| Some(its) != own);
        wait_until("the child has a network of its own", LIMIT, is_apart)?;
        ip(&format!("link add lab1 type veth peer name {INSIDE} netns {pid}"))?;
        ip("link set lab1 master lab0 up")
    }
}

fn ip(words: &str) -> Result<()> {
    let output = Command::new("ip").args(words.split(' ')).output().context("start ip")?;
    ensure!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
