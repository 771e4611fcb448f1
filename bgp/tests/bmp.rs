//! What a monitoring station hears (BMP, RFC 7854), as a decoder that is not ours reads it.

mod played;

use std::{
    collections::HashMap,
    io::{ErrorKind, Read},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use bgp::{
    BmpConfig, BmpStatus, PeerConfig, Speaker,
    policy::{Import, MaxPrefixes, Rule, Verdict},
    wire::RefreshKind,
};
use netgauze_bgp_pkt::{BgpMessage, path_attribute::PathAttributeValue};
use netgauze_bmp_pkt::{BmpMessage, BmpPeerType, v3::BmpMessageValue, wire::deserializer::BmpParsingContext};
use netgauze_parse_utils::{reader::SliceReader, traits::ParseFromWithOneInput};
use played::{Heard, Neighbour, PATIENCE};
use socket2::{Domain, Socket, Type};

/// How long a station may take to read.
const STATIONS: Duration = Duration::from_secs(10);

/// Enough that a kernel's buffers do not hold them.
const MANY: u32 = 30_000;

/// What the import rules took.
const TAKEN: BmpPeerType =
    BmpPeerType::GlobalInstancePeer { ipv6: false, post_policy: true, asn2: false, adj_rib_out: false };

/// What the neighbour told.
const TOLD: BmpPeerType =
    BmpPeerType::GlobalInstancePeer { ipv6: false, post_policy: false, asn2: false, adj_rib_out: false };

/// A session with the neighbour is up.
const UP: &str = "up Some(127.0.0.1) AS 65001 192.0.2.254 local Some(127.0.0.1)";

/// The routes of 10.0.0.0/8.
fn import() -> Import {
    let prefixes = vec!["10.0.0.0/8 le 32".parse().expect("a range")];
    let most = usize::try_from(MANY).expect("it fits");
    let max_prefixes = MaxPrefixes { warn: most, limit: most, ..MaxPrefixes::DEFAULT };
    let rule =
        Rule { prefixes, verdict: Verdict::Accept { local_pref: Some(200), med: None }, ..Rule::default() };
    Import { max_prefixes, ..Import::new(vec![rule]) }
}

/// An UPDATE with one route: IGP, a path of 65001, a next hop, a MED, a community, and an attribute that nobody knows.
fn announcement(address: [u8; 4], med: u32) -> Vec<u8> {
    let mut attributes =
        vec![0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9, 0x40, 3, 4, 192, 0, 2, 254, 0x80, 4, 4];
    attributes.extend_from_slice(&med.to_be_bytes());
    attributes.extend_from_slice(&[0xc0, 8, 4, 0xfd, 0xe9, 0, 7, 0xe0, 200, 2, 1, 2]);
    message(&[], &attributes, &[&[32][..], &address].concat())
}

fn withdrawal(address: [u8; 4]) -> Vec<u8> {
    message(&[&[32][..], &address].concat(), &[], &[])
}

fn message(withdrawn: &[u8], attributes: &[u8], routes: &[u8]) -> Vec<u8> {
    let length = |octets: usize| u16::try_from(octets).expect("a short message").to_be_bytes();
    let body =
        [&length(withdrawn.len())[..], withdrawn, &length(attributes.len()), attributes, routes].concat();
    [&[0xff; 16][..], &length(19 + body.len()), &[2], &body].concat()
}

/// A station that reads, when it is asked to.
struct Station {
    listener: TcpListener,
    stream: Option<TcpStream>,
    context: BmpParsingContext,
}

impl Station {
    fn listen() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // What is accepted has the same.
        socket.set_recv_buffer_size(8192).expect("a small buffer");
        socket.bind(&SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0).into()).expect("a port");
        socket.listen(4).expect("it listens");
        Self { listener: socket.into(), stream: None, context: BmpParsingContext::new(HashMap::new()) }
    }

    fn config(&self) -> BmpConfig {
        let station = self.listener.local_addr().expect("its address");
        let (name, description) = ("lb1".into(), "lvsd 0".into());
        let statistics = Duration::from_millis(500);
        BmpConfig { station, name, description, statistics, pre_policy: false }
    }

    fn accept(&mut self) {
        let (stream, _) = self.listener.accept().expect("the exporter dials");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        self.stream = Some(stream);
    }

    /// The next message in words; `None` when the connection is over.
    fn hear(&mut self) -> Option<String> {
        let stream = self.stream.as_mut().expect("a connection");
        let mut message = vec![0; 6];
        match stream.read_exact(&mut message) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
            Err(error) => panic!("nothing to hear: {error}"),
        }
        let length = u32::from_be_bytes([message[1], message[2], message[3], message[4]]);
        message.resize(usize::try_from(length).expect("a length"), 0);
        stream.read_exact(&mut message[6..]).expect("the whole message");
        let read = BmpMessage::parse(&mut SliceReader::new(&message), &mut self.context);
        let BmpMessage::V3(value) = read.unwrap_or_else(|error| panic!("{error:?} in {message:02x?}")) else {
            panic!("another version")
        };
        Some(words(&value))
    }

    /// The next that is no report of counts.
    fn news(&mut self) -> Option<String> {
        std::iter::repeat_with(|| self.hear())
            .find(|said| !said.as_ref().is_some_and(|said| said.starts_with("counts")))?
    }

    /// The next report of counts that says this.
    fn counts(&mut self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.hear().expect("it goes on").contains(wanted) {
            assert!(Instant::now() < deadline, "no counts with {wanted}");
        }
    }
}

