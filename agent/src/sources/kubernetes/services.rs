//! The cluster's own services, as they are said, and what is to be written of them.

use super::allocate::{Given, allocate};
use super::index::Index;
use super::model::{Key, Service, Texts};
use super::publish::{Complaint, Published, Write, Writes};
use super::whole::{Claim, Former, advice, claim, found, is_of_class};
use crate::config::WholeServices;
use crate::core::found::{FORMER, Finding, FoundService, LastGood};
use crate::sources::Said;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What was said of services, and what of them is to be said.
#[derive(Debug)]
pub struct Services {
    source: Arc<str>,
    settings: WholeServices,
    /// What was said of each Service that is ours.
    told: BTreeMap<Key, Told>,
    /// Services that may have changed.
    dirty: BTreeSet<Key>,
    /// Those of them that a list made so, if one did. What it misses may be there all the same.
    listed: Option<BTreeSet<Key>>,
    /// Whether something else may have to be written than before.
    has_to_write: bool,
    /// Whether all of them were said.
    is_whole: bool,
    is_holder: bool,
    /// Why nothing could be written.
    failure: Option<String>,
    given: Given,
    /// Services that wait for an address, and why they do.
    waiting: BTreeMap<Key, String>,
    /// Those of our services that others are in the way of, and why.
    conflicts: BTreeMap<String, String>,
    writes: Writes,
}

/// What was said of a Service.
#[derive(Debug, Default)]
struct Told {
    services: Box<[FoundService]>,
    /// The annotations that were understood last: they hold while others are wrong.
    understood: Option<Texts>,
    /// Why it is not served as it says, in words for the cluster.
    complaint: Option<Box<Complaint>>,
}

impl Told {
    /// Which settings stay in force if those that it has now are wrong.
    fn former(&self, is_first: bool) -> Former<'_> {
        let goes_on = |found: &FoundService| {
            matches!(found.finding, Finding::Wrong { last: LastGood::ListensAt(_), .. })
        };
        match &self.understood {
            Some(annotations) => Former::Annotations(annotations),
            None if is_first || self.services.iter().any(goes_on) => Former::OfAnEarlierProcess,
            None => Former::No,
        }
    }
}

impl Services {
    /// None were said yet.
    pub fn new(source: Arc<str>, settings: WholeServices) -> Self {
        Self {
            source,
            settings,
            told: BTreeMap::new(),
            dirty: BTreeSet::new(),
            listed: None,
            has_to_write: false,
            is_whole: false,
            is_holder: false,
            failure: None,
            given: Given::new(),
            waiting: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            writes: Writes::new(),
        }
    }

    /// A Service changed: by a list, or by the watch, which also tells what was deleted.
    pub fn concern(&mut self, key: &Key, is_listed: bool) {
        self.dirty.insert(key.clone());
        if is_listed {
            self.listed.get_or_insert_default().insert(key.clone());
        } else if let Some(listed) = &mut self.listed {
            listed.remove(key);
        }
    }

    /// Takes which of the services others are in the way of, and why. It was found of what is said here: it only is for the
    /// cluster to know.
    pub fn in_conflict(&mut self, conflicts: &BTreeMap<String, String>) {
        let is_news = |found: &FoundService| self.conflicts.get(&found.name) != conflicts.get(&found.name);
        let concerned = self.told.iter().filter(|(_, told)| told.services.iter().any(is_news));
        self.dirty.extend(concerned.map(|(key, _)| key.clone()));
        self.conflicts.clone_from(conflicts);
    }

    /// Takes what the publisher says.
    pub(super) fn published(&mut self, published: Published) {
        match published {
            Published::Holder(is_holder) => {
                self.is_holder = is_holder;
                self.given.clear();
            }
            Published::Failed(why) => self.failure = why,
        }
        // What is served as it says is so whoever writes.
        let refused = self.told.iter().filter(|(_, told)| told.complaint.is_some());
        self.dirty.extend(refused.map(|(key, _)| key.clone()));
        self.has_to_write = true;
    }

    /// What is to be written.
    pub(super) fn writes(&self) -> &Writes {
        &self.writes
    }

