//! A node as Calico runs it: BIRD 1.6, one for each family, that tells a balancer its blocks of pods' addresses.
//!
//! [`rendered`] writes the configuration as Calico's templates do.

mod rendered;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bird::ask;
use crate::host::{Host, Process};
use crate::kernel::built;
use crate::wait::wait_until;

/// How long BIRD may take to start.
const LIMIT: Duration = Duration::from_secs(60);

/// What a node is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its AS number.
    pub asn: u32,
    /// The last part of its address.
    pub last: u16,
    /// Its peer's AS number.
    pub peer_asn: u32,
    /// The last part of its peer's address: a balancer, or a node that is its reflector.
    pub peer: u16,
    /// Its blocks, IPv4 and IPv6.
    pub blocks: [Vec<String>; 2],
    /// What it announces of services, as a BGPConfiguration's `serviceClusterIPs` and their like have it.
    pub services: [Vec<String>; 2],
    /// How it was told of its peer.
    pub peering: Peering,
    /// What the sessions are signed with.
    pub password: Option<&'static str>,
    /// The BGPPeer's `maxRestartTime`, in seconds; BIRD's 120 s when it has none.
    pub max_restart_time: Option<u16>,
    /// It has no mesh with other nodes: its peer is their route reflector, and it has its kernel know what it hears.
    pub is_client: bool,
    /// The last parts of the addresses of nodes whose route reflector it is, by its `routeReflectorClusterID`; then its peer,
    /// where that is in the same AS, is a client too.
    pub clients: Vec<u16>,
}

/// The `routeReflectorClusterID` of nodes that have clients.
pub const CLUSTER_ID: &str = "10.64.0.210";

/// How a BGPPeer is for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peering {
    /// It is for all nodes.
    Global,
    /// It names this node, or selects it.
    Explicit,
}

/// Both BIRDs of a node.
#[derive(Debug)]
pub struct Node {
    host: Host,
    /// The names of the protocols for its peer.
    protocols: [String; 2],
    /// IPv4 and IPv6.
    processes: Vec<Process>,
}

impl Node {
    /// Starts both and waits for their control sockets.
    pub fn start(host: &Host, settings: &Settings) -> Result<Self> {
        configure(host, settings)?;
        let protocols = [0, 1].map(|family| rendered::protocol(settings, family));
        let mut node = Self { host: host.clone(), protocols, processes: Vec::new() };
        node.start_again()?;
        Ok(node)
    }

    /// Starts both after [`Node::kill`].
    pub fn start_again(&mut self) -> Result<()> {
        for family in FAMILIES {
            let mut command = Command::new(program(family)?);
            // -R: it comes back, and keeps what it had told (RFC 4724).
            command
                .arg("-d")
                .arg("-R")
                .arg("-c")
                .arg(self.file(family, "cfg"))
                .arg("-s")
                .arg(self.file(family, "ctl"));
            self.processes.push(self.host.spawn(family, command)?);
        }
        let what = format!("BIRD runs on {}", self.host.name());
        wait_until(&what, LIMIT, || FAMILIES.iter().all(|family| self.ask(family, "show status").is_ok()))?;
        Ok(())
    }

    /// `kill -9` of both: no withdrawal, no goodbye.
    pub fn kill(&mut self) -> Result<()> {
        self.processes.drain(..).try_for_each(|mut process| process.kill())
    }

    /// Other settings, without a session's end.
    pub fn reconfigure(&self, settings: &Settings) -> Result<()> {
        configure(&self.host, settings)?;
        FAMILIES.iter().try_for_each(|family| self.ask(family, "configure").map(drop))
    }

    /// How many routes its peer has told it, both families.
    pub fn told_by_peer(&self) -> Result<u32> {
        let mut sum = 0;
        for (family, protocol) in FAMILIES.iter().zip(&self.protocols) {
            let text = self.ask(family, &format!("show protocols all {protocol}"))?;
            let line = text
                .lines()
                .find_map(|line| line.trim().strip_prefix("Routes:"))
                .context("no Routes: line")?;
            let count = line.split_whitespace().next().and_then(|word| word.parse::<u32>().ok());
            sum += count.with_context(|| format!("no number in {line:?}"))?;
        }
        Ok(sum)
    }

    /// What it knows of a prefix, with all attributes; nothing when it has no route to it.
    pub fn route(&self, prefix: &str) -> Result<String> {
        let family = FAMILIES[usize::from(prefix.contains(':'))];
        match self.ask(family, &format!("show route all {prefix}")) {
            Err(error) if format!("{error:#}").contains("not in table") => Ok(String::new()),
            answer => answer,
        }
    }

    fn ask(&self, family: &str, query: &str) -> Result<String> {
        ask(&self.file(family, "ctl"), query)
    }

    fn file(&self, family: &str, extension: &str) -> PathBuf {
        self.host.files().join(format!("{family}.{extension}"))
    }
}

/// The names of the programs.
const FAMILIES: [&str; 2] = ["bird", "bird6"];

/// Where `make deps` has unpacked Debian's package `bird`, which cannot be installed beside bird2.
fn program(name: &str) -> Result<PathBuf> {
    let lvsd = built("lvsd")?;
    let target = lvsd.ancestors().nth(2).context("no target directory")?;
    let path = target.join("packages/bird/usr/sbin").join(name);
    ensure!(path.exists(), "{} is missing: tests/unpack-package bird", path.display());
    Ok(path)
}

fn configure(host: &Host, settings: &Settings) -> Result<()> {
    for family in 0..FAMILIES.len() {
        for (name, text) in rendered::files(settings, family) {
            let file = host.files().join(name);
            fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        }
    }
    Ok(())
}
