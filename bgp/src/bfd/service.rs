//! The task that owns every path.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    future::{pending, poll_fn},
    hash::{BuildHasher, RandomState},
    io,
    net::IpAddr,
    task::Poll,
    time::Instant,
};

use tokio::{net::UdpSocket, sync::watch, task::JoinSet};

use super::{Discard, Discriminator, Packet, Statuses, Timing, demux, path::Path, socket};

/// Packets that are read from a socket in one turn: three seconds of a hundred neighbours. What waits longer is read in
/// the next turn, after the timers.
const BURST: usize = 1024;

/// Room for a packet with the longest authentication section.
const BUFFER: usize = 512;

/// A path that is to be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathConfig {
    /// The address that packets leave from and arrive at; the kernel chooses when `None`.
    pub local: Option<IpAddr>,
    /// The neighbour is more than one hop away (RFC 5883); otherwise packets that could have made a hop are dropped.
    pub multihop: bool,
    /// How often, and how many may be missed.
    pub timing: Timing,
}

/// The paths that are to be watched, by the neighbour's address.
pub type Wanted = BTreeMap<IpAddr, PathConfig>;

/// The handle of the running task. Dropping it ends every session without a word.
#[derive(Debug)]
pub struct Service {
    wanted: watch::Sender<Wanted>,
    statuses: watch::Receiver<Statuses>,
    task: JoinSet<()>,
}

impl Service {
    /// Starts a service that watches nothing. Must be called within a tokio runtime.
    pub fn spawn() -> Self {
        let (wanted, wanted_receiver) = watch::channel(Wanted::new());
        let (statuses_sender, statuses) = watch::channel(Statuses::new());
        let mut task = JoinSet::new();
        task.spawn(Driver::new(wanted_receiver, statuses_sender).run());
        Self { wanted, statuses, task }
    }

    /// Watches exactly these. Returns at once. A session whose timing changes goes on; one that is no longer wanted tells
    /// its neighbour AdminDown for its detection time; one with another local address or distance begins anew.
    pub fn set(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|old| {
            let is_new = *old != wanted;
            *old = wanted;
            is_new
        });
    }

    /// Every path's status. It changes with a state or what was negotiated, not with every packet.
    pub fn statuses(&self) -> watch::Receiver<Statuses> {
        self.statuses.clone()
    }

    /// Takes every session down, AdminDown, and ends when the neighbours have been told for their detection times (3 s
    /// at most). Not cancel-safe: dropping the future ends everything where it is.
    pub async fn shutdown(self) {
        let Self { wanted, mut task, .. } = self;
        drop(wanted);
        while let Some(ended) = task.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the BFD task died");
            }
        }
    }
}

struct Driver {
    wanted: watch::Receiver<Wanted>,
    statuses: watch::Sender<Statuses>,
    paths: BTreeMap<IpAddr, Path>,
    sessions: BTreeMap<Discriminator, IpAddr>,
    /// By local address and whether it is for several hops.
    listeners: BTreeMap<(IpAddr, bool), UdpSocket>,
    random: RandomState,
    drawn: u64,
    /// The owner is gone, or wants the end.
    closing: bool,
}

impl Driver {
    fn new(wanted: watch::Receiver<Wanted>, statuses: watch::Sender<Statuses>) -> Self {
        Self {
            wanted,
            statuses,
            paths: BTreeMap::new(),
            sessions: BTreeMap::new(),
            listeners: BTreeMap::new(),
            random: RandomState::new(),
            drawn: 0,
            closing: false,
        }
    }

    /// What has arrived is read before a timer is looked at: a task that comes late does not take its own sleep for the
    /// neighbour's silence.
    async fn run(mut self) {
        loop {
            self.reconcile();
            self.receive();
            let now = now();
            self.open(now);
            self.paths.values_mut().for_each(|path| path.expire(now));
            self.forget(now);
            self.publish();
            if self.closing && self.paths.is_empty() {
                return;
            }
            self.wake().await;
        }
    }

    /// Waits for the next thing to do. Cancel-safe in every branch: a watch, readiness, a sleep.
    async fn wake(&mut self) {
        let deadline = self.paths.values().filter_map(Path::next).min();
        tokio::select! {
            changed = self.wanted.changed(), if !self.closing => self.closing = changed.is_err(),
            () = readable(&self.listeners) => {}
            () = until(deadline) => {}
        }
    }

