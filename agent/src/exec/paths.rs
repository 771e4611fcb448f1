//! Looks at the ways to the backends: out of which interface the kernel sends what goes there, whether by a gateway,
//! and whether the neighbour answers.
//!
//! Every way is looked up in a round: when the wanted addresses change, when the kernel tells of a change of routes,
//! rules, links or addresses, and when the engine reads the kernel again. Between rounds the kernel's word on
//! neighbours is followed as it comes. A look-up that fails leaves what was known before.

mod round;

use super::Backoff;
use crate::core::Event;
use crate::core::path::{Neighbour, PathSeen};
use crate::engine::Inbox;
use futures_util::StreamExt;
use netlink_packet_route::RouteNetlinkMessage;
use round::{Neighbours, Round, Ways};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::NetlinkPayload;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long changes of the network may go on before the ways are looked up: an interface that comes up, or an address
/// that is set anew, tells of a dozen of them at once, and what is between them is of no interest.
const SETTLE: Duration = Duration::from_millis(100);

/// A round is followed by so many times its own length of rest, whatever the kernel tells meanwhile: a router with a
/// million routes must not keep a processor busy here.
const REST: u32 = 9;

/// How long changes of neighbours are gathered into one report; a rack that fails is many of them.
const GATHER: Duration = Duration::from_millis(50);

/// What the kernel is to tell of.
const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv6Rule,
];

/// The handles by which the engine drives the executor.
#[derive(Debug)]
pub struct Handle {
    wanted: watch::Sender<BTreeSet<IpAddr>>,
    read: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Starts the executor.
    pub fn spawn(inbox: Inbox) -> Self {
        let (wanted, wanted_rx) = watch::channel(BTreeSet::new());
        let read = Arc::new(Notify::new());
        let task = tokio::spawn(run(Executor::new(inbox), wanted_rx, Arc::clone(&read)));
        Self { wanted, read, task }
    }

    /// Watches the ways to exactly these addresses from now on, and reports them.
    pub fn set(&self, addresses: BTreeSet<IpAddr>) {
        self.wanted.send_replace(addresses);
    }

    /// Has every way looked up again.
    pub fn read(&self) {
        self.read.notify_one();
    }

    /// Ends the executor.
    pub fn stop(&self) {
        self.task.abort();
    }
}

/// Watches, and begins anew when the kernel's socket fails.
async fn run(mut executor: Executor, mut wanted: watch::Receiver<BTreeSet<IpAddr>>, read: Arc<Notify>) {
    let mut backoff = Backoff::new();
    loop {
        let begin = Instant::now();
        match executor.watch(&mut wanted, &read).await {
            Ok(()) => return,
            Err(error) => executor.say(Some(format!("the kernel's word on routes is not heard: {error}"))),
        }
        if begin.elapsed() > super::RETRY_MAX {
            backoff.reset();
        }
        tokio::time::sleep(backoff.next()).await;
        executor.due = Some(Instant::now());
    }
}

struct Executor {
    inbox: Inbox,
    /// The addresses that are to be reported.
    wanted: BTreeSet<IpAddr>,
    ways: Ways,
    neighbours: Neighbours,
    /// What the kernel told of neighbours since the round under way began: newer than what that finds.
    told: Neighbours,
    /// The round under way, if there is one.
    rounds: JoinSet<Round>,
    /// When the next round is due.
    due: Option<Instant>,
    /// Before that no round begins, unless other addresses are wanted.
    rested: Instant,
    /// When a report is due.
    report_due: Option<Instant>,
    reported: Option<Vec<PathSeen>>,
    /// What was last said to fail.
    said: Option<String>,
    backoff: Backoff,
}

impl Executor {
    fn new(inbox: Inbox) -> Self {
        Self {
            inbox,
            wanted: BTreeSet::new(),
            ways: Ways::new(),
            neighbours: Neighbours::new(),
            told: Neighbours::new(),
            rounds: JoinSet::new(),
            due: None,
            rested: Instant::now(),
            report_due: None,
            reported: None,
            said: None,
            backoff: Backoff::new(),
        }
    }

    /// Follows what the engine wants and what the kernel tells until the engine has gone. An error is the socket's.
    async fn watch(
        &mut self,
        wanted: &mut watch::Receiver<BTreeSet<IpAddr>>,
        read: &Notify,
    ) -> std::io::Result<()> {
        let (mut connection, _, mut messages) = rtnetlink::new_multicast_connection(&GROUPS)?;
        loop {
            self.start_round();
            let (next_round, next_report) = (self.next_round(), self.report_due);
            // Every branch can be dropped at any point: a connection, a stream, a watch, a permit, a join and a timer
            // lose nothing. The connection reads only when it is polled here, so what is not taken waits in the
            // kernel's buffer, and is told as an overrun when that is full.
            tokio::select! {
                biased;
                () = &mut connection => return Err(std::io::Error::other("the rtnetlink connection has ended")),
                changed = wanted.changed() => match changed {
                    Ok(()) => self.want(wanted.borrow_and_update().clone()),
                    Err(_) => return Ok(()),
                },
                Some((message, _)) = messages.next() => self.hear(message.payload).await,
                () = read.notified() => self.begin_at(Instant::now()),
                Some(Ok(round)) = self.rounds.join_next() => self.take(round).await,
                // It begins at the top.
                () = until(next_round) => {}
                () = until(next_report) => self.report().await,
            }
        }
    }

