//! Rule 1: nothing is written before the sources of whatever it is about have spoken.

use super::super::{Broken, ensure};
use super::{Outcome, Seen, is_on};
use crate::config::{PoolId, SourceSettings};
use crate::core::inventory::{Listing, Snapshots};
use crate::core::saved::Saved;
use crate::core::state::{Phase, START_GRACE, ServiceState, service_keys};
use crate::core::{Action, Event, State};
use ipvs::{ServiceKey, Table};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

const RULE: &str = "1 sources first";

/// Who has spoken to this process.
#[derive(Default)]
pub(in super::super) struct SourcesFirst {
    /// Services of the kernel whose sources have.
    spoken: BTreeSet<ServiceKey>,
    /// Pools that were heard, or whose source has failed where an earlier process had heard them.
    pools: BTreeSet<PoolId>,
    /// Pools that an earlier process had heard.
    kept: BTreeSet<PoolId>,
    /// Services that were ours in the kernel when the process began.
    found: BTreeSet<ServiceKey>,
    /// Those of them that nobody has while a source of services is awaited.
    unclaimed: Option<BTreeSet<ServiceKey>>,
    /// Sources that have said their services.
    listed: BTreeSet<Arc<str>>,
    /// Sources that could not be read when they were last heard.
    away: BTreeSet<Arc<str>>,
    has_read_kernel: bool,
    has_read_device: bool,
}

impl SourcesFirst {
    pub(super) fn new(saved: &Saved, snapshots: &Snapshots, kernel: &Table) -> Self {
        let kept = snapshots.iter().map(|(id, _)| id.clone()).collect();
        let found = kernel.keys().filter(|key| saved.owned.contains(key)).copied().collect();
        Self { kept, found, ..Self::default() }
    }

    pub(super) fn hears(&mut self, event: &Event, before: &State) {
        let is_followed = |id: &&PoolId| before.pool_users.contains_key(id);
        match event {
            Event::KernelRead { .. } => self.has_read_kernel = true,
            Event::AddressesSynced { .. } => self.has_read_device = true,
            Event::PoolRead { pool, outcome } => {
                let may = is_followed(&pool) && (outcome.is_ok() || self.kept.contains(pool));
                self.pools.extend(may.then(|| pool.clone()));
            }
            Event::ServicesSaid { source, whole: true, .. } => drop(self.listed.insert(Arc::clone(source))),
            Event::SourceSaid { source, outcome: Ok(()) } => drop(self.away.remove(source)),
            Event::SourceSaid { source, outcome: Err(_) } => {
                self.away.insert(Arc::clone(source));
                let its = self.kept.iter().filter(|id| id.source() == Some(source));
                self.pools.extend(its.filter(is_followed).cloned());
            }
            _ => {}
        }
    }

    pub(super) fn have_spoken(&mut self, seen: &Seen<'_>) -> Outcome {
        // Who follows a pool later hears it anew.
        let is_followed = |id: &PoolId| seen.after.pool_users.contains_key(id);
        self.pools.retain(is_followed);
        self.kept.retain(is_followed);
        for service in seen.after.services.values() {
            // A service that has backends goes on with them while another source of it is awaited.
            let goes_on = service.waiting.is_none() && !service.pools.is_empty();
            if goes_on || self.is_heard(service, seen.after) {
                self.spoken.extend(service.keys().map(|(_, key)| key));
            }
        }
        self.what_nobody_has_stays(seen)?;
        self.readiness_waits(seen)?;
        for action in seen.actions {
            match action {
                Action::SyncIpvs(wanted) => self.may_be_written(seen, &wanted.table)?,
                Action::SetAddresses(wanted) => self.may_be_set(seen, wanted)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Who is ready knows what there is to be served, but for what cannot be known or is not said in time.
    fn readiness_waits(&mut self, seen: &Seen<'_>) -> Outcome {
        let Some(config) = &seen.after.configured else { return Ok(()) };
        // Who is asked later says it anew.
        let may_have =
            |source: &Arc<str>| config.sources.get(source).is_some_and(SourceSettings::has_services);
        self.listed.retain(may_have);
        self.away.retain(|source| config.sources.contains_key(source));
        let becomes = seen.before.phase == Phase::Starting && seen.after.is_ready();
        if !becomes || seen.now.since(seen.after.configured_at) >= START_GRACE {
            return Ok(());
        }
        let mut asked = config.sources.keys().filter(|source| may_have(source));
        let silent = asked.find(|source| !self.listed.contains(*source) && !self.away.contains(*source));
        ensure!(silent.is_none(), RULE, "ready before {silent:?} has said which services it has");
        Ok(())
    }

    fn is_heard(&self, service: &ServiceState, state: &State) -> bool {
        let are_heard = service.config.pool.sources().iter().all(|id| self.pools.contains(id));
        are_heard && matches!(state.inventory.listing(&service.config), Listing::Known(_))
    }

    fn may_be_written(&self, seen: &Seen<'_>, table: &Table) -> Outcome {
        ensure!(self.has_read_kernel, RULE, "written before the kernel was read");
        for (key, entry) in table.iter() {
            let is_new = seen.before.wanted.table.get(key) != Some(entry);
            let is_adopted = seen.after.kernel.table.get(key) == Some(entry);
            // The service of a mark is made when its users are listed.
            let is_marks = seen.after.marks.has_key(key);
            let may = !is_new || is_adopted || is_marks || self.spoken.contains(key);
            ensure!(may, RULE, "{key} is written, its sources have not spoken");
        }
        Ok(())
    }

    fn may_be_set(&self, seen: &Seen<'_>, wanted: &BTreeSet<IpAddr>) -> Outcome {
        ensure!(self.has_read_device, RULE, "addresses are set before the device was read");
        let spoken = |vip: &IpAddr| self.spoken.iter().any(|key| is_on(key, *vip));
        let known = |vip: &IpAddr| {
            let present = seen.after.kernel.addresses.as_ref();
            present.is_some_and(|present| present.contains(vip))
                || seen.after.wanted.table.keys().any(|key| is_on(key, *vip))
        };
        let stranger = wanted.iter().find(|vip| !spoken(vip) && !known(vip));
        ensure!(stranger.is_none(), RULE, "{stranger:?} is set, nothing has spoken for it");
        Ok(())
    }

    /// What is ours in the kernel and nobody has stays while a source may still have it.
    fn what_nobody_has_stays(&mut self, seen: &Seen<'_>) -> Outcome {
        let (true, Some(config)) = (seen.after.kernel.is_read, &seen.after.config) else { return Ok(()) };
        let configured: BTreeSet<ServiceKey> =
            config.services.values().flat_map(|service| service_keys(service)).map(|(_, key)| key).collect();
        let is_awaited = seen.after.found.awaited(config).is_some();
        let unclaimed = self.unclaimed.get_or_insert_with(|| match is_awaited {
            true => self.found.iter().filter(|key| !seen.after.marks.has_key(key)).copied().collect(),
            false => BTreeSet::new(),
        });
        // Once it is somebody's it may leave as others do.
        unclaimed.retain(|key| is_awaited && !configured.contains(key));
        let gone = unclaimed.iter().find(|key| seen.after.wanted.table.get(key).is_none());
        ensure!(gone.is_none(), RULE, "{gone:?} is ours and gone, a source has not said whether it has it");
        Ok(())
    }
}
