//! Reloading the configuration: read, checked against what runs, and handed to the engine as a whole, or refused
//! with every reason.

use crate::config::{self, Config, ConfigError};
use crate::core::Event;
use crate::engine::Inbox;
use crate::metrics::Metrics;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// Services that are new.
    pub added: Vec<String>,
    /// Services that are gone.
    pub removed: Vec<String>,
    /// Services with another configuration than before.
    pub changed: Vec<String>,
    /// Whether anything else changed.
    pub settings_changed: bool,
}

/// Why a reload was refused; the running configuration goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration was refused, the old one goes on:\n  {}", listed(.0))]
pub struct Refused(pub Vec<Reason>);

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// In one line, for the log.
    pub line: String,
    /// With the line of the file that it is about.
    pub in_full: String,
}

impl From<String> for Reason {
    fn from(line: String) -> Self {
        Self { in_full: line.clone(), line }
    }
}

impl From<&ConfigError> for Reason {
    fn from(error: &ConfigError) -> Self {
        Self { line: error.to_string(), in_full: error.in_full() }
    }
}

fn listed(reasons: &[Reason]) -> String {
    let texts: Vec<&str> = reasons.iter().map(|reason| &*reason.in_full).collect();
    texts.join("\n").replace('\n', "\n  ")
}

/// Reloads one configuration file, one reload at a time.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    inbox: Inbox,
    metrics: Arc<Metrics>,
    running: watch::Sender<Arc<Config>>,
    /// Held by the reload that is under way. Nobody else waits for it: a file can take long to be read.
    turn: Mutex<()>,
    /// Whether the command line has asked for a dry run, whatever a file says.
    is_dry: bool,
}

impl Reloader {
    /// A reloader of the file that `running` was read from.
    pub fn new(path: PathBuf, running: Arc<Config>, inbox: Inbox, metrics: Arc<Metrics>) -> Self {
        let running = watch::Sender::new(running);
        Self { path, inbox, metrics, running, turn: Mutex::new(()), is_dry: false }
    }

    /// The same for a process whose command line asks for a dry run.
    #[must_use]
    pub fn of_dry_run(self, is_dry: bool) -> Self {
        Self { is_dry, ..self }
    }

    /// The configuration that is in use.
    pub fn running(&self) -> Arc<Config> {
        Arc::clone(&self.running.borrow())
    }

    /// Reads the configuration and puts it in use. Returns once the engine has taken it.
    pub async fn reload(&self) -> Result<Reloaded, Refused> {
        let _turn = self.turn.lock().await;
        let result = self.try_reload().await;
        self.metrics.reload(result.is_ok());
        match &result {
            Ok(reloaded) => tracing::info!(
                added = reloaded.added.len(),
                removed = reloaded.removed.len(),
                changed = reloaded.changed.len(),
                "the configuration was reloaded"
            ),
            Err(Refused(reasons)) => {
                reasons.iter().for_each(|reason| {
                    tracing::error!(error = reason.line, "reload refused, the old configuration goes on")
                });
            }
        }
        result
    }

    async fn try_reload(&self) -> Result<Reloaded, Refused> {
        let path = self.path.clone();
        let loaded = tokio::task::spawn_blocking(move || config::load(&path)).await;
        let config = match loaded {
            Ok(Ok(mut config)) => {
                config.daemon.dry_run |= self.is_dry;
                Arc::new(config)
            }
            Ok(Err(errors)) => return Err(Refused(errors.iter().map(Reason::from).collect())),
            Err(error) => return Err(Refused(vec![format!("reading the configuration: {error}").into()])),
        };
        let running = self.running();
        let fixed = needs_restart(&running, &config);
        if !fixed.is_empty() {
            return Err(Refused(fixed.into_iter().map(Reason::from).collect()));
        }
        let reloaded = difference(&running, &config);
        self.inbox.event(Event::Configured(Arc::clone(&config))).await;
        // Inputs are taken in order: this answer comes after the configuration was.
        self.inbox.ready().await.map_err(|gone| Refused(vec![gone.to_string().into()]))?;
        self.running.send_replace(config);
        Ok(reloaded)
    }
}

