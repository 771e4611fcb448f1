//! The network: servers and two balancers on one segment, each in a namespace of its own, and what checks them.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use lab::host::{Host, Process};
use lab::lvsd::Lvsd;
use lab::site::LIMIT;

use crate::server::{self, PORT};

/// Where everybody logs to: in memory, for a file of the machine's costs time in user-mode Linux.
pub(crate) const LOGS: &str = "/run/logs";

/// A service of a balancer: how its servers are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Checker {
    /// lvsd at its defaults, an HTTP check.
    LvsdHttp,
    /// lvsd at its defaults, a connection.
    LvsdTcp,
    /// lvsd at its defaults, a connection that is kept.
    LvsdIdle,
    /// keepalived as it is often set up: HTTP and TCP, every 10 s, no retry.
    KeepalivedUsual,
    /// keepalived with the timing of lvsd's defaults.
    KeepalivedAlike,
}

/// All of them.
pub(crate) const CHECKERS: [Checker; 5] = [
    Checker::LvsdHttp,
    Checker::LvsdTcp,
    Checker::LvsdIdle,
    Checker::KeepalivedUsual,
    Checker::KeepalivedAlike,
];

impl Checker {
    /// In the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LvsdHttp => "lvsd, http",
            Self::LvsdTcp => "lvsd, tcp",
            Self::LvsdIdle => "lvsd, idle connection",
            Self::KeepalivedUsual => "keepalived, http + tcp, every 10 s",
            Self::KeepalivedAlike => "keepalived, http, every 2 s, 2 retries",
        }
    }

    /// Whether it is lvsd's.
    pub(crate) fn is_lvsd(self) -> bool {
        matches!(self, Self::LvsdHttp | Self::LvsdTcp | Self::LvsdIdle)
    }

    /// Whether it looks beyond the connection.
    pub(crate) fn asks(self) -> bool {
        !matches!(self, Self::LvsdTcp | Self::LvsdIdle)
    }

    /// The service's VIP; each balancer has its own table.
    pub(crate) fn vip(self) -> Ipv4Addr {
        let last = match self {
            Self::LvsdHttp | Self::KeepalivedUsual => 1,
            Self::LvsdTcp | Self::KeepalivedAlike => 2,
            Self::LvsdIdle => 3,
        };
        Ipv4Addr::new(198, 18, 0, last)
    }
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Ground {
    /// The segment, with a port for each host.
    pub(crate) segment: Host,
    pub(crate) servers: Vec<Host>,
    /// With checks that look by themselves, and apart from it with kept connections: what one of a server's checks is
    /// told lets the others look.
    lvsd: [Lvsd; 2],
    keepalived_host: Host,
    keepalived: Process,
}

/// A server's address on the segment.
pub(crate) fn address(server: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 1, 1, 1)) + u32::try_from(server).unwrap_or(u32::MAX))
}

/// The bridge's port of a server: taken down, its cable is pulled.
pub(crate) fn port(server: usize) -> String {
    format!("s{server}")
}

impl Ground {
    /// Builds it and starts the balancers; no server runs yet.
    pub(crate) fn build(servers: usize) -> Result<Self> {
        let logs = Path::new(LOGS);
        fs::create_dir_all(logs)?;
        let segment = Host::create("segment", logs)?;
        segment.run(&["sh", "-ec", "ip link set lo up; ip link add br0 type bridge; ip link set br0 up"])?;
        let join = |name: &str, port: &str, address: Ipv4Addr| -> Result<Host> {
            let host = Host::create(name, logs)?;
            let script = format!(
                "ip link add {port} type veth peer name eth0 netns {name}; ip link set {port} master br0 up; \
                 ip -n {name} link set lo up; ip -n {name} addr add {address}/16 dev eth0; \
                 ip -n {name} link set eth0 up"
            );
            segment.run(&["sh", "-ec", &script])?;
            Ok(host)
        };
        let lvsd_host = join("lvsd", "lvsd", Ipv4Addr::new(10, 1, 0, 1))?;
        let idle_host = join("lvsd-idle", "lvsd-idle", Ipv4Addr::new(10, 1, 0, 3))?;
        let keepalived_host = join("keepalived", "keepalived", Ipv4Addr::new(10, 1, 0, 2))?;
        let joined =
            (0..servers).map(|server| join(&format!("server{server}"), &port(server), address(server)));
        let joined = joined.collect::<Result<Vec<_>>>()?;
        let looking = [(Checker::LvsdHttp, "http"), (Checker::LvsdTcp, "tcp")];
        let kept = [(Checker::LvsdIdle, "idle")];
        let start = |host: &Host, services: &[_]| {
            Lvsd::start_with(host, &lvsd_configuration(host, services, servers))
        };
        let lvsd = [start(&lvsd_host, &looking)?, start(&idle_host, &kept)?];
        let keepalived = keepalived(&keepalived_host, &keepalived_configuration(servers))?;
        let mut ground = Self { segment, servers: joined, lvsd, keepalived_host, keepalived };
        for lvsd in &mut ground.lvsd {
            lvsd.wait_ready(LIMIT)?;
        }
        Ok(ground)
    }

