//! The receiving half of GTSM (RFC 5082): the kernel drops packets that came from further away.

use std::{ffi::c_int, io, net::IpAddr, os::fd::AsRawFd};

use nix::libc;
use socket2::SockRef;

/// linux/in6.h; not in libc.
const IPV6_MINHOPCOUNT: c_int = 73;

/// Drops packets to the socket whose time to live has fallen below `least` (ip(7) `IP_MINTTL`).
#[expect(unsafe_code, reason = "neither socket2 nor nix has these options, and a wrong TTL check is a hole")]
pub(super) fn set(socket: &SockRef<'_>, family: IpAddr, least: u8) -> io::Result<()> {
    let (level, option) = match family {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MINTTL),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT),
    };
    let value = c_int::from(least);
    let length = libc::socklen_t::try_from(size_of::<c_int>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the option reads `length` octets, which
    // is the size of `value`, and keeps no pointer to it.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
