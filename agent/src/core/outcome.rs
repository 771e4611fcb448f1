//! After an event: what has to be looked at again, and which states the executors get.

use super::action::{Action, Level, Notice};
use super::desired::{self, Given, Serving};
use super::inventory::Inventory;
use super::member::Change;
use super::path;
use super::pool::Standing;
use super::sources::Wrong;
use super::state::{Phase, START_GRACE, ServiceState, State, service_keys};
use super::uses::{self, Changed, Uses};
use super::{Timestamp, announced, canary, marks, nodes, orders, sources, unclaimed, why};
use health::Check;
use ipvs::{Family, ServiceKey};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Backends in one line of the log: it still fits a screen.
const SUBJECTS: usize = 50;

/// What an event may have changed.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// Sources have said something of services that is not in the configuration yet, and the complaints that follow once it is.
    pub(super) found: Option<Wrong>,
    /// Services whose members have to be listed anew.
    pub(super) relist: BTreeSet<Arc<str>>,
    /// Keys that were not those of the service that has them now.
    pub(super) acquired: BTreeSet<ServiceKey>,
    /// Services whose pools have to be decided anew.
    pub(super) decide: Decide,
    /// VIPs that have to be judged anew.
    pub(super) vips: BTreeSet<IpAddr>,
    /// All of them.
    pub(super) every_vip: bool,
    /// All that is wanted of sources: another configuration.
    pub(super) sources: bool,
    /// Services of which a pool has other backends.
    pub(super) listed: BTreeSet<Arc<str>>,
    /// Whether a service's sources have spoken.
    pub(super) spoken: bool,
    /// What services use that have left, or were listed anew.
    pub(super) uses: Vec<uses::Change>,
    /// Whether that changes what is to be checked and watched.
    pub(super) watch: Changed,
    /// Whether other canaries are to be asked than before, or the kernel has other services of marks: a check goes through
    /// IPVS only while its service is there.
    pub(super) canaries: bool,
    /// The wanted table, other than through a service's decision.
    pub(super) table: bool,
    /// Which services are in the wanted table.
    pub(super) keys: bool,
    /// What operators want, or agents ask for, and is saved.
    pub(super) operators: bool,
    /// Which services are in the kernel.
    pub(super) ownership: bool,
    /// What is known of a cluster's nodes, or decides about their routes.
    pub(super) nodes: bool,
}

/// Services whose pools have to be decided anew, each with the checks that speak for it; with all that is known of it where
/// something else has changed.
#[derive(Debug, Default)]
pub(super) struct Decide(BTreeMap<Arc<str>, Option<Vec<Arc<Check>>>>);

impl Decide {
    /// Something has changed for a service.
    pub(super) fn insert(&mut self, service: Arc<str>) {
        self.0.insert(service, None);
    }

    /// Something has changed for services.
    pub(super) fn extend(&mut self, services: impl IntoIterator<Item = Arc<str>>) {
        services.into_iter().for_each(|service| self.insert(service));
    }

    /// A check of a service has spoken.
    pub(super) fn heard(&mut self, service: &Arc<str>, check: &Arc<Check>) {
        if let Some(checks) = self.0.entry(Arc::clone(service)).or_insert_with(|| Some(Vec::new())) {
            checks.push(Arc::clone(check));
        }
    }
}

/// Works off what is dirty and gives the states that changed, in the order in which they are safe.
pub(super) fn conclude(state: &mut State, mut dirty: Dirty, now: Timestamp) -> Vec<Action> {
    let mut actions = Vec::new();
    sources::want(state, &dirty, &mut actions);
    if state.kernel.is_read {
        marks::adopt(state);
        unclaimed::adopt(state, &mut dirty);
        relist(state, &mut dirty, now);
        path::end_wait(state, &mut dirty, now);
        decide(state, &mut dirty, now);
        uses::watch(state, &mut dirty, &mut actions);
    }
    let save = own(state, &mut dirty);
    if save == Save::First {
        actions.push(Action::SaveFirst(state.saved.clone()));
    }
    if state.kernel.is_read && state.config.is_some() {
        addresses(state, &dirty, &mut actions);
        table(state, &dirty, &mut actions, now);
    }
    let was_drain = state.drain;
    let drains = orders::advance(state, now);
    if was_drain != state.drain {
        orders::set_peers(state, &mut actions);
    }
    dirty.every_vip |= drains;
    let mut judged = announced::judge(state, &dirty, drains, now);
    if start(state, now) {
        judged = judged.and_all_others();
    }
    let is_stopping = matches!(state.phase, Phase::Stopping { .. });
    if judged.is_news || is_stopping {
        announced::routes(state, &judged, &mut actions, now);
    }
    if dirty.nodes {
        nodes::state::update(state, now, &mut actions);
    }
    if announced::remember_withdrawn(state, &judged) || save == Save::Last {
        actions.push(Action::Save(state.saved.clone()));
    }
    actions
}

