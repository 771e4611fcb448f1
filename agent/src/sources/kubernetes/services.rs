//! The cluster's own services, as they are said, and what is to be written of them.

use super::allocate::{Given, allocate};
use super::index::Index;
use super::model::{Key, Service};
use super::publish::{Published, Write, Writes};
use super::whole::{Claim, advice, claim, found, is_of_class};
use crate::config::WholeServices;
use crate::core::found::FoundService;
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
    said: BTreeMap<Key, Vec<FoundService>>,
    /// Services that may have changed.
    dirty: BTreeSet<Key>,
    /// Whether all of them were said.
    is_whole: bool,
    is_holder: bool,
    /// Why nothing could be written.
    failure: Option<String>,
    given: Given,
    /// Services that wait for an address, and why they do.
    waiting: BTreeMap<Key, String>,
    writes: Writes,
}

impl Services {
    /// None were said yet.
    pub fn new(source: Arc<str>, settings: WholeServices) -> Self {
        Self {
            source,
            settings,
            said: BTreeMap::new(),
            dirty: BTreeSet::new(),
            is_whole: false,
            is_holder: false,
            failure: None,
            given: Given::new(),
            waiting: BTreeMap::new(),
            writes: Writes::new(),
        }
    }

    /// A Service changed.
    pub fn concern(&mut self, key: &Key) {
        self.dirty.insert(key.clone());
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
        self.dirty.extend(self.said.keys().cloned());
    }

    /// What is to be written.
    pub(super) fn writes(&self) -> &Writes {
        &self.writes
    }

    /// What changed, in one; all of it at first.
    pub fn say(&mut self, index: &Index) -> Option<Said> {
        if self.is_whole && self.dirty.is_empty() {
            return None;
        }
        let whole = !std::mem::replace(&mut self.is_whole, true);
        let dirty = match whole {
            true => index.services().map(|service| service.key.clone()).collect(),
            false => self.with_waiting(index),
        };
        self.dirty.clear();
        if whole && self.is_holder {
            self.with_waiting(index);
        }
        let mut changed = Vec::new();
        for key in dirty {
            let now = index.service(&key).map(|service| self.found(service)).unwrap_or_default();
            let before = self.said.remove(&key).unwrap_or_default();
            let gone = before.iter().filter(|before| !now.iter().any(|now| now.name == before.name));
            changed.extend(gone.map(|gone| FoundService { name: gone.name.clone(), service: None }));
            changed.extend(now.iter().filter(|now| !before.contains(now)).cloned());
            if before.is_empty()
                && let Some(advice) = index.service(&key).and_then(|service| advice(service, &self.settings))
            {
                tracing::warn!(service = %key, "{advice}");
            }
            if !now.is_empty() {
                self.said.insert(key, now);
            }
        }
        self.write(index);
        (whole || !changed.is_empty()).then_some(Said::Services { services: changed, whole })
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

    /// What follows from a Service; with a refusal, what keeps the cluster from being told of it.
    fn found(&self, service: &Service) -> Vec<FoundService> {
        let mut all = self.judged(service);
        if let (true, Some(failure)) = (self.is_holder, &self.failure) {
            for why in all.iter_mut().filter_map(|found| found.service.as_mut()?.as_mut().err()) {
                if !why.ends_with(failure) {
                    *why = format!("{why}; not all is told to the cluster: {failure}");
                }
            }
        }
        all
    }

    fn judged(&self, service: &Service) -> Vec<FoundService> {
        let mut all = found(&self.source, service, &self.settings);
        if claim(service, &self.settings) == Claim::Pending {
            let why = match (self.waiting.get(&service.key), &self.settings.lease, &self.failure) {
                (Some(why), _, _) => why.clone(),
                (None, None, _) => "it has no address yet, and nobody gives it one: set lease".into(),
                (None, Some(_), Some(failure)) => format!("it has no address yet: {failure}"),
                (None, Some(_), None) => "it has no address yet; who has the Lease gives it one".into(),
            };
            all.iter_mut().for_each(|found| found.service = Some(Err(why.clone())));
        }
        all
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
        let is_err = |found: &FoundService| matches!(found.service, Some(Err(_)));
        if !self.said.get(&service.key).into_iter().flatten().any(is_err) {
            // The error in its status goes with its reason.
            let is_left = is_written && service.ingress.iter().any(|ingress| ingress.is_refused);
            return is_left.then(|| Write::Addresses(addresses()));
        }
        let refusals: BTreeSet<String> =
            self.judged(service).into_iter().filter_map(|found| found.service?.err()).collect();
        let protocol = |protocol| match protocol {
            Some(ipvs::Protocol::Udp) => "UDP",
            Some(ipvs::Protocol::Sctp) => "SCTP",
            Some(ipvs::Protocol::Tcp) | None => "TCP",
        };
        Some(Write::Refusal {
            why: refusals.into_iter().collect::<Vec<_>>().join("; "),
            addresses: if is_written { addresses() } else { Vec::new() },
            ports: service.ports.iter().map(|port| (port.port, protocol(port.protocol))).collect(),
        })
    }
}
