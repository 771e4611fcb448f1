//! The host that lvsd runs on.

/// Its name, as the kernel has it (`/proc/sys/kernel/hostname`); empty when it cannot be read.
pub fn name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Its name without its domain.
pub fn short_name() -> String {
    name().split('.').next().unwrap_or_default().to_owned()
}