/// What the kernel's table is to be, unless ways are waited for.
fn table(state: &mut State, dirty: &Dirty, actions: &mut Vec<Action>, now: Timestamp) {
    if dirty.table || state.emitted.is_table_late {
        state.emitted.is_table_late = path::holds_table(state, now);
        if !state.emitted.is_table_late {
            actions.push(Action::SyncIpvs(state.wanted.clone()));
        }
    }
}

fn relist(state: &mut State, dirty: &mut Dirty, now: Timestamp) {
    let given = Given {
        inventory: &state.inventory,
        saved: &state.saved,
        serving: Serving { wanted: &state.wanted.table, read: &state.kernel.table },
        acquired: &dirty.acquired,
        owned: &state.wanted.owned,
    };
    let relisted = std::mem::take(&mut dirty.relist);
    let is_nothing = relisted.is_empty() && dirty.uses.is_empty();
    for name in relisted {
        let Some(service) = state.services.get_mut(&name) else { continue };
        let (was_waiting, before) = (service.waiting.is_some(), Uses::of(service));
        desired::relist(service, &given, &mut state.marks, now);
        dirty.spoken |= was_waiting != service.waiting.is_some();
        let after = Uses::of(service);
        if before != after {
            dirty.uses.push(uses::Change { service: Arc::clone(&service.config.name), before, after });
        }
        dirty.decide.insert(name);
    }
    if is_nothing {
        return;
    }
    dirty.watch = uses::change(state, &std::mem::take(&mut dirty.uses), dirty);
    marks::settle(state, dirty);
}

/// Decides the pools of the dirty services and puts what they want into the wanted table.
fn decide(state: &mut State, dirty: &mut Dirty, now: Timestamp) {
    for (name, heard) in std::mem::take(&mut dirty.decide).0 {
        let Some(changes) = decide_one(state, &name, heard.as_deref(), now) else { continue };
        let is_wanted_anew = want(state, &name, dirty);
        if let Some(service) = state.services.get_mut(&name).filter(|_| is_wanted_anew || !changes.is_empty())
        {
            state.decisions += 1;
            service.decided = state.decisions;
        }
        canary::follow(state, &name, dirty, now);
        tell(state, &name, changes);
    }
}

/// Decides a service's pools; gives whose standing is another. `heard`: the checks that have spoken, if nothing else has changed.
fn decide_one(
    state: &mut State,
    name: &Arc<str>,
    heard: Option<&[Arc<Check>]>,
    now: Timestamp,
) -> Option<Vec<(Family, Change)>> {
    let service = state.services.get_mut(name)?;
    let mut changes = Vec::new();
    for (family, pool) in service.pools.iter_mut() {
        let changed = pool.decide(&service.config, (&state.verdicts, &state.paths), heard, now);
        changes.extend(changed.into_iter().map(|change| (*family, change)));
    }
    match service.pools.values().any(|pool| !pool.draining.is_empty()) {
        true => state.draining.insert(name.clone()),
        false => state.draining.remove(name),
    };
    let slow_start = service.config.slow_start;
    match service.pools.values().filter_map(|pool| pool.rises_at(slow_start, now)).min() {
        Some(next) => state.rising.set(name.clone(), next),
        None => state.rising.remove(name),
    };
    if state.phase == Phase::Starting {
        match has_spoken(service, &state.inventory) {
            true => state.unsettled.remove(name),
            false => state.unsettled.insert(name.clone()),
        };
    }
    Some(changes)
}

