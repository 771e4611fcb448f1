//! One neighbour: its TCP connections, timers and routes, in one task.
//!
//! ```text
//! routes, command, TCP, timers ─▶ Session ─ fsm::Peer ─▶ outputs ─▶ TCP, timers
//!                                    │
//!                                    └─ rib::AdjRibOut ─ batches ─▶ wire ─▶ out queue ─▶ write(2)
//! ```
//!
//! The task waits in one place (`Session::wake`), acts, and then writes what it can (`Session::pump`) before it
//! waits again: a route that is set is on its way to the kernel's TCP in the same turn.

mod answer;
mod ao;
mod heard;
mod inbound;
mod learned;
mod link;
mod log;
mod md5;
mod min_ttl;
mod neighbourhood;
mod option;
mod outbound;
mod path;
mod report;
mod rules;
mod settings;
mod socket;
mod stale;
mod stop;
mod task;
mod timers;
mod transport;
mod up;
mod waiting;

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
};

pub(crate) use path::Path;
pub(crate) use socket::{listen, set_key};
use task::Session;

use crate::{
    Asn,
    bmp::PrePolicy,
    rib::{LocRib, Reflected},
    speaker::{Outlet, PeerConfig, Published, Question, Rules},
    wire::{ErrorCode, Notification},
};

/// Who we are, the same towards every peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) asn: Asn,
    pub(crate) router_id: Ipv4Addr,
    pub(crate) restart_time: Duration,
    pub(crate) restarting: bool,
}

/// What a session's task is to do.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Keep the session up.
    Run,
    /// End it, then the task.
    Stop(Stop),
}

/// Why a session is ended by its owner.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// The speaker stops; the text goes to the neighbour.
    Shutdown(String),
    /// The neighbour is no longer configured.
    Deconfigured,
    /// The neighbour's configuration changed.
    Changed,
}

impl Stop {
    /// What the neighbour is told. `hard`: it would keep our routes over anything else (RFC 8538), and they are not to
    /// be kept.
    fn notification(&self, hard: bool) -> Notification {
        let notification = match self {
            Self::Shutdown(text) => Notification::shutdown(text),
            Self::Deconfigured => Notification::new(ErrorCode::PEER_DECONFIGURED),
            Self::Changed => Notification::new(ErrorCode::CONFIGURATION_CHANGE),
        };
        if hard && self.withdraws() { notification.hard() } else { notification }
    }

    /// Routes are withdrawn before the session ends. Not for a changed configuration, after which they come back.
    const fn withdraws(&self) -> bool {
        match self {
            Self::Shutdown(_) | Self::Deconfigured => true,
            Self::Changed => false,
        }
    }
}

/// What a session is wired to.
pub(crate) struct Wiring {
    /// What to announce.
    pub(crate) routes: watch::Receiver<Option<Published>>,
    /// What of others' routes a client is told.
    pub(crate) reflected: watch::Receiver<Arc<Reflected>>,
    /// What to do.
    pub(crate) command: watch::Receiver<Command>,
    /// What is taken from the neighbour, and what it is told.
    pub(crate) rules: watch::Receiver<Rules>,
    /// What watches the path to the neighbour.
    pub(crate) path: Path,
    /// Connections that the neighbour dialled.
    pub(crate) incoming: mpsc::Receiver<TcpStream>,
    /// Who asks what the neighbour is told.
    pub(crate) questions: mpsc::Receiver<Question>,
    /// Where what the neighbour tells goes.
    pub(crate) table: Arc<watch::Sender<LocRib>>,
    /// The same before the rules, where a station wants it.
    pub(crate) pre_policy: PrePolicy,
    /// Where events and status go.
    pub(crate) outlet: Outlet,
    /// It ends itself when the neighbour has had no connection for so long.
    pub(crate) linger: Option<Duration>,
}

/// Runs one peer until told to stop. Dropping the future closes its connections without a word.
pub(crate) async fn run(identity: Identity, config: PeerConfig, wiring: Wiring) {
    Session::new(identity, config, wiring).run().await;
}
