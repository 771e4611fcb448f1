//! One neighbour: its TCP connections, timers and routes, in one task.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, SystemTime},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

use crate::{
    Asn,
    speaker::{Outlet, PeerConfig, PeerStatus, Published},
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

/// Opens the listening socket.
pub(crate) fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Runs one peer until told to stop.
pub(crate) async fn run(
    _identity: Identity,
    config: PeerConfig,
    _routes: watch::Receiver<Option<Published>>,
    mut command: watch::Receiver<Command>,
    _incoming: mpsc::Receiver<TcpStream>,
    outlet: Outlet,
) {
    outlet.put(&config.name, PeerStatus::new(SystemTime::now()));
    let _ = command.wait_for(|command| matches!(command, Command::Stop(_))).await;
}
