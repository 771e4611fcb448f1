//! The daemon's life: built from a configuration, run until it is told to stop, drained.

use crate::api::{self, Context, control};
use crate::config::{self, Config, SourceSettings};
use crate::core::Event;
use crate::engine::{Engine, Executors, Inbox, lag};
use crate::exec::{
    Mode, addresses, checks, fib, fleet, ipvs, networks, paths, probes, routes, saver, snapshots, state_file,
};
use crate::logging::Log;
use crate::metrics::Metrics;
use crate::notify;
use crate::record::recorder::Recorder;
use crate::reload::Reloader;
use crate::sources::{cluster, names, pools};
use anyhow::Context as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// How lvsd is to run, beside its configuration.
#[derive(Clone, Debug, Default)]
pub struct Arguments<'a> {
    /// Where every event is recorded.
    pub recording: Option<&'a Path>,
    /// Whether nothing is written, whatever the configuration says.
    pub is_dry: bool,
    /// The process's log.
    pub log: Log,
}

/// Runs lvsd with a configuration that was read from `path`. Returns when it has been told to stop and has drained.
///
/// # Errors
/// When something that it cannot do without is not to be had: the state file, IPVS, its sockets.
pub async fn run(path: &Path, mut config: Config, arguments: Arguments<'_>) -> anyhow::Result<()> {
    let Arguments { recording, is_dry, log } = arguments;
    config.daemon.dry_run |= is_dry;
    let mode = if config.daemon.dry_run { Mode::DryRun } else { Mode::Live };
    let config = Arc::new(config);
    let metrics = Arc::new(Metrics::new()?);
    let (inbox, engine_inbox) = Inbox::new();
    let state_path = state_file::path(&config.daemon.state_dir);
    let saved = state_file::load(&state_path)?;
    let snapshot_directory = snapshots::directory(&config.daemon.state_dir);
    let earlier = snapshots::load(&snapshot_directory);
    let socket = control::listen(&config.daemon).await?;
    let https = listeners(&config, mode).await?;
    let remote = remote_listener(&config, mode).await?;
    // A state file that owns services was left by a process that the kernel outlived.
    let is_restart = !saved.owned.is_empty();
    // Before anybody tells what it has found: that is looked at in the light of these.
    inbox.event(Event::Restored { saved, snapshots: earlier }).await;
    inbox.event(Event::Configured(Arc::clone(&config))).await;
    let learns = config.nodes.as_ref().map(|_| &inbox);
    let speaks = config.bgp.as_ref().filter(|_| !mode.is_dry());
    let routes = speaks.map(|bgp| routes::Handle::spawn(bgp, is_restart, learns)).transpose()?;
    let kernel = ipvs::Kernel::open(mode, config.daemon.netlink_buffer)?;
    let executors = Executors {
        ipvs: ipvs::Handle::spawn(kernel, inbox.clone(), Arc::clone(&metrics), mode),
        addresses: addresses::Handle::spawn(config.daemon.device.clone(), inbox.clone(), mode)?,
        checks: checks::Handle::spawn(
            seed(),
            inbox.clone(),
            config.probes.clone().map(probes::Handle::spawn),
        ),
        paths: paths::Handle::spawn(inbox.clone()),
        pools: pools::Handle::spawn(inbox.clone())?,
        names: names::Handle::spawn(config.daemon.resolve_interval, inbox.clone()),
        cluster: cluster::Handle::spawn(inbox.clone()),
        fib: config
            .nodes
            .as_ref()
            .filter(|_| !mode.is_dry())
            .map(|nodes| fib::Handle::spawn(nodes.fib, inbox.clone(), Arc::clone(&metrics))),
        routes,
        saver: saver::Handle::spawn((!mode.is_dry()).then_some(state_path)),
        snapshots: snapshots::Handle::spawn((!mode.is_dry()).then_some(snapshot_directory)),
    };
    let reloader = Reloader::new(path.into(), Arc::clone(&config), inbox.clone(), Arc::clone(&metrics))
        .of_dry_run(is_dry);
    let context = Context {
        inbox: inbox.clone(),
        reloader: Arc::new(reloader),
        metrics: Arc::clone(&metrics),
        peers: executors.routes.as_ref().map(routes::Handle::status),
        bgp: executors.routes.as_ref().map(routes::Handle::looks),
        refused: executors.routes.as_ref().map(routes::Handle::refused),
        bmp: executors.routes.as_ref().map(routes::Handle::bmp),
        checks: executors.checks.watcher(),
        probes: executors.checks.probes(),
        // The first connection has said what is wrong with the kernel, if anything is.
        kernel: ::ipvs::Ipvs::open(::ipvs::Options::default()).ok(),
        fleet: None,
        log,
    };
    // In a dry run it is none of those that serve.
    let fleet = if mode.is_dry() { None } else { fleet(&config, &inbox).map(Arc::new) };
    let context = Context { fleet: fleet.clone(), ..context };
    let engine =
        Engine::new(engine_inbox, executors, Arc::clone(&metrics)).context("start the log's thread")?;
    let engine = engine.recorded_by(recording.and_then(record));
    let has_nodes = config.nodes.is_some();
    let mut around = JoinSet::new();
    around.spawn(served("the control socket", control::serve(socket, context.clone())));
    for http in https {
        around.spawn(served("HTTP", api::http::serve(http, context.clone())));
    }
    if let Some(remote) = remote {
        around.spawn(served("TLS", api::remote::serve(remote, context.clone())));
    }
    around.spawn(notify::run(inbox.clone()));
    around.spawn(lag::run(inbox.clone(), Arc::clone(&metrics)));
    if has_nodes {
        around.spawn(networks::run(inbox.clone()));
    }
    around.spawn(signals(inbox, Arc::clone(&context.reloader))?);
    drop(context);
    engine.run().await;
    if let Some(fleet) = fleet {
        fleet.stop().await;
    }
    around.shutdown().await;
    tracing::info!("stopped; the kernel goes on serving");
    Ok(())
}

