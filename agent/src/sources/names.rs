//! Host names, looked up at once when they are new and again periodically.
//!
//! The system's resolver is asked (`getaddrinfo`), so that /etc/hosts and nsswitch.conf hold as for every other
//! program on the host. It waits as long as it likes, each time on a thread that nothing ends: so only a few are given to
//! it, and none of them is missing elsewhere.

use crate::core::Event;
use crate::engine::Inbox;
use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

/// Look-ups at once. Each has a thread of the blocking pool until the resolver lets go of it, long after [`TIMEOUT`] if
/// no name server answers; the pool needs threads for files beside these.
pub const CONCURRENT: usize = 8;

/// How long a look-up may take, waiting for its turn included; the resolver's own limits are often longer (5 s × servers ×
/// attempts).
const TIMEOUT: Duration = Duration::from_secs(10);

/// The set of names that is looked up.
#[derive(Debug)]
pub struct Handle {
    wanted: watch::Sender<(BTreeSet<String>, Duration)>,
    task: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Starts with no names; those that come are looked up again every `interval`.
    pub fn spawn(interval: Duration, inbox: Inbox) -> Self {
        let (wanted, receiver) = watch::channel((BTreeSet::new(), interval));
        Self { wanted, task: tokio::spawn(run(receiver, inbox)) }
    }

    /// Looks exactly these up.
    pub fn set(&self, names: BTreeSet<String>) {
        self.wanted.send_modify(|wanted| wanted.0 = names);
    }

    /// Looks them up this often from now on.
    pub fn set_interval(&self, interval: Duration) {
        self.wanted.send_modify(|wanted| wanted.1 = interval);
    }

    /// Ends all look-ups.
    pub fn stop(&self) {
        self.task.abort();
    }
}

async fn run(mut wanted: watch::Receiver<(BTreeSet<String>, Duration)>, inbox: Inbox) {
    let mut lookups = Lookups::new(inbox);
    let (mut names, mut interval) = wanted.borrow_and_update().clone();
    lookups.begin(names.iter());
    let mut begun = Instant::now();
    loop {
        // Every branch can be dropped at any point: a watch, a timer and a set of tasks lose nothing.
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let before = names;
                (names, interval) = wanted.borrow_and_update().clone();
                lookups.begin(names.difference(&before));
            }
            Some(ended) = lookups.tasks.join_next() => lookups.ended(ended),
            () = sleep_until(begun + interval) => {
                lookups.begin(names.iter());
                begun = Instant::now();
            }
        }
    }
}

/// The look-ups under way. One that hangs holds no other up, but for the places that there are.
struct Lookups {
    inbox: Inbox,
    places: Arc<Semaphore>,
    tasks: JoinSet<String>,
    asked: BTreeSet<String>,
}

impl Lookups {
    fn new(inbox: Inbox) -> Self {
        let places = Arc::new(Semaphore::new(CONCURRENT));
        Self { inbox, places, tasks: JoinSet::new(), asked: BTreeSet::new() }
    }

    /// Looks these up and reports each, but for those that are being looked up.
    fn begin<'a>(&mut self, names: impl Iterator<Item = &'a String>) {
        for host in names {
            if self.asked.insert(host.clone()) {
                let (host, places, inbox) = (host.clone(), Arc::clone(&self.places), self.inbox.clone());
                self.tasks.spawn(async move {
                    let outcome = addresses(&host, places).await;
                    inbox.event(Event::Resolved { host: host.clone(), outcome }).await;
                    host
                });
            }
        }
    }

    fn ended(&mut self, ended: Result<String, JoinError>) {
        match ended {
            Ok(host) => drop(self.asked.remove(&host)),
            // A panic does not say whose look-up it was; to look some up twice harms nobody.
            Err(_) => self.asked.clear(),
        }
    }
}

async fn addresses(host: &str, places: Arc<Semaphore>) -> Result<Vec<IpAddr>, String> {
    let name = host.to_owned();
    let answer = async {
        // The semaphore is never closed, so there is always a place to wait for.
        let place = places.acquire_owned().await;
        let look_up = move || {
            let found = (name.as_str(), 0).to_socket_addrs();
            // Given up by who holds the thread, not by who has stopped waiting for it.
            drop(place);
            found.map(|found| found.map(|address| address.ip()).collect::<BTreeSet<IpAddr>>())
        };
        tokio::task::spawn_blocking(look_up).await
    };
    let found = timeout(TIMEOUT, answer)
        .await
        .map_err(|_| format!("{host}: no answer from the resolver within {} s", TIMEOUT.as_secs()))?
        .map_err(|error| format!("{host}: {error}"))?
        .map_err(|error| format!("{host}: {error}"))?;
    if found.is_empty() { Err(format!("{host}: it has no address")) } else { Ok(found.into_iter().collect()) }
}
