//! BIRD on a router: takes the VIPs from the balancers and puts them, ECMP, into the router's kernel.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::host::{Host, Process};
use crate::network::{v4, v6};
use crate::wait::wait_until;

/// The name of the control socket among a host's files.
pub const SOCKET: &str = "bird.ctl";

/// How long an answer on the control socket may take.
const ANSWER: Duration = Duration::from_secs(60);

/// How long it may take to start.
const LIMIT: Duration = Duration::from_secs(60);

/// What a router expects: its own AS number, and each balancer's, by the last part of its address.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The router's own AS number.
    pub asn: u32,
    /// The last part of the router's address on the servers' segment.
    pub last: u16,
    /// AS numbers of `lb1` and `lb2`.
    pub balancers: [u32; 2],
}

impl Settings {
    /// Router 0 or 1 with its usual numbers, for balancers with the given AS numbers.
    pub fn of_router(index: usize, balancers: [u32; 2]) -> Self {
        let index = u16::from(index != 0);
        Self { asn: 65001 + u32::from(index), last: 251 + index, balancers }
    }
}

/// BIRD on one router.
#[derive(Debug)]
pub struct Bird {
    host: Host,
    process: Process,
}

impl Bird {
    /// Starts it and waits for its control socket.
    pub fn start(host: &Host, settings: &Settings) -> Result<Self> {
        let file = host.files().join("bird.conf");
        fs::write(&file, configuration(settings)).with_context(|| format!("write {}", file.display()))?;
        let mut command = Command::new("bird");
        command.arg("-f").arg("-c").arg(&file).arg("-s").arg(host.files().join(SOCKET));
        let process = host.spawn("bird", command)?;
        let mut bird = Self { host: host.clone(), process };
        let running = |bird: &mut Self| bird.ask("show status").is_ok() || !bird.process.is_running();
        wait_until(&format!("bird runs on {}", host.name()), LIMIT, || running(&mut bird))?;
        bird.ask("show status").with_context(|| format!("bird on {}", host.name()))?;
        Ok(bird)
    }

    /// Asks what birdc would ask, on the control socket, without starting birdc.
    pub fn ask(&self, query: &str) -> Result<String> {
        ask(&self.host.files().join(SOCKET), query)
    }

    /// Names of the sessions that are established (`lb1_v4`, `lb2_v6`, …).
    pub fn established(&self) -> Result<Vec<String>> {
        let text = self.ask("show protocols")?;
        let up = text.lines().filter(|line| line.contains("BGP") && line.contains("Established"));
        Ok(up.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect())
    }

    /// The balancers to which this router's kernel sends what goes to `vip`, sorted.
    pub fn next_hops(&self, vip: IpAddr) -> Result<Vec<IpAddr>> {
        next_hops(&self.host, vip)
    }

