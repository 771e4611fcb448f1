//! lvsd on a balancer, and lvsctl beside it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::configuration::Configuration;
use crate::host::{Host, Process, files_of};
use crate::kernel::built;
use crate::wait::wait_until;

/// Where lvsd answers HTTP on each balancer.
const HTTP: &str = "127.0.0.1:9090";

/// How long an answer may take: /metrics of ten thousand services is a long page.
const ANSWER: Duration = Duration::from_secs(60);

/// The unit that it is installed with.
const UNIT: &str = include_str!("../../systemd/lvsd.service");

/// lvsd on one balancer.
#[derive(Debug)]
pub struct Lvsd {
    host: Host,
    environment: Vec<(String, String)>,
    recording: Option<PathBuf>,
    process: Option<Process>,
}

/// What lvsd.service has in its environment.
pub fn environment() -> impl Iterator<Item = (&'static str, &'static str)> {
    UNIT.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='))
}

impl Lvsd {
    /// lvsd on `host`, not started, with these in its environment as a service manager puts them there.
    pub fn new(host: &Host, environment: Vec<(String, String)>) -> Self {
        Self { host: host.clone(), environment, recording: None, process: None }
    }

    /// Writes its configuration and starts it. It is not ready yet: [`Lvsd::wait_ready`].
    pub fn start(host: &Host, configuration: &Configuration) -> Result<Self> {
        Self::start_with(host, &configuration.render(host))
    }

    /// The same with a configuration of other words than [`Configuration`]'s.
    pub fn start_with(host: &Host, text: &str) -> Result<Self> {
        let mut lvsd = Self::new(host, Vec::new());
        lvsd.configure_with(text)?;
        lvsd.start_again()?;
        Ok(lvsd)
    }

    /// Writes another configuration, to be taken at the next start or reload.
    pub fn configure(&self, configuration: &Configuration) -> Result<()> {
        self.configure_with(&configuration.render(&self.host))
    }

