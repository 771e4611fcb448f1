//! The connection to the station.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::{interval, sleep, timeout},
};

use super::{
    BmpConfig, BmpStatus, PrePolicy, Sightings,
    message::{self, Counts},
    told::{Seen, Told, View},
};
use crate::{
    rib::{LocRib, Refusal},
    speaker::{PeerStatus, Statuses},
};

/// How long after a failed or lost connection the next is tried.
const RETRY: Duration = Duration::from_secs(5);

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a station may take to read [`CHUNK`] octets: then it loses its connection.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Octets that are written at once.
const CHUNK: usize = 64 * 1024;

/// What the kernel may keep of what the station has not read.
const SEND_BUFFER: usize = 256 * 1024;

/// The least time between two looks: a router that comes up tells thousands of routes one after the other.
const GATHER: Duration = Duration::from_millis(200);

/// How long a station may take to read the last word.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where what there is can be seen.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) sightings: watch::Receiver<Sightings>,
    pub(crate) statuses: watch::Receiver<Statuses>,
    pub(crate) table: watch::Receiver<LocRib>,
}

/// The task's owner. Dropping it closes the connection without a word.
#[derive(Debug)]
pub(crate) struct Exporter {
    config: watch::Sender<Option<BmpConfig>>,
    pre_policy: PrePolicy,
    pre_policy_wanted: watch::Sender<bool>,
    status: watch::Receiver<BmpStatus>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Starts it, without a station.
    pub(crate) fn spawn(sources: Sources) -> Self {
        let (config, config_receiver) = watch::channel(None);
        let (status, status_receiver) = watch::channel(BmpStatus::default());
        let (pre_policy_wanted, wanted) = watch::channel(false);
        let (table, heard) = watch::channel(LocRib::default());
        let shell = Shell { sources, heard, status, told: Told::default() };
        Self {
            config,
            pre_policy: PrePolicy { wanted, table: Arc::new(table) },
            pre_policy_wanted,
            status: status_receiver,
            task: tokio::spawn(shell.run(config_receiver)),
        }
    }

    /// Exports to this station from now on. Returns at once.
    pub(crate) fn set(&self, config: Option<BmpConfig>) {
        let wanted = config.as_ref().is_some_and(|config| config.pre_policy);
        self.pre_policy_wanted.send_if_modified(|current| std::mem::replace(current, wanted) != wanted);
        self.config.send_if_modified(|current| {
            let is_new = *current != config;
            *current = config;
            is_new
        });
    }

    pub(crate) fn status(&self) -> watch::Receiver<BmpStatus> {
        self.status.clone()
    }

    /// The sessions' part.
    pub(crate) fn pre_policy(&self) -> PrePolicy {
        self.pre_policy.clone()
    }

    /// Says goodbye to the station.
    pub(crate) async fn stop(&mut self) {
        self.set(None);
        let mut status = self.status.clone();
        // It does not read, or the task is gone: there is nobody to wait for.
        drop(timeout(FAREWELL, status.wait_for(|status| !status.is_connected)).await);
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a connection ended.
enum End {
    /// Another station is wanted, or none.
    Reconfigured,
    /// The owner is gone.
    Owner,
}

struct Shell {
    sources: Sources,
    /// What neighbours told before the rules.
    heard: watch::Receiver<LocRib>,
    status: watch::Sender<BmpStatus>,
    told: Told,
}

impl Shell {
    async fn run(mut self, mut wanted: watch::Receiver<Option<BmpConfig>>) {
        loop {
            let Some(config) = wanted.borrow_and_update().clone() else {
                if wanted.changed().await.is_err() {
                    return;
                }
                continue;
            };
            match self.export(&config, &mut wanted).await {
                Ok(End::Owner) => return,
                Ok(End::Reconfigured) => self.status.send_modify(|status| status.is_connected = false),
                Err(error) => {
                    self.failed(config.station, &error);
                    // Both can be dropped at any time.
                    tokio::select! {
                        () = sleep(RETRY) => {}
                        changed = wanted.changed() => if changed.is_err() { return },
                    }
                }
            }
        }
    }

    /// Said once for the same reason again and again.
    fn failed(&self, station: SocketAddr, error: &io::Error) {
        let reason = error.to_string();
        self.status.send_if_modified(|status| {
            let is_new = status.last_error.as_ref() != Some(&reason);
            if is_new {
                tracing::warn!(%station, reason, "no connection to the BMP station");
            }
            status.last_error = Some(reason);
            std::mem::take(&mut status.is_connected) || is_new
        });
    }

    async fn export(
        &mut self,
        config: &BmpConfig,
        wanted: &mut watch::Receiver<Option<BmpConfig>>,
    ) -> io::Result<End> {
        let mut stream = connect(config.station).await?;
        tracing::info!(station = %config.station, "connected to the BMP station");
        self.status.send_modify(|status| {
            (status.is_connected, status.last_error) = (true, None);
            status.connections += 1;
        });
        self.told = Told::default();
        let mut out = Vec::new();
        message::initiation(&mut out, config);
        self.write(&mut stream, &mut out, 1).await?;
        let mut statistics = interval(config.statistics);
        statistics.tick().await;
        let mut ignored = [0; 256];
        loop {
            self.tell_news(&mut stream, config).await?;
            // Every branch can be dropped: what was not looked at is still new the next time.
            tokio::select! {
                Ok(()) = self.sources.sightings.changed() => sleep(GATHER).await,
                Ok(()) = self.sources.table.changed() => sleep(GATHER).await,
                Ok(()) = self.heard.changed() => sleep(GATHER).await,
                _ = statistics.tick() => self.tell_counts(&mut stream).await?,
                // A station has nothing to say.
                count = stream.read(&mut ignored) => if count? == 0 {
                    return Err(io::Error::other("the station closed it"));
                },
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return Ok(End::Owner);
                    }
                    self.tell_news(&mut stream, config).await?;
                    message::termination(&mut out);
                    self.write(&mut stream, &mut out, 1).await?;
                    return Ok(End::Reconfigured);
                }
            }
        }
    }