    /// The balancer of a checker.
    pub(crate) fn balancer(&self, checker: Checker) -> &Host {
        match checker {
            Checker::LvsdHttp | Checker::LvsdTcp => self.lvsd[0].host(),
            Checker::LvsdIdle => self.lvsd[1].host(),
            Checker::KeepalivedUsual | Checker::KeepalivedAlike => &self.keepalived_host,
        }
    }

    /// Ends the balancers.
    pub(crate) fn end(mut self) -> Result<()> {
        self.lvsd.iter_mut().try_for_each(Lvsd::kill)?;
        self.keepalived.terminate(LIMIT)
    }
}

/// Pulls a server's cable out of the switch, or puts it in again.
pub(crate) fn set_cable(segment: &Host, server: usize, is_in: bool) -> Result<()> {
    segment.run(&["ip", "link", "set", &port(server), if is_in { "up" } else { "down" }]).map(drop)
}

fn lvsd_configuration(host: &Host, services: &[(Checker, &str)], servers: usize) -> String {
    let files = host.files();
    let files = files.display();
    let mut text = format!(
        "[lvsd]\nstate_dir = \"{files}/state\"\ncontrol_socket = \"{files}/control.sock\"\nhttp = \"127.0.0.1:9090\"\n"
    );
    for (checker, name) in services {
        let vip = checker.vip();
        let _ = write!(
            text,
            "\n[service.{name}]\nvips = [\"{vip}\"]\nport = {PORT}\ndepool_threshold = 0\n[[service.{name}.checks]]\ntype = \"{name}\"\n"
        );
        for server in 0..servers {
            let _ = write!(
                text,
                "[[service.{name}.backends]]\nhost = \"s{server}\"\naddresses = [\"{}\"]\n",
                address(server)
            );
        }
    }
    text
}

/// Starts keepalived with this configuration, its checks alone.
pub(crate) fn keepalived(host: &Host, configuration: &str) -> Result<Process> {
    let file = host.files().join("keepalived.conf");
    fs::write(&file, configuration).context("write keepalived.conf")?;
    let pid = |name: &str| host.files().join(name);
    let mut command = Command::new("keepalived");
    command.args(["--dont-fork", "--no-syslog", "--check", "--use-file"]).arg(&file);
    command.arg("--pid").arg(pid("keepalived.pid")).arg("--checkers_pid").arg(pid("checkers.pid"));
    host.spawn("keepalived", command)
}

fn keepalived_configuration(servers: usize) -> String {
    let get = "HTTP_GET {\n      url {\n        path /\n        status_code 200\n      }\n";
    let usual = format!(
        "    {get}      connect_timeout 5\n    }}\n    TCP_CHECK {{\n      connect_timeout 5\n    }}\n"
    );
    let alike =
        format!("    {get}      connect_timeout 1\n      retry 2\n      delay_before_retry 1\n    }}\n");
    let mut text = String::from("global_defs {\n  router_id bench\n}\n");
    for (checker, delay, checks) in
        [(Checker::KeepalivedUsual, 10, usual), (Checker::KeepalivedAlike, 2, alike)]
    {
        let _ = writeln!(
            text,
            "virtual_server {} {PORT} {{\n  delay_loop {delay}\n  retry 0\n  lvs_sched wrr\n  lvs_method DR\n  protocol TCP",
            checker.vip()
        );
        for server in 0..servers {
            let _ = writeln!(text, "  real_server {} {PORT} {{\n    weight 1\n{checks}  }}", address(server));
        }
        text += "}\n";
    }
    text
}

/// Starts a server on each host.
pub(crate) fn start_servers(servers: &[Host]) -> Result<Vec<Process>> {
    servers.iter().map(server::start).collect()
}
