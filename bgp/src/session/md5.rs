//! TCP-MD5 (RFC 2385): the kernel signs what a socket sends and drops what is not signed as it should be.

use std::{io, net::IpAddr};

use nix::libc;
use socket2::{Domain, SockRef};

use super::option;
use crate::{Password, Prefix};

/// Octets of linux/tcp.h `struct tcp_md5sig`: an address in the room of a `sockaddr_storage`, flags, prefix length, length
/// of the key (2), interface (4), the key.
const SIZE: usize = KEY + libc::TCP_MD5SIG_MAXKEYLEN;
const FLAGS: usize = 128;
const PREFIX_LENGTH: usize = 129;
const KEY_LENGTH: usize = 130;
const KEY: usize = 136;

/// Where the address is in `sockaddr_in` and `sockaddr_in6`.
const IPV4_ADDRESS: usize = 4;
const IPV6_ADDRESS: usize = 8;

/// linux/tcp.h `TCP_MD5SIG_FLAG_PREFIX`: the key is for a whole prefix.
const FLAG_PREFIX: u8 = 1;

/// Has the socket sign what it exchanges with addresses of the prefix, or no longer. A key of a longer prefix goes before
/// it. Connections that were accepted keep the key that they were accepted with (net/ipv4/tcp_ipv4.c).
///
/// # Errors
/// `ENOPROTOOPT` from a kernel without TCP-MD5; `ENOMEM` when the keys of one socket exceed `net.core.optmem_max`.
pub(super) fn set(socket: &SockRef<'_>, with: Prefix, password: Option<&Password>) -> io::Result<()> {
    let value = structure(socket.domain()? == Domain::IPV6, with, password);
    match option::set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG_EXT, &value) {
        // It was not there.
        Err(error) if password.is_none() && error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}

fn structure(ipv6_socket: bool, with: Prefix, password: Option<&Password>) -> [u8; SIZE] {
    let mut value = [0; SIZE];
    let (family, at, address) = match with.address() {
        IpAddr::V6(address) => (libc::AF_INET6, IPV6_ADDRESS, address.octets().to_vec()),
        // A socket for both families knows IPv4 in the guise of IPv6, with lengths of IPv4 (net/ipv6/tcp_ipv6.c).
        IpAddr::V4(address) if ipv6_socket => {
            (libc::AF_INET6, IPV6_ADDRESS, address.to_ipv6_mapped().octets().to_vec())
        }
        IpAddr::V4(address) => (libc::AF_INET, IPV4_ADDRESS, address.octets().to_vec()),
    };
    put(&mut value, 0, &libc::sa_family_t::try_from(family).unwrap_or_default().to_ne_bytes());
    put(&mut value, at, &address);
    put(&mut value, FLAGS, &[FLAG_PREFIX]);
    put(&mut value, PREFIX_LENGTH, &[with.len()]);
    let key = password.map_or(&[][..], Password::expose);
    put(&mut value, KEY_LENGTH, &u16::try_from(key.len()).unwrap_or_default().to_ne_bytes());
    put(&mut value, KEY, key);
    value
}

/// Everything that is put has a fixed place and fits.
fn put(value: &mut [u8; SIZE], at: usize, octets: &[u8]) {
    for (place, octet) in value.iter_mut().skip(at).zip(octets) {
        *place = *octet;
    }
}
