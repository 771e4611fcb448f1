//! Rule 8: the kernel is read again and again, and what it has is known from what it says. And of rule 6: a stop writes nothing.

use super::super::{Broken, ensure};
use super::{Outcome, Seen};
use crate::core::{Action, Event, State, Timestamp};

/// When the kernel was read, or was to be.
#[derive(Default)]
pub(in super::super) struct Repairs {
    asked: Option<Timestamp>,
}

impl Repairs {
    pub(super) fn are_right(&mut self, seen: &Seen<'_>) -> Outcome {
        let is_asked = seen.actions.iter().any(|action| matches!(action, Action::ReadKernel));
        if is_asked || is(seen.event, &|event| matches!(event, Event::KernelRead { .. })) {
            self.asked = Some(seen.now);
        }
        let says = is(seen.event, &|event| matches!(event, Event::KernelSynced { .. }));
        let (before, after) = (&seen.before.kernel, &seen.after.kernel);
        ensure!(says || before.services == after.services, "8 results", "known before the kernel said so");
        let is_stop = matches!(seen.event, Event::Stop);
        let is_write = |action: &&Action| {
            matches!(action, Action::SyncIpvs(_) | Action::SetAddresses(_) | Action::SetFib(_))
        };
        let write = seen.actions.iter().find(is_write);
        ensure!(!is_stop || write.is_none(), "6 stops", "asked to stop, it writes {write:?}");
        Ok(())
    }

    /// Time has passed and everything that was due was done.
    pub(in super::super) fn are_due(&self, state: &State, now: Timestamp) -> Outcome {
        let (Some(asked), Some(config)) = (self.asked, &state.config) else { return Ok(()) };
        let age = now.since(asked);
        let most = config.daemon.resync_interval;
        ensure!(age < most, "8 resync", "the kernel was read {age:?} ago, {most:?} are configured");
        Ok(())
    }
}

/// Whether an event, or one of those that are heard together, is such a one.
pub(in super::super) fn is(event: &Event, wanted: &dyn Fn(&Event) -> bool) -> bool {
    match event {
        Event::Several(events) => events.iter().any(|event| is(event, wanted)),
        _ => wanted(event),
    }
}
