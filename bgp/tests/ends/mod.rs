//! Speakers against each other, over loopback addresses.

#![allow(dead_code, reason = "each test uses what it needs of it")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use bgp::{
    Asn, PeerConfig, PeerStatus, Prefix, Route, RouteSet, Speaker, SpeakerConfig, SpeakerEvent, StateName,
};
use tokio::sync::mpsc;

/// How long anything may take on a busy machine; nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) type Events = mpsc::Receiver<SpeakerEvent>;

pub(crate) fn asn(number: u32) -> Asn {
    Asn::new(number).expect("a private AS")
}

/// A port of an address that nobody has, and that the kernel gives nobody meanwhile: its own begin at 32768 (ip(7),
/// `ip_local_port_range`).
pub(crate) fn port(address: IpAddr) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind((address, port)).is_ok() {
            return port;
        }
    }
}

pub(crate) struct End {
    pub(crate) asn: Asn,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
}

impl End {
    pub(crate) fn new(number: u32, address: &str) -> Self {
        let address = address.parse().expect("an address");
        Self { asn: asn(number), address, port: port(address) }
    }

    /// This end's configuration towards another.
    pub(crate) fn towards(&self, name: &str, other: &Self) -> PeerConfig {
        let mut peer = PeerConfig::new(name, other.address, other.asn);
        peer.port = other.port;
        peer.local_address = Some(self.address);
        peer.connect_retry = Duration::from_secs(1);
        peer.next_hop_v4 = Some(Ipv4Addr::new(192, 0, 2, 1));
        peer.next_hop_v6 = "2001:db8::1".parse().ok();
        peer
    }

    pub(crate) fn spawn(&self, peers: Vec<PeerConfig>, listens: bool) -> (Speaker, Events) {
        let router_id = Ipv4Addr::from_bits(0x0a00_0000 + (self.asn.get() & 0xffff));
        let listen = listens.then(|| SocketAddr::new(self.address, self.port)).into_iter().collect();
        Speaker::spawn(SpeakerConfig { listen, peers, ..SpeakerConfig::new(self.asn, router_id) })
    }
}

pub(crate) async fn status(speaker: &Speaker, peer: &str, what: impl Fn(&PeerStatus) -> bool) -> PeerStatus {
    let mut status = speaker.status();
    let found = status.wait_for(|all| all.get(peer).is_some_and(&what));
    let found = tokio::time::timeout(PATIENCE, found).await.map(|found| found.map(|all| all[peer].clone()));
    match found {
        Ok(Ok(status)) => status,
        _ => panic!("the status does not come; it is {:?}", speaker.status().borrow().get(peer)),
    }
}

pub(crate) async fn established(speaker: &Speaker, peer: &str) -> PeerStatus {
    status(speaker, peer, |status| status.state == StateName::Established).await
}

pub(crate) async fn event<T>(events: &mut Events, pick: impl Fn(SpeakerEvent) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = events.recv().await.expect("the speaker lives");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the event comes")
}

pub(crate) async fn notification(events: &mut Events) -> String {
    event(events, |event| match event {
        SpeakerEvent::NotificationReceived { notification, .. } => Some(notification),
        _ => None,
    })
    .await
}

pub(crate) fn routes(prefixes: &[&str]) -> RouteSet {
    prefixes.iter().map(|prefix| Route::new(prefix.parse::<Prefix>().expect("a prefix"))).collect()
}
