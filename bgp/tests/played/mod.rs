//! A neighbour that a test plays itself, message by message.

#![allow(dead_code, reason = "each test uses what it needs of it")]

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

use bgp::{
    Asn, Family, PeerConfig, PeerStatus, Prefix, Route, RouteSet, Speaker, SpeakerConfig, SpeakerEvent,
    wire::{
        Capability, Context, Framer, Message, MpReach, MpUnreach, Notification, Open, RefreshKind,
        encode_keepalive,
    },
};
use tokio::sync::mpsc;

/// How long anything may take on a busy machine; nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const CONTEXT: Context = Context::new(true, false);

/// What the neighbour hears, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Open(Open),
    Keepalive,
    Announced(Vec<Prefix>),
    Withdrawn(Vec<Prefix>),
    EndOfRib(Family),
    Refresh(RefreshKind, Family),
    Notification(Notification),
    Closed,
}

pub(crate) struct Neighbour {
    pub(crate) stream: TcpStream,
    pub(crate) framer: Framer,
}

impl Neighbour {
    pub(crate) fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().expect("the speaker dials");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { stream, framer: Framer::new() }
    }

    /// Accepts and goes to Established with this hold time.
    pub(crate) fn establish(listener: &TcpListener, hold_time: u16) -> (Self, Open) {
        Self::establish_as(listener, &self::open(hold_time))
    }

    /// Accepts and goes to Established with this OPEN.
    pub(crate) fn establish_as(listener: &TcpListener, open: &Open) -> (Self, Open) {
        let mut neighbour = Self::accept(listener);
        let Heard::Open(ours) = neighbour.hear() else { panic!("no OPEN") };
        neighbour.say(|out| open.encode(out).expect("it fits"));
        assert_eq!(neighbour.hear(), Heard::Keepalive);
        neighbour.say(encode_keepalive);
        (neighbour, ours)
    }

    pub(crate) fn say(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        encode(&mut out);
        self.stream.write_all(&out).expect("the speaker takes it");
    }

    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            if let Some(frame) = self.framer.next_frame(false).expect("a well-formed stream") {
                return heard(Message::decode(frame, CONTEXT).expect("a well-formed message"));
            }
            match self.stream.read(self.framer.space()) {
                Ok(0) => return Heard::Closed,
                Ok(count) => self.framer.filled(count),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Heard::Closed,
                Err(error) => panic!("nothing to hear: {error}"),
            }
        }
    }

    /// The communities of the next announcement.
    pub(crate) fn hear_communities(&mut self) -> Vec<String> {
        loop {
            if let Some(frame) = self.framer.next_frame(false).expect("a well-formed stream") {
                let Message::Update(update) = Message::decode(frame, CONTEXT).expect("a message") else {
                    continue;
                };
                if update.announced().next().is_some() {
                    let communities = update.attributes.communities;
                    return communities
                        .into_iter()
                        .flat_map(|all| all.iter())
                        .map(|one| one.to_string())
                        .collect();
                }
            } else {
                let count = self.stream.read(self.framer.space()).expect("something to hear");
                assert!(count > 0, "closed");
                self.framer.filled(count);
            }
        }
    }

    /// The next thing that is not a KEEPALIVE.
    pub(crate) fn hear_news(&mut self) -> Heard {
        loop {
            match self.hear() {
                Heard::Keepalive => {}
                news => return news,
            }
        }
    }
}

pub(crate) fn heard(message: Message<'_>) -> Heard {
    match message {
        Message::Open(open) => Heard::Open(open),
        Message::Keepalive => Heard::Keepalive,
        Message::Notification(notification) => Heard::Notification(notification),
        Message::RouteRefresh(refresh) => {
            let (kind, family) = refresh.meaning().expect("a known one");
            Heard::Refresh(kind, family)
        }
        Message::Update(update) => {
            assert_eq!(update.malformed, []);
            if let Some(family) = update.end_of_rib() {
                return Heard::EndOfRib(family);
            }
            let withdrawn = match update.attributes.mp_unreach {
                Some(MpUnreach::Known(nlri)) => nlri,
                _ => update.withdrawn,
            };
            let announced = match update.attributes.mp_reach {
                Some(MpReach::Known { nlri, .. }) => nlri,
                _ => update.nlri,
            };
            match (withdrawn.iter().collect::<Vec<_>>(), announced.iter().collect::<Vec<_>>()) {
                (withdrawn, announced) if announced.is_empty() => Heard::Withdrawn(withdrawn),
                (withdrawn, announced) if withdrawn.is_empty() => Heard::Announced(announced),
                both => panic!("{both:?}"),
            }
        }
    }
}

pub(crate) fn open(hold_time: u16) -> Open {
    Open {
        my_as: 65_001,
        hold_time,
        router_id: Ipv4Addr::new(192, 0, 2, 254),
        capabilities: vec![
            Capability::family(Family::Ipv4),
            Capability::family(Family::Ipv6),
            Capability::RouteRefresh,
            Capability::FourOctetAsn(65_001),
        ],
    }
}

pub(crate) fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")
}

pub(crate) fn peer(listener: &TcpListener) -> PeerConfig {
    let asn = Asn::new(65_001).expect("a private AS");
    let mut peer = PeerConfig::new("r1", IpAddr::from(Ipv4Addr::LOCALHOST), asn);
    peer.port = listener.local_addr().expect("its address").port();
    peer.next_hop_v6 = "2001:db8::1".parse().ok();
    peer.connect_retry = Duration::from_secs(1);
    peer
}

pub(crate) fn spawn(peer: PeerConfig) -> (Speaker, mpsc::Receiver<SpeakerEvent>) {
    let asn = Asn::new(64_600).expect("a private AS");
    Speaker::spawn(SpeakerConfig {
        peers: vec![peer],
        ..SpeakerConfig::new(asn, Ipv4Addr::new(192, 0, 2, 1))
    })
}

pub(crate) fn routes(prefixes: &[&str]) -> RouteSet {
    prefixes.iter().map(|prefix| Route::new(prefix.parse::<Prefix>().expect("a prefix"))).collect()
}

pub(crate) fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| text.parse().expect("a prefix")).collect()
}

pub(crate) async fn status(speaker: &Speaker, what: impl Fn(&PeerStatus) -> bool) -> PeerStatus {
    let mut status = speaker.status();
    let found = status.wait_for(|all| all.get("r1").is_some_and(&what));
    let found = tokio::time::timeout(PATIENCE, found).await.map(|found| found.map(|all| all["r1"].clone()));
    match found {
        Ok(Ok(status)) => status,
        _ => panic!("the status does not come; it is {:?}", speaker.status().borrow().get("r1")),
    }
}