/// Puts what a service wants into the wanted table. True when that is something else than before.
fn want(state: &mut State, name: &str, dirty: &mut Dirty) -> bool {
    let Some(service) = state.services.get(name) else { return false };
    dirty.vips.extend(service.config.vips.iter().copied());
    let serving = Serving { wanted: &state.wanted.table, read: &state.kernel.table };
    let mut is_different = false;
    for (key, entry) in desired::entries(service, &serving) {
        let before = state.wanted.table.get(&key);
        dirty.keys |= before.is_none();
        if before != Some(&entry) {
            state.wanted.table.insert(key, entry);
            (dirty.table, is_different) = (true, true);
        }
    }
    for (key, nominal) in desired::nominal_entries(service) {
        // As a rule everyone serves: then it needs no memory of its own.
        let same = state.wanted.table.get(&key).filter(|entry| **entry == nominal);
        let entry = same.map_or(nominal, Arc::clone);
        if state.wanted.nominal.get(&key) != Some(&entry) {
            state.wanted.nominal.insert(key, entry);
        }
    }
    is_different
}

/// A line of the log for each change of members' standing. Those that change alike for the same reason share it: a start
/// would have a line for every backend else.
fn tell(state: &mut State, name: &str, changes: Vec<(Family, Change)>) {
    let mut alike: Vec<(Change, String, Vec<String>)> = Vec::new();
    for (family, change) in changes {
        let reason = why::reason(state, name, family, &change.host);
        let subject = format!("{} ({})", change.host, change.address);
        match alike.last_mut() {
            Some((first, its, subjects))
                if (first.from, first.to) == (change.from, change.to)
                    && *its == reason
                    && subjects.len() < SUBJECTS =>
            {
                subjects.push(subject);
            }
            Some(_) | None => alike.push((change, reason, vec![subject])),
        }
    }
    state.notices.extend(alike.into_iter().map(|(change, reason, subjects)| Notice {
        level: level(change.to),
        service: Some(name.into()),
        subject: Some(subjects.join(", ")),
        what: format!("{} (was {})", change.to.as_str(), change.from.as_str()),
        reason,
    }));
}

fn level(standing: Standing) -> Level {
    match standing {
        Standing::Pooled | Standing::Adopted | Standing::AwaitingChecks => Level::Info,
        Standing::Drained | Standing::Depooled | Standing::Inactive => Level::Info,
        Standing::AgentDrain | Standing::AgentMaintenance => Level::Info,
        Standing::Down | Standing::OffLink | Standing::HeldDespiteAgent => Level::Warn,
        Standing::HeldThoughDown => Level::Error,
    }
}

/// Whether the state file has to be written, and when.
#[derive(PartialEq, Eq)]
enum Save {
    No,
    /// Before the kernel hears of it: a crash in between must not leave an entry that nobody owns.
    First,
    /// After: the kernel need not wait for the disk.
    Last,
}

/// Keeps the record of what is ours in step with what is wanted and what the kernel has.
fn own(state: &mut State, dirty: &mut Dirty) -> Save {
    let before = state.wanted.owned.len();
    if dirty.keys {
        let new: Vec<ServiceKey> =
            state.wanted.table.keys().filter(|key| !state.wanted.owned.contains(key)).copied().collect();
        if !new.is_empty() {
            Arc::make_mut(&mut state.wanted.owned).extend(new);
        }
    }
    let mut has_grown = state.wanted.owned.len() > before;
    if dirty.keys {
        has_grown |= Arc::make_mut(&mut state.wanted.settings).own_configured();
    }
    if dirty.ownership {
        disown_gone(state, dirty);
    }
    if let Some(marks) = state.marks.unsaved() {
        state.saved.marks = Arc::new(marks);
        dirty.operators = true;
    }
    let daemons = &state.wanted.settings.owned;
    let is_new = (dirty.keys || dirty.ownership)
        && (state.saved.owned != state.wanted.owned || state.saved.sync_daemons != *daemons);
    if is_new {
        state.saved.owned = Arc::clone(&state.wanted.owned);
        state.saved.sync_daemons.clone_from(daemons);
    }
    match (has_grown, is_new || dirty.operators) {
        (true, _) => Save::First,
        (false, true) => Save::Last,
        (false, false) => Save::No,
    }
}

