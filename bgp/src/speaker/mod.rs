//! The speaker: all peers, behind one handle.
//!
//! ```text
//! Speaker ──watch: routes────────▶ session task of each peer ──▶ TCP
//!         ──watch: peers, stop───▶ supervisor ── owns ──▲
//!         ◀─watch: status────────── session tasks
//! owner   ◀─mpsc: SpeakerEvent───── session tasks, supervisor
//! ```
//!
//! Everything that the owner sets is a whole state in a watch channel: the latest value wins, and a session that
//! is busy or down misses nothing.

mod ask;
mod bfd;
mod config;
mod event;
mod group;
mod listeners;
mod outlet;
mod reflector;
mod refusals;
mod rules;
mod seldom;
mod status;
mod supervisor;
mod wanted;

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

pub use ask::Asker;
pub(crate) use ask::{QUESTIONS, Question};
pub use bfd::BfdConfig;
pub use config::{
    BGP_PORT, DEFAULT_CONNECT_RETRY, DEFAULT_RESTART_TIME, PeerConfig, PeerConfigError, SpeakerConfig,
};
pub use event::SpeakerEvent;
pub use group::{DEFAULT_GROUP_LIMIT, DEFAULT_LINGER, PeerGroup, PeerGroupError};
pub(crate) use outlet::Outlet;
pub use refusals::{Refusal, Refused};
pub(crate) use rules::Rules;
pub(crate) use seldom::Seldom;
pub use status::{MessageCounts, PeerCounters, PeerStatus, SessionStatus, Statuses, ToldAt, Withheld};
use supervisor::{Control, Inputs, Supervisor};

use crate::{
    RouteSet,
    bmp::{BmpConfig, BmpStatus, Exporter, Sources},
    rib::{LocRib, Permits},
};

/// Events that may wait for the owner. A flap of a hundred peers fits several times over; what comes on top is
/// dropped and counted, because a session never waits for its owner.
const EVENT_QUEUE: usize = 1024;

/// How long [`Speaker::shutdown`] waits for peers that do not read.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The routes of one `set_routes`, shared by all sessions.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// The whole set, as it is announced.
    pub(crate) routes: Arc<RouteSet>,
    /// When it was set.
    pub(crate) at: Instant,
}

/// What the owner wants announced.
#[derive(Debug, Default)]
struct Wanted {
    routes: Option<Arc<RouteSet>>,
    draining: bool,
}

impl Wanted {
    /// The routes with what draining adds to them.
    fn announced(&self) -> Option<Arc<RouteSet>> {
        let routes = self.routes.as_ref()?;
        if !self.draining {
            return Some(Arc::clone(routes));
        }
        Some(Arc::new(routes.leaving()))
    }
}

/// The handle of a running speaker.
///
/// Dropping it without [`shutdown`](Self::shutdown) closes every TCP connection and says nothing: a router with
/// graceful restart keeps the routes, any other withdraws them.
#[derive(Debug)]
pub struct Speaker {
    control: watch::Sender<Control>,
    routes: watch::Sender<Option<Published>>,
    /// What the owner wants, and whether it is about to leave.
    wanted: Mutex<Wanted>,
    learned: watch::Receiver<LocRib>,
    permits: watch::Sender<Permits>,
    outlet: Outlet,
    asker: Asker,
    exporter: Exporter,
    /// Owns every task of the speaker; `None` once `shutdown` has taken it.
    supervisor: Option<JoinHandle<()>>,
}

impl Speaker {
    /// Starts dialling every peer. Must be called within a tokio runtime.
    ///
    /// Nothing is announced and no End-of-RIB sent before the first [`set_routes`](Self::set_routes), so that a
    /// router that kept our routes over a restart goes on keeping them until we know what to announce.
    pub fn spawn(config: SpeakerConfig) -> (Self, mpsc::Receiver<SpeakerEvent>) {
        let (outlet, events) = Outlet::new(EVENT_QUEUE);
        let (routes, routes_receiver) = watch::channel(None);
        let (control, control_receiver) = watch::channel(Control {
            peers: config.peers.clone(),
            groups: config.groups.clone(),
            shutdown: None,
        });
        let (table, learned) = watch::channel(LocRib::default());
        let (questions, questions_receiver) = mpsc::channel(QUESTIONS);
        let (permits, permits_receiver) = watch::channel(Permits::default());
        let inputs = Inputs {
            control: control_receiver,
            routes: routes_receiver,
            permits: permits_receiver,
            questions: questions_receiver,
        };
        let exporter = Exporter::spawn(Sources {
            sightings: outlet.sightings(),
            statuses: outlet.status(),
            table: learned.clone(),
        });
        let supervisor = Supervisor::new(config, inputs, table, exporter.pre_policy(), outlet.clone());
        let supervisor = Some(tokio::spawn(supervisor.run()));
        (
            Self {
                control,
                routes,
                wanted: Mutex::default(),
                learned,
                permits,
                outlet,
                asker: Asker(questions),
                exporter,
                supervisor,
            },
            events,
        )
    }

