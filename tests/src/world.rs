//! Inside: process 1 of the lab's kernel, or of its own namespaces on a kernel that has IPVS already.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::mount::{MsFlags, mount};
use serde::{Deserialize, Serialize};

use crate::{evidence, kernel};

/// The file, in the run's directory, that says how it ended.
pub(crate) const VERDICT: &str = "verdict.json";

/// What the lab needs beside what is built in: IPVS with all its schedulers, and the parts of the network.
const MODULES: [&str; 18] = [
    "ip_vs",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_lc",
    "ip_vs_wlc",
    "ip_vs_lblc",
    "ip_vs_lblcr",
    "ip_vs_dh",
    "ip_vs_sh",
    "ip_vs_sed",
    "ip_vs_nq",
    "ip_vs_fo",
    "ip_vs_ovf",
    "ip_vs_mh",
    "veth",
    "bridge",
    "dummy",
    "macvlan",
];

/// How a run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// Why it failed, unless it passed.
    pub failure: Option<String>,
    /// How long it took inside, mounts to end.
    pub seconds: f64,
}

/// The inside of the lab's kernel.
#[derive(Debug)]
pub struct World {
    name: String,
    directory: PathBuf,
    limit: Duration,
    modules: Option<PathBuf>,
    began: Instant,
}

impl World {
    /// `Some` when this process was started by [`kernel::Run`] as process 1.
    pub fn entered() -> Option<Self> {
        if std::process::id() != 1 {
            return None;
        }
        let variable = |name: &str| std::env::var(name).ok();
        Some(Self {
            name: variable(kernel::NAME)?,
            directory: variable(kernel::DIRECTORY)?.into(),
            limit: Duration::from_secs(variable(kernel::LIMIT)?.parse().ok()?),
            modules: variable(kernel::MODULES).map(PathBuf::from),
            began: Instant::now(),
        })
    }

    /// What is to be run.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where logs go; the only directory of the machine to be written to.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Since process 1 started.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Prepares the world, does the work within the time limit, leaves the verdict (and evidence of a failure), ends.
    pub fn run(self, work: impl FnOnce(&Self) -> Result<()> + Send + 'static) -> ! {
        let world = std::sync::Arc::new(self);
        let outcome = world.prepare().context("prepare the lab").and_then(|()| within_limit(&world, work));
        let failure = outcome.err().map(|error| format!("{error:#}"));
        match &failure {
            Some(failure) => {
                eprintln!("{failure}");
                evidence::collect(&world.directory);
            }
            None => evidence::discard(&world.directory),
        }
        let verdict = Verdict { failure, seconds: world.began.elapsed().as_secs_f64() };
        let written = serde_json::to_string(&verdict)
            .map_err(anyhow::Error::from)
            .and_then(|text| Ok(fs::write(world.directory.join(VERDICT), text)?));
        if let Err(error) = written {
            eprintln!("the verdict could not be written: {error:#}");
        }
        world.end(i32::from(verdict.failure.is_some()))
    }

    /// Loads modules of the kernel that not every scenario needs.
    pub fn load(&self, modules: &[&str]) -> Result<()> {
        let mut modprobe = Command::new("modprobe");
        if let Some(directory) = &self.modules {
            modprobe.arg("-d").arg(directory);
        }
        let status = modprobe.arg("-a").args(modules).status().context("run modprobe (package kmod)")?;
        ensure!(status.success(), "modprobe of {modules:?}: {status}");
        Ok(())
    }

    fn prepare(&self) -> Result<()> {
        let none = None::<&str>;
        let flags = MsFlags::empty();
        // Nothing that is mounted here is to be seen outside; a guest's root is private anyway.
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("make / private")?;
        mount(Some("proc"), "/proc", Some("proc"), flags, none).context("mount /proc")?;
        mount(Some("sysfs"), "/sys", Some("sysfs"), flags, none).context("mount /sys")?;
        mount(Some("tmpfs"), "/run", Some("tmpfs"), flags, Some("mode=755")).context("mount /run")?;
        self.load(&MODULES)?;
        ensure!(Path::new("/proc/net/ip_vs").exists(), "ip_vs is loaded and /proc/net/ip_vs is not there");
        Ok(())
    }

    /// A guest is switched off; in namespaces, process 1 ends and takes the others with it.
    fn end(&self, status: i32) -> ! {
        if self.modules.is_some() {
            let _ = nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_POWER_OFF);
        }
        std::process::exit(status)
    }
}

/// The work runs on its own thread, so that one that hangs still leaves evidence.
fn within_limit(
    world: &std::sync::Arc<World>,
    work: impl FnOnce(&World) -> Result<()> + Send + 'static,
) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    let its = world.clone();
    std::thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&its))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(anyhow!("panicked: {}", text.unwrap_or_default()))
        });
        // Nobody listens any more when the time limit has passed.
        let _ = sender.send(outcome);
    });
    receiver
        .recv_timeout(world.limit.saturating_sub(world.began.elapsed()))
        .map_err(|_| anyhow!("{} did not end within {:?}", world.name, world.limit))?
}