/// The listeners of [`api::http`].
async fn listeners(config: &Config, mode: Mode) -> anyhow::Result<Vec<TcpListener>> {
    let own = config.daemon.http.map(|address| ("lvsd.http", address));
    let others = config.pybal.http.iter().filter(|address| Some(**address) != config.daemon.http);
    let mut listeners = Vec::new();
    for (key, address) in own.into_iter().chain(others.map(|address| ("pybal.http", *address))) {
        listeners.extend(listener(key, address, mode).await?);
    }
    Ok(listeners)
}

/// The listener of [`api::remote`], where one is configured.
async fn remote_listener(config: &Config, mode: Mode) -> anyhow::Result<Option<TcpListener>> {
    match &config.remote {
        Some(remote) => listener("remote.listen", remote.listen, mode).await,
        None => Ok(None),
    }
}

/// A listener. In a dry run another program may have its address already: whoever lvsd is to take over from.
async fn listener(key: &str, address: SocketAddr, mode: Mode) -> anyhow::Result<Option<TcpListener>> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if mode.is_dry() && error.kind() == std::io::ErrorKind::AddrInUse => {
            tracing::warn!(%address, "{key} is another program's: it is not served in this dry run");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("{key} {address}")),
    }
}

/// Begins a recording. A balancer that cannot be recorded serves all the same.
fn record(path: &Path) -> Option<Recorder> {
    let recorder = Recorder::start(path);
    match &recorder {
        Ok(_) => tracing::info!(file = %path.display(), "every event is recorded"),
        Err(error) => tracing::error!(file = %path.display(), %error, "nothing is recorded"),
    }
    recorder.ok()
}

/// Begins to tell the other balancers of this one, where there are others.
fn fleet(config: &Config, inbox: &Inbox) -> Option<fleet::Handle> {
    let fleet = config.fleet.as_ref()?;
    match config.sources.get(&fleet.source) {
        Some(SourceSettings::Etcd(settings)) => {
            Some(fleet::Handle::spawn(fleet.clone(), settings.clone(), inbox.clone()))
        }
        Some(_) | None => None,
    }
}

/// Different for each start and host, so that the checks of several balancers do not fall together.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

async fn served(what: &'static str, serving: impl Future<Output = std::io::Result<()>>) {
    if let Err(error) = serving.await {
        tracing::error!(%error, "{what} is not served any more");
    }
}

/// SIGHUP reloads; SIGTERM and SIGINT stop, at once when sent twice.
fn signals(inbox: Inbox, reloader: Arc<Reloader>) -> anyhow::Result<impl Future<Output = ()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        loop {
            // Signals that arrive meanwhile are kept by their streams.
            tokio::select! {
                Some(()) = hangup.recv() => drop(reloader.reload().await),
                Some(()) = terminate.recv() => stop(&inbox).await,
                Some(()) = interrupt.recv() => stop(&inbox).await,
                else => return,
            }
        }
    })
}

async fn stop(inbox: &Inbox) {
    notify::stopping();
    inbox.event(Event::Stop).await;
}

/// Reads a configuration, or prints every error on stderr.
///
/// # Errors
/// The number of errors, in words.
pub fn load(path: &Path) -> anyhow::Result<Config> {
    config::load(path).map_err(|errors| {
        for error in &errors {
            eprintln!("{}", error.in_full());
        }
        anyhow::anyhow!(
            "{}: {} error{}",
            path.display(),
            errors.len(),
            if errors.len() == 1 { "" } else { "s" }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_another_program_has_is_left_to_it_in_a_dry_run_only() {
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let text = format!("[lvsd]\nhttp = \"off\"\n[pybal]\nhttp = \"{}\"\n", other.local_addr().unwrap());
        let config = config::parse(&[("lvsd.toml".into(), text)]).unwrap();
        assert!(listeners(&config, Mode::DryRun).await.unwrap().is_empty());
        let error = listeners(&config, Mode::Live).await.unwrap_err();
        assert!(format!("{error:#}").starts_with("pybal.http 127.0.0.1:"), "{error:#}");
        drop(other);
        assert_eq!(listeners(&config, Mode::Live).await.unwrap().len(), 1);
    }
}