    /// Announces exactly this set to every peer. Returns at once; the latest set wins.
    pub fn set_routes(&self, routes: RouteSet) {
        self.publish(|wanted| wanted.routes = Some(Arc::new(routes)));
    }

    /// Asks every router to prefer any other way before this one goes: each route carries `GRACEFUL_SHUTDOWN` and the
    /// lowest `LOCAL_PREF` from now on (RFC 8326 §4), or no longer. Returns at once. Before a planned stop: this, some
    /// seconds for the routers to move traffic, then [`shutdown`](Self::shutdown).
    pub fn set_draining(&self, draining: bool) {
        self.publish(|wanted| wanted.draining = draining);
    }

    fn publish(&self, change: impl FnOnce(&mut Wanted)) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut wanted);
        // Under the lock, so that what is published last is what was wanted last.
        if let Some(routes) = wanted.announced() {
            self.routes.send_replace(Some(Published { routes, at: Instant::now() }));
        }
    }

    /// Passes on to the clients of this route reflector, the peers with a
    /// [`cluster_id`](PeerConfig::cluster_id), exactly what these permit of one another's routes. Returns at once.
    /// Until they are complete clients hear no End-of-RIB.
    pub fn set_permits(&self, permits: Permits) {
        self.permits.send_replace(permits);
    }

    /// Every route that the peers' import rules took, with the best path to each prefix. A reader that holds a borrow of it holds up every session: copy what is needed.
    pub fn learned(&self) -> watch::Receiver<LocRib> {
        self.learned.clone()
    }

    /// Runs exactly these peers. Returns at once; a peer whose configuration is unchanged is left alone, so is
    /// one with another way of BFD; one that changed otherwise is reset (Cease, Other Configuration Change), one that is gone has its routes withdrawn and is
    /// told (Cease, Peer De-configured). A peer that cannot
    /// be run ([`PeerConfig::validate`]), or a second one with the same name or address, is refused with an event.
    pub fn set_peers(&self, peers: Vec<PeerConfig>) {
        self.control.send_modify(|control| control.peers = peers);
    }

    /// Takes neighbours from exactly these groups. Returns at once; what [`set_peers`](Self::set_peers) does for peers this
    /// does for the neighbours of groups.
    pub fn set_groups(&self, groups: Vec<PeerGroup>) {
        self.control.send_modify(|control| control.groups = groups);
    }

    /// Tells this station of sessions and of the routes that are told and taken (BMP, RFC 7854), or none. Returns at once; a station
    /// that does not read loses its connection and holds up nobody.
    pub fn set_bmp(&self, station: Option<BmpConfig>) {
        self.exporter.set(station);
    }

    /// How it goes with the station.
    pub fn bmp(&self) -> watch::Receiver<BmpStatus> {
        self.exporter.status()
    }

    /// How many connections were closed before a word was said, by reason.
    pub fn refused(&self) -> watch::Receiver<Refused> {
        self.outlet.all_refused()
    }

    /// Asks what each peer is told.
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Every peer's status, by name; those of groups' neighbours as `GROUP/ADDRESS`.
    pub fn status(&self) -> watch::Receiver<Statuses> {
        self.outlet.status()
    }

    /// How many events were dropped because the owner did not read them.
    pub fn events_dropped(&self) -> u64 {
        self.outlet.dropped()
    }

    /// Withdraws everything, waits until that is written, says Cease/Administrative Shutdown with this text (RFC
    /// 9003; cut to 255 octets) and closes. Then each router with BFD hears AdminDown: once the session is over, as
    /// some take it for a broken path, and may keep routes whose withdrawal they have not read. Takes at most
    /// [`SHUTDOWN_TIMEOUT`], then closes what is left.
    ///
    /// Not cancel-safe: dropping the future closes all connections where they are.
    pub fn shutdown(mut self, text: &str) -> impl Future<Output = ()> + Send + use<> {
        let text = text.to_owned();
        async move {
            self.control.send_modify(|control| control.shutdown = Some(text));
            if let Some(supervisor) = self.supervisor.as_mut()
                && tokio::time::timeout(SHUTDOWN_TIMEOUT, supervisor).await.is_err()
            {
                tracing::warn!("not every BGP session could be shut down in time; closing what is left");
            }
            self.exporter.stop().await;
        }
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.abort();
        }
    }
}
