//! A source that is listened to.

use lvsd::config::{Admin, Backend, Endpoint, EtcdSettings, EtcdVersion, Query, TlsFiles};
use lvsd::core::inventory::Progress;
use lvsd::sources::etcd::Etcd;
use lvsd::sources::{Said, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::watch;

/// Longest that a slow machine may take for a change to arrive.
const LIMIT: Duration = Duration::from_secs(120);

/// So long nothing is said when nothing is to be said.
const QUIET: Duration = Duration::from_millis(400);

pub(crate) const TEXT: &str = "eqiad/cache/text";

/// The key of a host of [`TEXT`].
pub(crate) fn key(host: &str) -> String {
    format!("/conftool/v1/pools/{TEXT}/{host}")
}

/// What conftool writes.
pub(crate) fn value(weight: u32, pooled: &str) -> String {
    format!(r#"{{"weight":{weight},"pooled":"{pooled}"}}"#)
}

/// Settings by which a server that falls silent is soon left. A machine that stands still for as long is an outage.
pub(crate) fn quick(version: EtcdVersion, ports: &[u16]) -> EtcdSettings {
    EtcdSettings { timeout: Duration::from_secs(1), ..settings(version, ports) }
}

/// Settings as of a configuration.
pub(crate) fn settings(version: EtcdVersion, ports: &[u16]) -> EtcdSettings {
    let endpoint = |port: &u16| Endpoint { is_secured: false, host: "127.0.0.1".into(), port: *port };
    EtcdSettings {
        version,
        endpoints: ports.iter().map(endpoint).collect(),
        prefix: "/conftool/v1/pools".into(),
        tls: TlsFiles::default(),
        server_name: None,
        login: None,
        timeout: Duration::from_secs(30),
    }
}

/// The source, and what it has said so far.
#[derive(Debug)]
pub(crate) struct Watched {
    source: Etcd,
    pub(crate) wanted: watch::Sender<BTreeSet<Query>>,
    progress: Progress,
    /// The last content of each pool, `cp1*10 cp2*10!`; `!` is out, `-` inactive.
    pools: BTreeMap<String, String>,
    /// The last word on each pool if it was an error.
    errors: BTreeMap<String, String>,
    pub(crate) is_live: bool,
    /// Why it was away, each time.
    pub(crate) outages: Vec<String>,
}

impl Watched {
    pub(crate) fn new(settings: EtcdSettings, paths: &[&str]) -> Self {
        let (wanted, receiver) = watch::channel(queries(paths));
        let source = Etcd::new("conftool".into(), settings, receiver);
        let (pools, errors) = (BTreeMap::new(), BTreeMap::new());
        let (progress, outages) = Default::default();
        Self { source, wanted, progress, pools, errors, is_live: false, outages }
    }

    pub(crate) fn listings(&self) -> u64 {
        self.progress.listings
    }

    /// Listens until something is so.
    pub(crate) async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begin = tokio::time::Instant::now();
        while !is_so(self) {
            let said = tokio::time::timeout_at(begin + LIMIT, self.source.next()).await;
            let Ok(said) = said else { panic!("waited for {what}; so far {self:#?}") };
            self.hear(said);
        }
    }

    /// Listens until a pool is this.
    pub(crate) async fn until_pool(&mut self, path: &str, hosts: &str) {
        self.until(hosts, |all| all.pools.get(path).is_some_and(|found| found == hosts)).await;
    }

    /// Listens until [`TEXT`] is this.
    pub(crate) async fn until_text(&mut self, hosts: &str) {
        self.until_pool(TEXT, hosts).await;
    }

    /// Listens until the last word on [`TEXT`] is an error with these words.
    pub(crate) async fn until_error(&mut self, words: &str) {
        self.until(words, |all| all.errors.get(TEXT).is_some_and(|error| error.contains(words))).await;
    }

    pub(crate) async fn until_live(&mut self) {
        self.until("live", |all| all.is_live).await;
    }

    pub(crate) async fn until_stale(&mut self) -> String {
        self.until("stale", |all| !all.is_live && !all.outages.is_empty()).await;
        self.outages.last().cloned().unwrap()
    }

    /// Nothing is said for a while.
    pub(crate) async fn is_quiet(&mut self) {
        let end = tokio::time::Instant::now() + QUIET;
        while let Ok(said) = tokio::time::timeout_at(end, self.source.next()).await {
            assert!(matches!(said, Said::Seen(_)), "nothing was to be said, but it said {said:?}");
        }
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::Pool { query: Query::Path(path), outcome } => match outcome {
                Ok(backends) => {
                    let hosts: Vec<_> = backends.iter().map(in_short).collect();
                    self.errors.remove(&*path);
                    self.pools.insert(path.to_string(), hosts.join(" "));
                }
                Err(error) => drop(self.errors.insert(path.to_string(), error)),
            },
            Said::Seen(progress) => self.progress = progress,
            Said::Live => self.is_live = true,
            Said::Stale(why) => {
                assert!(self.is_live || self.outages.is_empty(), "an outage is said once");
                self.is_live = false;
                self.outages.push(why);
            }
            other => panic!("etcd says {other:?}"),
        }
    }
}

pub(crate) fn queries(paths: &[&str]) -> BTreeSet<Query> {
    paths.iter().map(|path| Query::Path((*path).into())).collect()
}

fn in_short(backend: &Backend) -> String {
    let state = match backend.pooled {
        Admin::Pooled => "",
        Admin::Inactive => "-",
        Admin::Drained | Admin::Depooled => "!",
    };
    format!("{}*{}{state}", backend.host, backend.weight.get())
}
