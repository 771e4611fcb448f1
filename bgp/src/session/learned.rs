//! What a neighbour tells us: kept by the import rules, over a graceful restart of the neighbour too, and passed on to
//! the table of all neighbours' routes.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    Family,
    fsm::{EndReason, Negotiated},
    policy::{Import, MaxPrefixes},
    rib::{AdjRibIn, Change, LocRib, Neighbourhood, Source},
    speaker::PeerStatus,
    wire::{ErrorCode, Notification, PreservedFamily, RefreshKind, Update},
};

/// How long after a neighbour has come back what it has not told again may stay, should its End-of-RIB never come: a
/// router that has a full table to send takes less.
const STALE_AFTER_RETURN: Duration = Duration::from_secs(360);

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
    /// Families some of whose routes may be stale, to be dropped at this time.
    stale: BTreeSet<Family>,
    stale_until: Option<Instant>,
    warned: BTreeSet<Family>,
    /// Families of which the present session has told everything (End-of-RIB).
    told: BTreeSet<Family>,
}

impl Learned {
    pub(super) const fn new(peer: String, rib: AdjRibIn, table: Arc<watch::Sender<LocRib>>) -> Self {
        Self {
            peer,
            rib,
            table,
            from: None,
            stale: BTreeSet::new(),
            stale_until: None,
            warned: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }

    /// When what is stale is to be dropped.
    pub(super) const fn stale_until(&self) -> Option<Instant> {
        self.stale_until
    }

    /// A session is up. Of what was kept since the last one, families whose forwarding the neighbour has not preserved
    /// are dropped (RFC 4724 §4.2).
    pub(super) fn up(&mut self, with: Neighbourhood, now: Instant) {
        let restart = with.negotiated.graceful_restart.as_ref();
        let preserved = |family: Family| {
            let is = |one: &PreservedFamily| {
                (one.afi, one.safi) == (family.afi(), family.safi()) && one.forwarding
            };
            restart.is_some_and(|restart| restart.families.iter().any(is))
        };
        let lost: Vec<_> = self.stale.iter().copied().filter(|family| !preserved(*family)).collect();
        lost.into_iter().for_each(|family| self.clear(family));
        let source = Source {
            peer: self.peer.clone(),
            address: with.remote,
            router_id: with.negotiated.remote_router_id,
            internal: with.negotiated.internal,
        };
        self.from = Some((Arc::new(source), with));
        self.warned.clear();
        self.told.clear();
        self.stale_until = (!self.stale.is_empty()).then(|| now + STALE_AFTER_RETURN);
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
            self.told.insert(family);
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
                self.stale.insert(family);
                self.stale_until.get_or_insert(now + STALE_AFTER_RETURN);
            }
            RefreshKind::End => self.fresh(family),
            RefreshKind::Request => {}
        }
    }

    /// Everything of the family was told: what is still stale is gone.
    fn fresh(&mut self, family: Family) {
        let changes = self.rib.purge_stale(family);
        self.pass_on(changes);
        self.stale.remove(&family);
        if self.stale.is_empty() {
            self.stale_until = None;
        }
    }

    /// The session has ended: what the neighbour announced is kept for as long as it said its restart may take, if the
    /// end looks like one (RFC 4724 §4.2; RFC 8538 §4); otherwise it is dropped.
    pub(super) fn down(&mut self, reason: &EndReason, now: Instant) {
        self.told.clear();
        let Some((_, with)) = &self.from else { return };
        let kept = kept_families(&with.negotiated, reason);
        let time = with.negotiated.graceful_restart.as_ref().map_or(0, |restart| restart.restart_time);
        for family in Family::ALL {
            if kept.contains(&family) {
                let changes = self.rib.mark_stale(family);
                self.pass_on(changes);
                self.stale.insert(family);
            } else {
                self.clear(family);
            }
        }
        self.stale_until = (!self.stale.is_empty()).then(|| now + Duration::from_secs(time.into()));
    }

    /// Drops everything that is stale when its time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.stale_until.is_some_and(|until| until <= now) {
            let stale = std::mem::take(&mut self.stale);
            tracing::warn!(peer = self.peer, routes = self.rib.stale(), "stale routes are dropped");
            stale.into_iter().for_each(|family| self.fresh(family));
            self.stale_until = None;
        }
    }

    /// Nothing that the neighbour told is kept any longer.
    pub(super) fn clear_all(&mut self) {
        Family::ALL.into_iter().for_each(|family| self.clear(family));
        self.stale_until = None;
    }

    fn clear(&mut self, family: Family) {
        let changes = self.rib.clear(family);
        self.pass_on(changes);
        self.stale.remove(&family);
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
        status.told.clone_from(&self.told);
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

/// The families whose routes stay over the end of a session.
fn kept_families(negotiated: &Negotiated, reason: &EndReason) -> BTreeSet<Family> {
    let looks_like_restart = match reason {
        EndReason::TcpClosed(_) => true,
        EndReason::Received(notification) | EndReason::Sent { notification, .. } => {
            negotiated.graceful_notification && !notification.is_hard_reset()
        }
        EndReason::SendHold => negotiated.graceful_notification,
        EndReason::Stopped => false,
    };
    let restart = negotiated.graceful_restart.as_ref().filter(|_| looks_like_restart);
    let families = restart.into_iter().flat_map(|restart| &restart.families);
    families.filter_map(|family| Family::from_afi_safi(family.afi, family.safi)).collect()
}
