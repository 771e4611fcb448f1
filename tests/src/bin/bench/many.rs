//! A hundred services with ten backends each, and something that listens for all of their checks.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use lab::host::Host;
use tokio::net::TcpListener;

/// Services, each with VIPs and a port of its own, so that no two share a check.
pub(crate) const SERVICES: u16 = 100;

/// Backends of each service.
pub(crate) const BACKENDS: u16 = 10;

/// The first service's port.
const FIRST_PORT: u16 = 10_000;

/// Which addresses services and backends have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    /// IPv4 alone.
    V4,
    /// Both: a service counts twice in the kernel, and a backend's check runs twice.
    Both,
}

/// The services' part of a configuration, with the checks' defaults (every 2 s).
pub(crate) fn configuration(families: Families) -> String {
    let mut text = String::new();
    for service in 0..SERVICES {
        let vips = written(families, Ipv4Addr::new(192, 0, 2, 20 + service as u8), vip_v6(service));
        let _ = write!(
            text,
            "\n[service.s{service:03}]\nvips = {vips}\nport = {}\n\n[[service.s{service:03}.checks]]\ntype = \"tcp\"\n",
            FIRST_PORT + service
        );
        for backend in 0..BACKENDS {
            let addresses = written(families, backend_v4(backend), backend_v6(backend));
            let _ = write!(
                text,
                "\n[[service.s{service:03}.backends]]\nhost = \"b{backend}\"\naddresses = {addresses}\nweight = 10\n"
            );
        }
    }
    text
}

/// Gives `host` all backends' addresses and accepts what comes to any of the services' ports, for as long as the lab
/// lives.
pub(crate) fn listen(host: &Host) -> Result<()> {
    for backend in 0..BACKENDS {
        let (v4, v6) = (format!("{}/24", backend_v4(backend)), format!("{}/64", backend_v6(backend)));
        host.run(&["ip", "addr", "add", &v4, "dev", "eth0"])?;
        host.run(&["ip", "addr", "add", &v6, "dev", "eth0", "nodad"])?;
    }
    let (ready, is_ready) = std::sync::mpsc::channel();
    let host = host.clone();
    std::thread::spawn(move || {
        let outcome = host.enter(|| accept_all(&ready)).and_then(|outcome| outcome);
        // Who waits for the sockets hears why there are none.
        let _ = ready.send(outcome);
    });
    is_ready.recv().context("the listener has ended")?
}

fn accept_all(ready: &std::sync::mpsc::Sender<Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for service in 0..SERVICES {
            let listener =
                TcpListener::bind(("::", FIRST_PORT + service)).await.context("listen for checks")?;
            tasks.spawn(async move {
                loop {
                    // A check connects and is satisfied; one that went away is none of ours.
                    drop(listener.accept().await);
                }
            });
        }
        ready.send(Ok(())).context("nobody waits for the sockets")?;
        tasks.join_all().await;
        Ok(())
    })
}

fn backend_v4(backend: u16) -> Ipv4Addr {
    Ipv4Addr::new(10, 64, 0, 101 + backend as u8)
}

fn backend_v6(backend: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x64, 0, 0, 0, 0, 1, 1 + backend)
}

fn vip_v6(service: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, 1 + service)
}

fn written(families: Families, v4: Ipv4Addr, v6: Ipv6Addr) -> String {
    let all = [IpAddr::V4(v4), IpAddr::V6(v6)];
    let count = match families {
        Families::V4 => 1,
        Families::Both => 2,
    };
    format!("{:?}", all[..count].iter().map(IpAddr::to_string).collect::<Vec<_>>())
}
