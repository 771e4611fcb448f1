//! Tables in the words of `ipvsadm -S` and `ipvsadm -R`, both ways.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::process::{Command, Stdio};

use ipvs::{
    Destination, DestinationKey, Entry, Family, Forward, Persistence, Protocol, Scheduler, SchedulerFlags,
    Service, ServiceKey, Table, Tunnel, TunnelChecksum, Weight,
};

use super::Failure;

/// Runs it and gives what it says.
pub(super) fn ipvsadm(arguments: &[&str]) -> Result<String, Failure> {
    run(arguments, "")
}

/// Has it restore a table.
pub(super) fn restore(table: &Table) -> Result<(), Failure> {
    run(&["-R"], &write(table)).map(drop)
}

/// Has it say the table that the kernel has. It says nothing of thresholds.
pub(super) fn saved() -> Result<Table, Failure> {
    let text = run(&["-S", "-n"], "")?;
    let mut table = Table::new();
    for line in text.lines() {
        read_line(line, &mut table).map_err(|error| format!("{line:?}: {error}"))?;
    }
    Ok(table)
}

fn run(arguments: &[&str], input: &str) -> Result<String, Failure> {
    let mut child = Command::new("ipvsadm")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    // Restoring a table goes on after a line that fails, and ends well all the same.
    if !output.status.success() || !output.stderr.is_empty() {
        return Err(format!("ipvsadm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn write(table: &Table) -> String {
    let mut text = String::new();
    for (key, entry) in table.iter() {
        let name = name(key);
        let _ = writeln!(text, "-A {name}{}", service(key, &entry.service));
        for (key, it) in &entry.destinations {
            let (forward, limits) = (forward(it.forward), (it.upper_threshold, it.lower_threshold));
            let _ = write!(text, "-a {name} -r {key} {forward} -w {}", it.weight);
            let _ = writeln!(text, " -x {} -y {}", limits.0, limits.1);
        }
    }
    text
}

fn name(key: &ServiceKey) -> String {
    match *key {
        ServiceKey::Address { protocol, address, port } => {
            let option = match protocol {
                Protocol::Tcp => "-t",
                Protocol::Udp => "-u",
                Protocol::Sctp => "--sctp-service",
            };
            format!("{option} {}", SocketAddr::new(address, port))
        }
        ServiceKey::FwMark { family: Family::V4, mark } => format!("-f {mark}"),
        ServiceKey::FwMark { family: Family::V6, mark } => format!("-f {mark} -6"),
    }
}

fn service(key: &ServiceKey, service: &Service) -> String {
    let mut text = format!(" -s {}", service.scheduler());
    if let Some(Persistence { timeout_seconds, prefix_len }) = service.persistence() {
        let mask = match key.family() {
            Family::V4 => std::net::Ipv4Addr::from(u32::MAX << (32 - u32::from(prefix_len))).to_string(),
            Family::V6 => prefix_len.to_string(),
        };
        let _ = write!(text, " -p {timeout_seconds} -M {mask}");
    }
    let flags = service.scheduler_flags();
    if flags != SchedulerFlags::NONE {
        let names: Vec<_> =
            flags.to_string().split(',').map(|flag| format!("{}-{flag}", service.scheduler())).collect();
        let _ = write!(text, " -b {}", names.join(","));
    }
    if service.one_packet() {
        text += " -o";
    }
    text
}

fn forward(forward: Forward) -> String {
    let Forward::Tunnel(tunnel) = forward else {
        return if forward == Forward::Masquerade { "-m".to_owned() } else { "-g".to_owned() };
    };
    let mut text = format!("-i --tun-type {}", tunnel.kind);
    if tunnel.port != 0 {
        let _ = write!(text, " --tun-port {}", tunnel.port);
    }
    match tunnel.flags {
        0 => text,
        1 => text + " --tun-csum",
        _ => text + " --tun-remcsum",
    }
}

/// What a line of `ipvsadm -S` has in it.
#[derive(Default)]
struct Line<'a> {
    is_service: bool,
    is_v6: bool,
    protocol: Option<Protocol>,
    name: &'a str,
    scheduler: &'a str,
    timeout: Option<u32>,
    mask: Option<&'a str>,
    flags: SchedulerFlags,
    one_packet: bool,
    destination: &'a str,
    method: &'a str,
    weight: u32,
    tunnel: &'a str,
    tunnel_port: u16,
    checksum: TunnelChecksum,
}

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Result<Self, Failure> {
        let mut line = Self::default();
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or("an option without its value");
            match word {
                "-A" => line.is_service = true,
                "-a" => {}
                "-t" => (line.protocol, line.name) = (Some(Protocol::Tcp), value()?),
                "-u" => (line.protocol, line.name) = (Some(Protocol::Udp), value()?),
                "--sctp-service" => (line.protocol, line.name) = (Some(Protocol::Sctp), value()?),
                "-f" => line.name = value()?,
                "-6" => line.is_v6 = true,
                "-s" => line.scheduler = value()?,
                "-p" => line.timeout = Some(value()?.parse()?),
                "-M" => line.mask = Some(value()?),
                "-b" => {
                    line.flags.fallback = value()?.contains("-fallback");
                    line.flags.port = text.contains("-port ") || text.trim_end().ends_with("-port");
                }
                "-o" => line.one_packet = true,
                "-r" => line.destination = value()?,
                "-g" | "-m" | "-i" => line.method = word,
                "-w" => line.weight = value()?.parse()?,
                "--tun-type" => line.tunnel = value()?,
                "--tun-port" => line.tunnel_port = value()?.parse()?,
                "--tun-csum" => line.checksum = TunnelChecksum::Full,
                "--tun-remcsum" => line.checksum = TunnelChecksum::Remote,
                "--tun-nocsum" => {}
                other => return Err(format!("option {other}").into()),
            }
        }
        Ok(line)
    }

    fn key(&self) -> Result<ServiceKey, Failure> {
        let family = if self.is_v6 { Family::V6 } else { Family::V4 };
        let Some(protocol) = self.protocol else {
            return Ok(ServiceKey::FwMark { family, mark: self.name.parse::<NonZeroU32>()? });
        };
        let socket: SocketAddr = self.name.parse()?;
        Ok(ServiceKey::Address { protocol, address: socket.ip(), port: socket.port() })
    }

    fn service(&self, family: Family) -> Result<Service, Failure> {
        let mut service = Service::new(self.scheduler.parse::<Scheduler>()?, self.flags)?;
        if let Some(timeout) = self.timeout {
            let prefix_len = match self.mask.map(str::parse::<IpAddr>) {
                None => family.max_prefix_len(),
                Some(Ok(IpAddr::V4(mask))) => u8::try_from(u32::from(mask).leading_ones())?,
                Some(_) => self.mask.unwrap_or_default().parse()?,
            };
            service = service.with_persistence(Persistence::new(timeout, prefix_len, family)?);
        }
        Ok(if self.one_packet { service.with_one_packet() } else { service })
    }

    fn forward(&self) -> Result<Forward, Failure> {
        Ok(match (self.method, self.tunnel) {
            ("-g", _) => Forward::DirectRouting,
            ("-m", _) => Forward::Masquerade,
            (_, "ipip") => Forward::Tunnel(Tunnel::IPIP),
            (_, "gre") => Forward::Tunnel(Tunnel::gre(self.checksum == TunnelChecksum::Full)),
            (_, "gue") => Forward::Tunnel(Tunnel::gue(self.tunnel_port.try_into()?, self.checksum)),
            (_, other) => return Err(format!("tunnel {other}").into()),
        })
    }
}

/// Destinations come after their service.
fn read_line(text: &str, table: &mut Table) -> Result<(), Failure> {
    let line = Line::read(text)?;
    let key = line.key()?;
    if line.is_service {
        table.insert(key, Entry::new(line.service(key.family())?));
        return Ok(());
    }
    let mut entry = table.remove(&key).ok_or("a destination before its service")?.as_ref().clone();
    let destination = Destination::new(line.forward()?, Weight::new(line.weight)?);
    entry.add(&key, line.destination.parse::<DestinationKey>()?, destination)?;
    table.insert(key, entry);
    Ok(())
}
