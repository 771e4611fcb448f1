//! The listening sockets, and the keys of those who may dial.

use std::{collections::BTreeMap, future::poll_fn, io, net::SocketAddr, task::Poll, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::{Outlet, Refusal, SpeakerEvent};
use crate::{
    Prefix, SessionKey,
    session::{listen, set_key},
};

/// How long until a listening socket that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The key of each prefix that has one.
pub(super) type Keys = BTreeMap<Prefix, SessionKey>;

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
    /// Sockets that are opened once it is known who has to sign.
    pub(super) fn new(addresses: &[SocketAddr], outlet: Outlet) -> Self {
        let listener = |address: &SocketAddr| Listener {
            address: *address,
            socket: None,
            keys: Keys::new(),
            failure: None,
        };
        let listeners = addresses.iter().map(listener).collect();
        Self { listeners, keys: Keys::new(), again: None, turn: 0, outlet }
    }

    /// Connections from these prefixes must be signed with these keys from now on, those from other addresses not at all.
    pub(super) fn set_keys(&mut self, keys: Keys) {
        self.keys = keys;
        self.open();
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

    /// The next connection and where it comes from, or nothing when a socket failed. One that had to be signed, and that the
    /// kernel could not be told to check, is refused. Cancel-safe.
    pub(super) async fn accept(&mut self) -> Option<(Result<TcpStream, Refusal>, SocketAddr)> {
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
            Ok((stream, from)) => {
                let is_checked = self.listeners[index].has_key_for(from, &self.keys);
                Some((is_checked.then_some(stream).ok_or(Refusal::Unsigned), from))
            }
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
    /// Whether the kernel checks the signature of who dials from there, if there is to be one.
    fn has_key_for(&self, from: SocketAddr, keys: &Keys) -> bool {
        let host = Prefix::host(from.ip().to_canonical());
        let wanted = keys.iter().filter(|(prefix, _)| prefix.contains(host));
        match wanted.max_by_key(|(prefix, _)| prefix.len()) {
            Some((prefix, key)) => self.keys.get(prefix) == Some(key),
            None => true,
        }
    }

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
            match set_key(socket, prefix, self.keys.get(&prefix), key) {
                Ok(()) => match key {
                    Some(key) => drop(self.keys.insert(prefix, key.clone())),
                    None => drop(self.keys.remove(&prefix)),
                },
                Err(error) => {
                    let error = io::Error::new(error.kind(), format!("{error}, with {prefix}"));
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::Password;

    fn md5(text: &str) -> SessionKey {
        SessionKey::Md5(Password::new(text).unwrap())
    }

    /// Far more than one socket has room for (`net.core.optmem_max`), in the order in which they are set.
    fn too_many() -> Keys {
        let host = |number: u32| Prefix::host(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)));
        (0..50_000).map(|number| (host(number), md5("x"))).collect()
    }

    #[tokio::test]
    async fn nobody_is_taken_unsigned_whose_key_the_kernel_does_not_have() {
        let (outlet, _events) = Outlet::new(8);
        let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut listeners = Listeners::new(&[anywhere], outlet);
        let mut keys = too_many();
        listeners.set_keys(keys.clone());
        let address = listeners.listeners[0].socket.as_ref().unwrap().local_addr().unwrap();
        let _stranger = TcpStream::connect(address).await.unwrap();
        assert!(matches!(listeners.accept().await, Some((Ok(_), _))), "no key is wanted for it");

        keys.insert("127.0.0.0/8".parse().unwrap(), md5("y"));
        listeners.set_keys(keys);
        assert!(
            listeners.listeners[0]
                .failure
                .as_ref()
                .is_some_and(|said| said.contains("TCP-MD5 cannot be set up"))
        );
        let _unsigned = TcpStream::connect(address).await.unwrap();
        assert!(matches!(listeners.accept().await, Some((Err(Refusal::Unsigned), _))));
    }
}
