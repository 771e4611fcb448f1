//! TCP-AO (RFC 5925): the kernel signs what a socket sends and drops what is not signed as it should be. Linux 6.7 and later,
//! where it was built with `CONFIG_TCP_AO`.

use std::{ffi::c_int, io};

use nix::libc;
use socket2::{Domain, SockRef};

use super::option::{self, put};
use crate::{AoKey, Prefix};

/// linux/tcp.h; not in libc.
const TCP_AO_ADD_KEY: c_int = 38;
const TCP_AO_DEL_KEY: c_int = 39;

/// linux/tcp.h `struct tcp_ao_add`: an address in the room of a `sockaddr_storage`, the algorithm's name (64), interface (4),
/// flags (4), padding (2), prefix length, `SendID`, `RecvID`, length of the signature, flags of the key, length of the key,
/// the key (80).
mod add {
    pub(super) const ALGORITHM: usize = 128;
    pub(super) const PREFIX_LENGTH: usize = 202;
    pub(super) const SEND_ID: usize = 203;
    pub(super) const RECEIVE_ID: usize = 204;
    pub(super) const MAC_LENGTH: usize = 205;
    pub(super) const KEY_LENGTH: usize = 207;
    pub(super) const KEY: usize = 208;
    pub(super) const SIZE: usize = 288;
}

/// linux/tcp.h `struct tcp_ao_del`: an address, interface (4), flags (4), padding (2), prefix length, `SendID`, `RecvID`, the
/// current key, the next, flags of the key.
mod delete {
    pub(super) const PREFIX_LENGTH: usize = 138;
    pub(super) const SEND_ID: usize = 139;
    pub(super) const RECEIVE_ID: usize = 140;
    pub(super) const SIZE: usize = 144;
}

/// Octets of a signature: 96 bits, of either algorithm (RFC 5926 §3.2).
const MAC_LENGTH: u8 = 12;

/// Has the socket sign what it exchanges with addresses of the prefix, which does nothing if it has the key.
///
/// # Errors
/// Says what to do when the kernel has no TCP-AO.
pub(super) fn add(socket: &SockRef<'_>, with: Prefix, key: &AoKey) -> io::Result<()> {
    let value = added(socket.domain()? == Domain::IPV6, with, key);
    match option::set(socket, libc::IPPROTO_TCP, TCP_AO_ADD_KEY, &value) {
        // An accepted connection has it from the socket that listened.
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        Err(error) => Err(explained(&error, key)),
        Ok(()) => Ok(()),
    }
}

/// Takes a key from a listening socket.
pub(super) fn remove(socket: &SockRef<'_>, with: Prefix, key: &AoKey) -> io::Result<()> {
    let mut value = [0; delete::SIZE];
    option::put_address(&mut value, socket.domain()? == Domain::IPV6, with.address());
    put(&mut value, delete::PREFIX_LENGTH, &[with.len()]);
    put(&mut value, delete::SEND_ID, &[key.id]);
    put(&mut value, delete::RECEIVE_ID, &[key.id]);
    match option::set(socket, libc::IPPROTO_TCP, TCP_AO_DEL_KEY, &value) {
        // It was not there.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        Err(error) => Err(explained(&error, key)),
        Ok(()) => Ok(()),
    }
}

fn added(ipv6_socket: bool, with: Prefix, key: &AoKey) -> [u8; add::SIZE] {
    let mut value = [0; add::SIZE];
    let secret = key.secret.expose();
    option::put_address(&mut value, ipv6_socket, with.address());
    put(&mut value, add::ALGORITHM, key.algorithm.kernel_name().as_bytes());
    put(&mut value, add::PREFIX_LENGTH, &[with.len()]);
    put(&mut value, add::SEND_ID, &[key.id]);
    put(&mut value, add::RECEIVE_ID, &[key.id]);
    put(&mut value, add::MAC_LENGTH, &[MAC_LENGTH]);
    put(&mut value, add::KEY_LENGTH, &[u8::try_from(secret.len()).unwrap_or_default()]);
    put(&mut value, add::KEY, secret);
    value
}

fn explained(error: &io::Error, key: &AoKey) -> io::Error {
    let why = match error.raw_os_error() {
        Some(libc::ENOPROTOOPT) => {
            "this kernel has no TCP-AO; it takes Linux 6.7 or later, built with CONFIG_TCP_AO, or a password \
             (TCP-MD5) in its place"
                .to_owned()
        }
        Some(libc::ENOENT) => {
            format!(
                "this kernel has no {}: load the module or use another algorithm",
                key.algorithm.kernel_name()
            )
        }
        Some(libc::EKEYREJECTED) => "the same socket has a TCP-MD5 key for these addresses".to_owned(),
        Some(libc::EISCONN) => "the connection is older than the key, and not signed".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AoAlgorithm, Password};

    fn key(algorithm: AoAlgorithm) -> AoKey {
        AoKey { id: 7, algorithm, secret: Password::new("swordfish").unwrap() }
    }

    /// The structures of linux/tcp.h, member by member: what a C compiler makes of them is asked by hand with `offsetof`.
    #[test]
    fn the_structure_is_laid_out_as_the_kernels_header_has_it() {
        let storage = size_of::<libc::sockaddr_storage>();
        let after_name = storage + 64;
        let after_flags = after_name + 4 + 4 + 2;
        assert_eq!((add::ALGORITHM, add::PREFIX_LENGTH), (storage, after_flags));
        assert_eq!((add::SEND_ID, add::RECEIVE_ID, add::MAC_LENGTH), (203, 204, 205));
        assert_eq!((add::KEY_LENGTH, add::KEY, add::SIZE), (after_flags + 5, after_flags + 6, 208 + 80));
        assert_eq!((add::SIZE % 8, delete::SIZE % 8), (0, 0), "both are aligned to 8");
        assert_eq!((delete::PREFIX_LENGTH, delete::SIZE), (storage + 10, storage + 10 + 6));

        let value = added(false, "192.0.2.0/24".parse().unwrap(), &key(AoAlgorithm::AesCmac));
        assert_eq!(value[..2], 2_u16.to_ne_bytes());
        assert_eq!(value[2..8], [0, 0, 192, 0, 2, 0], "no port, then the address");
        assert_eq!(&value[128..141], b"cmac(aes128)\0");
        assert_eq!(value[192..202], [0; 10], "no interface, no flags");
        assert_eq!(value[202..208], [24, 7, 7, 12, 0, 9]);
        assert_eq!(&value[208..218], b"swordfish\0");
        let value = added(true, "192.0.2.1/32".parse().unwrap(), &key(AoAlgorithm::HmacSha1));
        assert_eq!(value[..2], 10_u16.to_ne_bytes());
        assert_eq!(value[8..24], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]);
        assert_eq!(&value[128..139], b"hmac(sha1)\0");
    }

    #[test]
    fn a_kernel_without_it_is_told_of_with_what_to_do() {
        let error = explained(&io::Error::from_raw_os_error(libc::ENOPROTOOPT), &key(AoAlgorithm::HmacSha1));
        assert!(error.to_string().contains("Linux 6.7 or later, built with CONFIG_TCP_AO"), "{error}");
        let error = explained(&io::Error::from_raw_os_error(libc::ENOENT), &key(AoAlgorithm::AesCmac));
        assert!(error.to_string().contains("no cmac(aes128)"), "{error}");
    }
}
