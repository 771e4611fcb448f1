//! The sockets of checks that go to a server by a VIP: asked for at the probe namespace ([`crate::probes`]).
//!
//! While nobody answers there, each such check fails for want of something on this host, and no verdict moves. What is
//! asked for meanwhile is refused at once; the connection is tried again by itself.

use crate::config::Probes;
use crate::core::view::ProbesView;
use crate::probes::Server;
use crate::probes::wire::{Answer, BATCH, Channel, Request, Wish};
use health::probe::Opening;
use health::{Check, OwnSockets, Route, Sockets};
use serde::de::DeserializeOwned;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Sockets that wait to be asked for: as many as probes begin within a moment. More wait for room, each at most for its
/// check's timeout.
const WISHES: usize = 1024;

/// The longest wait for an answer: it takes microseconds, and a namespace that hangs must not hold checks for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between attempts to connect: to look at a socket's path costs nothing, and checks are to go on soon.
const RETRY: Duration = Duration::from_millis(500);

/// The connection to the probe namespace.
#[derive(Debug)]
pub struct Handle {
    servers: watch::Sender<BTreeSet<Server>>,
    view: watch::Receiver<ProbesView>,
    wishes: mpsc::Sender<Asked>,
    task: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Connects, now and whenever the connection is lost.
    pub fn spawn(settings: Probes) -> Self {
        let (servers, servers_rx) = watch::channel(BTreeSet::new());
        let (view_tx, view) = watch::channel(ProbesView::default());
        let (wishes, wishes_rx) = mpsc::channel(WISHES);
        let client = Client { settings, servers: servers_rx, view: view_tx, wishes: wishes_rx };
        Self { servers, view, wishes, task: tokio::spawn(client.run()) }
    }

    /// Goes through the servers of exactly these checks from now on.
    pub fn set<'c>(&self, checks: impl IntoIterator<Item = &'c Check>) {
        let servers: BTreeSet<Server> =
            checks.into_iter().filter_map(|check| server(&check.route).ok()).collect();
        self.servers.send_if_modified(|before| {
            let is_new = *before != servers;
            *before = servers;
            is_new
        });
    }

    /// Where checks get their sockets.
    pub fn sockets(&self) -> ProbeSockets {
        ProbeSockets { wishes: self.wishes.clone() }
    }

    /// How it stands.
    pub fn view(&self) -> watch::Receiver<ProbesView> {
        self.view.clone()
    }

    /// Ends the connection. The namespace keeps its marks for the next process.
    pub fn stop(&self) {
        self.task.abort();
    }
}

/// Who a route goes through; the source of a route that goes as any other does.
fn server(route: &Route) -> Result<Server, ()> {
    match route {
        Route::Own { .. } | Route::Marked { .. } => Err(()),
        Route::Through { server, encapsulation } => {
            Ok(Server { address: *server, encapsulation: *encapsulation })
        }
    }
}

/// Sockets of this process, and of the probe namespace for what goes through a server.
#[derive(Clone, Debug)]
pub struct ProbeSockets {
    wishes: mpsc::Sender<Asked>,
}

impl Sockets for ProbeSockets {
    fn open(&self, route: &Route, domain: Domain, kind: Type, protocol: Option<Protocol>) -> Opening<'_> {
        let Ok(server) = server(route) else { return OwnSockets.open(route, domain, kind, protocol) };
        let wish = Wish { server, kind: kind.into(), protocol: protocol.map_or(0, i32::from) };
        Box::pin(async move {
            let gone = || io::Error::other("lvsd stops");
            let (reply, answer) = oneshot::channel();
            self.wishes.send(Asked { wish, reply }).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?.map_err(io::Error::other)
        })
    }
}

/// A socket that somebody waits for.
#[derive(Debug)]
struct Asked {
    wish: Wish,
    reply: oneshot::Sender<Result<Socket, String>>,
}

/// The task behind a [`Handle`].
struct Client {
    settings: Probes,
    servers: watch::Receiver<BTreeSet<Server>>,
    view: watch::Sender<ProbesView>,
    wishes: mpsc::Receiver<Asked>,
}

