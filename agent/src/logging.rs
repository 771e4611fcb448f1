//! Logs: lines for people on a terminal, the journal's own fields under systemd, JSON lines elsewhere.

use crate::chronicle::Chronicle;
use anyhow::Context;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

/// The environment variable that sets levels, as in `LVSD_LOG=debug` or `LVSD_LOG=info,bgp=debug`.
pub const LEVEL_VARIABLE: &str = "LVSD_LOG";

/// Levels where nobody has set any.
const USUAL: &str = "info";

/// The process's log: its latest lines, and its levels. A copy is of the same log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The latest lines, whatever the levels.
    pub chronicle: Chronicle,
    levels: Levels,
}

/// What is written: as the process was started with, and as it is now.
#[derive(Clone, Debug)]
struct Levels {
    first: String,
    now: Arc<Mutex<String>>,
    filter: Option<reload::Handle<EnvFilter, Registry>>,
}

impl Default for Levels {
    fn default() -> Self {
        Self::of(USUAL.into(), None)
    }
}

impl Levels {
    fn of(first: String, filter: Option<reload::Handle<EnvFilter, Registry>>) -> Self {
        Self { now: Arc::new(Mutex::new(first.clone())), first, filter }
    }
}

impl Log {
    /// The levels that are written now.
    pub fn levels(&self) -> String {
        self.levels.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has other levels written from now on, those of the process's start when there are none. Returns them.
    ///
    /// # Errors
    /// When they cannot be understood; then nothing changes.
    pub fn set_levels(&self, wanted: Option<&str>) -> Result<String, String> {
        let wanted = wanted.unwrap_or(&self.levels.first);
        let filter = filter(wanted).map_err(|error| format!("{error:#}"))?;
        if let Some(handle) = &self.levels.filter {
            handle.reload(filter).map_err(|error| error.to_string())?;
        }
        wanted.clone_into(&mut self.levels.now.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(wanted.into())
    }
}

fn filter(levels: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(levels).with_context(|| {
        format!("{levels:?}: expected a level (error, warn, info, debug, trace), or LEVEL,TARGET=LEVEL,…")
    })
}

/// Sets logging up for the process.
///
/// # Errors
/// When [`LEVEL_VARIABLE`] cannot be understood.
pub fn init() -> anyhow::Result<Log> {
    let levels = std::env::var(LEVEL_VARIABLE).unwrap_or_else(|_| USUAL.into());
    let (filter, handle) = reload::Layer::new(filter(&levels).context(LEVEL_VARIABLE)?);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if std::io::stderr().is_terminal() {
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).boxed()
    } else if is_journal() {
        tracing_journald::layer().context("the journal's socket")?.boxed()
    } else {
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed()
    };
    let log = Log { chronicle: Chronicle::default(), levels: Levels::of(levels, Some(handle)) };
    let latest = log.chronicle.clone().with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(latest).try_init()?;
    Ok(log)
}

/// Whether stderr is the journal: systemd says which device and inode its stream has (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = nix::sys::stat::fstat(std::io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_change_go_back_to_those_of_the_start_and_nonsense_changes_nothing() {
        let log = Log::default();
        assert_eq!(log.set_levels(Some("info,bgp=debug")), Ok("info,bgp=debug".into()));
        let error = log.set_levels(Some("bgp=loud")).unwrap_err();
        assert!(error.contains("bgp=loud") && error.contains("expected a level"), "{error}");
        assert_eq!(log.levels(), "info,bgp=debug");
        assert_eq!(log.set_levels(None), Ok("info".into()));
        assert_eq!(log.levels(), "info");
    }
}
