//! What the checks themselves cost, on the machine's own kernel, where no IPVS is needed: in a network namespace of its
//! own, against nginx.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::measure::figures::{Report, Required};
use lab::program::run_to_end;
use lab::wait::wait_until;

use crate::checker::{self, Cost, Task};
use crate::daemon;
use crate::picture::Load;
use crate::server::PORT;
use crate::{FIGURES, LOADS};

/// The first argument of this program when it is inside; the second is the directory for what it leaves.
pub(crate) const ROLE: &str = "native";

/// Each load is looked at for so long, seconds.
const SECONDS: u64 = 20;

/// TCP checks every second, up to saturation.
const LADDER: [u32; 5] = [1_000, 5_000, 10_000, 20_000, 40_000];

/// How long packets are lost, seconds, unless the environment says otherwise.
const LOSS_SECONDS: u64 = 600;

/// The variable that says how long.
const VARIABLE: &str = "LAB_LOSS_SECONDS";

/// Every packet is lost with this chance, of 100.
pub(crate) const LOSS: &str = "add table inet loss; \
    add chain inet loss input { type filter hook input priority 0; }; \
    add rule inet loss input numgen random mod 100 0 drop";

/// Longest wait for nginx.
const LIMIT: Duration = Duration::from_secs(20);

/// Requirements: how late probes start, milliseconds; cores; memory, MB; verdicts that were wrong.
pub(crate) const LAG: Required = Required::AtMost(50.0);
pub(crate) const CORES: Required = Required::AtMost(1.0);
pub(crate) const MEMORY: Required = Required::AtMost(100.0);
pub(crate) const NONE: Required = Required::AtMost(0.0);

/// Is that program.
pub(crate) fn run(role: &str, directory: &Path) -> ExitCode {
    match if role == ROLE { measure(directory) } else { daemon::measure(directory) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-health: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(directory: &Path) -> Result<()> {
    let mut report = Report::new()?;
    println!("checks against nginx, {}:", report.machine());
    run_to_end("ip", &["link", "set", "lo", "up"])?;
    let nginx = Nginx::start(directory)?;
    every_second(&mut report, "10,000 TCP checks every second", false, 10_000)?;
    every_second(&mut report, "5,000 HTTP checks every second", true, 5_000)?;
    let mut loads = Vec::new();
    for checks in LADDER {
        let cost = check(Task { is_http: false, checks, interval_ms: Some(1000), seconds: SECONDS })?;
        let name = format!("{checks} TCP checks every second");
        report.value(&format!("{name}: done per second"), cost.rate, "", Required::Nothing);
        report.value(&format!("{name}: cores"), cost.cores, "", Required::Nothing);
        report.value(&format!("{name}: lag, p99 at most"), cost.lag_p99_ms, "ms", Required::Nothing);
        loads.push(Load {
            name: "lvsd's runner".into(),
            wanted: checks.into(),
            done: cost.rate,
            cores: cost.cores,
        });
    }
    loss(&mut report)?;
    drop(nginx);
    report.write(&directory.join(FIGURES))?;
    let loads = serde_json::to_string_pretty(&loads)?;
    fs::write(directory.join(LOADS), loads).context("write the loads")
}

fn every_second(report: &mut Report, name: &str, is_http: bool, checks: u32) -> Result<()> {
    let cost = check(Task { is_http, checks, interval_ms: Some(1000), seconds: SECONDS })?;
    let megabytes = |bytes: f64| bytes / 1e6;
    report.value(&format!("{name}: done per second"), cost.rate, "", Required::Nothing);
    report.value(&format!("{name}: lag, p99 at most"), cost.lag_p99_ms, "ms", LAG);
    report.value(&format!("{name}: cores"), cost.cores, "", CORES);
    report.value(
        &format!("{name}: checks per second and core"),
        cost.rate / cost.cores,
        "",
        Required::Nothing,
    );
    report.value(&format!("{name}: resident memory"), megabytes(cost.memory), "MB", MEMORY);
    let bytes = (cost.memory - cost.memory_before) / f64::from(checks);
    report.value(&format!("{name}: memory for a check"), bytes, "bytes", Required::Nothing);
    report.value(&format!("{name}: failed"), cost.failed as f64, "", Required::Nothing);
    report.value(&format!("{name}: declared down"), cost.downs as f64, "", NONE);
    Ok(())
}

fn loss(report: &mut Report) -> Result<()> {
    let seconds = match std::env::var(VARIABLE) {
        Ok(text) => text.parse().with_context(|| format!("{VARIABLE}={text}"))?,
        Err(_) => LOSS_SECONDS,
    };
    run_to_end("nft", &[LOSS])?;
    let cost = check(Task { is_http: false, checks: 10_000, interval_ms: None, seconds })?;
    run_to_end("nft", &["delete table inet loss"])?;
    let name = format!("10,000 TCP checks, defaults, 1 % of packets lost for {seconds} s");
    report.value(&format!("{name}: done per second"), cost.rate, "", Required::Nothing);
    report.value(&format!("{name}: failed"), cost.failed as f64, "", Required::Nothing);
    report.value(&format!("{name}: declared down"), cost.downs as f64, "", NONE);
    Ok(())
}

/// Runs a checker on the machine's first processor.
fn check(task: Task) -> Result<Cost> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(std::env::current_exe()?).arg(checker::ROLE);
    command.arg(serde_json::to_string(&task)?).stderr(Stdio::inherit());
    let output = command.output().context("run taskset (util-linux)")?;
    ensure!(output.status.success(), "the checker ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// nginx on every address of this host, on the processor that the checker does not have.
pub(crate) struct Nginx(Child);

impl Nginx {
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let files: PathBuf = directory.join("nginx");
        fs::create_dir_all(&files)?;
        let configuration = files.join("nginx.conf");
        let files = files.display();
        let text = format!(
            "master_process off;\ndaemon off;\npid {files}/pid;\nerror_log {files}/error.log;\n\
             worker_rlimit_nofile 20000;\nevents {{ worker_connections 16384; multi_accept on; }}\n\
             http {{\n access_log off;\n client_body_temp_path {files}/body;\n proxy_temp_path {files}/proxy;\n \
             fastcgi_temp_path {files}/fastcgi;\n uwsgi_temp_path {files}/uwsgi;\n scgi_temp_path {files}/scgi;\n \
             server {{ listen 0.0.0.0:{PORT} backlog=4096; location / {{ return 200 \"ok\\n\"; }} }}\n}}\n"
        );
        fs::write(&configuration, text).context("write nginx.conf")?;
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", "1", "nginx", "-e", "stderr", "-c"]).arg(&configuration);
        let nginx = Self(command.spawn().context("start nginx")?);
        let answers = || std::net::TcpStream::connect(("127.0.0.1", PORT)).is_ok();
        wait_until("nginx answers", LIMIT, answers)?;
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It has ended if this fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
