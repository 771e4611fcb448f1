//! What lvsd checks: ten servers with a port for each service, in a namespace of their own at the other end of a cable.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::program::run_to_end;
use lab::wait::wait_until;

use crate::{BACKENDS, PATIENCE, SERVICES};

/// The first argument of this program when it is the servers.
pub(crate) const ROLE: &str = "servers";

/// Port of the first service.
const FIRST_PORT: u32 = 2_000;

/// Between two looks at who has connected.
const PAUSE: Duration = Duration::from_millis(200);

/// Their process and namespace; both end with it.
pub(crate) struct Servers(Child);

impl Servers {
    /// Starts them, and lays the cable. The checks tell when they answer.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let mut command = Command::new("unshare");
        command.arg("--net").arg("--").arg(std::env::current_exe()?).arg(ROLE).arg(directory);
        let servers = Self(command.spawn().context("run unshare (util-linux)")?);
        let place = format!("/proc/{}/ns/net", servers.0.id());
        let own = std::fs::read_link("/proc/self/ns/net")?;
        wait_until("the servers have a namespace of their own", PATIENCE, || {
            std::fs::read_link(&place).is_ok_and(|theirs| theirs != own)
        })?;
        let id = servers.0.id().to_string();
        run_to_end("ip", &["link", "add", "cable", "type", "veth", "peer", "name", "plug", "netns", &id])?;
        run_to_end("ip", &["address", "add", "10.64.1.1/16", "dev", "cable"])?;
        run_to_end("ip", &["link", "set", "cable", "up"])?;
        Ok(servers)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // They have ended if this fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Address of a backend, the same in all services.
pub(crate) fn address(backend: u32) -> String {
    format!("10.64.0.{}", backend + 1)
}

/// Port of a service's backends.
pub(crate) fn port(service: u32) -> u32 {
    FIRST_PORT + service
}

/// Is the servers, until it is killed: takes connections, and says nothing.
pub(crate) fn serve() -> Result<()> {
    wait_until("the cable's plug", PATIENCE, has_plug)?;
    run_to_end("ip", &["link", "set", "lo", "up"])?;
    run_to_end("ip", &["address", "add", "10.64.1.2/16", "dev", "plug"])?;
    run_to_end("ip", &["link", "set", "plug", "up"])?;
    for backend in 0..BACKENDS {
        run_to_end("ip", &["address", "add", &format!("{}/32", address(backend)), "dev", "lo"])?;
    }
    let listeners = (0..SERVICES).map(listen).collect::<Result<Vec<_>>>()?;
    loop {
        listeners.iter().for_each(|listener| while listener.accept().is_ok() {});
        thread::sleep(PAUSE);
    }
}

/// Asked of the kernel itself: /sys may be another namespace's.
fn has_plug() -> bool {
    let output = Command::new("ip").args(["link", "show", "dev", "plug"]).output();
    output.is_ok_and(|output| output.status.success())
}

fn listen(service: u32) -> Result<TcpListener> {
    let port = u16::try_from(port(service))?;
    let listener =
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).with_context(|| format!("listen at port {port}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