    fn reconcile(&mut self) {
        let wanted = if self.closing { Wanted::new() } else { self.wanted.borrow_and_update().clone() };
        let now = now();
        for (neighbour, path) in &mut self.paths {
            if !wanted.contains_key(neighbour) {
                path.leave(now);
            }
        }
        for (neighbour, config) in wanted {
            let runs = self.paths.get_mut(&neighbour).is_some_and(|path| path.want(config, now));
            if !runs {
                self.begin(neighbour, config, now);
            }
        }
    }

    fn begin(&mut self, neighbour: IpAddr, config: PathConfig, now: Instant) {
        let discriminator = loop {
            match Discriminator::new(low_bits(self.draw())) {
                Some(free) if !self.sessions.contains_key(&free) => break free,
                Some(_) | None => {}
            }
        };
        let seed = self.draw();
        let path = Path::new(neighbour, config, discriminator, seed, now);
        if let Some(mut former) = self.paths.insert(neighbour, path) {
            former.leave(now);
            self.sessions.remove(&former.discriminator());
        }
        self.sessions.insert(discriminator, neighbour);
    }

    /// Opens the sockets of paths that have none.
    fn open(&mut self, now: Instant) {
        let waiting: Vec<_> =
            self.paths.iter().filter(|(_, path)| path.wants_sockets(now)).map(|(at, _)| *at).collect();
        for neighbour in waiting {
            let seed = low_bits(self.draw());
            let Some(path) = self.paths.get_mut(&neighbour) else { continue };
            let opened = path.open(seed).and_then(|()| match path.listens_at() {
                Some(at) => listen(&mut self.listeners, at),
                None => Ok(()),
            });
            path.opened(opened, now);
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; BUFFER];
        let at: Vec<_> = self.listeners.keys().copied().collect();
        for at in at {
            for _ in 0..BURST {
                let Some(Ok((length, from))) =
                    self.listeners.get(&at).map(|socket| socket.try_recv_from(&mut buffer))
                else {
                    break;
                };
                if let Err(why) = self.take(&buffer[..length], from.ip(), at) {
                    tracing::debug!(%from, %why, "BFD packet not taken");
                    if let Some(path) = self.paths.get_mut(&from.ip()) {
                        path.discarded(why);
                    }
                }
            }
        }
    }

    /// A packet that arrived `at` this listener.
    fn take(&mut self, payload: &[u8], from: IpAddr, at: (IpAddr, bool)) -> Result<(), Discard> {
        let packet = Packet::decode(payload)?;
        let neighbour = demux::select(&packet, from, &self.sessions)?;
        let path = self.paths.get_mut(&neighbour).filter(|path| path.listens_at() == Some(at));
        path.ok_or(Discard::UnknownSender)?.received(packet, now());
        Ok(())
    }

    /// Removes paths that have said their goodbye, and listeners that no path needs.
    fn forget(&mut self, now: Instant) {
        self.paths.retain(|_, path| !path.has_left(now));
        self.sessions.retain(|_, neighbour| self.paths.contains_key(neighbour));
        let needed: Vec<_> = self.paths.values().filter_map(Path::listens_at).collect();
        self.listeners.retain(|at, _| needed.contains(at));
    }

    fn publish(&mut self) {
        // Every path is asked.
        let changed = self.paths.values_mut().fold(false, |any, path| path.take_changed() | any);
        if changed || self.paths.len() != self.statuses.borrow().len() {
            let status = |(neighbour, path): (&IpAddr, &Path)| (*neighbour, path.status());
            self.statuses.send_replace(self.paths.iter().map(status).collect());
        }
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.random.hash_one(self.drawn)
    }
}

fn listen(listeners: &mut BTreeMap<(IpAddr, bool), UdpSocket>, at: (IpAddr, bool)) -> io::Result<()> {
    if let Entry::Vacant(vacant) = listeners.entry(at) {
        vacant.insert(socket::listen(at.0, at.1)?);
    }
    Ok(())
}

/// Waits until one of the sockets has something. Cancel-safe.
async fn readable(listeners: &BTreeMap<(IpAddr, bool), UdpSocket>) {
    poll_fn(|context| {
        let any = listeners.values().any(|socket| socket.poll_recv_ready(context).is_ready());
        if any { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

fn low_bits(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// The clock of timers, which tests may pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
