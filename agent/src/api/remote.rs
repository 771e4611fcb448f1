//! The control interface over TLS: the same paths as on the unix socket, for whom certificates name.
//!
//! Nobody without a certificate from `remote.ca_file` gets beyond the handshake. What those with one may do is in
//! [`Names`](crate::config::Names): it is looked at for each request, and the files for each connection, so that a reload and
//! a renewed certificate count at once.

mod names;

use super::Context;
use crate::config::Remote;
use crate::tls;
use axum::Router;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How many connections there may be, handshakes that are under way among them; further ones wait in the kernel.
const CONNECTIONS: usize = 256;

/// How long nothing is accepted after the kernel has refused it, as without file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What is refused is said so often at most.
const SAID: Duration = Duration::from_secs(60);

/// Whom a certificate names, and where they come from.
#[derive(Debug)]
pub(in crate::api) struct Certified {
    /// The certificate's names; none in one that cannot be read.
    pub(in crate::api) names: Vec<String>,
    /// The address and port.
    pub(in crate::api) from: SocketAddr,
    /// Their place among [`CONNECTIONS`], until the connection has ended.
    _place: Option<OwnedSemaphorePermit>,
}

impl fmt::Display for Certified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.names {
            [] => write!(f, "somebody without a name in the certificate, at {}", self.from.ip()),
            names => write!(f, "{} (at {})", names.join(", "), self.from.ip()),
        }
    }
}

/// Those whose handshake is done.
#[derive(Debug)]
pub(in crate::api) struct Guests {
    address: SocketAddr,
    arrived: mpsc::Receiver<(TlsStream<TcpStream>, Arc<Certified>)>,
}

impl axum::serve::Listener for Guests {
    type Io = TlsStream<TcpStream>;
    type Addr = Arc<Certified>;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.arrived.recv().await {
            Some(guest) => guest,
            // Whoever lets them in has ended, and `serve` with it.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(Arc::new(Certified { names: Vec::new(), from: self.address, _place: None }))
    }
}

/// Answers on the listener until it fails or the future is dropped.
///
/// # Errors
/// The listener's.
pub async fn serve(listener: TcpListener, context: Context) -> io::Result<()> {
    let (sender, arrived) = mpsc::channel(1);
    let guests = Guests { address: listener.local_addr()?, arrived };
    if let Some(Err(error)) = context.reloader.running().remote.as_ref().map(settings) {
        tracing::error!(error, "remote: nobody can connect until this is mended");
    }
    let router: Router = super::control::router(context.clone());
    let answering = axum::serve(guests, router.into_make_service_with_connect_info::<super::control::Peer>());
    tokio::select! {
        ended = answering => ended,
        ended = let_in(listener, context, sender) => ended,
    }
}

fn settings(remote: &Remote) -> Result<rustls::ServerConfig, String> {
    tls::server(&remote.ca_file, &remote.identity)
}

/// Accepts connections and shakes hands with each in a task of its own.
async fn let_in(
    listener: TcpListener,
    context: Context,
    sender: mpsc::Sender<(TlsStream<TcpStream>, Arc<Certified>)>,
) -> io::Result<()> {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    let mut handshakes = JoinSet::new();
    let refused = Arc::new(Refused::default());
    loop {
        while handshakes.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&free).acquire_owned().await else { return Ok(()) };
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                refused.say(&format!("a connection could not be accepted: {error}"));
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (context, sender, refused) = (context.clone(), sender.clone(), Arc::clone(&refused));
        handshakes.spawn(async move {
            let done = tokio::time::timeout(HANDSHAKE, shake(stream, (from, place), &context)).await;
            context.metrics.remote(matches!(done, Ok(Ok(_))));
            match done {
                // It is gone when lvsd stops.
                Ok(Ok(guest)) => drop(sender.send(guest).await),
                Ok(Err(error)) => refused.say(&format!("{} is refused: {error}", from.ip())),
                Err(_) => {
                    refused.say(&format!("{} is refused: no handshake within {HANDSHAKE:?}", from.ip()))
                }
            }
        });
    }
}

async fn shake(
    stream: TcpStream,
    (from, place): (SocketAddr, OwnedSemaphorePermit),
    context: &Context,
) -> Result<(TlsStream<TcpStream>, Arc<Certified>), String> {
    let running = context.reloader.running();
    let remote = running.remote.as_ref().ok_or("there is no [remote] any more")?;
    let acceptor = TlsAcceptor::from(Arc::new(settings(remote)?));
    let stream = acceptor.accept(stream).await.map_err(|error| error.to_string())?;
    let first = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let names = first.map(|certificate| names::of(certificate)).unwrap_or_default();
    Ok((stream, Arc::new(Certified { names, from, _place: Some(place) })))
}

/// Says who is refused, now and then.
#[derive(Debug, Default)]
struct Refused(Mutex<(Option<Instant>, u64)>);

impl Refused {
    fn say(&self, why: &str) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.1 += 1;
        if said.0.is_none_or(|at| at.elapsed() >= SAID) {
            tracing::warn!(since_last_said = said.1, "remote: {why}");
            *said = (Some(Instant::now()), 0);
        }
    }
}
