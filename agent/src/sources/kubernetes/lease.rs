//! The Lease by which one balancer of a fleet is chosen: whoever renewed it last has it, until nobody has for its whole length.
//!
//! Clocks are not compared: how long a holder has been silent is counted from when we saw it speak.

use super::client;
use crate::config::Lease as Settings;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use std::time::{Duration, Instant};

/// How long a silent holder keeps it: what other controllers of Kubernetes have.
const LENGTH: Duration = Duration::from_secs(15);

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

    /// Whether the Lease is ours.
    pub(super) fn is_holder(&self) -> bool {
        self.renewed.is_some_and(|renewed| renewed.elapsed() < LENGTH)
    }

    /// Looks at the Lease, renews it or takes it.
    ///
    /// # Errors
    /// Why the API does not let us, with verb and resource.
    pub(super) async fn look(&mut self, client: Client) -> Result<(), String> {
        let looking = self.look_at(client);
        match tokio::time::timeout(TIMEOUT, looking).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("get leases: no answer within {} s", TIMEOUT.as_secs())),
        }
    }

    async fn look_at(&mut self, client: Client) -> Result<(), String> {
        let api: Api<Lease> = Api::namespaced(client, &self.settings.namespace);
        let (name, begun) = (self.settings.name.to_string(), Instant::now());
        let said = |verb: &str, error: &kube::Error| format!("{verb} leases: {}", client::words(error));
        let Some(mut lease) = api.get_opt(&name).await.map_err(|error| said("get", &error))? else {
            let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.ours(0)) };
            return match api.create(&PostParams::default(), &lease).await {
                Ok(_) => self.have(begun),
                Err(error) if is_conflict(&error) => Ok(()),
                Err(error) => Err(said("create", &error)),
            };
        };
        let spec = lease.spec.take().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != spec) {
            self.seen = Some((spec.clone(), begun));
        }
        let is_ours = spec.holder_identity.as_ref() == Some(&self.identity);
        let is_free = spec.holder_identity.as_ref().is_none_or(String::is_empty);
        let silent = self.seen.as_ref().map(|(_, since)| since.elapsed()).unwrap_or_default();
        let length = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        if !is_ours && !is_free && silent < length.map_or(LENGTH, Duration::from_secs) {
            self.renewed = None;
            return Ok(());
        }
        let transitions = spec.lease_transitions.unwrap_or(0);
        lease.spec = Some(self.ours(if is_ours { transitions } else { transitions.saturating_add(1) }));
        // Its version goes along: of two who take it at once one is refused.
        match api.replace(&name, &PostParams::default(), &lease).await {
            Ok(_) => self.have(begun),
            Err(error) if is_conflict(&error) => Ok(()),
            Err(error) => Err(said("update", &error)),
        }
    }

    fn have(&mut self, since: Instant) -> Result<(), String> {
        self.renewed = Some(since);
        Ok(())
    }

    fn ours(&self, transitions: i32) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        LeaseSpec {
            acquire_time: now.clone(),
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LENGTH.as_secs()).ok(),
            lease_transitions: Some(transitions),
            renew_time: now,
            ..LeaseSpec::default()
        }
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}