    /// Sessions first: what the table has of one that is over by then is corrected at the next look.
    fn seen(&mut self, config: &BmpConfig) -> Seen {
        let sightings = self.sources.sightings.borrow_and_update().clone();
        let complete = |(name, status): (&String, &PeerStatus)| (name.clone(), status.told.clone());
        let complete = self.sources.statuses.borrow().iter().map(complete).collect();
        let mut seen = Seen { sightings, complete, ..Seen::default() };
        if config.pre_policy {
            seen.see(View::PrePolicy, &self.heard.borrow_and_update());
        }
        seen.see(View::PostPolicy, &self.sources.table.borrow_and_update());
        seen
    }

    async fn tell_news(&mut self, stream: &mut TcpStream, config: &BmpConfig) -> io::Result<()> {
        let seen = self.seen(config);
        let news = self.told.look(&seen);
        let (mut out, mut messages, at) = (Vec::new(), 0, SystemTime::now());
        for one in news {
            messages += one.encode(&mut out, at);
            if out.len() >= CHUNK {
                self.write(stream, &mut out, std::mem::take(&mut messages)).await?;
            }
        }
        self.write(stream, &mut out, messages).await
    }

    async fn tell_counts(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        let (mut out, mut messages, at) = (Vec::new(), 0, SystemTime::now());
        for (name, session) in self.told.sessions() {
            if let Some(status) = self.sources.statuses.borrow().get(name) {
                message::statistics(&mut out, session, counts(status), at);
                messages += 1;
            }
        }
        self.write(stream, &mut out, messages).await
    }

    /// Writes everything, and leaves the buffer empty.
    async fn write(&self, stream: &mut TcpStream, out: &mut Vec<u8>, messages: u64) -> io::Result<()> {
        for chunk in out.chunks(CHUNK) {
            let slow = |_| io::Error::new(io::ErrorKind::TimedOut, "the station does not read");
            timeout(WRITE_TIMEOUT, stream.write_all(chunk)).await.map_err(slow)??;
        }
        out.clear();
        self.status.send_if_modified(|status| {
            status.messages += messages;
            messages > 0
        });
        Ok(())
    }
}

async fn connect(station: SocketAddr) -> io::Result<TcpStream> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer to the TCP connection");
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(station)).await.map_err(late)??;
    SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER)?;
    Ok(stream)
}

fn counts(status: &PeerStatus) -> Counts {
    Counts {
        refused: status.refused.values().sum(),
        own_as: status.refused.get(&Refusal::OwnAs.to_string()).copied().unwrap_or(0),
        treated_as_withdraw: status.counters.treated_as_withdraw,
        kept: status.learned.values().map(|count| u64::try_from(*count).unwrap_or(0)).sum(),
    }
}
