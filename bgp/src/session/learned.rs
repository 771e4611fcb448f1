//! What a neighbour tells us: kept by the import rules, over a graceful restart of the neighbour too, and passed on to
//! the table of all neighbours' routes.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::stale::{Over, Stale};
use crate::{
    Family,
    fsm::{EndReason, Negotiated},
    policy::{Import, MaxPrefixes},
    rib::{AdjRibIn, Change, LocRib, Neighbourhood, Source},
    speaker::PeerStatus,
    wire::{ErrorCode, Notification, RefreshKind, Update},
};

/// The most of a neighbour's long-lived stale time that it is given: what it says is up to 194 days, and until then its
/// routes take memory, and traffic when there is no other way. Nobody means more than a day.
const MOST_LONG_LIVED: Duration = Duration::from_secs(86_400);

/// More routes than the limit allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    pub(super) family: Family,
    pub(super) count: usize,
    pub(super) limits: MaxPrefixes,
}

impl TooMany {
    /// Cease, with the family and the limit (RFC 4486 §4).
    pub(super) fn notification(&self) -> Notification {
        let limit = u32::try_from(self.limits.limit).unwrap_or(u32::MAX);
        let mut data = self.family.afi().to_be_bytes().to_vec();
        data.push(self.family.safi());
        data.extend_from_slice(&limit.to_be_bytes());
        Notification { code: ErrorCode::MAX_PREFIXES, data }
    }
}

/// See the module. Dropping it takes its routes out of the table.
pub(super) struct Learned {
    peer: String,
    rib: AdjRibIn,
    table: Arc<watch::Sender<LocRib>>,
    /// Who told it; of the present session, or of the last one while its routes are kept.
    from: Option<(Arc<Source>, Neighbourhood)>,
    /// Families some of whose routes may be stale, and for how long they may.
    stale: Stale,
    warned: BTreeSet<Family>,
}

impl Learned {
    pub(super) fn new(peer: String, rib: AdjRibIn, table: Arc<watch::Sender<LocRib>>) -> Self {
        Self { peer, rib, table, from: None, stale: Stale::default(), warned: BTreeSet::new() }
    }

    /// When some of what is stale is to be dropped, or to become the last choice.
    pub(super) fn stale_until(&self) -> Option<Instant> {
        self.stale.next()
    }

    /// A session is up. Of what was kept since the last one, families whose forwarding the neighbour has not preserved
    /// are dropped (RFC 4724 §4.2; RFC 9494 §4.2).
    pub(super) fn up(&mut self, with: Neighbourhood, now: Instant) {
        let lost = self.stale.returned(|family, is_long| with.negotiated.has_preserved(family, is_long), now);
        lost.into_iter().for_each(|family| self.clear(family));
        self.from = Some((Arc::new(with.source(&self.peer)), with));
        self.warned.clear();
    }

    /// Other rules hold from now on, for what is kept as well.
    pub(super) fn set_import(&mut self, import: Import) {
        let neighbour = self.from.as_ref().map_or(Ipv4Addr::UNSPECIFIED.into(), |(_, with)| with.remote);
        let changes = self.rib.set_import(import, neighbour);
        self.pass_on(changes);
        self.warned.clear();
    }

    /// An UPDATE came. Returns that it was one route too many.
    pub(super) fn update(&mut self, update: &Update<'_>) -> Option<TooMany> {
        let (_, with) = self.from.as_ref()?;
        if let Some(family) = update.end_of_rib() {
            self.fresh(family);
            return None;
        }
        let changes = self.rib.update(update, with);
        self.pass_on(changes);
        let limits = self.rib.import().max_prefixes;
        for (family, count) in self.rib.counts() {
            if *count >= limits.warn && self.warned.insert(*family) {
                let limit = limits.limit;
                tracing::warn!(peer = self.peer, %family, count, limit, "the neighbour nears its limit of prefixes");
            }
        }
        self.rib.over_limit().map(|(family, count)| TooMany { family, count, limits })
    }

