//! What lvsd gives up: what the commands that it runs as checks would get of its privileges, and the processor where others need it more.

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

/// How much nicer a thread is that nobody's traffic waits for: it weighs a tenth of the others (sched(7)).
const NICER: i32 = 10;

/// Lets the threads that decide and program go before this one where there are too few processors: a hundred lines of the
/// log must not stand before the kernel. The kernel has no objection to who gets nicer.
pub fn give_way() {
    // On Linux a nice value is a thread's own.
    if let Err(error) = rustix::process::nice(NICER) {
        tracing::debug!(%error, "this thread could not be made nicer");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_gives_way_is_nicer() {
        let own = || rustix::process::getpriority_process(None).unwrap();
        let before = own();
        let nicer = std::thread::spawn(move || {
            give_way();
            own()
        });
        assert_eq!(nicer.join().unwrap(), (before + NICER).min(19));
        assert_eq!(own(), before);
    }
}