fn words(value: &BmpMessageValue) -> String {
    match value {
        BmpMessageValue::Initiation(all) => format!("initiation {:?}", all.information()),
        BmpMessageValue::Termination(all) => format!("termination {:?}", all.information()),
        BmpMessageValue::PeerUpNotification(up) => {
            let opens = [up.sent_message(), up.received_message()];
            assert!(opens.iter().all(|open| matches!(open, BgpMessage::Open(_))), "{opens:?}");
            let header = up.peer_header();
            format!(
                "up {:?} AS {} {} local {:?}",
                header.address(),
                header.peer_as(),
                header.bgp_id(),
                up.local_address()
            )
        }
        BmpMessageValue::PeerDownNotification(down) => {
            let reason = format!("{:?}", down.reason());
            format!("down {}", reason.split('(').next().unwrap_or_default())
        }
        BmpMessageValue::StatisticsReport(report) => format!("counts {:?}", report.counters()),
        BmpMessageValue::RouteMonitoring(route) => {
            let BgpMessage::Update(update) = route.update_message() else { panic!("no UPDATE") };
            if update.nlri().is_empty() && update.withdraw_routes().is_empty() {
                let kind = route.peer_header().peer_type();
                return if kind == TAKEN { "end".into() } else { format!("end {kind:?}") };
            }
            let mut text = format!("{:?}", route.peer_header().peer_type());
            update
                .withdraw_routes()
                .iter()
                .for_each(|route| text += &format!(" - {}", route.network().address()));
            update.nlri().iter().for_each(|route| text += &format!(" + {}", route.network().address()));
            for attribute in update.path_attributes() {
                match attribute.value() {
                    PathAttributeValue::MultiExitDiscriminator(med) => {
                        text += &format!(" med {}", med.metric())
                    }
                    PathAttributeValue::LocalPreference(value) => {
                        text += &format!(" pref {}", value.metric())
                    }
                    PathAttributeValue::Communities(all) => {
                        all.communities()
                            .iter()
                            .for_each(|one| text += &format!(" community {}", one.value()));
                    }
                    PathAttributeValue::UnknownAttribute(one) => {
                        text += &format!(" unknown {:?}", one.value())
                    }
                    _ => {}
                }
            }
            text
        }
        other => panic!("{other:?}"),
    }
}

