//! The Lease by which one balancer of a fleet is chosen: whoever renewed it last has it, until nobody has for its whole length.
//!
//! Clocks are not compared: how long a holder has been silent is counted from when we saw it speak.

use super::client::Access;
use crate::config::Lease as Settings;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use std::time::{Duration, Instant};

/// How long a silent holder keeps it: what other controllers of Kubernetes have.
const LENGTH: Duration = Duration::from_secs(15);

/// How long after it was renewed its holder may write: what is under way then is given up before anybody else can have it. As in
/// other controllers of Kubernetes.
const WRITES: Duration = Duration::from_secs(10);

/// How often it is looked at, and renewed.
pub(super) const PERIOD: Duration = Duration::from_secs(3);

/// How long the API may take: a holder that waits longer cannot renew in time.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Our part in the election.
#[derive(Debug)]
pub(super) struct Candidate {
    settings: Settings,
    /// Who we are; unlike any other balancer and process.
    identity: String,
    /// What was last seen of the holder, and when that was new.
    seen: Option<(LeaseSpec, Instant)>,
    /// When we last renewed it.
    renewed: Option<Instant>,
}

impl Candidate {
    /// A candidate who has asked nobody.
    pub(super) fn new(settings: Settings, identity: String) -> Self {
        Self { settings, identity, seen: None, renewed: None }
    }

    /// Until when we may write, if the Lease is ours.
    pub(super) fn until(&self) -> Option<Instant> {
        self.renewed.map(|renewed| renewed + WRITES).filter(|until| *until > Instant::now())
    }

    /// Looks at the Lease, renews it or takes it.
    ///
    /// # Errors
    /// Why the API does not let us, with verb and resource.
    pub(super) async fn look(&mut self, access: &Access) -> Result<(), String> {
        let looking = self.look_at(access);
        match tokio::time::timeout(TIMEOUT, looking).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("get leases: {}", access.place.silent(TIMEOUT))),
        }
    }

    async fn look_at(&mut self, Access { client, place }: &Access) -> Result<(), String> {
        let api: Api<Lease> = Api::namespaced(client.clone(), &self.settings.namespace);
        let (name, begun) = (self.settings.name.to_string(), Instant::now());
        let said = |verb: &str, error: &kube::Error| format!("{verb} leases: {}", place.words(error));
        let Some(mut lease) = api.get_opt(&name).await.map_err(|error| said("get", &error))? else {
            let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.ours(&LeaseSpec::default(), 0)) };
            let created = api.create(&PostParams::default(), &lease).await;
            return self.outcome(created, begun).map_err(|error| said("create", &error));
        };
        let found = lease.spec.take().unwrap_or_default();
        // From when it is known: the holder may have renewed it while we asked.
        let Some(transitions) = self.judge(&found, Instant::now()) else {
            self.renewed = None;
            return Ok(());
        };
        lease.spec = Some(self.ours(&found, transitions));
        // Its version goes along: of two who take it at once one is refused.
        let replaced = api.replace(&name, &PostParams::default(), &lease).await;
        self.outcome(replaced, begun).map_err(|error| said("update", &error))
    }

    /// Whether a Lease that was found so may be ours: then how often it has changed hands.
    pub(super) fn judge(&mut self, found: &LeaseSpec, now: Instant) -> Option<i32> {
        if self.seen.as_ref().is_none_or(|(seen, _)| seen != found) {
            self.seen = Some((found.clone(), now));
        }
        let transitions = found.lease_transitions.unwrap_or(0);
        if found.holder_identity.as_ref() == Some(&self.identity) {
            return Some(transitions);
        }
        let silent = self.seen.as_ref().map(|(_, since)| now.saturating_duration_since(*since));
        let length = found.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let is_free = found.holder_identity.as_ref().is_none_or(String::is_empty)
            || silent.unwrap_or_default() >= length.map_or(LENGTH, Duration::from_secs);
        is_free.then(|| transitions.saturating_add(1))
    }

    /// What follows from an answer. Whoever is refused because another was faster has it no more.
    fn outcome(&mut self, answer: kube::Result<Lease>, begun: Instant) -> kube::Result<()> {
        match answer {
            Ok(_) => self.renewed = Some(begun),
            Err(kube::Error::Api(status)) if status.code == 409 => self.renewed = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn ours(&self, found: &LeaseSpec, transitions: i32) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        let has_it = found.holder_identity.as_ref() == Some(&self.identity);
        LeaseSpec {
            acquire_time: found.acquire_time.clone().filter(|_| has_it).or(now.clone()),
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LENGTH.as_secs()).ok(),
            lease_transitions: Some(transitions),
            renew_time: now,
            ..LeaseSpec::default()
        }
    }
}