    /// What changed, in one; all there is at first, and after a list that changed something: what it misses the core judges whole.
    pub fn say(&mut self, index: &Index) -> Option<Said> {
        if self.is_whole && self.dirty.is_empty() && !self.has_to_write {
            return None;
        }
        let is_first = !std::mem::replace(&mut self.is_whole, true);
        let listed = self.listed.take();
        let whole = is_first || listed.is_some();
        let listed = listed.unwrap_or_default();
        let dirty = match is_first {
            true => index.services().map(|service| service.key.clone()).collect(),
            false => self.with_waiting(index),
        };
        self.dirty.clear();
        if is_first && self.is_holder {
            self.with_waiting(index);
        }
        let mut said = Vec::new();
        for key in dirty {
            let is_listed = listed.contains(&key);
            let changed = self.look(key, index, is_first).into_iter();
            // In a whole list only what the watch said is gone is named as gone.
            said.extend(changed.filter(|found| !whole || (!is_listed && found.finding == Finding::Gone)));
        }
        if whole {
            // A tree that has grown in order is half empty.
            self.told = std::mem::take(&mut self.told).into_iter().collect();
            said.extend(self.told.values().flat_map(|told| &told.services).cloned());
        }
        self.write(index);
        self.has_to_write = false;
        (whole || !said.is_empty()).then_some(Said::Services { services: said, whole })
    }

    /// Looks at a Service, and gives what is to be said of it.
    fn look(&mut self, key: Key, index: &Index, is_first: bool) -> Vec<FoundService> {
        let before = self.told.remove(&key).unwrap_or_default();
        let service = index.service(&key);
        let now = service.map(|service| self.judge(service, &before, is_first)).unwrap_or_default();
        let gone = before.services.iter().filter(|old| !now.services.iter().any(|now| now.name == old.name));
        let gone =
            gone.map(|gone| FoundService { name: gone.name.clone(), finding: Finding::Gone, created: None });
        let changed = now.services.iter().filter(|now| !before.services.contains(now)).cloned();
        let changed = gone.chain(changed).collect();
        if before.services.is_empty()
            && let Some(advice) = service.and_then(|service| advice(service, &self.settings))
        {
            tracing::warn!(service = %key, "{advice}");
        }
        if !now.services.is_empty() {
            self.told.insert(key, now);
        }
        changed
    }

    /// What changed, and Services that wait for something else than before.
    fn with_waiting(&mut self, index: &Index) -> BTreeSet<Key> {
        let mut dirty = std::mem::take(&mut self.dirty);
        let outcomes = match self.is_holder {
            true => allocate(index.services(), &self.settings, &mut self.given),
            false => BTreeMap::new(),
        };
        let failure = self.failure.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let before = std::mem::take(&mut self.waiting);
        for (key, outcome) in &outcomes {
            let why = match outcome {
                Ok(_) => format!("it is being given an address{failure}"),
                Err(why) => why.clone(),
            };
            if before.get(key) != Some(&why) {
                dirty.insert(key.clone());
            }
            self.waiting.insert(key.clone(), why);
        }
        self.writes.retain(|_, write| !matches!(write, Write::Addresses(_)));
        for (key, outcome) in outcomes {
            if let (Ok(addresses), Some(service)) = (outcome, index.service(&key)) {
                self.writes.insert((key, Arc::clone(&service.uid)), Write::Addresses(addresses));
            }
        }
        dirty
    }

    /// What follows from a Service.
    fn judge(&self, service: &Service, before: &Told, is_first: bool) -> Told {
        let mut services = found(&self.source, service, &before.former(is_first), &self.settings);
        if claim(service, &self.settings) == Claim::Pending {
            let why = self.why_pending(service);
            services.iter_mut().for_each(|found| found.finding = Finding::Refused(why.clone()));
        }
        let is = |is_it: fn(&Finding) -> bool| services.iter().any(|found| is_it(&found.finding));
        let is_understood = is(|finding| matches!(finding, Finding::Served(_)))
            && !is(|finding| matches!(finding, Finding::Wrong { .. }));
        let understood = match is_understood {
            true => Some(service.annotations.clone()),
            false => before.understood.clone(),
        };
        let complaint = complaint(&services, &self.conflicts);
        if let Some(failure) = &self.failure {
            let what = match self.is_holder {
                true => "not all is told to the cluster",
                false => "this balancer cannot tell the cluster",
            };
            services.iter_mut().for_each(|found| add_failure(&mut found.finding, what, failure));
        }
        Told { services: services.into(), understood, complaint: complaint.map(Box::new) }
    }

