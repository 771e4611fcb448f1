//! FRR on a router, in BIRD's place: bgpd takes the VIPs from the balancers, zebra puts them, ECMP, into the kernel.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bird::Settings;
use crate::host::{Host, Process};
use crate::network::{v4, v6};
use crate::wait::wait_until;

/// Where Debian's package frr has its daemons.
const DAEMONS: &str = "/usr/lib/frr";

/// The user that the package makes for them.
const USER: &str = "frr:frr";

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);

/// How long a daemon may take to start.
const LIMIT: Duration = Duration::from_secs(60);

/// FRR on one router; it runs as long as the lab.
#[derive(Debug)]
pub struct Frr {
    host: Host,
    _daemons: [Process; 2],
}

impl Frr {
    /// Starts zebra and bgpd and waits until bgpd can be asked.
    pub fn start(host: &Host, settings: &Settings) -> Result<Self> {
        fs::create_dir_all(files(host))?;
        host.run(&["chown", USER, &files(host).to_string_lossy()])?;
        let zebra = daemon(host, "zebra", "ip nht resolve-via-default\n", &[])?;
        let socket = files(host).join("zserv.api");
        wait_until("zebra takes clients", LIMIT, || UnixStream::connect(&socket).is_ok())?;
        let bgpd = daemon(host, "bgpd", &configuration(settings), &["--bgp_port", "179"])?;
        let frr = Self { host: host.clone(), _daemons: [zebra, bgpd] };
        let what = format!("bgpd runs on {}", host.name());
        wait_until(&what, LIMIT, || frr.ask("show bgp summary json").is_ok())?;
        Ok(frr)
    }

    /// Asks bgpd what vtysh would ask, on the same socket.
    pub fn ask(&self, question: &str) -> Result<String> {
        ask(&files(&self.host).join("bgpd.vty"), question)
    }

    /// How many paths to these VIPs are kept of sessions that are down, for the other end is expected back.
    pub fn stale(&self, vips: &[IpAddr]) -> Result<usize> {
        let mut count = 0;
        for vip in vips {
            let family = if vip.is_ipv4() { "ipv4" } else { "ipv6" };
            count +=
                self.ask(&format!("show bgp {family} unicast {vip} json"))?.matches("\"stale\":true").count();
        }
        Ok(count)
    }

    /// The router it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }
}

/// FRR's sockets and configurations on this host, which its daemons, running as their own user, must be able to make.
fn files(host: &Host) -> PathBuf {
    host.files().join("frr")
}

fn daemon(host: &Host, name: &str, configuration: &str, arguments: &[&str]) -> Result<Process> {
    let files = files(host);
    let file = files.join(format!("{name}.conf"));
    fs::write(&file, format!("log stdout\n{configuration}"))
        .with_context(|| format!("write {}", file.display()))?;
    let mut command = Command::new(Path::new(DAEMONS).join(name));
    command.args(["-P", "0", "-f"]).arg(&file).arg("-i").arg(files.join(format!("{name}.pid")));
    command.arg("-z").arg(files.join("zserv.api")).arg("--vty_socket").arg(&files).args(arguments);
    host.spawn(name, command)
}

/// A question ends with a zero octet, an answer with three and a status.
fn ask(socket: &Path, question: &str) -> Result<String> {
    let mut stream =
        UnixStream::connect(socket).with_context(|| format!("connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(format!("{question}\0").as_bytes())?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !(answer.len() >= 4 && answer[answer.len() - 4..].starts_with(&[0; 3])) {
        let count = stream.read(&mut buffer).with_context(|| format!("bgpd: {question}"))?;
        ensure!(count > 0, "bgpd closed in the middle of an answer to: {question}");
        answer.extend_from_slice(&buffer[..count]);
    }
    answer.truncate(answer.len() - 4);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Sessions with both balancers in both families; what they announce of the VIPs' ranges goes into one ECMP route.
fn configuration(settings: &Settings) -> String {
    let mut text = format!(
        "router bgp {}\n bgp router-id {}\n no bgp default ipv4-unicast\n no bgp ebgp-requires-policy\n \
         bgp bestpath as-path multipath-relax\n",
        settings.asn,
        v4(settings.last)
    );
    let mut families = [String::new(), String::new()];
    for (last, asn) in [1, 2].into_iter().zip(settings.balancers) {
        for (family, peer) in [IpAddr::V4(v4(last)), IpAddr::V6(v6(last))].into_iter().enumerate() {
            let neighbor = format!(" neighbor {peer}");
            let _ = writeln!(
                text,
                "{neighbor} remote-as {asn}\n{neighbor} timers 10 30\n{neighbor} timers connect 2"
            );
            let map = ["VIPS4", "VIPS6"][family];
            let _ = writeln!(
                families[family],
                " {neighbor} activate\n {neighbor} route-map {map} in\n {neighbor} route-map NOTHING out"
            );
        }
    }
    for (family, lines) in ["ipv4", "ipv6"].iter().zip(&families) {
        let _ = writeln!(
            text,
            " address-family {family} unicast\n{lines}  maximum-paths 8\n exit-address-family"
        );
    }
    text + "!\nip prefix-list VIPS4 seq 5 permit 192.0.2.0/24 ge 32\n\
            ipv6 prefix-list VIPS6 seq 5 permit 2001:db8::/64 ge 128\n\
            route-map VIPS4 permit 10\n match ip address prefix-list VIPS4\n\
            route-map VIPS6 permit 10\n match ipv6 address prefix-list VIPS6\n\
            route-map NOTHING deny 10\n"
}
