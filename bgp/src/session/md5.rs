//! TCP-MD5 (RFC 2385): the kernel signs what a socket sends and drops what is not signed as it should be.

use std::io;

use nix::libc;
use socket2::{Domain, SockRef};

use super::option::{self, put};
use crate::{Password, Prefix};

/// Octets of linux/tcp.h `struct tcp_md5sig`: an address in the room of a `sockaddr_storage`, flags, prefix length, length
/// of the key (2), interface (4), the key.
const SIZE: usize = KEY + libc::TCP_MD5SIG_MAXKEYLEN;
const FLAGS: usize = 128;
const PREFIX_LENGTH: usize = 129;
const KEY_LENGTH: usize = 130;
const KEY: usize = 136;

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
    option::put_address(&mut value, ipv6_socket, with.address());
    put(&mut value, FLAGS, &[FLAG_PREFIX]);
    put(&mut value, PREFIX_LENGTH, &[with.len()]);
    let key = password.map_or(&[][..], Password::expose);
    put(&mut value, KEY_LENGTH, &u16::try_from(key.len()).unwrap_or_default().to_ne_bytes());
    put(&mut value, KEY, key);
    value
}
