//! The process itself, under the names that every program of Prometheus has.

use super::gauges::Make;
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use prometheus::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Registers what the kernel says of this process; what it does not say has no series.
pub(super) fn register(make: &Make, started: SystemTime) -> Result<(), Error> {
    let started = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    make.one("process_start_time_seconds", "When lvsd started, in seconds since 1970.", started)?;
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let micros = |time: nix::sys::time::TimeVal| {
            let whole = u64::try_from(time.tv_sec()).unwrap_or_default();
            let rest = u64::try_from(time.tv_usec()).unwrap_or_default();
            Duration::from_secs(whole) + Duration::from_micros(rest)
        };
        let spent = micros(usage.user_time()) + micros(usage.system_time());
        let name = "process_cpu_seconds_total";
        let counter = make.counters(name, "Time that processors have spent on lvsd.", &[])?;
        counter.with_label_values::<&str>(&[]).inc_by(spent.as_secs_f64());
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One of them is that of the folder.
        make.one(
            "process_open_fds",
            "File descriptors that are open.",
            open.count().saturating_sub(1) as f64,
        )?;
    }
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        make.one("process_max_fds", "File descriptors that may be open.", soft as f64)?;
    }
    if let Some(resident) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident) {
        make.one("process_resident_memory_bytes", "Memory that is in use.", resident as f64)?;
    }
    Ok(())
}

/// The bytes that are resident, of what the kernel says in `status`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_as_the_kernel_writes_it() {
        assert_eq!(resident("Name:\tlvsd\nVmRSS:\t    5120 kB\nThreads:\t9\n"), Some(5120 * 1024));
        assert_eq!(resident("Name:\tlvsd\n"), None);
    }
}
