//! nginx on a real server: one process that says who it is, with a health page that a scenario can switch.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::host::{Host, Process};
use crate::wait::wait_until;

/// Path of the page that checks ask for.
pub const HEALTH: &str = "/healthz";

/// Where it answers besides, as a node's kube-proxy does for node ports.
pub const NODE_PORTS: [u16; 2] = [30_080, 30_081];

/// nginx on one host, port 80 and [`NODE_PORTS`], both families.
#[derive(Debug)]
pub struct Nginx {
    host: Host,
    process: Option<Process>,
}

impl Nginx {
    /// Starts it, healthy. It may take a moment until it answers: [`Nginx::wait_ready`].
    pub fn start(host: &Host) -> Result<Self> {
        let mut nginx = Self { host: host.clone(), process: None };
        fs::write(nginx.configuration_file(), configuration(host)).context("write nginx.conf")?;
        nginx.set_healthy(true)?;
        nginx.start_again()?;
        Ok(nginx)
    }

    /// Starts it after a kill or a stop.
    pub fn start_again(&mut self) -> Result<()> {
        let mut command = Command::new("nginx");
        command.arg("-c").arg(self.configuration_file()).args(["-e", "stderr"]);
        self.process = Some(self.host.spawn("nginx", command)?);
        Ok(())
    }

    /// Waits until it answers a connection.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<Duration> {
        let answers =
            || self.host.enter(|| std::net::TcpStream::connect("127.0.0.1:80").is_ok()).unwrap_or_default();
        wait_until(&format!("nginx answers on {}", self.host.name()), limit, answers)
    }

    /// `kill -9`: connections break, new ones are refused.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("nginx does not run")?.kill()
    }

    /// SIGSTOP and SIGCONT: while it is stopped the kernel goes on accepting connections for it, and nothing is answered.
    pub fn set_stopped(&self, stopped: bool) -> Result<()> {
        let signal = if stopped { Signal::SIGSTOP } else { Signal::SIGCONT };
        self.process.as_ref().context("nginx does not run")?.signal(signal)
    }

    /// Switches the health page between 200 and 503; all other pages go on answering.
    pub fn set_healthy(&self, healthy: bool) -> Result<()> {
        let flag = self.health_file();
        if healthy {
            return fs::write(&flag, "").with_context(|| format!("write {}", flag.display()));
        }
        fs::remove_file(&flag).with_context(|| format!("remove {}", flag.display()))
    }

    fn configuration_file(&self) -> PathBuf {
        self.host.files().join("nginx.conf")
    }

    fn health_file(&self) -> PathBuf {
        self.host.files().join("healthy")
    }
}

/// One process without a master, so that a kill takes all of it.
fn configuration(host: &Host) -> String {
    let name = host.name();
    let files = host.files();
    let files = files.display();
    let listen = |port: u16| {
        format!("listen 0.0.0.0:{port} backlog=1024;\n        listen [::]:{port} ipv6only=on backlog=1024;")
    };
    let [first, second] = NODE_PORTS.map(listen);
    let web = listen(80);
    format!(
        r#"master_process off;
daemon off;
pid {files}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_timeout 300s;
    keepalive_requests 1000000;
    client_body_temp_path {files}/body;
    proxy_temp_path {files}/proxy;
    fastcgi_temp_path {files}/fastcgi;
    uwsgi_temp_path {files}/uwsgi;
    scgi_temp_path {files}/scgi;
    server {{
        {web}
        {first}
        {second}
        location / {{ return 200 "{name}\n"; }}
        location = {HEALTH} {{
            if (!-f {files}/healthy) {{ return 503 "unhealthy\n"; }}
            return 200 "healthy\n";
        }}
    }}
}}
"#
    )
}