    /// The neighbour marks a refresh (RFC 7313 §4.2).
    pub(super) fn refresh(&mut self, kind: RefreshKind, family: Family, now: Instant) {
        match kind {
            RefreshKind::Begin => {
                let changes = self.rib.mark_stale(family);
                self.pass_on(changes);
                self.stale.refreshing(family, now);
            }
            RefreshKind::End => self.fresh(family),
            RefreshKind::Request => {}
        }
    }

    /// Everything of the family was told: what is still stale is gone.
    fn fresh(&mut self, family: Family) {
        let changes = self.rib.purge_stale(family);
        self.pass_on(changes);
        self.stale.forget(family);
    }

    /// The session has ended: what the neighbour announced is kept for as long as it said its restart may take, and for a
    /// long time after that if both want it so, if the end looks like a restart (RFC 4724 §4.2; RFC 8538 §4; RFC 9494
    /// §4.2); otherwise it is dropped.
    pub(super) fn down(&mut self, reason: &EndReason, now: Instant) {
        let Some((_, with)) = &self.from else { return };
        let agreed = with.negotiated.clone();
        let is_restart = looks_like_restart(&agreed, reason);
        for family in Family::ALL {
            let long = agreed.long_lived_time(family).map(|time| time.min(MOST_LONG_LIVED));
            match (agreed.restart_time(family), long) {
                (Some(_), _) | (None, Some(_)) if is_restart => {
                    let changes = self.rib.mark_stale(family);
                    self.pass_on(changes);
                    let restart = agreed.restart_time(family).unwrap_or_default();
                    self.stale.lost(family, restart, long, now);
                }
                (_, _) => self.clear(family),
            }
        }
    }

    /// What is stale and whose time is over is dropped, or becomes the last choice.
    pub(super) fn expire(&mut self, now: Instant) {
        for over in self.stale.over(now) {
            let routes = self.rib.stale();
            match over {
                Over::LongLived(family) => {
                    tracing::warn!(peer = self.peer, %family, routes, "stale routes are the last choice from now on");
                    let changes = self.rib.mark_long_lived(family);
                    self.pass_on(changes);
                }
                Over::Gone(family) => {
                    tracing::warn!(peer = self.peer, %family, routes, "stale routes are dropped");
                    self.fresh(family);
                }
            }
        }
    }

    /// Nothing that the neighbour told is kept any longer.
    pub(super) fn clear_all(&mut self) {
        Family::ALL.into_iter().for_each(|family| self.clear(family));
    }

    fn clear(&mut self, family: Family) {
        let changes = self.rib.clear(family);
        self.pass_on(changes);
        self.stale.forget(family);
    }

    fn pass_on(&self, changes: Vec<Change>) {
        if let (Some((source, _)), false) = (&self.from, changes.is_empty()) {
            // Also when no best path moves: an owner may have reasons of its own to take another than the best.
            self.table.send_modify(|table| drop(table.apply(source, changes)));
        }
    }

    /// Shows what is kept.
    pub(super) fn show(&self, status: &mut PeerStatus) {
        status.learned = self.rib.counts().clone();
        status.prefix_limit = Some(self.rib.import().max_prefixes.limit);
        status.stale = if self.stale.is_empty() { 0 } else { self.rib.stale() };
        status.refused =
            self.rib.refused().iter().map(|(reason, count)| (reason.to_string(), *count)).collect();
    }
}

impl Drop for Learned {
    fn drop(&mut self) {
        self.clear_all();
    }
}

/// Whether routes stay over such an end of a session.
fn looks_like_restart(agreed: &Negotiated, reason: &EndReason) -> bool {
    match reason {
        EndReason::TcpClosed(_) => true,
        EndReason::Received(notification) | EndReason::Sent { notification, .. } => {
            agreed.graceful_notification && !notification.is_hard_reset()
        }
        EndReason::SendHold => agreed.graceful_notification,
        EndReason::Stopped => false,
    }
}
