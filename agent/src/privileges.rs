//! What of lvsd's privileges the commands that it runs as checks get: nothing.

use std::io;

use rustix::thread::{CapabilitySet, capabilities, clear_ambient_capability_set, set_capabilities};

/// Keeps this thread's capabilities for itself and for threads that it starts later: what a service manager gives a user
/// as ambient capabilities, every program that it executes would be given too (capabilities(7)).
///
/// # Errors
/// The kernel's; it has none for who gives up.
pub fn keep_from_children() -> io::Result<()> {
    clear_ambient_capability_set()?;
    let mut sets = capabilities(None)?;
    sets.inheritable = CapabilitySet::empty();
    Ok(set_capabilities(None, sets)?)
}