    /// Other addresses are wanted: they are reported as soon as they were looked up, also when nothing is new.
    fn want(&mut self, wanted: BTreeSet<IpAddr>) {
        self.ways.retain(|address, _| wanted.contains(address));
        self.neighbours.retain(|(_, address), _| wanted.contains(address));
        self.wanted = wanted;
        self.reported = None;
        self.rounds = JoinSet::new();
        self.rested = Instant::now();
        self.begin_at(self.rested);
    }

    /// A round is due at this time.
    fn begin_at(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When the next round begins: when it is due, there was rest enough and none is under way.
    fn next_round(&self) -> Option<Instant> {
        self.due.filter(|_| self.rounds.is_empty()).map(|due| due.max(self.rested))
    }

    /// Starts a round if its time has come.
    fn start_round(&mut self) {
        if self.next_round().is_some_and(|begin| begin <= Instant::now()) {
            self.due = None;
            self.told.clear();
            self.rounds.spawn(round::look(self.wanted.clone()));
        }
    }

    async fn take(&mut self, round: Round) {
        self.rested = Instant::now() + round.took * REST;
        self.ways.extend(round.ways);
        if let Some(neighbours) = round.neighbours {
            let before = std::mem::replace(&mut self.neighbours, neighbours);
            self.neighbours.append(&mut self.told);
            self.tell_failed(&before).await;
        }
        if round.failure.is_some() {
            let again = Instant::now() + self.backoff.next();
            self.begin_at(again);
        } else {
            self.backoff.reset();
        }
        self.say(round.failure);
        self.report_due = Some(Instant::now());
    }

    /// Says what fails, once, and that it does no more.
    fn say(&mut self, failure: Option<String>) {
        if self.said != failure {
            match &failure {
                Some(error) => tracing::warn!(error, "the ways to backends cannot be looked at"),
                None => tracing::info!("the ways to backends can be looked at again"),
            }
            self.said = failure;
        }
    }

    async fn hear(&mut self, payload: NetlinkPayload<RouteNetlinkMessage>) {
        use RouteNetlinkMessage as M;
        match payload {
            NetlinkPayload::InnerMessage(M::NewNeighbour(message)) => {
                let state = round::neighbour_of(message.header.state);
                if let Some(address) = round::address_of(&message).filter(|a| self.wanted.contains(a)) {
                    self.hear_of_neighbour(message.header.ifindex, address, state).await;
                }
            }
            NetlinkPayload::InnerMessage(M::DelNeighbour(message)) => {
                if let Some(address) = round::address_of(&message).filter(|a| self.wanted.contains(a)) {
                    self.hear_of_neighbour(message.header.ifindex, address, Neighbour::Unknown).await;
                }
            }
            // Anything else of these groups, and an overrun, in which anything may have been.
            _ => self.begin_at(Instant::now() + SETTLE),
        }
    }

    /// Tells which neighbours were found failed of which that was not heard before: the kernel's word can be lost.
    async fn tell_failed(&self, before: &Neighbours) {
        let is_failed = |key: &(u32, IpAddr)| before.get(key) == Some(&Neighbour::Failed);
        let new = |key: &&(u32, IpAddr)| {
            self.neighbours.get(key) == Some(&Neighbour::Failed) && !is_failed(key) && self.is_way(key)
        };
        let failed: BTreeSet<IpAddr> =
            self.neighbours.keys().filter(new).map(|(_, address)| *address).collect();
        if !failed.is_empty() {
            self.inbox.event(Event::NeighboursFailed(failed)).await;
        }
    }

    /// Whether an entry of the neighbour table is the one that packets to its address go by.
    fn is_way(&self, (index, address): &(u32, IpAddr)) -> bool {
        self.ways.get(address).is_some_and(|way| way.index == *index)
    }

    async fn hear_of_neighbour(&mut self, index: u32, address: IpAddr, state: Neighbour) {
        self.told.insert((index, address), state);
        let before = self.neighbours.insert((index, address), state);
        if before != Some(state) {
            self.report_due.get_or_insert_with(|| Instant::now() + GATHER);
        }
        if state == Neighbour::Failed && self.is_way(&(index, address)) {
            self.inbox.event(Event::NeighboursFailed(BTreeSet::from([address]))).await;
        }
    }

    /// Reports what is known of the wanted addresses, if it is new.
    async fn report(&mut self) {
        self.report_due = None;
        let seen = self.ways.iter().map(|(address, way)| PathSeen {
            address: *address,
            path: way.path.clone(),
            neighbour: self
                .neighbours
                .get(&(way.index, *address))
                .filter(|_| way.path.is_on_link())
                .copied()
                .unwrap_or(Neighbour::Unknown),
        });
        let seen: Vec<PathSeen> = seen.collect();
        if self.reported.as_ref() != Some(&seen) {
            self.reported = Some(seen.clone());
            self.inbox.event(Event::PathsSeen(seen)).await;
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
