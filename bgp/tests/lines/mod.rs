//! The lines that the library logs.

#![allow(dead_code, reason = "each test uses what it needs of it")]

use std::{
    fmt::{Debug, Write},
    sync::{Condvar, Mutex, MutexGuard, Once, PoisonError},
    time::Duration,
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// How long a line may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static NEW: Condvar = Condvar::new();

struct Collector;

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").expect("memory");
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("bgp") && *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words(String::new());
        event.record(&mut words);
        lock().push(words.0);
        NEW.notify_all();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn lock() -> MutexGuard<'static, Vec<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Collects lines from now on.
pub(crate) fn collect() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Collector).expect("the first"));
}

/// The lines so far with all of these words.
pub(crate) fn with(words: &[&str]) -> Vec<String> {
    lock().iter().filter(|line| words.iter().all(|word| line.contains(word))).cloned().collect()
}

/// Waits for a line with all of these words.
pub(crate) fn wait_for(words: &[&str]) -> String {
    let is_there = |line: &&String| words.iter().all(|word| line.contains(word));
    let waited = NEW.wait_timeout_while(lock(), PATIENCE, |lines| !lines.iter().any(|line| is_there(&line)));
    let (lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
    lines.iter().find(is_there).cloned().unwrap_or_else(|| panic!("no line with {words:?} in {lines:#?}"))
}

/// How often what the lines say has happened.
pub(crate) fn counted(lines: &[String]) -> u64 {
    let count = |line: &String| {
        let words = line.split(' ').find_map(|word| word.strip_prefix("count="));
        words.and_then(|number| number.parse::<u64>().ok()).expect("a line says how often")
    };
    lines.iter().map(count).sum()
}
