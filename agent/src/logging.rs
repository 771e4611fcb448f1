//! Logs: lines for people on a terminal, the journal's own fields under systemd, JSON lines elsewhere.

use anyhow::Context;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variable that sets levels, as in `LVSD_LOG=debug` or `LVSD_LOG=info,bgp=debug`.
pub const LEVEL_VARIABLE: &str = "LVSD_LOG";

/// Sets logging up for the process.
///
/// # Errors
/// When [`LEVEL_VARIABLE`] cannot be understood.
pub fn init() -> anyhow::Result<()> {
    let levels = std::env::var(LEVEL_VARIABLE).unwrap_or_else(|_| "info".into());
    let filter = EnvFilter::try_new(&levels).with_context(|| {
        format!("{LEVEL_VARIABLE}={levels:?}: expected a level like info, or TARGET=LEVEL,…")
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    if std::io::stderr().is_terminal() {
        registry.with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr)).try_init()?;
    } else if is_journal() {
        registry.with(tracing_journald::layer().context("the journal's socket")?).try_init()?;
    } else {
        let json = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
        registry.with(json).try_init()?;
    }
    Ok(())
}

/// Whether stderr is the journal: systemd says which device and inode its stream has (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = nix::sys::stat::fstat(std::io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}
