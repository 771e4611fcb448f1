//! lvsd as a whole process on the machine's own kernel, where no lab slows it down: a dry run, as there is no IPVS, in a network
//! namespace of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};

use crate::kernel::built;

/// Where it answers.
pub const HTTP: &str = "127.0.0.1:9090";

/// Runs this program with these arguments in a network namespace of its own, and waits for its end.
pub fn in_a_namespace(arguments: &[&str], directory: &Path) -> Result<()> {
    let mut command = Command::new("unshare");
    command.arg("--net").arg("--").arg(std::env::current_exe()?).args(arguments).arg(directory);
    let status = command.status().context("run unshare (util-linux)")?;
    ensure!(status.success(), "what ran in a namespace of its own: {status}");
    Ok(())
}

/// lvsd.
#[derive(Debug)]
pub struct DryRun {
    child: Child,
    socket: PathBuf,
}

impl DryRun {
    /// Starts it in this namespace with what a configuration has beside `[lvsd]`, on these processors, as taskset(1) takes them;
    /// its files are in `directory`.
    pub fn start(directory: &Path, configuration: &str, processors: &str) -> Result<Self> {
        let files = directory.display();
        let text = format!(
            "[lvsd]\nstate_dir = \"{files}/state\"\ncontrol_socket = \"{files}/control.sock\"\nhttp = \"{HTTP}\"\n{configuration}"
        );
        let file = directory.join("lvsd.toml");
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        let mut command = Command::new("taskset");
        command
            .args(["--cpu-list", processors])
            .arg(built("lvsd")?)
            .arg("--dry-run")
            .arg("--config")
            .arg(&file);
        command.env("LVSD_LOG", "error");
        let child = command.spawn().context("run taskset (util-linux)")?;
        Ok(Self { child, socket: directory.join("control.sock") })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// One of its pages, with the answer's head.
    pub fn page(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(HTTP).context("connect to lvsd")?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: lvsd\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        ensure!(text.starts_with("HTTP/1.1 200 "), "{path}: {}", text.lines().next().unwrap_or_default());
        Ok(text)
    }

    /// What `lvsctl` says.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let output =
            Command::new(built("lvsctl")?).arg("--socket").arg(&self.socket).args(arguments).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "lvsctl {arguments:?}: {} {errors}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for DryRun {
    fn drop(&mut self) {
        // It has ended if this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
