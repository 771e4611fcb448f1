//! What BFD says of the path to the neighbour, and what follows for the session.

use std::{future::pending, net::IpAddr};

use tokio::sync::watch;

use super::task::Session;
use crate::{
    bfd::{Discriminator, State, Status, Statuses},
    fsm::{Event, Input},
    speaker::BfdConfig,
    wire::{ErrorCode, Notification},
};

/// What is to be done with the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing.
    None,
    /// The path broke: end the session. It may come back.
    End,
    /// End the session if there is one, and have none until [`Self::Release`].
    Hold,
    /// There may be one again.
    Release,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Path {
    neighbour: IpAddr,
    config: watch::Receiver<Option<BfdConfig>>,
    statuses: watch::Receiver<Statuses>,
    /// How often the path had broken, by the BFD session that counted it, when it was last looked at.
    seen: Option<(Discriminator, u64)>,
    holding: bool,
}

impl Path {
    pub(crate) const fn new(
        neighbour: IpAddr,
        config: watch::Receiver<Option<BfdConfig>>,
        statuses: watch::Receiver<Statuses>,
    ) -> Self {
        Self { neighbour, config, statuses, seen: None, holding: false }
    }

    /// Waits until there is something to look at. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        tokio::select! {
            Ok(()) = self.config.changed() => {}
            Ok(()) = self.statuses.changed() => {}
            else => pending().await,
        }
    }

    /// What BFD knows, when it is configured.
    pub(super) fn status(&self) -> Option<Status> {
        self.statuses.borrow().get(&self.neighbour).cloned()
    }

    /// What follows from the present state. `established`: there is a session.
    pub(super) fn look(&mut self, established: bool) -> Order {
        let config = *self.config.borrow_and_update();
        let status = self.statuses.borrow_and_update().get(&self.neighbour).cloned();
        let count = status.as_ref().map(|status| (status.local_discriminator, status.failures));
        let before = std::mem::replace(&mut self.seen, count);
        let Some(config) = config else { return self.release() };
        let has_failed = match (before, count) {
            (Some((session, before)), Some((same, now))) if session == same => now > before,
            (_, Some((_, now))) => now > 0,
            (_, None) => false,
        };
        let is_good =
            status.is_some_and(|status| status.state == State::Up || status.remote_state == State::AdminDown);
        if config.strict && !is_good && (has_failed || !established) {
            return if std::mem::replace(&mut self.holding, true) { Order::None } else { Order::Hold };
        }
        if has_failed && established { Order::End } else { self.release() }
    }

    fn release(&mut self) -> Order {
        if std::mem::replace(&mut self.holding, false) { Order::Release } else { Order::None }
    }
}

impl Session {
    /// BFD has something to say. A path that broke takes the routes with it that would stay over a restart (RFC 5882
    /// §4.3, RFC 8538 §3).
    pub(super) fn look_at_path(&mut self) {
        let established = self.fsm.established();
        let established = established.map(|(side, agreed)| (side, agreed.graceful_notification));
        let order = self.path.look(established.is_some());
        // What changes after the look is looked at next.
        self.report.status.bfd = self.path.status();
        if self.stop.is_some() {
            return;
        }
        let down = Notification::new(ErrorCode::BFD_DOWN);
        let down = if established.is_some_and(|(_, hard)| hard) { down.hard() } else { down };
        match (order, established) {
            (Order::Hold, _) => self.input(Input::Stop(down)),
            (Order::End, Some((side, _))) => self.input(Input::Connection(side, Event::Stop(down))),
            (Order::Release, _) => self.input(Input::Start),
            (Order::None, _) | (Order::End, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::SystemTime};

    use super::*;
    use crate::bfd::{Diagnostic, Timing};

    const NEIGHBOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const LOOSE: Option<BfdConfig> = Some(BfdConfig { timing: Timing::DEFAULT, strict: false });
    const STRICT: Option<BfdConfig> = Some(BfdConfig { timing: Timing::DEFAULT, strict: true });

    struct Given {
        path: Path,
        config: watch::Sender<Option<BfdConfig>>,
        statuses: watch::Sender<Statuses>,
    }

    impl Given {
        fn new(config: Option<BfdConfig>) -> Self {
            let (config, config_receiver) = watch::channel(config);
            let (statuses, statuses_receiver) = watch::channel(Statuses::new());
            Self { path: Path::new(NEIGHBOUR, config_receiver, statuses_receiver), config, statuses }
        }

        /// BFD's state, the neighbour's, and how often the path has broken.
        fn is(&mut self, state: State, remote_state: State, failures: u64) -> &mut Path {
            let status = Status {
                state,
                since: SystemTime::UNIX_EPOCH,
                diagnostic: Diagnostic::NONE,
                remote_state,
                remote_diagnostic: Diagnostic::NONE,
                local_discriminator: Discriminator::new(1).unwrap(),
                remote_discriminator: None,
                transmit_interval: None,
                detection_time: None,
                ups: 0,
                downs: 0,
                failures,
                discarded: 0,
                last_error: None,
            };
            self.statuses.send_replace(Statuses::from([(NEIGHBOUR, status)]));
            &mut self.path
        }
    }

    #[test]
    fn a_path_that_breaks_ends_the_session_once_and_lets_it_come_back_though_bfd_stays_down() {
        let mut given = Given::new(LOOSE);
        assert_eq!(given.path.look(false), Order::None, "BFD is not waited for");
        assert_eq!(given.is(State::Up, State::Up, 0).look(true), Order::None);
        assert_eq!(given.is(State::Down, State::Down, 1).look(true), Order::End);
        assert_eq!(given.path.look(true), Order::None, "that is over");
        assert_eq!(given.is(State::Up, State::Up, 2).look(true), Order::End, "it broke in between");
        assert_eq!(given.is(State::Down, State::Down, 3).look(false), Order::None, "there is nothing to end");
    }

    #[test]
    fn an_operators_down_and_an_end_of_bfd_end_nothing() {
        for config in [LOOSE, STRICT] {
            let mut given = Given::new(config);
            given.is(State::Up, State::Up, 0).look(true);
            assert_eq!(given.is(State::Down, State::AdminDown, 0).look(true), Order::None);
            given.config.send_replace(None);
            given.statuses.send_replace(Statuses::new());
            assert_eq!(given.path.look(true), Order::None);
        }
    }

    #[test]
    fn strict_waits_for_bfd_but_not_for_one_that_an_operator_has_taken_down() {
        let mut given = Given::new(STRICT);
        assert_eq!(given.path.look(false), Order::Hold);
        assert_eq!(given.is(State::Init, State::Down, 0).look(false), Order::None, "it is held already");
        assert_eq!(given.is(State::Up, State::Init, 0).look(false), Order::Release);
        assert_eq!(given.is(State::Down, State::Down, 1).look(true), Order::Hold);
        assert_eq!(given.is(State::Down, State::AdminDown, 1).look(false), Order::Release);
    }

    #[test]
    fn strict_can_be_set_and_taken_back_without_a_reset() {
        let mut given = Given::new(LOOSE);
        given.is(State::Down, State::Down, 0).look(true);
        given.config.send_replace(STRICT);
        assert_eq!(given.path.look(true), Order::None, "the session that is there stays");
        assert_eq!(given.path.look(false), Order::Hold);
        given.config.send_replace(LOOSE);
        assert_eq!(given.path.look(false), Order::Release);
    }
}
