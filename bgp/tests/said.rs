//! What goes into the log, and how often: everything once, and what is repeated counted and said once a minute.

mod ends;
mod lines;
mod played;

use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use bgp::{
    Family, PeerConfig, Speaker,
    policy::{Import, MaxPrefixes, Rule, Verdict},
    wire::{
        Announcement, Capability, ErrorCode, Extra, Framer, NextHop, Notification, Open, encode_announce,
        encode_keepalive,
    },
};
use ends::{End, Events};
use played::{Heard, Neighbour, PATIENCE};

/// The neighbour.
#[derive(Clone, Copy)]
struct Dialler(SocketAddr);

impl Dialler {
    fn dial(self) -> Neighbour {
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match TcpStream::connect(self.0) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "nobody listens: {error}"),
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Neighbour { stream, framer: Framer::new() }
    }

    /// The neighbour dials and says this OPEN. Gives what it is answered.
    fn opens(self, open: &Open) -> (Neighbour, Heard) {
        let mut neighbour = self.dial();
        let heard = neighbour.hear();
        if !matches!(heard, Heard::Open(_)) {
            return (neighbour, heard);
        }
        neighbour.say(|out| open.encode(out).expect("it fits"));
        let heard = neighbour.hear();
        (neighbour, heard)
    }

    fn establishes(self) -> Neighbour {
        let (mut neighbour, heard) = self.opens(&played::open(90));
        assert_eq!(heard, Heard::Keepalive);
        neighbour.say(encode_keepalive);
        neighbour
    }
}

/// A speaker with one neighbour, of this name, that dials.
struct Scene {
    name: &'static str,
    us: Speaker,
    neighbour: Dialler,
    begin: Instant,
    _events: Events,
}

impl Scene {
    fn begin(name: &'static str) -> Self {
        lines::collect();
        let us = End::new(64_600, "127.0.0.1");
        let peer = PeerConfig { name: name.into(), passive: true, ..played::peer(&played::listener()) };
        let (speaker, events) = us.spawn(vec![peer], true);
        let neighbour = Dialler(SocketAddr::new(us.address, us.port));
        Self { name, us: speaker, neighbour, begin: Instant::now(), _events: events }
    }

