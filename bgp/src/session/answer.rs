//! Answers to who asks.

use super::task::Session;
use crate::{rib::nothing_told, speaker::Question};

impl Session {
    /// Says what the neighbour is told. Who asked may have gone.
    pub(super) fn asked(&self, question: Question) {
        let published = self.routes.borrow().clone();
        let whole = published.map(|published| published.routes).unwrap_or_default();
        let told = match &self.outbound {
            Some(outbound) => outbound.in_detail(&whole, &self.reflected.borrow()),
            None => nothing_told(&whole, &self.config.export),
        };
        drop(question.send(told));
    }
}
