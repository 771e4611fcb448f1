//! Socket options that neither socket2 nor nix has.

use std::{ffi::c_int, io, os::fd::AsRawFd};

use nix::libc;
use socket2::SockRef;

/// Sets an option to a value in the kernel's own layout.
#[expect(unsafe_code, reason = "the options of GTSM and TCP-MD5 are in no library")]
pub(super) fn set(socket: &SockRef<'_>, level: c_int, option: c_int, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the kernel reads `length` octets, which is the
    // size of `value`, and keeps no pointer to it.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value.as_ptr().cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
