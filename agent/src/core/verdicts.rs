//! The checks' verdicts, and what several of them say together.
//!
//! A service's setting `require` says how many of its checks a backend has to pass. With `n` checks of which `k` have
//! to pass, a backend is up as soon as `k` pass, down as soon as more than `n - k` fail, and unknown otherwise:
//!
//! ```text
//!                       passing       failing        silent        together
//! all of 2                 2             0              0             up
//!                          1             1              0             down
//!                          1             0              1             unknown
//! any of 2                 1             1              0             up
//!                          0             2              0             down
//!                          0             1              1             unknown
//! ```
//!
//! One check of the service can be several of a backend: the way that leads to the VIP is looked at for each VIP. Such
//! a check passes when all of its parts do.

use super::Timestamp;
use super::pool::Health;
use super::uses::ByCheck;
use crate::config::Require;
use health::{Advice, Check, Mode, Verdict};
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// A check of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberCheck {
    /// The check.
    pub check: Arc<Check>,
    /// Which of the service's checks it is, or is a part of: its place among them. Parts of one stand side by side.
    pub of: u16,
}

/// The verdicts of all checks, as they last were reported.
#[derive(Clone, Debug, Default)]
pub struct Verdicts(ByCheck<Reported>);

/// A check's last report.
#[derive(Clone, Debug)]
pub struct Reported {
    /// What it says.
    pub verdict: Verdict,
    /// Since when.
    pub since: Timestamp,
    /// What its last failed probe met.
    pub failure: Option<String>,
    /// What the target says of how much it wants to be given.
    pub advice: Advice,
}

/// How many of a backend's checks pass and fail. Those that are parts of one count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Checks that pass.
    pub passing: usize,
    /// Checks that fail.
    pub failing: usize,
    /// Checks that have to pass.
    pub needed: usize,
    /// All of them.
    pub total: usize,
}

impl Verdicts {
    /// Takes a report.
    pub fn report(
        &mut self,
        check: Arc<Check>,
        (verdict, failure, advice): (Verdict, Option<String>, Advice),
        now: Timestamp,
    ) {
        match self.0.entry(check) {
            Entry::Occupied(mut known) => {
                let since = if known.get().verdict == verdict { known.get().since } else { now };
                known.insert(Reported { verdict, since, failure, advice });
            }
            Entry::Vacant(unknown) => {
                unknown.insert(Reported { verdict, since: now, failure, advice });
            }
        }
    }

    /// A check's last report.
    pub fn get(&self, check: &Check) -> Option<&Reported> {
        self.0.get(check)
    }

    /// Forgets a check that is not wanted any more.
    pub fn forget(&mut self, check: &Check) {
        self.0.remove(check);
    }

    /// What the checks of a backend, which is known since `born`, say together.
    pub fn together(&self, checks: &[MemberCheck], require: Require, born: Timestamp) -> Health {
        match require {
            // Parts and wholes are the same then.
            Require::All => all(self.said(checks), born),
            Require::Any | Require::AtLeast(_) => {
                let parts = checks.chunk_by(|one, other| one.of == other.of);
                let each: Vec<Health> = parts.map(|parts| all(self.said(parts), born)).collect();
                enough(&each, require.of(each.len()), born)
            }
        }
    }

    /// How many of a backend's checks pass and fail.
    pub fn tally(&self, checks: &[MemberCheck], require: Require) -> Tally {
        let each = || {
            let parts = checks.chunk_by(|one, other| one.of == other.of);
            parts.map(|parts| all(self.said(parts), Timestamp::default()))
        };
        let total = each().count();
        Tally {
            passing: each().filter(|health| matches!(health, Health::Up { .. })).count(),
            failing: each().filter(|health| matches!(health, Health::Down { .. })).count(),
            needed: require.of(total),
            total,
        }
    }

    /// What a backend's agents ask for: the least share of its weight and the strictest mode of any.
    pub fn advice(&self, checks: &[MemberCheck]) -> Advice {
        let said = checks.iter().filter_map(|made| self.0.get(&made.check)).map(|reported| reported.advice);
        said.fold(Advice::default(), |all, one| Advice {
            percent: [all.percent, one.percent].into_iter().flatten().min(),
            mode: [all.mode, one.mode].into_iter().flatten().max_by_key(|mode| strictness(*mode)),
        })
    }

    fn said<'a>(
        &'a self,
        checks: &'a [MemberCheck],
    ) -> impl Iterator<Item = Option<(Verdict, Timestamp)>> + 'a {
        checks.iter().map(|made| self.0.get(&made.check).map(|reported| (reported.verdict, reported.since)))
    }
}

fn strictness(mode: Mode) -> u8 {
    match mode {
        Mode::Ready => 0,
        Mode::Drain => 1,
        Mode::Maintenance => 2,
    }
}

/// Down since the first that is down, else unknown if one is, else up since the last that came up.
fn all(said: impl Iterator<Item = Option<(Verdict, Timestamp)>>, born: Timestamp) -> Health {
    let (mut up_since, mut down_since, mut unknown) = (born, None::<Timestamp>, false);
    for said in said {
        match said {
            Some((Verdict::Up, since)) => up_since = up_since.max(since),
            Some((Verdict::Down, since)) => {
                down_since = Some(down_since.map_or(since, |earlier| earlier.min(since)));
            }
            Some((Verdict::Unknown, _)) | None => unknown = true,
        }
    }
    match (down_since, unknown) {
        (Some(since), _) => Health::Down { since },
        (None, true) => Health::Unknown,
        (None, false) => Health::Up { since: up_since },
    }
}

/// Up since `needed` of them pass, down since too many fail for that, unknown otherwise.
fn enough(each: &[Health], needed: usize, born: Timestamp) -> Health {
    let since = |is_wanted: fn(&Health) -> Option<Timestamp>| {
        let mut since: Vec<Timestamp> = each.iter().filter_map(is_wanted).collect();
        since.sort_unstable();
        since
    };
    let passing = since(|health| match health {
        Health::Up { since } => Some(*since),
        Health::Down { .. } | Health::Unknown => None,
    });
    let failing = since(|health| match health {
        Health::Down { since } => Some(*since),
        Health::Up { .. } | Health::Unknown => None,
    });
    match (needed.checked_sub(1), failing.get(each.len() - needed)) {
        (None, _) => Health::Up { since: born },
        (Some(last), failed) => match (passing.get(last), failed) {
            (Some(since), _) => Health::Up { since: *since },
            (None, Some(since)) => Health::Down { since: *since },
            (None, None) => Health::Unknown,
        },
    }
}

#[cfg(test)]
mod tests;
