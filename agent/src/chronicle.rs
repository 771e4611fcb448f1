//! The latest lines of the log, for `lvsctl events` and the page: decisions of the core, sessions of the routers, and
//! whatever else is said at `info` and above, in the order in which it was said.

use crate::core::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::watch;
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines that are kept, some 2 MB when each is about many backends. Older ones are in the journal.
pub const KEPT: usize = 4096;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Its place since start, from 1; without gaps.
    pub id: u64,
    /// When it was written.
    pub at: Timestamp,
    /// `info`, `warn` or `error`.
    pub level: String,
    /// What is said, for people.
    pub message: String,
    /// The part of the program.
    pub target: String,
    /// What it is about, by name: `service`, `subject`, `reason`, `event`, `peer`, ….
    pub about: BTreeMap<String, String>,
}

/// The latest lines of the log. A copy shows the same lines.
#[derive(Clone, Debug)]
pub struct Chronicle {
    lines: Arc<Mutex<VecDeque<Arc<Line>>>>,
    /// The latest line's place.
    latest: Arc<watch::Sender<u64>>,
}

impl Default for Chronicle {
    fn default() -> Self {
        Self { lines: Arc::default(), latest: Arc::new(watch::Sender::new(0)) }
    }
}

impl Chronicle {
    /// Those of the kept lines that came after the line with this place, the oldest first.
    pub fn after(&self, id: u64) -> Vec<Arc<Line>> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let first = lines.partition_point(|line| line.id <= id);
        lines.range(first..).cloned().collect()
    }

    /// The latest line's place, and each later one as it comes.
    pub fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// Keeps a line; gives its place.
    fn keep(&self, line: Line) -> u64 {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let id = lines.back().map_or(0, |line| line.id) + 1;
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(Arc::new(Line { id, ..line }));
        id
    }

    /// Says that there is a line at this place. Another thread may have said so of a later one already.
    fn announce(&self, id: u64) {
        self.latest.send_if_modified(|latest| {
            let is_later = id > *latest;
            *latest = id.max(*latest);
            is_later
        });
    }
}

impl<S: tracing::Subscriber> Layer<S> for Chronicle {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let id = self.keep(Line {
            id: 0,
            at: SystemTime::now().into(),
            level: metadata.level().as_str().to_ascii_lowercase(),
            message: fields.message,
            target: metadata.target().into(),
            about: fields.others,
        });
        self.announce(id);
    }
}

/// What an event carries.
#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<String, String>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.others.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.others.insert(field.name().into(), format!("{value:?}"));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.others.insert(field.name().into(), value.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    /// What is logged by `say`.
    fn told(say: impl Fn()) -> Chronicle {
        let chronicle = Chronicle::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(chronicle.clone()), say);
        chronicle
    }

    #[test]
    fn a_line_has_its_words_and_what_it_is_about() {
        let chronicle = told(|| {
            let none: Option<&str> = None;
            tracing::warn!(service = "web", subject = none, event = 7_u64, "web: {}", "down");
        });
        let [line] = &chronicle.after(0)[..] else { panic!("{chronicle:?}") };
        assert_eq!((line.id, &*line.level, &*line.message), (1, "warn", "web: down"));
        let about: Vec<(&str, &str)> = line.about.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(about, [("event", "7"), ("service", "web")]);
        assert_eq!(line.target, module_path!());
    }

    #[test]
    fn the_latest_place_does_not_go_back_when_one_thread_overtakes_another() {
        let chronicle = told(|| tracing::info!("one"));
        let line = || Line::clone(&chronicle.after(0)[0]);
        let (slow, quick) = (chronicle.keep(line()), chronicle.keep(line()));
        let mut latest = chronicle.latest();
        chronicle.announce(quick);
        assert_eq!(*latest.borrow_and_update(), quick);
        chronicle.announce(slow);
        assert_eq!(*latest.borrow(), quick);
        assert!(!latest.has_changed().unwrap(), "who follows has seen both lines");
        assert_eq!(chronicle.after(slow).len(), 1);
    }

    #[test]
    fn the_latest_are_kept_in_order_and_those_after_a_place_are_found() {
        let chronicle = told(|| (0..KEPT + 10).for_each(|number| tracing::info!("{number}")));
        let lines = chronicle.after(0);
        assert_eq!((lines.len(), lines[0].id, &*lines[0].message), (KEPT, 11, "10"));
        assert!(lines.windows(2).all(|pair| pair[0].id + 1 == pair[1].id));
        let latest = *chronicle.latest().borrow();
        assert_eq!(latest, KEPT as u64 + 10);
        assert_eq!(chronicle.after(latest - 2).len(), 2);
        assert_eq!(chronicle.after(latest), []);
    }
}
