//! GoBGP on a router, in BIRD's place: gobgpd takes the VIPs from the balancers and helps over their restarts.
//!
//! GoBGP writes no routes itself. Its own way into the kernel is FRR's zebra, whose words (8.4) Debian's GoBGP 3.10 panics at;
//! its other users follow its table by its gRPC interface with a program of their own, and so does the lab ([`fib`]).

mod fib;
mod table;

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bird::Settings;
use crate::host::{Host, Process};
use crate::network::{v4, v6};
use crate::wait::wait_until;
use fib::Fib;

/// GoBGP on one router, and what carries its routes into the router's kernel.
#[derive(Debug)]
pub struct Gobgp {
    host: Host,
    _daemon: Process,
    fib: Fib,
}

impl Gobgp {
    /// Starts gobgpd and waits until its table has been looked at.
    pub fn start(host: &Host, settings: &Settings) -> Result<Self> {
        let file = host.files().join("gobgpd.toml");
        fs::write(&file, configuration(settings)).with_context(|| format!("write {}", file.display()))?;
        let mut command = Command::new("gobgpd");
        command.arg("-f").arg(&file).args(["--pprof-disable", "--api-hosts", table::ADDRESS]);
        let daemon = host.spawn("gobgpd", command)?;
        let gobgp = Self { host: host.clone(), _daemon: daemon, fib: Fib::follow(host) };
        let what = format!("gobgpd runs on {}", host.name());
        wait_until(&what, Duration::from_secs(120), || gobgp.fib.looks() > 0)
            .with_context(|| gobgp.shown())?;
        Ok(gobgp)
    }

    /// The router it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// How many paths to these VIPs are kept of sessions that are down, for the other end is expected back; at the latest
    /// look.
    pub fn stale(&self, vips: &[IpAddr]) -> usize {
        self.fib.stale(vips)
    }

    /// Its table, for people.
    pub fn shown(&self) -> String {
        format!("{:#?}", self.fib)
    }
}

/// Sessions with both balancers in both families, which it helps over a restart.
fn configuration(settings: &Settings) -> String {
    let mut text = format!(
        "[global.config]\nas = {}\nrouter-id = \"{}\"\nport = 179\n",
        settings.asn,
        v4(settings.last)
    );
    for (last, asn) in [1, 2].into_iter().zip(settings.balancers) {
        for (family, peer) in [("ipv4", IpAddr::V4(v4(last))), ("ipv6", IpAddr::V6(v6(last)))] {
            let _ = write!(
                text,
                "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{peer}\"\npeer-as = {asn}\n\
                 [neighbors.timers.config]\nhold-time = 30\nkeepalive-interval = 10\nconnect-retry = 2\n\
                 idle-hold-time-after-reset = 1\n\
                 [neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\n\
                 [[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}-unicast\"\n\
                 [neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n"
            );
        }
    }
    text
}
