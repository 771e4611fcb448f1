//! The listening sockets, and the keys of those who may dial.

use std::{collections::BTreeMap, future::poll_fn, io, net::SocketAddr, task::Poll, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::{Outlet, SpeakerEvent};
use crate::{
    Password, Prefix,
    session::{listen, set_key},
};

/// How long until a listening socket that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The key of each prefix that has one.
pub(super) type Keys = BTreeMap<Prefix, Password>;

#[derive(Debug)]
struct Listener {
    address: SocketAddr,
    /// `None` after it failed.
    socket: Option<TcpListener>,
    /// What the kernel has.
    keys: Keys,
    /// What was last said to have failed.
    failure: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Listeners {
    listeners: Vec<Listener>,
    keys: Keys,
    again: Option<Instant>,
    /// Which of them is asked first: the one after the last that had a connection, so that none keeps others waiting.
    turn: usize,
    outlet: Outlet,
}

impl Listeners {
    /// Opens a socket at each address.
    pub(super) fn new(addresses: &[SocketAddr], outlet: Outlet) -> Self {
        let listener = |address: &SocketAddr| Listener {
            address: *address,
            socket: None,
            keys: Keys::new(),
            failure: None,
        };
        let listeners = addresses.iter().map(listener).collect();
        let mut all = Self { listeners, keys: Keys::new(), again: None, turn: 0, outlet };
        all.open();
        all
    }

    /// Connections from these prefixes must be signed with these keys from now on, those from other addresses not at all.
    pub(super) fn set_keys(&mut self, keys: Keys) {
        self.keys = keys;
        for listener in &mut self.listeners {
            listener.take_keys(&self.keys, &self.outlet, &mut self.again);
        }
    }

    /// When something is to be tried again.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.again
    }

    /// Tries again what is due.
    pub(super) fn retry(&mut self, now: Instant) {
        if self.again.is_some_and(|at| at <= now) {
            self.open();
        }
    }

    fn open(&mut self) {
        self.again = None;
        // A socket for all of IPv6 takes IPv4 as well, unless another has that.
        let ipv4: Vec<_> = self.listeners.iter().map(|one| one.address).filter(SocketAddr::is_ipv4).collect();
        for listener in &mut self.listeners {
            if listener.socket.is_none() {
                let only_ipv6 = ipv4.iter().any(|other| other.port() == listener.address.port());
                match listen(listener.address, only_ipv6) {
                    Ok(socket) => {
                        *listener =
                            Listener { socket: Some(socket), keys: Keys::new(), failure: None, ..*listener }
                    }
                    Err(error) => listener.failed(&error, &self.outlet, &mut self.again),
                }
            }
            listener.take_keys(&self.keys, &self.outlet, &mut self.again);
        }
    }

    /// The next connection, or nothing when a socket failed. Cancel-safe.
    pub(super) async fn accept(&mut self) -> Option<(TcpStream, SocketAddr)> {
        let (index, accepted) = poll_fn(|context| {
            let count = self.listeners.len();
            for index in (0..count).map(|offset| (self.turn + offset) % count) {
                if let Some(socket) = &self.listeners[index].socket
                    && let Poll::Ready(accepted) = socket.poll_accept(context)
                {
                    return Poll::Ready((index, accepted));
                }
            }
            Poll::Pending
        })
        .await;
        self.turn = index + 1;
        match accepted {
            Ok(accepted) => Some(accepted),
            Err(error) => {
                // Out of descriptors, or it is broken: leave it alone for a while instead of spinning.
                tracing::warn!(%error, "cannot accept a BGP connection");
                self.listeners[index].socket = None;
                self.again.get_or_insert(Instant::now() + RETRY);
                None
            }
        }
    }
}

impl Listener {
    /// Brings the kernel's keys to what they are to be.
    fn take_keys(&mut self, keys: &Keys, outlet: &Outlet, again: &mut Option<Instant>) {
        let Some(socket) = &self.socket else { return };
        let gone: Vec<_> = self.keys.keys().filter(|prefix| !keys.contains_key(prefix)).copied().collect();
        let new = keys.iter().filter(|(prefix, key)| self.keys.get(prefix) != Some(key));
        let changes = gone.into_iter().map(|prefix| (prefix, None));
        let changes: Vec<_> = changes.chain(new.map(|(prefix, key)| (*prefix, Some(key)))).collect();
        for (prefix, key) in changes {
            // A socket of IPv4 hears of no IPv6.
            if self.address.is_ipv4() && !prefix.address().is_ipv4() {
                continue;
            }
            match set_key(socket, prefix, key) {
                Ok(()) => match key {
                    Some(key) => drop(self.keys.insert(prefix, key.clone())),
                    None => drop(self.keys.remove(&prefix)),
                },
                Err(error) => {
                    let error = io::Error::new(error.kind(), format!("TCP-MD5 with {prefix}: {error}"));
                    self.failed(&error, outlet, again);
                    return;
                }
            }
        }
        self.failure = None;
    }

    fn failed(&mut self, error: &io::Error, outlet: &Outlet, again: &mut Option<Instant>) {
        again.get_or_insert(Instant::now() + RETRY);
        let (address, error) = (self.address, error.to_string());
        if self.failure.as_ref() != Some(&error) {
            tracing::error!(%address, error, "cannot listen for BGP connections; trying again");
            outlet.event(SpeakerEvent::ListenFailed { address, error: error.clone() });
            self.failure = Some(error);
        }
    }
}