    fn why_pending(&self, service: &Service) -> String {
        match (self.waiting.get(&service.key), &self.settings.lease, &self.failure) {
            (Some(why), _, _) => why.clone(),
            (None, None, _) => "it has no address yet, and nobody gives it one: set lease".into(),
            (None, Some(_), Some(failure)) => format!("it has no address yet: {failure}"),
            (None, Some(_), None) => "it has no address yet; who has the Lease gives it one".into(),
        }
    }

    /// Beside addresses: what is refused or is so no more, and what is not ours any more.
    fn write(&mut self, index: &Index) {
        if !self.is_holder {
            self.writes.clear();
            return;
        }
        self.writes.retain(|_, write| matches!(write, Write::Addresses(_)));
        for service in index.services() {
            let id = (service.key.clone(), Arc::clone(&service.uid));
            match self.to_write(service) {
                Some(Write::Release) => drop(self.writes.insert(id, Write::Release)),
                // One that waits for its address gets that first.
                Some(write) => drop(self.writes.entry(id).or_insert(write)),
                None => {}
            }
        }
    }

    /// What is to be written of a Service, if nothing else is.
    fn to_write(&self, service: &Service) -> Option<Write> {
        let is_ours = is_of_class(service, &self.settings);
        let is_served = service.annotations.contains_key("served");
        if is_served && (service.is_deleting || !is_ours) {
            return Some(Write::Release);
        }
        let is_written = is_ours && is_served;
        let addresses = || service.ingress.iter().map(|ingress| ingress.address).collect::<Vec<IpAddr>>();
        let Some(complaint) = self.told.get(&service.key).and_then(|told| told.complaint.as_deref()) else {
            // The error in its status goes with its reason.
            let is_left = is_written && service.ingress.iter().any(|ingress| ingress.is_refused);
            return is_left.then(|| Write::Addresses(addresses()));
        };
        let protocol = |protocol| match protocol {
            Some(ipvs::Protocol::Udp) => "UDP",
            Some(ipvs::Protocol::Sctp) => "SCTP",
            Some(ipvs::Protocol::Tcp) | None => "TCP",
        };
        Some(Write::Refusal {
            complaint: complaint.clone(),
            addresses: if is_written { addresses() } else { Vec::new() },
            ports: service.ports.iter().map(|port| (port.port, protocol(port.protocol))).collect(),
        })
    }
}

/// What the cluster is told of services that are not served as they say.
fn complaint(services: &[FoundService], conflicts: &BTreeMap<String, String>) -> Option<Complaint> {
    let why = |found: &FoundService| match &found.finding {
        _ if conflicts.contains_key(&found.name) => conflicts.get(&found.name).cloned(),
        Finding::Served(_) | Finding::Gone => None,
        Finding::Refused(why) => Some(why.clone()),
        Finding::Wrong { why, last: LastGood::Is(_) } => Some(format!("{why}; {FORMER}")),
        Finding::Wrong { why, last: LastGood::ListensAt(_) } => {
            Some(format!("{why}; what was served of it before lvsd's start goes on"))
        }
    };
    let all: BTreeSet<String> = services.iter().filter_map(why).collect();
    let is_refused = services
        .iter()
        .any(|found| matches!(found.finding, Finding::Refused(_)) || conflicts.contains_key(&found.name));
    (!all.is_empty()).then(|| Complaint {
        reason: if is_refused { "NotServed" } else { "FormerSettings" },
        why: all.into_iter().collect::<Vec<_>>().join("; ").into(),
    })
}

/// With a refusal, what keeps the cluster from being told of it.
fn add_failure(finding: &mut Finding, what: &str, failure: &str) {
    match finding {
        Finding::Refused(why) | Finding::Wrong { why, .. } if !why.ends_with(failure) => {
            *why = format!("{why}; {what}: {failure}");
        }
        Finding::Refused(_) | Finding::Wrong { .. } | Finding::Served(_) | Finding::Gone => {}
    }
}
