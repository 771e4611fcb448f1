//! Host names, looked up at once when they are new and again periodically.
//!
//! The system's resolver is asked (`getaddrinfo`), so that /etc/hosts and nsswitch.conf hold as for every other
//! program on the host.

use crate::core::Event;
use crate::engine::Inbox;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Look-ups at once. Each holds a thread of the blocking pool for as long as a silent name server lets it wait.
const CONCURRENT: usize = 8;

/// How long a look-up may take; the resolver's own limits are often longer (5 s × servers × attempts).
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
    let mut known: BTreeSet<String> = BTreeSet::new();
    loop {
        let (names, interval) = wanted.borrow_and_update().clone();
        let new: BTreeSet<String> = names.difference(&known).cloned().collect();
        known = names;
        look_up(new, &inbox).await;
        // Both branches can be dropped at any point: a watch and a timer lose nothing.
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(interval) => known.clear(),
        }
    }
}

/// Looks names up, a few at a time, and reports each.
async fn look_up(names: BTreeSet<String>, inbox: &Inbox) {
    let places = Arc::new(Semaphore::new(CONCURRENT));
    let mut tasks = JoinSet::new();
    for host in names {
        let (inbox, places) = (inbox.clone(), Arc::clone(&places));
        tasks.spawn(async move {
            // The semaphore is never closed, so there is always a place to wait for.
            let _place = places.acquire().await;
            let outcome = addresses(&host).await;
            inbox.event(Event::Resolved { host, outcome }).await;
        });
    }
    while tasks.join_next().await.is_some() {}
}

async fn addresses(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((host, 0)))
        .await
        .map_err(|_| format!("{host}: no answer from the resolver within {} s", TIMEOUT.as_secs()))?
        .map_err(|error| format!("{host}: {error}"))?;
    let found: BTreeSet<IpAddr> = found.map(|address| address.ip()).collect();
    if found.is_empty() { Err(format!("{host}: it has no address")) } else { Ok(found.into_iter().collect()) }
}