impl Client {
    async fn run(mut self) {
        loop {
            let away = match Channel::connect(&self.settings.socket) {
                Ok(channel) => match self.talk(channel).await {
                    Ok(()) => return,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let why = self.away(&away);
            let retry = tokio::time::sleep(RETRY);
            tokio::pin!(retry);
            loop {
                // Cancel-safe: a timer and recv lose nothing when dropped.
                tokio::select! {
                    () = &mut retry => break,
                    asked = self.wishes.recv() => match asked {
                        Some(asked) => drop(asked.reply.send(Err(why.clone()))),
                        None => return,
                    },
                }
            }
        }
    }

    /// Says, once, that checks cannot be made, and why.
    fn away(&self, error: &io::Error) -> String {
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        let why = format!(
            "the probe namespace does not answer ({}: {text}): systemctl start lvsd-probes",
            self.settings.socket.display()
        );
        let is_new = self.view.send_if_modified(|view| {
            let before = view.error.replace(why.clone());
            view.is_up = false;
            before.as_ref() != Some(&why)
        });
        if is_new && !self.servers.borrow().is_empty() {
            tracing::error!("checks by VIP give no result, and no verdict of theirs changes: {why}");
        }
        why
    }

    /// Keeps the namespace at the wanted servers and asks for sockets, until the connection fails.
    async fn talk(&mut self, mut channel: Channel) -> io::Result<()> {
        self.set(&mut channel).await?;
        loop {
            // Cancel-safe: changed, recv and receive lose nothing when dropped. Servers come before the sockets of
            // checks that go through them.
            tokio::select! {
                biased;
                changed = self.servers.changed() => match changed {
                    Ok(()) => self.set(&mut channel).await?,
                    Err(_) => return Ok(()),
                },
                asked = self.wishes.recv() => match asked {
                    Some(asked) => self.open(&mut channel, asked).await?,
                    None => return Ok(()),
                },
                unasked = channel.receive::<Answer>() => {
                    unasked?;
                    return Err(closed());
                }
            }
        }
    }

    async fn set(&mut self, channel: &mut Channel) -> io::Result<()> {
        let servers = self.servers.borrow_and_update().clone();
        let count = servers.len();
        let refused = match ask(channel, &Request::Servers(servers)).await? {
            (Answer::Servers(refused), _) => refused,
            (other, _) => return Err(unexpected(other)),
        };
        for (server, reason) in &refused {
            tracing::error!(%server, "checks by VIP through it give no result: {reason}");
        }
        let was_up = self.view.borrow().is_up;
        if !was_up {
            tracing::info!(servers = count, "the probe namespace answers");
        }
        self.view.send_replace(ProbesView { is_up: true, error: None, servers: count, refused });
        Ok(())
    }

    /// Asks for a socket, and for all others that are waited for already.
    async fn open(&mut self, channel: &mut Channel, first: Asked) -> io::Result<()> {
        let mut all = vec![first];
        while all.len() < BATCH
            && let Ok(next) = self.wishes.try_recv()
        {
            all.push(next);
        }
        // Whose time was over while it waited needs none any more.
        all.retain(|asked| !asked.reply.is_closed());
        let refused = self.view.borrow().refused.clone();
        let (refusals, all): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|asked| refused.contains_key(&asked.wish.server));
        for asked in refusals {
            let reason = refused.get(&asked.wish.server).cloned().unwrap_or_default();
            drop(asked.reply.send(Err(reason)));
        }
        if all.is_empty() {
            return Ok(());
        }
        let request = Request::Open(all.iter().map(|asked| asked.wish).collect());
        let (opened, sockets) = match ask(channel, &request).await? {
            (Answer::Opened(opened), sockets) => (opened, sockets),
            (other, _) => return Err(unexpected(other)),
        };
        if opened.len() != all.len() || opened.iter().filter(|one| one.is_ok()).count() != sockets.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "other sockets than were asked for"));
        }
        let mut sockets = sockets.into_iter();
        for (asked, opened) in all.into_iter().zip(opened) {
            let socket = opened.and_then(|()| sockets.next().map(Socket::from).ok_or_else(String::new));
            drop(asked.reply.send(socket));
        }
        Ok(())
    }
}

/// Asks, and waits for the answer.
async fn ask<T: DeserializeOwned>(channel: &mut Channel, request: &Request) -> io::Result<(T, Vec<OwnedFd>)> {
    let exchange = async {
        channel.send(request, &[]).await?;
        channel.receive().await?.ok_or_else(closed)
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}"))),
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was closed")
}

fn unexpected(answer: Answer) -> io::Error {
    match answer {
        Answer::Failed(reason) => io::Error::other(reason),
        other => {
            io::Error::new(io::ErrorKind::InvalidData, format!("an answer to something else: {other:?}"))
        }
    }
}

/// Where all checks get their sockets: the probe namespace as well where one is configured.
pub fn sockets(probes: Option<&Handle>) -> Arc<dyn Sockets> {
    match probes {
        Some(probes) => Arc::new(probes.sockets()),
        None => Arc::new(OwnSockets),
    }
}

#[cfg(test)]
mod tests;
