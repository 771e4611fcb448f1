//! How a session ends for good: told to, or because its neighbour is long gone.

use std::time::Duration;

use super::{
    Command,
    task::{Session, now},
    timers::TimerKey,
};
use crate::{RouteSet, fsm::Input, rib::Reflected};

/// How long a neighbour may take to read the withdrawals of a shutdown.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(3);

impl Session {
    pub(super) fn commanded(&mut self) {
        let stop = match &*self.command.borrow_and_update() {
            Command::Run => return,
            Command::Stop(stop) => stop.clone(),
        };
        if let Some(outbound) = self.outbound.as_mut().filter(|_| stop.withdraws()) {
            outbound.set(&RouteSet::new(), &Reflected::default(), now());
            self.timers.set(TimerKey::Withdrawing, now() + WITHDRAW_TIMEOUT);
        }
        self.stop = Some(stop);
    }

    /// Stops the state machine once everything is withdrawn, or there is nobody to tell.
    pub(super) fn finish_stop(&mut self) {
        let withdrawing = self.timers.is_running(TimerKey::Withdrawing) && self.outbound.is_some();
        if withdrawing && !self.report.status.in_sync {
            return;
        }
        if let Some(stop) = &self.stop {
            self.stopped = true;
            let hard = self.fsm.established().is_some_and(|(_, agreed)| agreed.graceful_notification);
            self.input(Input::Stop(stop.notification(hard)));
        }
    }

    /// A neighbour of a group that has had no connection for a while is forgotten, unless it restarts and routes of it are
    /// kept.
    pub(super) fn linger(&mut self) {
        let Some(time) = self.linger else { return };
        let restarts = self.learned.as_ref().is_some_and(|learned| learned.stale_until().is_some());
        if self.incoming.is_some() || restarts {
            self.timers.stop(TimerKey::Linger);
        } else if self.stop.is_none() && !self.timers.is_running(TimerKey::Linger) {
            self.timers.set(TimerKey::Linger, now() + time);
        }
    }
}
