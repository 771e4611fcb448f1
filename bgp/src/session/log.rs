//! What a session says in the log: what happens again and again is counted and said seldom.

use std::{mem::discriminant, net::Ipv4Addr, time::Instant};

use crate::{HoldTime, speaker::Seldom};

/// Different lines of a kind that are told apart: more than a neighbour has that is wrong in one way. Those beyond are
/// counted with the last of them.
const MOST_OF_A_KIND: usize = 4;

/// What a line has that is said some time after it happened.
const LATE: &str = " (earlier, said late)";

/// Something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A session is established.
    Up { router_id: Ipv4Addr, hold_time: HoldTime, graceful_restart: bool },
    /// A session has ended, by this reason.
    Down(String),
    /// A connection came to nothing.
    Failed(String),
    /// The neighbour was told this.
    Sent(String),
    /// The neighbour said this.
    Received(String),
    /// An UPDATE was malformed and the session goes on.
    Malformed(String),
    /// A connection that the neighbour dialled could not be used.
    Dropped(String),
}

impl Line {
    /// `when`: nothing, or that it happened earlier.
    fn say(&self, peer: &str, count: u64, when: &str) {
        match self {
            Self::Up { router_id, hold_time, graceful_restart } => {
                tracing::info!(peer, %router_id, %hold_time, graceful_restart, count, "BGP session up{when}");
            }
            Self::Down(reason) => tracing::warn!(peer, %reason, count, "BGP session down{when}"),
            Self::Failed(reason) => tracing::warn!(peer, %reason, count, "BGP connection failed{when}"),
            Self::Sent(notification) => tracing::info!(peer, %notification, count, "NOTIFICATION sent{when}"),
            Self::Received(notification) => {
                tracing::warn!(peer, %notification, count, "NOTIFICATION received{when}")
            }
            Self::Malformed(malformed) => {
                tracing::warn!(peer, %malformed, count, "BGP UPDATE is malformed{when}")
            }
            Self::Dropped(error) => {
                tracing::warn!(peer, %error, count, "an accepted connection was dropped{when}")
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Log {
    peer: String,
    /// What was said lately; at most [`MOST_OF_A_KIND`] of each kind.
    lines: Vec<(Line, Seldom)>,
}

impl Log {
    pub(super) const fn new(peer: String) -> Self {
        Self { peer, lines: Vec::new() }
    }

    /// It happened: says so, unless that was said lately.
    pub(super) fn note(&mut self, line: Line, now: Instant) {
        self.lines.retain(|(_, seldom)| !seldom.is_over(now));
        let index = self.place(line);
        let Some((line, seldom)) = self.lines.get_mut(index) else { return };
        if let Some(count) = seldom.happened(now) {
            line.say(&self.peer, count, "");
        }
    }

    /// Where a line is counted.
    fn place(&mut self, line: Line) -> usize {
        if let Some(index) = self.lines.iter().position(|(said, _)| *said == line) {
            return index;
        }
        let kind = discriminant(&line);
        let of_kind = self.lines.iter().enumerate().filter(|(_, (said, _))| discriminant(said) == kind);
        let last = of_kind.map(|(index, _)| index).skip(MOST_OF_A_KIND - 1).last();
        match last.and_then(|index| self.lines.get_mut(index)) {
            Some((said, _)) => *said = line,
            None => self.lines.push((line, Seldom::default())),
        }
        last.unwrap_or(self.lines.len() - 1)
    }

    /// When something is to be said.
    pub(super) fn due(&self) -> Option<Instant> {
        self.lines.iter().filter_map(|(_, seldom)| seldom.due()).min()
    }

    /// Says what is due.
    pub(super) fn overdue(&mut self, now: Instant) {
        for (line, seldom) in &mut self.lines {
            if let Some(count) = seldom.overdue(now) {
                line.say(&self.peer, count, LATE);
            }
        }
    }
}

impl Drop for Log {
    /// Says what was left unsaid.
    fn drop(&mut self) {
        for (line, seldom) in &mut self.lines {
            if let Some(count) = seldom.rest() {
                line.say(&self.peer, count, LATE);
            }
        }
    }
}