    /// The same in other words than [`Configuration`]'s.
    pub fn configure_with(&self, text: &str) -> Result<()> {
        let file = self.configuration_file();
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))
    }

    /// Has it record every event to this file, from the next start on.
    pub fn record_to(&mut self, file: &Path) {
        self.recording = Some(file.into());
    }

    /// Starts it as its unit does, for the first time or after a kill or a stop.
    pub fn start_again(&mut self) -> Result<()> {
        let nice =
            UNIT.lines().find_map(|line| line.strip_prefix("Nice=")).context("lvsd.service: no Nice=")?;
        let mut command = Command::new("nice");
        command
            .args(["--adjustment", nice])
            .arg(built("lvsd")?)
            .arg("--config")
            .arg(self.configuration_file());
        if let Some(file) = &self.recording {
            command.arg("--record").arg(file);
        }
        command.envs(environment());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(self.host.spawn("lvsd", command)?);
        Ok(())
    }

    /// Waits until /readyz is 200; an error at once when lvsd has ended.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<Duration> {
        let host = self.host.clone();
        let process = self.process.as_mut().context("lvsd does not run")?;
        let mut ended = false;
        let took = wait_until(&format!("lvsd is ready on {}", host.name()), limit, || {
            ended = !process.is_running();
            ended || http_status(&host, "/readyz").is_ok_and(|status| status == 200)
        })?;
        ensure!(
            !ended,
            "lvsd on {} ended instead of being ready; see {}",
            host.name(),
            host.log("lvsd").display()
        );
        Ok(took)
    }

    /// Whether the process is there.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("lvsd does not run")?.kill()
    }

    /// SIGTERM, and waits for the clean end (status 0); returns how long that took.
    pub fn stop(&mut self, limit: Duration) -> Result<Duration> {
        let begin = Instant::now();
        self.ask_to_stop()?;
        self.wait_stopped(limit)?;
        Ok(begin.elapsed())
    }

    /// SIGTERM alone.
    pub fn ask_to_stop(&self) -> Result<()> {
        self.process.as_ref().context("lvsd does not run")?.signal(Signal::SIGTERM)
    }

    /// Waits for the clean end after [`Lvsd::ask_to_stop`].
    pub fn wait_stopped(&mut self, limit: Duration) -> Result<()> {
        let mut process = self.process.take().context("lvsd does not run")?;
        let status = process.wait(limit)?;
        ensure!(status.success(), "lvsd on {} ended with {status}", self.host.name());
        Ok(())
    }

    /// SIGHUP.
    pub fn reload(&self) -> Result<()> {
        self.process.as_ref().context("lvsd does not run")?.signal(Signal::SIGHUP)
    }

    /// `lvsd check-config` of its configuration, whatever its exit status.
    pub fn check_configuration(&self) -> Result<Output> {
        let (program, file) = (built("lvsd")?, self.configuration_file());
        self.host.output(&[&program.to_string_lossy(), "check-config", &file.to_string_lossy()])
    }

    /// Runs lvsctl here; an error when it fails.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let output = self.ctl_output(arguments)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!(
                "lvsctl {} on {}: {}: {}",
                arguments.join(" "),
                self.host.name(),
                output.status,
                said.trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs lvsctl here, whatever its exit status.
    pub fn ctl_output(&self, arguments: &[&str]) -> Result<Output> {
        ctl(&self.host, arguments)
    }

    /// `lvsctl -o json ARGUMENTS`, read.
    pub fn ctl_json(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let text = self.ctl(&[&["-o", "json"], arguments].concat())?;
        serde_json::from_str(&text).with_context(|| format!("lvsctl's JSON: {text}"))
    }

    /// What a page of lvsd's HTTP server says.
    pub fn http(&self, path: &str) -> Result<String> {
        http(&self.host, path)
    }

    /// The value of one series on /metrics, named as the page does.
    pub fn metric(&self, series: &str) -> Result<f64> {
        let page = self.http("/metrics")?;
        let of = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
        page.lines().find_map(of).with_context(|| format!("no {series} on /metrics"))
    }

    /// Its process id, in the lab's own process table.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("lvsd does not run")?.pid())
    }

    /// Resident memory in kB.
    pub fn resident_kilobytes(&self) -> Result<u64> {
        let pid = self.pid()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        line.split_whitespace().next().and_then(|word| word.parse().ok()).context("VmRSS is no number")
    }

    /// The balancer it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The file that [`Lvsd::configure`] writes.
    pub fn configuration_file(&self) -> PathBuf {
        self.host.files().join("lvsd.toml")
    }
}

/// The status of lvsd on the balancer `name` as lvsctl tells it in JSON, or why there is none.
pub fn raw_status(name: &str) -> String {
    let run = || -> Result<Output> {
        let socket = files_of(name).join("control.sock");
        let mut command = Command::new(built("lvsctl")?);
        command.arg("--socket").arg(socket).args(["-o", "json", "status"]);
        Ok(command.output()?)
    };
    match run() {
        Ok(output) => {
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
        }
        Err(error) => format!("{error:#}"),
    }
}

fn ctl(host: &Host, arguments: &[&str]) -> Result<Output> {
    let program = built("lvsctl")?;
    let socket = host.files().join("control.sock");
    let (program, socket) = (program.to_string_lossy(), socket.to_string_lossy());
    host.output(&[&[&*program, "--socket", &*socket], arguments].concat())
}

fn http_status(host: &Host, path: &str) -> Result<u16> {
    let answer = exchange(host, path)?;
    answer.split_whitespace().nth(1).and_then(|word| word.parse().ok()).context("no HTTP status")
}

fn http(host: &Host, path: &str) -> Result<String> {
    let answer = exchange(host, path)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .with_context(|| format!("no end of the HTTP head in {} bytes", answer.len()))?;
    ensure!(head.split_whitespace().nth(1) == Some("200"), "GET {path} on {}: {head}", host.name());
    Ok(body.to_owned())
}

fn exchange(host: &Host, path: &str) -> Result<String> {
    host.enter(|| {
        let mut stream = TcpStream::connect(HTTP)?;
        stream.set_read_timeout(Some(ANSWER))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })?
}
