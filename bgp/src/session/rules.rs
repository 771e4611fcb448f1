//! Rules that change while the session goes on.

use std::sync::Arc;

use super::{
    learned::Learned,
    task::{Session, now},
};
use crate::{
    fsm::{Event, Input},
    rib::AdjRibIn,
    wire::{ErrorCode, Notification, RefreshKind, RouteRefresh},
};

impl Session {
    /// Takes the rules that are wanted now. What the neighbour told is judged anew, and asked for once more; what is
    /// different for the neighbour it is told.
    pub(super) fn set_rules(&mut self) {
        let rules = self.rules.borrow_and_update().clone();
        let before = self.config.rules();
        self.config.set_rules(rules.clone());
        if (&before.export, before.overrides) != (&rules.export, rules.overrides) {
            if let Some(outbound) = &mut self.outbound {
                outbound.set_rules(rules.export, rules.overrides);
            }
            self.set_all(now());
        }
        if before.import != self.config.import {
            self.set_import();
        }
    }

    fn set_import(&mut self) {
        let Some(import) = self.config.import.clone() else {
            self.learned = None;
            let status = &mut self.report.status;
            (status.learned, status.refused, status.stale) = Default::default();
            status.prefix_limit = None;
            return;
        };
        match &mut self.learned {
            Some(learned) => learned.set_import(import),
            None => {
                let table = Arc::clone(&self.table);
                let mut learned = Learned::new(self.config.name.clone(), AdjRibIn::new(import), table);
                let established = self.fsm.established().map(|(side, agreed)| (side, agreed.clone()));
                let with = established.and_then(|(side, agreed)| self.neighbourhood(side, &agreed));
                with.into_iter().for_each(|with| learned.up(with, now()));
                self.learned = Some(learned);
            }
        }
        // What was refused is not known any more, nor what a route was like before a rule changed it. A neighbour that cannot
        // be asked loses its session, as with any other change.
        if !self.asked_again()
            && let Some((side, _)) = self.fsm.established()
        {
            let changed = Notification::new(ErrorCode::CONFIGURATION_CHANGE);
            self.input(Input::Connection(side, Event::Stop(changed)));
        }
    }

    /// Asks for everything once more (RFC 2918). Returns whether the neighbour can be asked.
    pub(super) fn asked_again(&mut self) -> bool {
        let Some((side, agreed)) = self.fsm.established() else { return false };
        if !agreed.route_refresh {
            return false;
        }
        let families = agreed.families.clone();
        for family in families {
            if let Some(transport) = self.slot(side) {
                transport.queue(|out| RouteRefresh::new(RefreshKind::Request, family).encode(out));
                self.report.sent(1, true);
            }
        }
        true
    }
}
