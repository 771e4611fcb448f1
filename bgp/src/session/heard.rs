//! What a neighbour tells us before any rule, for a monitoring station (RFC 7854): kept while one wants it.

use std::sync::Arc;

use super::task::Session;
use crate::{
    Family,
    bmp::PrePolicy,
    policy::Import,
    rib::{AdjRibIn, Change, Source},
    wire::{AddPath, RefreshKind, Update},
};

/// Routes that are kept of one neighbour: a full table of both families, and half as much again. One that tells more is
/// left out until its next session.
const MOST: usize = 2_000_000;

/// See the module. Dropping it takes its routes out of the table.
pub(super) struct Heard {
    station: PrePolicy,
    rib: AdjRibIn,
    /// Who tells it; `None` without a session, and in one whose routes come with path identifiers.
    neighbour: Option<Arc<Source>>,
    is_kept: bool,
}

impl Heard {
    pub(super) fn new(station: PrePolicy) -> Self {
        // Its rules are never asked.
        Self { station, rib: AdjRibIn::new(Import::new(Vec::new())), neighbour: None, is_kept: false }
    }

    /// Something else is wanted. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        if self.station.wanted.changed().await.is_err() {
            // Whoever wanted something is gone.
            std::future::pending().await
        }
    }

    /// Keeps what is told from now on, or nothing any longer, as the station wants it. Returns that everything is to be told
    /// once more for that.
    fn look(&mut self) -> bool {
        let before = self.is_kept;
        self.is_kept = *self.station.wanted.borrow_and_update() && self.neighbour.is_some();
        if before && !self.is_kept {
            self.clear();
        }
        self.is_kept && !before
    }

    /// A session is up with this neighbour.
    pub(super) fn up(&mut self, neighbour: Source, add_path: AddPath) {
        self.down();
        self.neighbour = Some(Arc::new(neighbour)).filter(|_| add_path == AddPath::default());
        // It tells everything anyway.
        self.look();
    }

    /// An UPDATE came.
    pub(super) fn update(&mut self, update: &Update<'_>) {
        if !self.is_kept {
            return;
        }
        let changes = self.rib.hear(update);
        self.pass_on(changes);
        let routes = self.rib.counts().values().sum::<usize>();
        if routes > MOST {
            let peer = self.neighbour.as_ref().map(|neighbour| &*neighbour.peer);
            tracing::warn!(
                peer,
                routes,
                most = MOST,
                "the BMP station hears nothing more of the peer before the rules"
            );
            self.clear();
            self.is_kept = false;
        }
    }

    /// The neighbour marks a refresh (RFC 7313 §4.2).
    pub(super) fn refresh(&mut self, kind: RefreshKind, family: Family) {
        let changes = match kind {
            RefreshKind::Begin => self.rib.mark_stale(family),
            RefreshKind::End => self.rib.purge_stale(family),
            RefreshKind::Request => return,
        };
        self.pass_on(changes);
    }

    /// The session is over, and with it what was told: a station knows no graceful restart.
    pub(super) fn down(&mut self) {
        self.clear();
        (self.neighbour, self.is_kept) = (None, false);
    }

    fn clear(&mut self) {
        let changes = Family::ALL.into_iter().flat_map(|family| self.rib.clear(family)).collect();
        self.pass_on(changes);
    }

    fn pass_on(&self, changes: Vec<Change>) {
        if let (Some(neighbour), false) = (&self.neighbour, changes.is_empty()) {
            self.station.table.send_modify(|table| drop(table.apply(neighbour, changes)));
        }
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Session {
    /// The station wants something else. What was told before is asked for once more; a neighbour that cannot be asked is
    /// heard from then on.
    pub(super) fn look_at_station(&mut self) {
        if self.heard.look() {
            self.asked_again();
        }
    }
}
