//! Many services behind the three servers, each with an IPv4 and an IPv6 VIP of its own.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::configuration::{Check, Service};
use crate::network::Lab;

/// The VIPs of a service, numbered from 0; those of [`crate::network`] are below.
pub fn vips(number: u8) -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, u16::from(number));
    [Ipv4Addr::new(192, 0, 2, 100 + number).into(), v6.into()]
}

/// A service whose servers are asked for a connection only: all share these checks.
pub fn service(number: u8) -> Service {
    Service { check: Check::Tcp, ..Service::new(&format!("many{number:03}"), &vips(number)) }
}

/// Gives the servers the VIPs of the services up to this number.
pub fn carry(lab: &Lab, count: u8) -> Result<()> {
    let mut script = String::from("ip -batch - <<X\n");
    for vip in (0..count).flat_map(vips) {
        let length = if vip.is_ipv4() { 32 } else { 128 };
        let _ = writeln!(script, "addr add {vip}/{length} dev lo");
    }
    script += "X\n";
    lab.servers.iter().try_for_each(|server| server.run(&["sh", "-ec", &script]).map(drop))
}
