//! Inside a guest: the site of the pages. Balancer 10.64.0.1 (the guest itself), routers r1 and r2, servers rs1 to rs3, on one
//! segment, IPv4 and IPv6 with the same last digits.

use anyhow::{Context, Result};
use lab::bird::{self, Bird, Settings};
use lab::guest::run;
use lab::host::{Host, Process};
use lab::nginx::Nginx;
use lab::wait::wait_until;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where the guest sees the machine's own files.
pub(crate) const MACHINE: &str = "/machine";

/// The machine's programs that the guest's Debian does not have.
const PROGRAMS: [&str; 4] = ["/usr/sbin/bird", "/usr/sbin/nginx", "/usr/bin/curl", "/usr/bin/jq"];

/// Hosts and the last digits of their addresses.
const HOSTS: [(&str, u16); 5] = [("r1", 251), ("r2", 252), ("rs1", 11), ("rs2", 12), ("rs3", 13)];

/// Longest wait for a program to come up.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) servers: [Server; 3],
    pub(crate) r1: Router,
    r2: Host,
    second: Option<Bird>,
}

/// A real server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) host: Host,
    pub(crate) nginx: Nginx,
}

/// A router with a configuration of BIRD's in a page's words.
#[derive(Debug)]
pub(crate) struct Router {
    host: Host,
    process: Option<Process>,
}

impl Site {
    /// Joins everybody; servers serve, without the VIPs yet.
    pub(crate) fn build() -> Result<Self> {
        have_programs()?;
        let host = |name: &str| Host::create(name, Path::new("/tmp"));
        let server = |name: &str| -> Result<Server> {
            let host = host(name)?;
            Ok(Server { nginx: Nginx::start(&host)?, host })
        };
        let (r1, r2) = (host("r1")?, host("r2")?);
        let mut servers = [server("rs1")?, server("rs2")?, server("rs3")?];
        run("bash", &["-ec", &joined()])?;
        for server in &mut servers {
            server.nginx.wait_ready(LIMIT)?;
        }
        Ok(Self { servers, r1: Router { host: r1, process: None }, r2, second: None })
    }

    /// Starts BIRD on r2.
    pub(crate) fn start_second_router(&mut self) -> Result<()> {
        self.second = Some(Bird::start(&self.r2, &Settings::of_router(1, [64600, 64600]))?);
        Ok(())
    }
}

impl Server {
    /// Gives it what a server has to have: the VIPs, and silence about them.
    pub(crate) fn has_the_vips(&self) -> Result<()> {
        self.host
            .sysctl(&[("net.ipv4.conf.all.arp_ignore", "1"), ("net.ipv4.conf.all.arp_announce", "2")])?;
        self.host.run(&["ip", "address", "replace", "192.0.2.10/32", "dev", "lo"])?;
        self.host.run(&["ip", "address", "replace", "2001:db8::10/128", "dev", "lo"]).map(drop)
    }

    /// Starts what serves again.
    pub(crate) fn returns(&mut self) -> Result<()> {
        self.nginx.start_again()?;
        self.nginx.wait_ready(LIMIT).map(drop)
    }
}

impl Router {
    /// Starts BIRD with this configuration, in place of the one that runs.
    pub(crate) fn start(&mut self, configuration: &str) -> Result<()> {
        self.stop()?;
        let (file, socket) = (self.host.files().join("bird.conf"), self.host.files().join(bird::SOCKET));
        fs::write(&file, configuration)?;
        let mut command = Command::new("bird");
        command.arg("-f").arg("-c").arg(&file).arg("-s").arg(&socket);
        self.process = Some(self.host.spawn("bird", command)?);
        wait_until("bird answers on r1", LIMIT, || bird::ask(&socket, "show status").is_ok()).map(drop)
    }

    /// Ends it at once.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }
}

/// Has the machine's own programs run here, by its own libraries.
fn have_programs() -> Result<()> {
    fs::create_dir_all(MACHINE)?;
    run("mount", &["-t", "hostfs", "-o", "/", "none", MACHINE])?;
    for program in PROGRAMS {
        let name = Path::new(program).file_name().context("a name")?;
        let file = Path::new("/usr/local/bin").join(name);
        let libraries = format!("{MACHINE}/lib/x86_64-linux-gnu:{MACHINE}/usr/lib/x86_64-linux-gnu");
        fs::write(
            &file,
            format!(
                "#!/bin/sh\nexec {MACHINE}/lib64/ld-linux-x86-64.so.2 --library-path {libraries} {MACHINE}{program} \"$@\"\n"
            ),
        )?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// The segment, as a script.
fn joined() -> String {
    let mut script = "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0\n\
        ip netns add switch\nip -n switch link add br0 type bridge mcast_snooping 0\nip -n switch link set br0 up\n\
        ip -n switch link add lb1 type veth peer name eth0 netns 1\n"
        .to_owned();
    for (name, _) in HOSTS {
        let _ = writeln!(script, "ip -n switch link add {name} type veth peer name eth0 netns {name}");
    }
    let all = HOSTS.iter().map(|(name, last)| (*name, *last)).chain([("lb1", 1)]);
    for (name, last) in all {
        let namespace = if name == "lb1" { String::new() } else { format!("-n {name} ") };
        let _ = writeln!(
            script,
            "ip -n switch link set {name} master br0 up\nip {namespace}link set lo up\nip {namespace}link set eth0 up\n\
             ip {namespace}address add 10.64.0.{last}/24 dev eth0\n\
             ip {namespace}address add fd00:64::{last}/64 dev eth0 nodad"
        );
    }
    script
}
