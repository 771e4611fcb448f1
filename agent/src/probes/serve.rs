//! The process inside the probe namespace: hands sockets over and keeps the servers' marks.

use super::kernel::Kernel;
use super::wire::{self, Answer, BATCH, Channel, Request, Suspicion, Wish};
use super::{namespace, neighbours};
use crate::config::{Probes, Segment};
use anyhow::{Context, bail, ensure};
use nix::unistd::geteuid;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::task::{JoinSet, LocalSet};

/// Connections at once: lvsd's own, the next lvsd's while it starts, and a few of people who look.
const MAX_CONNECTIONS: usize = 16;

/// How often what the kernel has is read again and repaired.
const REPAIR: Duration = Duration::from_secs(60);

/// Serves until SIGTERM or SIGINT. The rules and routes stay: they go with the namespace.
///
/// # Errors
/// When it is not inside the namespace, or cannot listen or read the kernel.
pub async fn serve(settings: Probes) -> anyhow::Result<()> {
    ensure!(
        namespace::is_inside(&settings.namespace)?,
        "not in the network namespace {0}: start lvsd-probes.service, or run it by `ip netns exec {0}`",
        settings.namespace
    );
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (connection, rtnetlink, _) = rtnetlink::new_connection().context("no netlink socket")?;
    let path = settings.socket.clone();
    let listener = wire::listen(&path).with_context(|| format!("{}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let local = LocalSet::new();
    let serving = local.run_until(async {
        let kernel = async {
            let looker = Looker { rtnetlink: rtnetlink.clone(), segments: settings.segments.clone() };
            let kernel = Kernel::adopt(rtnetlink, settings).await.context("reading rules and routes")?;
            let keeper = Rc::new(Mutex::new(Keeper { kernel, wanted: None }));
            let parts = Parts { keeper, looker: Rc::new(looker) };
            // Not to be told is no failure: then nobody waits for it.
            drop(sd_notify::notify(&[sd_notify::NotifyState::Ready]));
            tracing::info!(socket = %path.display(), "sockets of the probe namespace are handed over");
            listen(&listener, &parts).await
        };
        // All is dropped at the end: what was asked and not answered is asked again by whoever asked.
        tokio::select! {
            () = connection => bail!("the rtnetlink connection has ended"),
            served = kernel => served,
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    });
    let served = serving.await;
    drop(fs::remove_file(&path));
    served
}

/// Takes connections, and repairs between them.
async fn listen(listener: &UnixListener, parts: &Parts) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    let mut repair = tokio::time::interval(REPAIR);
    loop {
        // Cancel-safe: accept, join_next and tick lose nothing when dropped.
        tokio::select! {
            channel = wire::accept(listener), if connections.len() < MAX_CONNECTIONS => match channel {
                Ok(channel) => drop(connections.spawn_local(answer(channel, parts.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = repair.tick() => parts.keeper.lock().await.repair().await,
        }
    }
}

/// Answers one connection until its other end closes it.
async fn answer(mut channel: Channel, parts: Parts) {
    let Parts { keeper, looker } = parts;
    let is_allowed = channel.peer().is_ok_and(|uid| uid == 0 || uid == geteuid().as_raw());
    if !is_allowed {
        tracing::warn!(peer = channel.peer().ok(), "somebody else than lvsd's user or root was turned away");
        return;
    }
    loop {
        let request = match channel.receive().await {
            Ok(Some((request, _))) => request,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "a request could not be read");
                return;
            }
        };
        let (answer, sockets) = match request {
            Request::Servers(servers) => (keeper.lock().await.set(servers).await, Vec::new()),
            Request::Open(wishes) => keeper.lock().await.open(&wishes),
            Request::WhoAnswers(suspicions) => (looker.look(&suspicions).await, Vec::new()),
        };
        let borrowed: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        if let Err(error) = channel.send(&answer, &borrowed).await {
            tracing::debug!(%error, "an answer could not be sent");
            return;
        }
    }
}

/// What a connection needs.
#[derive(Clone, Debug)]
struct Parts {
    keeper: Rc<Mutex<Keeper>>,
    looker: Rc<Looker>,
}

/// Looks at the links without a word to the keeper, who must not wait for it.
#[derive(Debug)]
struct Looker {
    rtnetlink: rtnetlink::Handle,
    segments: Vec<Segment>,
}

impl Looker {
    async fn look(&self, suspicions: &[Suspicion]) -> Answer {
        match neighbours::who_answers(&self.rtnetlink, &self.segments, suspicions).await {
            Ok((found, unasked)) => Answer::Answering { found, unasked },
            Err(error) => Answer::Failed(format!("the neighbours of the probe namespace: {error}")),
        }
    }
}

/// What the process keeps.
#[derive(Debug)]
struct Keeper {
    kernel: Kernel,
    /// What was last asked for; none since the start.
    wanted: Option<BTreeSet<super::Server>>,
}

impl Keeper {
    async fn set(&mut self, servers: BTreeSet<super::Server>) -> Answer {
        match self.kernel.set(&servers).await {
            Ok(refused) => {
                tracing::info!(servers = servers.len(), refused = refused.len(), "the servers were set");
                self.wanted = Some(servers);
                Answer::Servers(refused)
            }
            Err(error) => Answer::Failed(format!("the rules and routes of the probe namespace: {error}")),
        }
    }

    async fn repair(&mut self) {
        if let Some(wanted) = &self.wanted
            && let Err(error) = self.kernel.set(wanted).await
        {
            tracing::warn!(%error, "the rules and routes could not be read again");
        }
    }

    /// Opens sockets; those that cannot be are told.
    fn open(&self, wishes: &[Wish]) -> (Answer, Vec<Socket>) {
        if wishes.len() > BATCH {
            return (Answer::Failed(format!("more than {BATCH} sockets at once")), Vec::new());
        }
        let mut sockets = Vec::new();
        let opened = wishes.iter().map(|wish| match self.socket(wish) {
            Ok(socket) => {
                sockets.push(socket);
                Ok(())
            }
            Err(error) => Err(error),
        });
        let opened = opened.collect();
        (Answer::Opened(opened), sockets)
    }

    fn socket(&self, wish: &Wish) -> Result<Socket, String> {
        let server = &wish.server;
        let mark = self.kernel.mark(server).ok_or_else(|| format!("nothing is handed to {server}"))?;
        let open = || {
            let domain = if server.address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
            let protocol = Some(wish.protocol).filter(|number| *number != 0).map(Protocol::from);
            let kind = Type::from(wish.kind).nonblocking().cloexec();
            let socket = Socket::new(domain, kind, protocol)?;
            socket.set_mark(mark)?;
            Ok(socket)
        };
        open().map_err(|error: std::io::Error| format!("a socket for {server}: {error}"))
    }
}