/// What is neither wanted nor in the kernel is not ours any more.
fn disown_gone(state: &mut State, dirty: &mut Dirty) {
    let State { wanted, kernel, .. } = state;
    let gone: Vec<ServiceKey> = wanted
        .owned
        .iter()
        .filter(|key| !wanted.table.contains_key(key) && !kernel.services.contains(key))
        .copied()
        .collect();
    dirty.table |= Arc::make_mut(&mut wanted.settings).disown_gone(&kernel.daemons);
    // From here on it is another's if it comes back, and the executor must not take it for ours.
    dirty.table |= !gone.is_empty();
    for key in gone {
        Arc::make_mut(&mut wanted.owned).remove(&key);
        kernel.table.remove(&key);
    }
}

/// Which addresses our device is to have: VIPs of services that have spoken, those that it has already, and those
/// of services on their way out.
fn addresses(state: &mut State, dirty: &Dirty, actions: &mut Vec<Action>) {
    if !(dirty.every_vip || dirty.sources || dirty.spoken || dirty.keys) {
        return;
    }
    // What is there already may stay, so it has to be known first. From then on what was asked for counts, not what is
    // reported: two reports on their way would each ask for the opposite of the one before, for ever.
    let Some(present) = &state.kernel.addresses else { return };
    let present = state.emitted.addresses.as_ref().unwrap_or(present);
    let (is_there, table) = (|vip: &IpAddr| present.contains(vip), &state.wanted.table);
    let of_services = state.services.values().flat_map(|service| {
        let is_here = move |vip: &IpAddr| service.waiting.is_none() || is_there(vip);
        let keys = service_keys(&service.config);
        keys.filter(move |(vip, key)| is_here(vip) || table.contains_key(key)).map(|(vip, _)| vip)
    });
    let left = state.leaving_vips.keys().copied().chain(state.unclaimed.vips());
    // Made as a whole: a tree that grows in order is half empty.
    let wanted: BTreeSet<IpAddr> = of_services.chain(left.filter(is_there)).collect();
    if state.emitted.addresses.as_ref() != Some(&wanted) {
        actions.push(Action::SetAddresses(wanted.clone()));
        state.emitted.addresses = Some(wanted);
    }
}

/// Whether waiting longer would tell nothing more of a service.
fn has_spoken(service: &ServiceState, inventory: &Inventory) -> bool {
    match service.waiting {
        Some(_) => inventory.has_failed(&service.config),
        None => {
            let mut members = service.pools.values().flat_map(|pool| pool.members.values());
            members.all(|member| member.is_settled(&service.config))
        }
    }
}

/// A source that may have services and says neither which nor that it cannot be read: what is to be served is not known.
fn silent(state: &State) -> Option<&Arc<str>> {
    let mut unsaid = state.found.unsaid(state.configured.as_ref()?);
    unsaid.find(|source| state.inventory.source(source).is_none_or(|known| known.error.is_none()))
}

/// From starting to running: when everything has spoken, or the grace is over. True when that is now.
fn start(state: &mut State, now: Timestamp) -> bool {
    if state.phase != Phase::Starting || state.config.is_none() {
        return false;
    }
    let is_late = now.since(state.configured_at) >= START_GRACE;
    let is_known = state.kernel.is_read && state.kernel.addresses.is_some();
    let silent = silent(state).map(Arc::clone);
    let is_settled = is_known
        && silent.is_none()
        && state.unsettled.is_empty()
        && state.vips.values().all(|vip| !vip.is_unconfirmed);
    if is_settled || is_late {
        state.phase = Phase::Running { since: now };
        state.paths.wait_no_more();
        state.unsettled.clear();
        let reason = if is_settled {
            "every source, check and the kernel have spoken".into()
        } else {
            let silent = silent.map(|source| format!(" ({source} has not said its services)"));
            format!(
                "not everything has spoken within {} s{}; what is known is announced",
                START_GRACE.as_secs(),
                silent.unwrap_or_default()
            )
        };
        let level = if is_settled { Level::Info } else { Level::Warn };
        state.notices.push(Notice { level, service: None, subject: None, what: "ready".into(), reason });
    }
    is_settled || is_late
}
