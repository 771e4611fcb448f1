//! A node as Calico runs it: BIRD 1.6, one for each family, that tells a balancer its blocks of pods' addresses.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bird::ask;
use crate::host::{Host, Process};
use crate::kernel::built;
use crate::network::{v4, v6};
use crate::wait::wait_until;

/// What a node is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its AS number.
    pub asn: u32,
    /// The last part of its address.
    pub last: u16,
    /// The balancer's AS number.
    pub balancer_asn: u32,
    /// The last part of the balancer's address.
    pub balancer: u16,
    /// What it tells, IPv4 and IPv6.
    pub announced: [Vec<String>; 2],
    /// It has no mesh with other nodes: the balancer is their route reflector, and it has its kernel know what it hears.
    pub is_client: bool,
}

/// Both BIRDs of a node.
#[derive(Debug)]
pub struct Node {
    host: Host,
    /// IPv4 and IPv6.
    processes: Vec<Process>,
}

impl Node {
    /// Starts both and waits for their control sockets.
    pub fn start(host: &Host, settings: &Settings) -> Result<Self> {
        configure(host, settings)?;
        let mut node = Self { host: host.clone(), processes: Vec::new() };
        node.start_again()?;
        Ok(node)
    }

    /// Starts both after [`Node::kill`].
    pub fn start_again(&mut self) -> Result<()> {
        for family in FAMILIES {
            let mut command = Command::new(program(family)?);
            // -R: it comes back, and keeps what it had told (RFC 4724).
            command
                .arg("-f")
                .arg("-R")
                .arg("-c")
                .arg(self.file(family, "cfg"))
                .arg("-s")
                .arg(self.file(family, "ctl"));
            self.processes.push(self.host.spawn(family, command)?);
        }
        let what = format!("BIRD runs on {}", self.host.name());
        wait_until(&what, Duration::from_secs(20), || {
            FAMILIES.iter().all(|family| self.ask(family, "show status").is_ok())
        })?;
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

    /// How many routes the balancer has told it, both families.
    pub fn told_by_balancer(&self) -> Result<u32> {
        let mut sum = 0;
        for family in FAMILIES {
            let text = self.ask(family, "show protocols all balancer")?;
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
    for (index, family) in FAMILIES.iter().enumerate() {
        let file = host.files().join(format!("{family}.cfg"));
        fs::write(&file, configuration(settings, index))
            .with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// What Calico's templates come to for a peer of all nodes: everything is imported, own blocks are exported. Where the peer
/// is their reflector, what others have told goes into the kernel, and into no other session.
fn configuration(settings: &Settings, family: usize) -> String {
    let address = |last: u16| if family == 0 { IpAddr::from(v4(last)) } else { v6(last).into() };
    let (own, balancer) = (address(settings.last), address(settings.balancer));
    let kernel = match settings.is_client {
        false => "export none;",
        true => "export filter { if source = RTS_BGP then accept; reject; };",
    };
    let routes: String =
        settings.announced[family].iter().map(|prefix| format!("    route {prefix} blackhole;\n")).collect();
    format!(
        r#"log stderr all;
router id {router_id};
protocol device {{ scan time 2; }}
protocol direct {{ interface -"cali*", -"kube-ipvs*", "*"; }}
protocol kernel {{ learn; persist; scan time 2; import all; {kernel} graceful restart; }}
protocol static blocks {{
{routes}}}
template bgp peers {{
    local as {asn};
    gateway recursive;
    add paths on;
    graceful restart;
    connect delay time 2;
    connect retry time 5;
    error wait time 5,30;
}}
protocol bgp balancer from peers {{
    neighbor {balancer} as {balancer_asn};
    source address {own};
    multihop;
    import filter {{
        if (defined(bgp_local_pref)&&(bgp_local_pref > 2147482623)) then
            preference = 200;
        accept;
    }};
    export filter {{
        if (!defined(krt_metric)) then {{ krt_metric = 1024; }}
        bgp_local_pref = 2147483647 - krt_metric;
        if proto = "blocks" then accept;
        reject;
    }};
}}
"#,
        router_id = v4(settings.last),
        asn = settings.asn,
        balancer_asn = settings.balancer_asn
    )
}