    /// The lines with these words, of which there may be so many different ones, each once a minute.
    fn said(&self, words: &str, different: usize) -> Vec<String> {
        let said = lines::with(&[&format!("peer=\"{}\"", self.name), words]);
        let minutes = usize::try_from(self.begin.elapsed().as_secs() / 60).expect("not so many");
        assert!((different..=different * (1 + minutes)).contains(&said.len()), "{said:#?}");
        said
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_is_logged_with_its_text_and_counted() {
    let scene = Scene::begin("texts");
    let mut neighbour = scene.neighbour.establishes();
    neighbour.say(|out| Notification::shutdown("rack 7 moves").encode(out));
    let line = lines::wait_for(&["NOTIFICATION received", "peer=\"texts\""]);
    assert!(line.contains("rack 7 moves") && line.contains("count=1"), "{line}");
    let line = lines::wait_for(&["BGP session down", "peer=\"texts\""]);
    assert!(line.contains("rack 7 moves"), "{line}");
    let status = ends::status(&scene.us, "texts", |status| status.session.is_none()).await;
    assert_eq!(status.counters.notifications_in, 1);
    assert!(status.notification_received.is_some_and(|told| told.text.contains("rack 7 moves")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_that_comes_and_goes_is_said_once_counted_and_after_four_times_kept_waiting() {
    let scene = Scene::begin("flaps");
    for times in 1..=4 {
        drop(scene.neighbour.establishes());
        let ended =
            |status: &bgp::PeerStatus| status.counters.established == times && status.session.is_none();
        ends::status(&scene.us, "flaps", ended).await;
    }
    // Whoever is held up for longer than it is kept waiting is let in once more, and then kept waiting twice as long.
    let mut sessions = 4;
    loop {
        let (mut neighbour, heard) = scene.neighbour.opens(&played::open(90));
        if heard != Heard::Keepalive {
            assert_eq!(heard, Heard::Notification(Notification::new(ErrorCode::CONNECTION_REJECTED)));
            break;
        }
        assert!(sessions < 8, "it is never kept waiting");
        neighbour.say(encode_keepalive);
        drop(neighbour);
        sessions += 1;
        let ended =
            |status: &bgp::PeerStatus| status.counters.established == sessions && status.session.is_none();
        ends::status(&scene.us, "flaps", ended).await;
    }
    scene.said("BGP session up", 1);
    scene.said("BGP session down", 1);
    scene.us.shutdown("done").await;
    // What was not said while it went on is said at the end.
    for words in ["BGP session up", "BGP session down"] {
        let said = lines::with(&["peer=\"flaps\"", words]);
        assert_eq!(lines::counted(&said), sessions, "{said:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_opens_that_differ_in_turn_are_each_said_once_and_all_counted() {
    const TIMES: u64 = 20;
    let scene = Scene::begin("refused");
    let wrong_as = {
        let mut open = played::open(90);
        open.my_as = 65_009;
        open.capabilities.retain(|one| !matches!(one, Capability::FourOctetAsn(_)));
        open
    };
    for _ in 0..TIMES {
        for (open, code) in
            [(&wrong_as, ErrorCode::BAD_PEER_AS), (&played::open(1), ErrorCode::UNACCEPTABLE_HOLD_TIME)]
        {
            let (mut neighbour, heard) = scene.neighbour.opens(open);
            assert!(matches!(&heard, Heard::Notification(told) if told.code == code), "{heard:?}");
            assert_eq!(neighbour.hear(), Heard::Closed);
        }
    }
    let told = |status: &bgp::PeerStatus| status.counters.notifications_out == 2 * TIMES;
    ends::status(&scene.us, "refused", told).await;
    scene.said("NOTIFICATION sent", 2);
    scene.said("BGP connection failed", 2);
}

/// An UPDATE whose ORIGIN is 5: its routes count as withdrawn.
const WRONG_ORIGIN: &[u8] = &[
    0x40, 1, 1, 5, // ORIGIN
    0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9, // AS_PATH 65001
    0x40, 3, 4, 192, 0, 2, 254, // NEXT_HOP
];

fn wrong_origin(out: &mut Vec<u8>) {
    let length = u8::try_from(WRONG_ORIGIN.len()).expect("it is short");
    out.extend([0xff; 16]);
    out.extend([0, 19 + 4 + length + 2, 2, 0, 0, 0, length]);
    out.extend(WRONG_ORIGIN);
    out.extend([8, 10]);
}

/// An UPDATE with LOCAL_PREF, which an external neighbour has no business to say: it is discarded.
fn local_pref(out: &mut Vec<u8>) {
    announce_with(out, Some(100), &["10.0.0.0/8"]);
}

fn announce(out: &mut Vec<u8>, prefixes: &[&str]) {
    announce_with(out, None, prefixes);
}

fn announce_with(out: &mut Vec<u8>, local_pref: Option<u32>, prefixes: &[&str]) {
    let announcement = Announcement {
        as_path: bgp::Path::sequence(vec![65_001]),
        next_hop: NextHop::V4("192.0.2.254".parse().expect("an address")),
        med: None,
        local_pref,
        communities: &[],
        large_communities: &[],
        extra: Extra::default(),
    };
    encode_announce(out, &announcement, &played::prefixes(prefixes), true).expect("it fits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_updates_are_counted_by_what_became_of_them_and_each_fault_is_said_once() {
    const TIMES: u64 = 50;
    let scene = Scene::begin("malformed");
    let mut neighbour = scene.neighbour.establishes();
    for _ in 0..TIMES {
        neighbour.say(wrong_origin);
        neighbour.say(local_pref);
    }
    neighbour.say(wrong_origin);
    let all = |status: &bgp::PeerStatus| status.counters.updates_in == 2 * TIMES + 1;
    let status = ends::status(&scene.us, "malformed", all).await;
    assert_eq!(status.counters.treated_as_withdraw, TIMES + 1);
    assert_eq!(status.counters.attributes_discarded, TIMES);
    let last = status.last_malformed.expect("there was something");
    assert!(last.contains("ORIGIN") && last.contains("withdraw"), "{last}");
    assert!(status.session.is_some(), "none of it ends the session");
    scene.said("BGP UPDATE is malformed", 2);
    drop(neighbour);
    // Counters and the latest fault outlive the session.
    let status = ends::status(&scene.us, "malformed", |status| status.session.is_none()).await;
    assert_eq!(
        (status.counters.treated_as_withdraw, status.counters.attributes_discarded),
        (TIMES + 1, TIMES)
    );
}

#[tokio::test]
async fn what_was_left_unsaid_is_said_a_minute_later_though_nothing_happens_then() {
    let scene = Scene::begin("later");
    for times in 1..=2 {
        let neighbour = scene.neighbour;
        tokio::task::spawn_blocking(move || drop(neighbour.establishes())).await.expect("it dials");
        let ended =
            |status: &bgp::PeerStatus| status.counters.established == times && status.session.is_none();
        ends::status(&scene.us, "later", ended).await;
    }
    // From here on an idle speaker's clock goes to its next timer.
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    while lines::counted(&lines::with(&["peer=\"later\"", "BGP session up"])) < 2 {
        assert!(begin.elapsed() < Duration::from_secs(120), "{:#?}", lines::with(&["peer=\"later\""]));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_that_nears_its_limit_of_prefixes_is_said_once_a_session() {
    lines::collect();
    let listener = played::listener();
    let accept = Rule { verdict: Verdict::ACCEPT, ..Rule::default() };
    let mut import = Import::new(vec![accept]);
    import.max_prefixes = MaxPrefixes { warn: 2, limit: 4, ..MaxPrefixes::DEFAULT };
    let peer = PeerConfig { name: "nears".into(), import: Some(import), ..played::peer(&listener) };
    let (speaker, _events) = played::spawn(peer);
    let (mut neighbour, _) = Neighbour::establish(&listener, 90);
    let warned = || lines::with(&["peer=\"nears\"", "nears its limit of prefixes"]);
    for (count, prefixes) in
        [(1, &["10.1.0.0/16"][..]), (3, &["10.2.0.0/16", "10.3.0.0/16"]), (4, &["10.4.0.0/16"])]
    {
        neighbour.say(|out| announce(out, prefixes));
        let has = |status: &bgp::PeerStatus| status.learned.get(&Family::Ipv4) == Some(&count);
        ends::status(&speaker, "nears", has).await;
        if count > 1 {
            lines::wait_for(&["peer=\"nears\"", "nears its limit of prefixes"]);
        }
        assert_eq!(warned().len(), usize::from(count > 1), "{:#?}", warned());
    }
    assert!(warned()[0].contains("count=3") && warned()[0].contains("limit=4"), "{:#?}", warned());
    let status = ends::status(&speaker, "nears", |status| status.session.is_some()).await;
    assert_eq!(status.counters.notifications_out, 0, "at the limit it still goes on");
}
