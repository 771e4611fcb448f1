//! The probe namespace beside a balancer, from which its checks by VIP come.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::configuration::{probe_namespace, probes};
use crate::host::{Host, Process};
use crate::kernel::built;

/// The probe namespace of one balancer, with what serves it.
#[derive(Debug)]
pub struct Probes {
    balancer: Host,
    inside: Host,
    process: Option<Process>,
}

impl Probes {
    /// Makes it and starts what serves it, as its two units do.
    pub fn start(balancer: &Host) -> Result<Self> {
        let file = balancer.files().join("probes.toml");
        fs::write(&file, probes(balancer)).with_context(|| format!("write {}", file.display()))?;
        let (program, file) = (built("lvsd")?, file.to_string_lossy().into_owned());
        balancer.run(&[&program.to_string_lossy(), "--config", &file, "probes", "up"])?;
        let inside = balancer.beside(&probe_namespace(balancer));
        let mut probes = Self { balancer: balancer.clone(), inside, process: None };
        probes.start_again()?;
        Ok(probes)
    }

    /// Starts what serves it, after a kill.
    pub fn start_again(&mut self) -> Result<()> {
        let mut command = Command::new(built("lvsd")?);
        command.arg("--config").arg(self.balancer.files().join("probes.toml")).args(["probes", "serve"]);
        self.process = Some(self.inside.spawn("probes", command)?);
        Ok(())
    }

    /// `kill -9` of what serves it.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("it is not served")?.kill()
    }
}
