//! The source, and what it has said so far.

use lvsd::config::{Backend, Cordon, Front, KubernetesSettings, Query, Service, ServiceQuery, Target};
use lvsd::core::found::{Finding, FoundService, LastGood};
use lvsd::sources::kubernetes::Kubernetes;
use lvsd::sources::{Said, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Longest that a slow machine may take for a change to arrive.
const LIMIT: Duration = Duration::from_secs(180);

/// How often a condition is looked at when nothing is said.
const LOOK: Duration = Duration::from_millis(200);

/// A source of a cluster whose kubeconfig this is.
pub(crate) fn settings(kubeconfig: PathBuf) -> KubernetesSettings {
    KubernetesSettings {
        kubeconfig: Some(kubeconfig),
        context: None,
        namespaces: BTreeSet::new(),
        cordon: Cordon::Ignore,
        connect_timeout: Duration::from_secs(30),
        watch_timeout: Duration::from_secs(1),
        max_backoff: Duration::from_millis(500),
        services: None,
    }
}

/// The pool of nodes with these labels.
pub(crate) fn nodes(selector: &str) -> Query {
    Query::Nodes { selector: selector.into() }
}

/// What is behind the port https of prod/web, for 192.0.2.10.
pub(crate) fn web(to: Target, backend_port: u16) -> Query {
    let vips = [IpAddr::from([192, 0, 2, 10])].into();
    let front = Front { vips, protocol: ipvs::Protocol::Tcp, backend_port, to };
    let (namespace, name, port) = ("prod".into(), "web".into(), Some("https".into()));
    Query::Service(ServiceQuery { namespace, name, port, front }.into())
}

/// A source at work.
pub(crate) struct Watched {
    source: Kubernetes,
    wanted: watch::Sender<BTreeSet<Query>>,
    /// What was last said of each pool.
    pub(crate) pools: BTreeMap<Query, Result<Vec<Backend>, String>>,
    /// How it was last said to be.
    pub(crate) standing: Option<Result<(), String>>,
    /// How often a pool was said.
    pub(crate) said: usize,
    /// What was last said of services that are served whole.
    pub(crate) services: BTreeMap<String, Result<Arc<Service>, String>>,
    /// What is wrong with those that have their former settings.
    wrong: BTreeMap<String, String>,
    /// Whether all of them were said.
    pub(crate) is_whole: bool,
}

impl Watched {
    pub(crate) fn new(settings: KubernetesSettings, queries: &[Query]) -> Self {
        let (wanted, receiver) = watch::channel(queries.iter().cloned().collect());
        let (_, nothing_in_conflict) = watch::channel(BTreeMap::new());
        let source = Kubernetes::new("k8s".into(), settings, receiver, nothing_in_conflict);
        let (pools, services, wrong) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { source, wanted, pools, standing: None, said: 0, services, wrong, is_whole: false }
    }

    /// Wants exactly these.
    pub(crate) fn want(&self, queries: &[Query]) {
        self.wanted.send_replace(queries.iter().cloned().collect());
    }

    /// Listens until it is so.
    pub(crate) async fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let listening = async {
            while !is_so(self) {
                // What is to be so may be in the cluster, which says nothing of it here.
                let _ = tokio::time::timeout(LOOK, self.hear()).await;
            }
        };
        if tokio::time::timeout(LIMIT, listening).await.is_err() {
            panic!("{what}: {:?} {:#?} {:#?}", self.standing, self.pools, self.services);
        }
    }

    /// Listens for some time, and expects that no pool is said.
    pub(crate) async fn is_silent_of_pools(&mut self, time: Duration) {
        let before = self.said;
        let listening = async {
            loop {
                self.hear().await;
            }
        };
        let _ = tokio::time::timeout(time, listening).await;
        assert_eq!(self.said, before, "{:#?}", self.pools);
    }

    async fn hear(&mut self) {
        match self.source.next().await {
            Said::Pool { query, outcome } => {
                self.said += 1;
                let before = self.pools.insert(query, outcome.clone());
                assert_ne!(before.as_ref(), Some(&outcome), "a pool that did not change is not said again");
            }
            Said::Services { services, whole } => {
                self.is_whole |= whole;
                if whole {
                    self.services.clear();
                    self.wrong.clear();
                }
                for FoundService { name, finding, .. } in services {
                    drop(self.wrong.remove(&name));
                    let service = match finding {
                        Finding::Served(service) => Ok(service),
                        Finding::Wrong { why, last } => {
                            drop(self.wrong.insert(name.clone(), why.clone()));
                            match last {
                                LastGood::Is(service) => Ok(service),
                                LastGood::ListensAt(_) => Err(why),
                            }
                        }
                        Finding::Refused(why) => Err(why),
                        Finding::Gone => {
                            drop(self.services.remove(&name));
                            continue;
                        }
                    };
                    drop(self.services.insert(name, service));
                }
            }
            Said::Live => self.standing = Some(Ok(())),
            Said::Seen(_) => {}
            Said::Stale(why) => self.standing = Some(Err(why)),
            other => panic!("Kubernetes says {other:?}"),
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.standing == Some(Ok(()))
    }

    /// Whether it is said that it cannot be read, with these words.
    pub(crate) fn is_stale(&self, words: &[&str]) -> bool {
        matches!(&self.standing, Some(Err(why)) if words.iter().all(|word| why.contains(word)))
    }

    /// The VIPs of a service that is served whole; none when it is not.
    pub(crate) fn vips(&self, name: &str) -> Vec<String> {
        let service = self.services.get(name).and_then(|service| service.as_ref().ok());
        service.map(|service| service.vips.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    /// Why a service is not served; nothing when it is.
    pub(crate) fn refusal(&self, name: &str) -> &str {
        self.services.get(name).and_then(|service| service.as_ref().err()).map_or("", String::as_str)
    }

    /// What is wrong with a service that has its former settings; nothing when it has its own.
    pub(crate) fn wrong(&self, name: &str) -> &str {
        self.wrong.get(name).map_or("", String::as_str)
    }

    /// The scheduler of a service that is served whole; nothing when it is not served.
    pub(crate) fn scheduler(&self, name: &str) -> String {
        let service = self.services.get(name).and_then(|service| service.as_ref().ok());
        service.map(|service| service.scheduler.scheduler().to_string()).unwrap_or_default()
    }

    /// `host weight` of each backend of a pool.
    pub(crate) fn listed(&self, query: &Query) -> Vec<String> {
        let words = |backend: &Backend| format!("{} {}", backend.host, backend.weight.get());
        self.pools.get(query).and_then(|said| said.as_ref().ok()).into_iter().flatten().map(words).collect()
    }
}
