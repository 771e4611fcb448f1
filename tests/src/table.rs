//! The IPVS table as the kernel shows it in /proc/net/ip_vs: cheap enough to be watched twice a millisecond.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, anyhow, ensure};

use crate::host::Host;

/// One destination of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// 0 takes no new connections.
    pub weight: u32,
    /// Connections that are open, as the balancer sees them.
    pub active: u32,
    /// Connections that have ended and are still remembered.
    pub inactive: u32,
}

/// A service: protocol in capitals, as the kernel writes it, and address.
pub type ServiceKey = (String, SocketAddr);

/// All services and their destinations.
pub type Table = BTreeMap<ServiceKey, BTreeMap<SocketAddr, Destination>>;

/// Enough for all that the kernel shows in one go, a page. It must be one go: between two, the kernel (6.1,
/// `ip_vs_info_array` and `ip_vs_info_seq_next`) counts by other rules where it was, and leaves services out when
/// other namespaces have some too.
const AT_ONCE: usize = 65_536;

/// Reads the table of `host`.
pub fn read(host: &Host) -> Result<Table> {
    host.enter(here)?
}

/// Reads the table of the namespace that the calling thread is in.
pub fn here() -> Result<Table> {
    // /proc/net belongs to the process, this to the thread.
    let mut file = File::open("/proc/thread-self/net/ip_vs").context("the kernel's IPVS table")?;
    let mut text = vec![0; AT_ONCE];
    let length = file.read(&mut text).context("read the kernel's IPVS table")?;
    ensure!(file.read(&mut [0; 1])? == 0, "the IPVS table is longer than the kernel shows at once");
    text.truncate(length);
    let text = String::from_utf8(text).context("the kernel's IPVS table")?;
    parse(&text)
}

/// Reads the whole table of `host` over netlink, however long it is.
pub fn whole(host: &Host) -> Result<ipvs::Table> {
    Reader::open(host)?.whole()
}

/// Reads the whole table of a host over netlink, again and again: a request for each service, which is dear in the guest.
#[derive(Debug)]
pub struct Reader {
    ipvs: ipvs::Ipvs,
    runtime: tokio::runtime::Runtime,
}

impl Reader {
    /// One for the table of `host`.
    pub fn open(host: &Host) -> Result<Self> {
        let ipvs = host.enter(|| ipvs::Ipvs::open(ipvs::Options::default()))??;
        Ok(Self { ipvs, runtime: tokio::runtime::Builder::new_current_thread().build()? })
    }

    /// The table as it is now.
    pub fn whole(&self) -> Result<ipvs::Table> {
        Ok(self.runtime.block_on(self.ipvs.dump())?.table)
    }
}

/// The weights of a TCP service's destinations by address; empty when there is no such service.
pub fn weights(host: &Host, service: SocketAddr) -> Result<BTreeMap<IpAddr, u32>> {
    Ok(weights_in(&read(host)?, service))
}

/// The same from a table that was read before.
pub fn weights_in(table: &Table, service: SocketAddr) -> BTreeMap<IpAddr, u32> {
    table
        .get(&("TCP".to_owned(), service))
        .into_iter()
        .flatten()
        .map(|(address, destination)| (address.ip(), destination.weight))
        .collect()
}

/// Connections that a TCP service has had since it was made (a service that is made anew begins at 0). The kernel
/// counts what it shows every two seconds.
pub fn connections_ever(host: &Host, service: SocketAddr) -> Result<u64> {
    let text = host.run(&["ipvsadm", "-Ln", "--stats", "--exact", "-t", &service.to_string()])?;
    let line = text.lines().find(|line| line.starts_with("TCP")).context("no such service")?;
    line.split_whitespace().nth(2).and_then(|word| word.parse().ok()).context("no count of connections")
}

/// Reads what the kernel shows.
pub fn parse(text: &str) -> Result<Table> {
    let mut table = Table::new();
    let mut current = None;
    // The first three lines are headings.
    for line in text.lines().skip(3) {
        let mut words = line.split_whitespace();
        let first = words.next().context("an empty line in the IPVS table")?;
        if first != "->" {
            let key = words.next().and_then(|word| Some((first.to_owned(), address(word)?)));
            // A firewall mark has no address, and its service is passed over.
            current = Some(key.map(|key| table.entry(key).or_default()));
            continue;
        }
        let fields = || -> Option<(SocketAddr, Destination)> {
            let address = address(words.next()?)?;
            let mut number = words.skip(1).map(|word| word.parse().ok());
            let mut next = || number.next().flatten();
            Some((address, Destination { weight: next()?, active: next()?, inactive: next()? }))
        };
        let (address, destination) = { fields }().with_context(|| format!("not a destination: {line}"))?;
        let service = current.as_mut().ok_or_else(|| anyhow!("a destination without a service: {line}"))?;
        if let Some(service) = service {
            service.insert(address, destination);
        }
    }
    Ok(table)
}

/// `C000020A:0050` or `[2001:0db8:0000:0000:0000:0000:0000:0010]:0050`.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => IpAddr::V6(v6.parse::<Ipv6Addr>().ok()?),
        None => IpAddr::V4(Ipv4Addr::from(u32::from_str_radix(host, 16).ok()?)),
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  C000020A:0050 mh (mh-fallback,mh-port)
  -> 0A40000C:0050      Route   0      1          2
  -> 0A40000B:0050      Route   10     3          14
TCP  [2001:0db8:0000:0000:0000:0000:0000:0010]:0050 mh (mh-fallback,mh-port)
  -> [fd00:0064:0000:0000:0000:0000:0000:0011]:0050      Route   10     0          0
FWM  6C770000 rr ops
  -> 0A40000B:0000      Route   1      0          0
";

    #[test]
    fn a_table_of_both_families_is_read_with_weights_and_connections() {
        let table = parse(TEXT).expect("a table");
        let v4 = weights_in(&table, "192.0.2.10:80".parse().unwrap());
        assert_eq!(v4, [("10.64.0.11".parse().unwrap(), 10), ("10.64.0.12".parse().unwrap(), 0)].into());
        let v6 = weights_in(&table, "[2001:db8::10]:80".parse().unwrap());
        assert_eq!(v6, [("fd00:64::11".parse().unwrap(), 10)].into());
        let key = ("TCP".to_owned(), "192.0.2.10:80".parse().unwrap());
        let busy = table[&key][&"10.64.0.11:80".parse().unwrap()];
        assert_eq!((busy.active, busy.inactive), (3, 14));
    }

    #[test]
    fn a_destination_that_cannot_be_read_is_an_error() {
        assert!(parse(&TEXT.replace("Route   0 ", "Route   x ")).is_err());
    }
}