async fn status(speaker: &Speaker, what: impl Fn(&BmpStatus) -> bool) -> BmpStatus {
    let mut status = speaker.bmp();
    let found = tokio::time::timeout(PATIENCE, status.wait_for(|status| what(status))).await;
    match found {
        Ok(Ok(status)) => status.clone(),
        _ => panic!("the status does not come; it is {:?}", speaker.bmp().borrow()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_hears_of_sessions_of_the_routes_that_are_taken_and_of_the_end() {
    let (listener, mut station) = (played::listener(), Station::listen());
    let (speaker, _events) = played::spawn(PeerConfig { import: Some(import()), ..played::peer(&listener) });
    let (mut neighbour, _) = Neighbour::establish(&listener, 90);
    neighbour.say(|out| {
        out.extend(announcement([10, 67, 0, 1], 5));
        out.extend(announcement([192, 0, 2, 9], 5));
    });
    speaker.set_bmp(Some(station.config()));
    station.accept();
    let initiation = station.news().expect("a first message");
    assert!(
        initiation.contains("SystemName(\"lb1\")") && initiation.contains("SystemDescription"),
        "{initiation}"
    );
    assert_eq!(station.news().as_deref(), Some(UP));
    let attributes = "med 5 pref 200 community 4259905543 unknown [1, 2]";
    assert_eq!(station.news(), Some(format!("{TAKEN:?} + 10.67.0.1/32 {attributes}")));
    station.counts("NumberOfPrefixesRejectedByInboundPolicy(CounterU32(1))");
    station.counts("NumberOfRoutesInAdjRibIn(GaugeU64(1))");
    neighbour.say(|out| out.extend(announcement([10, 67, 0, 1], 6)));
    let changed = attributes.replace("med 5", "med 6");
    assert_eq!(station.news(), Some(format!("{TAKEN:?} + 10.67.0.1/32 {changed}")));
    neighbour.say(|out| out.extend(withdrawal([10, 67, 0, 1])));
    assert_eq!(station.news(), Some(format!("{TAKEN:?} - 10.67.0.1/32")));
    neighbour.say(|out| bgp::wire::encode_end_of_rib(out, bgp::Family::Ipv4));
    assert_eq!(station.news().as_deref(), Some("end"));

    drop(neighbour);
    assert_eq!(station.news().as_deref(), Some("down RemoteSystemClosedNoData"));
    let (_neighbour, _) = Neighbour::establish(&listener, 90);
    assert_eq!(station.news().as_deref(), Some(UP));

    // A station that restarts hears everything from the beginning.
    station.stream = None;
    station.accept();
    assert_eq!(station.news(), Some(initiation));
    assert_eq!(station.news().as_deref(), Some(UP));
    speaker.shutdown("done").await;
    assert_eq!(station.news().as_deref(), Some("down LocalSystemClosedNotificationPduFollows"));
    let end = station.news().expect("a last message");
    assert!(end.starts_with("termination") && end.contains("AdministrativelyClosed"), "{end}");
    assert_eq!(station.news(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_that_wants_it_hears_of_what_is_told_before_the_rules_and_of_what_they_take() {
    let (listener, mut station) = (played::listener(), Station::listen());
    let (speaker, _events) = played::spawn(PeerConfig { import: Some(import()), ..played::peer(&listener) });
    speaker.set_bmp(Some(BmpConfig { pre_policy: true, ..station.config() }));
    station.accept();
    station.news().expect("a first message");
    let (mut neighbour, _) = Neighbour::establish(&listener, 90);
    assert_eq!(station.news().as_deref(), Some(UP));
    let attributes = "med 5 community 4259905543 unknown [1, 2]";
    // Refused.
    neighbour.say(|out| out.extend(announcement([192, 0, 2, 9], 5)));
    assert_eq!(station.news(), Some(format!("{TOLD:?} + 192.0.2.9/32 {attributes}")));
    // Taken, with another LOCAL_PREF.
    neighbour.say(|out| out.extend(announcement([10, 67, 0, 1], 5)));
    assert_eq!(station.news(), Some(format!("{TOLD:?} + 10.67.0.1/32 {attributes}")));
    let changed = attributes.replace("med 5", "med 5 pref 200");
    assert_eq!(station.news(), Some(format!("{TAKEN:?} + 10.67.0.1/32 {changed}")));
    neighbour.say(|out| bgp::wire::encode_end_of_rib(out, bgp::Family::Ipv4));
    assert_eq!(station.news(), Some(format!("end {TOLD:?}")));
    assert_eq!(station.news().as_deref(), Some("end"));
    neighbour.say(|out| out.extend(withdrawal([10, 67, 0, 1])));
    assert_eq!(station.news(), Some(format!("{TOLD:?} - 10.67.0.1/32")));
    assert_eq!(station.news(), Some(format!("{TAKEN:?} - 10.67.0.1/32")));

    // Nothing is left of a session that is over.
    drop(neighbour);
    assert_eq!(station.news().as_deref(), Some("down RemoteSystemClosedNoData"));
    let (mut neighbour, _) = Neighbour::establish(&listener, 90);
    assert_eq!(station.news().as_deref(), Some(UP));
    neighbour.say(|out| out.extend(announcement([192, 0, 2, 8], 5)));
    assert_eq!(station.news(), Some(format!("{TOLD:?} + 192.0.2.8/32 {attributes}")));
    speaker.shutdown("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_without_rules_is_asked_once_more_when_a_station_begins_to_want_what_it_tells() {
    let (listener, mut station) = (played::listener(), Station::listen());
    let (speaker, _events) = played::spawn(played::peer(&listener));
    speaker.set_bmp(Some(station.config()));
    station.accept();
    station.news().expect("a first message");
    let (mut neighbour, _) = Neighbour::establish(&listener, 90);
    assert_eq!(station.news().as_deref(), Some(UP));
    neighbour.say(|out| {
        out.extend(announcement([192, 0, 2, 9], 5));
        bgp::wire::encode_end_of_rib(out, bgp::Family::Ipv4);
    });
    assert_eq!(station.news().as_deref(), Some("end"));

    speaker.set_bmp(Some(BmpConfig { pre_policy: true, ..station.config() }));
    for family in bgp::Family::ALL {
        assert_eq!(neighbour.hear_news(), Heard::Refresh(RefreshKind::Request, family));
    }
    assert!(station.news().expect("a last message").starts_with("termination"));
    station.accept();
    station.news().expect("a first message");
    assert_eq!(station.news().as_deref(), Some(UP));
    assert_eq!(station.news(), Some(format!("end {TOLD:?}")));
    assert_eq!(station.news().as_deref(), Some("end"));
    neighbour.say(|out| out.extend(announcement([192, 0, 2, 9], 5)));
    let attributes = "med 5 community 4259905543 unknown [1, 2]";
    assert_eq!(station.news(), Some(format!("{TOLD:?} + 192.0.2.9/32 {attributes}")));

    // Who wants it no longer has nothing asked for; the next that the neighbour hears is a route.
    speaker.set_bmp(Some(station.config()));
    while !station.news().expect("a last message").starts_with("termination") {}
    station.accept();
    speaker.set_routes(played::routes(&["198.51.100.1/32"]));
    assert!(matches!(neighbour.hear_news(), Heard::Announced(_)));
    speaker.shutdown("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_that_does_not_read_loses_its_connection_and_holds_up_nobody() {
    let (listener, mut station) = (played::listener(), Station::listen());
    let (speaker, _events) = played::spawn(PeerConfig { import: Some(import()), ..played::peer(&listener) });
    speaker.set_bmp(Some(station.config()));
    station.accept();
    let (mut neighbour, _) = Neighbour::establish(&listener, 90);
    speaker.set_routes(played::routes(&[]));
    let start = Instant::now();
    for number in 0..MANY {
        let [_, a, b, c] = number.to_be_bytes();
        neighbour.say(|out| out.extend(announcement([10, a, b, c], number)));
    }
    let most = usize::try_from(MANY).expect("it fits");
    played::status(&speaker, |peer| peer.learned.get(&bgp::Family::Ipv4) == Some(&most)).await;
    let was_told = status(&speaker, |_| true).await.is_connected;
    speaker.set_routes(played::routes(&["198.51.100.1/32"]));
    while !matches!(neighbour.hear_news(), Heard::Announced(_)) {}
    // On a machine that is too busy for all of this within the station's time nothing is shown.
    let is_told = status(&speaker, |_| true).await.is_connected;
    assert!(is_told || !was_told || start.elapsed() > STATIONS, "the neighbour waited for the station");
    let lost = status(&speaker, |status| !status.is_connected).await;
    assert_eq!(lost.last_error.as_deref(), Some("the station does not read"));
    played::status(&speaker, |peer| peer.session.is_some() && peer.in_sync).await;
}