    /// The balancers that BIRD itself has for `vip`, sorted: what it gives the kernel in the same breath, and
    /// twenty times cheaper to ask for.
    pub fn paths(&self, vip: IpAddr) -> Result<Vec<IpAddr>> {
        match self.ask(&format!("show route for {vip}")) {
            Ok(text) => Ok(addresses_after_via(&text)),
            Err(error) if error.root_cause().to_string().contains("not found") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Names of the sessions that are down and whose routes are kept, for the other end is expected back (the
    /// helper's side of graceful restart, RFC 4724 section 4.2).
    pub fn helping(&self) -> Result<Vec<String>> {
        let text = self.ask("show protocols all")?;
        let mut current = "";
        let mut names = Vec::new();
        for line in text.lines() {
            if !line.starts_with(' ') && line.contains(" BGP ") {
                current = line.split_whitespace().next().unwrap_or_default();
            }
            if line.contains("Neighbor graceful restart active") {
                names.push(current.to_owned());
            }
        }
        Ok(names)
    }

    /// The router it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }
}

/// The balancers to which a router's kernel sends what goes to `vip`, sorted.
pub fn next_hops(router: &Host, vip: IpAddr) -> Result<Vec<IpAddr>> {
    let text =
        router.run(&["ip", if vip.is_ipv4() { "-4" } else { "-6" }, "route", "show", &vip.to_string()])?;
    Ok(addresses_after_via(&text))
}

fn addresses_after_via(text: &str) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = text
        .split_whitespace()
        .zip(text.split_whitespace().skip(1))
        .filter(|(word, _)| *word == "via")
        .filter_map(|(_, address)| address.parse().ok())
        .collect();
    addresses.sort();
    addresses
}

/// One question on a BIRD control socket; an error when BIRD says that it is one.
pub fn ask(socket: &Path, query: &str) -> Result<String> {
    let stream = UnixStream::connect(socket).with_context(|| format!("connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(ANSWER))?;
    let mut lines = BufReader::new(&stream).lines();
    answer(&mut lines).context("bird's greeting")?;
    (&stream).write_all(format!("{query}\n").as_bytes())?;
    answer(&mut lines).with_context(|| format!("bird: {query}"))
}

/// Lines are `CODE-text`, `CODE text` for the last, or ` text` to go on; codes from 8000 are errors.
fn answer(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> Result<String> {
    let mut text = String::new();
    for line in lines {
        let line = line?;
        let code = line.get(..4).and_then(|code| code.parse::<u16>().ok());
        let (Some(code), Some(rest)) = (code, line.get(5..)) else {
            let _ = writeln!(text, "{}", line.strip_prefix(' ').unwrap_or(&line));
            continue;
        };
        if code >= 8000 {
            bail!("{rest}");
        }
        let _ = writeln!(text, "{rest}");
        if line.as_bytes()[4] == b' ' {
            return Ok(text);
        }
    }
    bail!("the control socket closed in the middle of an answer")
}

fn configuration(settings: &Settings) -> String {
    let mut text = format!(
        r#"log stderr all;
router id {router_id};
timeformat log iso long ms;
protocol device {{ scan time 1; }}
protocol static {{ ipv4; route 203.0.113.0/24 blackhole; }}
protocol kernel kernel4 {{
    scan time 5;
    merge paths on;
    ipv4 {{ import none; export where source = RTS_BGP; }};
}}
protocol kernel kernel6 {{
    scan time 5;
    merge paths on;
    ipv6 {{ import none; export where source = RTS_BGP; }};
}}
"#,
        router_id = v4(settings.last)
    );
    for (index, (name, asn)) in ["lb1", "lb2"].into_iter().zip(settings.balancers).enumerate() {
        let last = index as u16 + 1;
        let ends: [(&str, IpAddr, IpAddr); 2] = [
            ("4", v4(settings.last).into(), v4(last).into()),
            ("6", v6(settings.last).into(), v6(last).into()),
        ];
        for (family, own, peer) in ends {
            text += &session(&format!("{name}_v{family}"), family, own, settings.asn, peer, asn);
        }
    }
    text
}

/// A session for one family; the balancers are told of 203.0.113.0/24, for those that look. Paths of different neighbours are made equal, or they would not be merged into one
/// ECMP route: BIRD compares MEDs, and so merges, only among routes from one neighbouring AS.
fn session(name: &str, family: &str, own: IpAddr, own_asn: u32, peer: IpAddr, asn: u32) -> String {
    let vips = if family == "4" { "192.0.2.0/24{32,32}" } else { "2001:db8::/64{128,128}" };
    format!(
        r#"protocol bgp {name} {{
    local {own} as {own_asn};
    neighbor {peer} as {asn};
    hold time 30;
    connect retry time 2;
    connect delay time 1;
    error wait time 1, 2;
    graceful restart on;
    graceful restart time 60;
    ipv{family} {{
        import filter {{ if net ~ [ {vips} ] then {{ bgp_path.empty; bgp_path.prepend(64512); accept; }} reject; }};
        export where source = RTS_STATIC;
    }};
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String> {
        answer(&mut text.lines().map(|line| Ok(line.to_owned())))
    }

    #[test]
    fn an_answer_of_several_codes_and_continued_lines_is_read_to_its_end() {
        let text = "1007-Table master4:\n 192.0.2.10/32 unicast\n \tvia 10.64.0.1 on eth0\n0000 \nnot read\n";
        let answer = read(text).expect("an answer");
        assert_eq!(answer, "Table master4:\n192.0.2.10/32 unicast\n\tvia 10.64.0.1 on eth0\n\n");
        assert_eq!(addresses_after_via(&answer), ["10.64.0.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn an_error_of_bird_is_an_error_in_its_words() {
        let error = read("8001 Network not found\n").expect_err("an error");
        assert_eq!(error.to_string(), "Network not found");
    }

    #[test]
    fn a_socket_that_closes_in_the_middle_is_an_error() {
        assert!(read("1007-Table master4:\n").is_err());
    }
}