/// Settings that only a restart can change, and that did change.
fn needs_restart(running: &Config, new: &Config) -> Vec<String> {
    let (old, now) = (&running.daemon, &new.daemon);
    let asn = |config: &Config| config.bgp.as_ref().map(|bgp| bgp.local_asn);
    let fib = |config: &Config| config.nodes.as_ref().map(|nodes| nodes.fib);
    let fleet = |config: &Config| {
        let fleet =
            config.fleet.as_ref().map(|fleet| (fleet.source.clone(), fleet.prefix.clone(), fleet.ttl));
        let name = config.fleet.as_ref().and_then(|fleet| fleet.name.clone());
        let source = fleet.as_ref().and_then(|(source, ..)| config.sources.get(source).cloned());
        (fleet, name, source)
    };
    let listens = |config: &Config| config.remote.as_ref().map(|remote| remote.listen);
    let router_id = |config: &Config| config.bgp.as_ref().map(|bgp| bgp.router_id);
    let listen = |config: &Config| config.bgp.as_ref().map(|bgp| bgp.listen.clone());
    [
        ("lvsd.state_dir", old.state_dir != now.state_dir),
        ("lvsd.control_socket", old.control_socket != now.control_socket),
        ("lvsd.control_group", old.control_group != now.control_group),
        ("lvsd.http", old.http != now.http),
        ("lvsd.device", old.device != now.device),
        ("lvsd.netlink_buffer", old.netlink_buffer != now.netlink_buffer),
        ("lvsd.dry_run", old.dry_run != now.dry_run),
        ("pybal.http", running.pybal.http != new.pybal.http),
        ("remote.listen (or the whole section)", listens(running) != listens(new)),
        ("probes (the whole section)", running.probes != new.probes),
        ("fleet (the whole section, and its source)", fleet(running) != fleet(new)),
        ("nodes.fib (the whole section)", fib(running) != fib(new)),
        ("nodes (given or not)", running.nodes.is_some() != new.nodes.is_some()),
        ("bgp.local_asn (or the whole section)", asn(running) != asn(new)),
        ("bgp.router_id", router_id(running) != router_id(new)),
        ("bgp.listen", listen(running) != listen(new)),
    ]
    .into_iter()
    .filter(|(_, changed)| *changed)
    .map(|(key, _)| {
        format!("{key} changed: a reload cannot change it; restart lvsd, or take the change back")
    })
    .collect()
}

fn difference(old: &Config, new: &Config) -> Reloaded {
    let names = |config: &Config| config.services.keys().cloned().collect::<BTreeSet<String>>();
    let (before, after) = (names(old), names(new));
    let differs = |name: &&String| match (old.services.get(*name), new.services.get(*name)) {
        // A service that only moved within its file is the same one.
        (Some(old), Some(new)) => {
            config::Service { origin: old.origin.clone(), ..config::Service::clone(new) } != **old
        }
        (None, _) | (_, None) => false,
    };
    Reloaded {
        added: after.difference(&before).cloned().collect(),
        removed: before.difference(&after).cloned().collect(),
        changed: before.intersection(&after).filter(differs).cloned().collect(),
        settings_changed: settings(old) != settings(new),
    }
}

/// All of a configuration but its services.
fn settings(config: &Config) -> Config {
    Config { services: BTreeMap::new(), ..config.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Input, Query};

    const SERVICE: &str = "[service.web]\nvips = [\"192.0.2.10\"]\nport = 80\nchecks = []\n\
                           backends = [{ host = \"10.64.0.11\" }]\n";

    fn changed_by(more: &str) -> Reloaded {
        let parse = |text: String| config::parse(&[("lvsd.toml".into(), text)]).unwrap();
        difference(&parse(SERVICE.into()), &parse(format!("{SERVICE}{more}")))
    }

    #[tokio::test]
    async fn nobody_waits_for_a_reload_that_takes_long() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lvsd.toml");
        std::fs::write(&file, "[lvsd]\ndrain_timeout = \"7s\"\n").unwrap();
        let old = Arc::new(config::parse(&[("lvsd.toml".into(), String::new())]).unwrap());
        let (inbox, mut engine) = Inbox::new();
        let reloader = Reloader::new(file, Arc::clone(&old), inbox, Arc::new(Metrics::new().unwrap()));
        let reloading = async { reloader.reload().await };
        let asking = async {
            // The engine has the new configuration, and does not say so yet.
            let configured = engine.recv().await;
            assert!(matches!(configured, Some(Input::Event(Event::Configured(_)))), "{configured:?}");
            assert_eq!(reloader.running(), old);
            let Some(Input::Query(Query::Ready { reply })) = engine.recv().await else {
                panic!("no question")
            };
            reply.send(true).unwrap();
        };
        let (reloaded, ()) = tokio::join!(reloading, asking);
        assert!(reloaded.unwrap().settings_changed);
        assert_eq!(reloader.running().daemon.drain_timeout, std::time::Duration::from_secs(7));
    }

    #[test]
    fn whatever_is_no_service_is_a_changed_setting() {
        assert_eq!(changed_by("# a remark\n"), Reloaded::default());
        let settings = Reloaded { settings_changed: true, ..Reloaded::default() };
        for more in [
            "[lvsd]\ndrain_timeout = \"7s\"\n",
            "[ipvs]\ntcp_timeout = \"30m\"\n",
            "[vip.\"192.0.2.10\"]\nwithdraw_hold = \"3s\"\n",
            "[source.web]\ntype = \"http\"\nurl = \"http://192.0.2.99\"\n",
        ] {
            assert_eq!(changed_by(more), settings, "{more}");
        }
    }
}
