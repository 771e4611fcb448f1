//! A host of the lab: a network namespace, the processes that run in it, and where they log.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::netns;

/// Files of a host's programs (sockets, configurations) are below this, a tmpfs.
const FILES: &str = "/run/lab";

/// One host. Cheap to clone: the namespace itself lives as long as its name does.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    logs: PathBuf,
}

impl Host {
    /// Makes the namespace and the host's directory; its programs will log below `logs`.
    pub fn create(name: &str, logs: &Path) -> Result<Self> {
        netns::create(name)?;
        let host = Self { name: name.to_owned(), logs: logs.to_owned() };
        fs::create_dir_all(host.files())?;
        Ok(host)
    }

    /// A namespace beside this host that is there already: its programs log where this host's do.
    pub(crate) fn beside(&self, name: &str) -> Self {
        Self { name: name.to_owned(), logs: self.logs.clone() }
    }

    /// The host's name, which is its namespace's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory for this host's sockets and configurations.
    pub fn files(&self) -> PathBuf {
        files_of(&self.name)
    }

    /// The log file of `program` on this host.
    pub fn log(&self, program: &str) -> PathBuf {
        self.logs.join(format!("{}.{program}.log", self.name))
    }

    /// Runs `work` on a thread inside this host.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        netns::enter(&self.name, work)
    }

    /// Starts a long-lived process here; its output is appended to the log of `program`.
    pub fn spawn(&self, program: &str, mut command: Command) -> Result<Process> {
        let log = self.log(program);
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = self
            .enter(|| command.spawn())?
            .with_context(|| format!("start {:?} on {}", command.get_program(), self.name))?;
        Ok(Process { name: format!("{program} on {}", self.name), child })
    }

    /// Runs a command to its end, whatever its exit status.
    pub fn output(&self, argv: &[&str]) -> Result<Output> {
        let (program, arguments) = argv.split_first().context("an empty command")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        self.enter(|| command.output())?.with_context(|| format!("start {program} on {}", self.name))
    }

    /// Runs a command to its end and returns what it printed; an error when it failed.
    pub fn run(&self, argv: &[&str]) -> Result<String> {
        let output = self.output(argv)?;
        if !output.status.success() {
            bail!(
                "{} on {}: {}: {}",
                argv.join(" "),
                self.name,
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Sets kernel parameters of this host's namespace, named with dots as sysctl(8) does.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            for (key, value) in settings {
                let path = Path::new("/proc/sys").join(key.replace('.', "/"));
                fs::write(&path, value).with_context(|| format!("{}: {key} = {value}", self.name))?;
            }
            Ok(())
        })?
    }
}

/// The directory of the host `name`, for those who know only the name.
pub fn files_of(name: &str) -> PathBuf {
    Path::new(FILES).join(name)
}

/// A long-lived process of a host. Unless it is ended it runs as long as the lab: a scenario that fails leaves
/// everything running, so that it can still be asked.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// The process id, in the lab's own process table.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id() as i32), signal)
            .with_context(|| format!("{signal} to {}", self.name))
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("kill {}", self.name))?;
        self.child.wait().with_context(|| format!("wait for {}", self.name))?;
        Ok(())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().with_context(|| format!("wait for {}", self.name))? {
                return Ok(status);
            }
            if start.elapsed() >= limit {
                bail!("{} still runs after {limit:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends SIGTERM and waits for the end; an error unless it exits with 0 or by that signal.
    pub fn terminate(&mut self, limit: Duration) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = self.wait(limit)?;
        if status.success() || status.signal() == Some(Signal::SIGTERM as i32) {
            return Ok(());
        }
        bail!("{} ended with {status}", self.name)
    }
}
