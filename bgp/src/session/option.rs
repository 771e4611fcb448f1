//! Socket options that neither socket2 nor nix has.

use std::{ffi::c_int, io, net::IpAddr, os::fd::AsRawFd};

use nix::libc;
use socket2::SockRef;

/// Sets an option to a value in the kernel's own layout.
#[expect(unsafe_code, reason = "the options of GTSM, TCP-MD5 and TCP-AO are in no library")]
pub(super) fn set(socket: &SockRef<'_>, level: c_int, option: c_int, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the kernel reads `length` octets, which is the
    // size of `value`, and keeps no pointer to it.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value.as_ptr().cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where the address is in `sockaddr_in` and `sockaddr_in6`.
const IPV4_ADDRESS: usize = 4;
const IPV6_ADDRESS: usize = 8;

/// Writes whom a key is for into the `sockaddr_storage` with which a structure begins.
pub(super) fn put_address(value: &mut [u8], ipv6_socket: bool, address: IpAddr) {
    let (family, at, address) = match address {
        IpAddr::V6(address) => (libc::AF_INET6, IPV6_ADDRESS, address.octets().to_vec()),
        // A socket for both families knows IPv4 in the guise of IPv6, with lengths of IPv4 (net/ipv6/tcp_ipv6.c).
        IpAddr::V4(address) if ipv6_socket => {
            (libc::AF_INET6, IPV6_ADDRESS, address.to_ipv6_mapped().octets().to_vec())
        }
        IpAddr::V4(address) => (libc::AF_INET, IPV4_ADDRESS, address.octets().to_vec()),
    };
    put(value, 0, &libc::sa_family_t::try_from(family).unwrap_or_default().to_ne_bytes());
    put(value, at, &address);
}

/// Everything that is put has a fixed place and fits.
pub(super) fn put(value: &mut [u8], at: usize, octets: &[u8]) {
    for (place, octet) in value.iter_mut().skip(at).zip(octets) {
        *place = *octet;
    }
}
