//! The receiving half of GTSM (RFC 5082): the kernel drops packets that came from further away.

use std::{ffi::c_int, io, net::IpAddr};

use nix::libc;
use socket2::SockRef;

use super::option;

/// linux/in6.h; not in libc.
const IPV6_MINHOPCOUNT: c_int = 73;

/// Drops packets to the socket whose time to live has fallen below `least` (ip(7) `IP_MINTTL`).
pub(super) fn set(socket: &SockRef<'_>, family: IpAddr, least: u8) -> io::Result<()> {
    let (level, name) = match family {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MINTTL),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT),
    };
    option::set(socket, level, name, &c_int::from(least).to_ne_bytes())
}
