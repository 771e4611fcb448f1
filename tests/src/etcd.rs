//! etcd on a host, with both versions of its API.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::host::{Host, Process};
use crate::wait::wait_until;

/// Longest that it may take to serve.
const LIMIT: Duration = Duration::from_secs(120);

/// Longest that an answer may take.
const ANSWER: Duration = Duration::from_secs(60);

/// Its clients' port.
const PORT: u16 = 2379;

/// One server, a cluster by itself.
#[derive(Debug)]
pub struct Etcd {
    host: Host,
    address: Ipv4Addr,
    process: Option<Process>,
}

impl Etcd {
    /// Starts it at this address of the host, with nothing in it, and waits until it serves.
    pub fn start(host: &Host, address: Ipv4Addr) -> Result<Self> {
        let mut etcd = Self { host: host.clone(), address, process: None };
        etcd.start_again()?;
        Ok(etcd)
    }

    /// Starts it with what it had, and waits until it serves.
    pub fn start_again(&mut self) -> Result<()> {
        let mut command = Command::new("etcd");
        command
            .args(["--enable-v2", "--unsafe-no-fsync", "--logger", "zap", "--log-level", "warn"])
            .args(["--max-txn-ops", "1000", "--listen-client-urls", &self.url()])
            .args(["--advertise-client-urls", &self.url(), "--data-dir"])
            .arg(self.data());
        self.process = Some(self.host.spawn("etcd", command)?);
        let serves = || self.ask("GET", "/health", "").is_ok_and(|answer| answer.contains("\"true\""));
        wait_until(&format!("etcd serves on {}", self.host.name()), LIMIT, serves).map(drop)
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("etcd does not run")?.kill()
    }

    /// Copies what it has: both versions' keys. It must not run.
    pub fn save(&self) -> Result<()> {
        ensure!(self.process.is_none(), "etcd's files are copied while it runs");
        self.copy(self.data(), self.saved())
    }

    /// Puts what was saved in the place of what it has. It must not run.
    pub fn restore(&self) -> Result<()> {
        ensure!(self.process.is_none(), "etcd's files are replaced while it runs");
        fs::remove_dir_all(self.data()).context("remove etcd's files")?;
        self.copy(self.saved(), self.data())
    }

    /// Where its clients find it.
    pub fn url(&self) -> String {
        format!("http://{}:{PORT}", self.address)
    }

    /// Writes a key by the API of version 2, as conftool 3 and before do.
    pub fn put_v2(&self, key: &str, value: &str) -> Result<()> {
        let answer = self.ask("PUT", &format!("/v2/keys{key}"), &format!("value={value}"))?;
        ensure!(answer.starts_with("HTTP/1.0 20"), "PUT {key}: {answer}");
        Ok(())
    }

    /// Runs etcdctl against it, by the API of version 3.
    pub fn etcdctl(&self, words: &[&str]) -> Result<String> {
        let url = self.url();
        self.host.run(&[&["env", "ETCDCTL_API=3", "etcdctl", "--endpoints", &*url], words].concat())
    }

    fn copy(&self, from: PathBuf, to: PathBuf) -> Result<()> {
        self.host.run(&["cp", "-a", &from.to_string_lossy(), &to.to_string_lossy()]).map(drop)
    }

    fn data(&self) -> PathBuf {
        self.host.files().join("data")
    }

    fn saved(&self) -> PathBuf {
        self.host.files().join("saved")
    }

    /// One request of HTTP, and the whole answer.
    fn ask(&self, method: &str, path: &str, form: &str) -> Result<String> {
        self.host.enter(|| {
            let mut stream = TcpStream::connect((self.address, PORT))?;
            stream.set_read_timeout(Some(ANSWER))?;
            let kind = "Content-Type: application/x-www-form-urlencoded";
            write!(
                stream,
                "{method} {path} HTTP/1.0\r\n{kind}\r\nContent-Length: {}\r\n\r\n{form}",
                form.len()
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })?
    }
}
