//! Neighbours that do what they should not, each beside a healthy one that must notice nothing.

mod ends;
mod lines;
mod played;

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use bgp::{
    Family, HoldTime, Path, PeerConfig, Prefix, Speaker, StateName,
    policy::{Import, Rule, Verdict},
    speaker::Refusal,
    wire::{
        Announcement, Capability, ErrorCode, Extra, Framer, NextHop, Notification, Open, encode_announce,
        encode_end_of_rib, encode_keepalive,
    },
};
use ends::{End, Events, asn, established};
use played::{Heard, Neighbour, PATIENCE};
use tokio::sync::{Mutex, MutexGuard};

/// We, a neighbour that the test plays, and a healthy one.
struct Scene {
    /// What one test's memory is measured by is the whole process's: they go one after the other.
    _alone: MutexGuard<'static, ()>,
    us: Speaker,
    played: TcpListener,
    listens_at: SocketAddr,
    healthy: Speaker,
    healthy_since: std::time::SystemTime,
    _events: (Events, Events),
}

impl Scene {
    async fn begin(change: impl FnOnce(&mut PeerConfig)) -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let alone = ALONE.lock().await;
        let (us, healthy) = (End::new(64_600, "127.0.0.1"), End::new(65_002, "127.0.0.2"));
        let played = played::listener();
        let mut peer = played::peer(&played);
        change(&mut peer);
        let (speaker, events) = us.spawn(vec![peer, us.towards("healthy", &healthy)], true);
        let (other, other_events) = healthy.spawn(vec![healthy.towards("us", &us)], true);
        let healthy_since = established(&other, "us").await.since;
        let listens_at = SocketAddr::new(us.address, us.port);
        Self {
            _alone: alone,
            us: speaker,
            played,
            listens_at,
            healthy: other,
            healthy_since,
            _events: (events, other_events),
        }
    }

    /// The neighbour that the test plays dials, which no idle hold keeps waiting.
    fn dial(&self) -> Neighbour {
        let stream = TcpStream::connect(self.listens_at).expect("the speaker listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Neighbour { stream, framer: Framer::new() }
    }

    /// A route gets to the healthy neighbour, over the session that it had before.
    async fn ends_well(self) {
        self.us.set_routes(played::routes(&["198.51.100.77/32"]));
        let told = |status: &bgp::PeerStatus| status.received.get(&Family::Ipv4) == Some(&1);
        let status = ends::status(&self.healthy, "us", told).await;
        assert_eq!((status.state, status.since), (StateName::Established, self.healthy_since));
        self.us.shutdown("done").await;
    }
}

fn notification(code: ErrorCode) -> Heard {
    Heard::Notification(Notification::new(code))
}

/// Resident memory of this process.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("the size is a number") / 1024
}

fn wrong_open(change: impl FnOnce(&mut Open)) -> impl FnOnce(&mut Vec<u8>) {
    let mut open = played::open(90);
    change(&mut open);
    move |out| open.encode(out).expect("it fits")
}

fn an_update(out: &mut Vec<u8>) {
    encode_end_of_rib(out, Family::Ipv4);
}

type Says = Box<dyn FnOnce(&mut Vec<u8>)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_before_a_session_gets_the_notification_that_says_so() {
    let cases: [(Says, Heard); 6] = [
        (
            Box::new(|out| out.extend_from_slice(b"GET / HTTP/1.1\r\nHost: balancer\r\n\r\n")),
            notification(ErrorCode::NOT_SYNCHRONIZED),
        ),
        (Box::new(wrong_open(|open| open.hold_time = 1)), notification(ErrorCode::UNACCEPTABLE_HOLD_TIME)),
        (
            Box::new(wrong_open(|open| open.router_id = Ipv4Addr::UNSPECIFIED)),
            notification(ErrorCode::BAD_BGP_IDENTIFIER),
        ),
        (
            Box::new(wrong_open(|open| {
                open.my_as = 65_009;
                open.capabilities.retain(|one| !matches!(one, Capability::FourOctetAsn(_)));
            })),
            notification(ErrorCode::BAD_PEER_AS),
        ),
        (Box::new(an_update), notification(ErrorCode::FSM_IN_OPEN_SENT)),
        (Box::new(encode_keepalive), notification(ErrorCode::FSM_IN_OPEN_SENT)),
    ];
    let scene = Scene::begin(|peer| peer.passive = true).await;
    for (says, hears) in cases {
        let mut neighbour = scene.dial();
        assert!(matches!(neighbour.hear(), Heard::Open(_)));
        neighbour.say(says);
        // The mark that was expected in place of garbage is no part of the comparison.
        match (neighbour.hear(), hears) {
            (Heard::Notification(heard), Heard::Notification(expected)) => {
                assert_eq!(heard.code, expected.code)
            }
            (heard, _) => panic!("{heard:?}"),
        }
        assert_eq!(neighbour.hear(), Heard::Closed);
    }
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_internal_neighbour_with_our_own_identifier_is_refused() {
    let scene = Scene::begin(|peer| peer.remote_asn = asn(64_600)).await;
    let mut neighbour = Neighbour::accept(&scene.played);
    let Heard::Open(ours) = neighbour.hear() else { panic!("no OPEN") };
    neighbour.say(|out| ours.encode(out).expect("it fits"));
    assert_eq!(neighbour.hear(), notification(ErrorCode::BAD_BGP_IDENTIFIER));
    drop(neighbour);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_message_and_silence_ends_with_the_hold_time_and_one_byte_at_a_time_does_too() {
    let scene = Scene::begin(|peer| peer.hold_time = HoldTime::from_secs(6).expect("a legal time")).await;
    let mut long = vec![0xff; 16];
    long.extend_from_slice(&[0x10, 0, 2]);
    long.resize(4096, 0);

    let (mut neighbour, _) = Neighbour::establish(&scene.played, 90);
    neighbour.stream.write_all(&long[..2000]).expect("the speaker takes it");
    assert_eq!(neighbour.hear_news(), notification(ErrorCode::HOLD_TIMER_EXPIRED));
    drop(neighbour);

    let (mut neighbour, _) = Neighbour::establish(&scene.played, 90);
    let mut slow = neighbour.stream.try_clone().expect("the same socket");
    let trickle = std::thread::spawn(move || {
        let took = long.iter().take_while(|byte| {
            std::thread::sleep(Duration::from_millis(100));
            slow.write_all(std::slice::from_ref(*byte)).is_ok()
        });
        took.count()
    });
    assert_eq!(neighbour.hear_news(), notification(ErrorCode::HOLD_TIMER_EXPIRED));
    drop(neighbour);
    assert!(trickle.join().expect("the socket breaks") < 1000);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_messages_a_byte_at_a_time_are_as_good_as_others() {
    let scene = Scene::begin(|_| {}).await;
    let (mut neighbour, _) = Neighbour::establish(&scene.played, 90);
    neighbour.stream.set_nodelay(true).expect("an option");
    let mut update = Vec::new();
    announce(&mut update, &played::prefixes(&["10.0.0.0/8"]));
    for byte in &update {
        neighbour.stream.write_all(std::slice::from_ref(byte)).expect("the speaker takes it");
    }
    played::status(&scene.us, |status| status.received.get(&Family::Ipv4) == Some(&1)).await;
    scene.ends_well().await;
}

fn announce(out: &mut Vec<u8>, prefixes: &[Prefix]) {
    let announcement = Announcement {
        as_path: Path::sequence(vec![65_001]),
        next_hop: NextHop::V4(Ipv4Addr::new(192, 0, 2, 254)),
        med: None,
        local_pref: None,
        communities: &[],
        large_communities: &[],
        extra: Extra::default(),
    };
    encode_announce(out, &announcement, prefixes, true).expect("it fits");
}

const MILLION: u32 = 1_000_000;

/// Ten million prefixes in writes of some, until the other end has had enough. Returns how many were written.
fn ten_million(stream: &mut TcpStream) -> u32 {
    const AT_ONCE: u32 = 20_000;
    for chunk in 0..10 * MILLION / AT_ONCE {
        let first = 0x0a00_0000 + chunk * AT_ONCE;
        let prefixes: Vec<_> =
            (first..first + AT_ONCE).map(|n| Prefix::host(Ipv4Addr::from_bits(n).into())).collect();
        let mut out = Vec::new();
        announce(&mut out, &prefixes);
        if stream.write_all(&out).is_err() {
            return chunk * AT_ONCE;
        }
    }
    10 * MILLION
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_million_prefixes_are_counted_and_not_kept() {
    let scene = Scene::begin(|_| {}).await;
    let (neighbour, _) = Neighbour::establish(&scene.played, 0);
    let before = resident_mib();
    let mut stream = neighbour.stream.try_clone().expect("the same socket");
    let written = tokio::task::spawn_blocking(move || ten_million(&mut stream)).await.expect("it writes");
    assert_eq!(written, 10 * MILLION);
    played::status(&scene.us, |status| status.received.get(&Family::Ipv4) == Some(&10_000_000)).await;
    let grown = resident_mib().saturating_sub(before);
    assert!(grown < 16, "{grown} MiB");
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_million_prefixes_where_some_are_wanted_end_the_session_at_the_limit() {
    let accept = Rule { verdict: Verdict::ACCEPT, ..Rule::default() };
    let scene = Scene::begin(|peer| peer.import = Some(Import::new(vec![accept]))).await;
    let (mut neighbour, _) = Neighbour::establish(&scene.played, 0);
    let before = resident_mib();
    let mut stream = neighbour.stream.try_clone().expect("the same socket");
    let writing = tokio::task::spawn_blocking(move || ten_million(&mut stream));
    assert!(
        matches!(neighbour.hear_news(), Heard::Notification(said) if said.code == ErrorCode::MAX_PREFIXES)
    );
    drop(neighbour);
    // What still comes is read for a moment, so that the NOTIFICATION is not lost to a reset, and thrown away.
    writing.await.expect("the writer ends");
    assert_eq!(scene.us.learned().borrow().len(), 0);
    let grown = resident_mib().saturating_sub(before);
    assert!(grown < 16, "{grown} MiB");
    scene.ends_well().await;
}

/// Connects from changing addresses of 127.9.0.0/16, a thousand times a second or as often as the machine can.
fn dial_often(to: SocketAddr, from: impl Fn(u32) -> Ipv4Addr, times: u32) -> Duration {
    let begin = Instant::now();
    for n in 0..times {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.set_linger(Some(Duration::ZERO)).expect("an option");
        socket.bind(&SocketAddr::new(from(n).into(), 0).into()).expect("an address of the loopback");
        socket.connect(&to.into()).expect("a connection");
        if let Some(early) = Duration::from_millis(n.into()).checked_sub(begin.elapsed()) {
            std::thread::sleep(early);
        }
    }
    begin.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_strangers_a_second_are_refused_counted_and_leave_nothing() {
    const TIMES: u32 = 3000;
    lines::collect();
    let scene = Scene::begin(|_| {}).await;
    let (_neighbour, _) = Neighbour::establish(&scene.played, 0);
    let (before, to, begin) = (resident_mib(), scene.listens_at, Instant::now());
    let from = |n: u32| Ipv4Addr::from_bits(0x7f09_0000 + n);
    let took = tokio::task::spawn_blocking(move || dial_often(to, from, TIMES)).await.expect("it dials");
    // The dialler waits for the listener's queue: what it took is what refusing takes, on a machine that does more than this.
    let rate = f64::from(TIMES) / took.as_secs_f64();
    println!("{TIMES} connections from strangers in {took:?}, {rate:.0} a second");
    assert!(rate > 20.0, "{rate:.0} a second");
    let mut refused = scene.us.refused();
    // One that was reset before it was accepted is not seen by anyone.
    let counted = refused.wait_for(|all| all[&Refusal::UnknownAddress] > u64::from(TIMES) / 2);
    assert!(tokio::time::timeout(PATIENCE, counted).await.is_ok(), "{:?}", scene.us.refused().borrow());
    let said = lines::with(&["BGP connections refused", "latest=127.9."]);
    let minutes = usize::try_from(begin.elapsed().as_secs() / 60).expect("not so many");
    assert!((1..=1 + minutes).contains(&said.len()), "{said:#?}");
    assert_eq!(scene.us.status().borrow().len(), 2);
    let grown = resident_mib().saturating_sub(before);
    assert!(grown < 16, "{grown} MiB");
    assert_eq!(scene.us.status().borrow()["r1"].state, StateName::Established);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_that_dials_a_thousand_times_a_second_keeps_its_session() {
    let scene = Scene::begin(|_| {}).await;
    let (_neighbour, _) = Neighbour::establish(&scene.played, 0);
    let before = played::status(&scene.us, |status| status.session.is_some()).await;
    let to = scene.listens_at;
    let dialled = tokio::task::spawn_blocking(move || dial_often(to, |_| Ipv4Addr::LOCALHOST, 2000));
    dialled.await.expect("it dials");
    let after = played::status(&scene.us, |status| status.counters.notifications_out > 0).await;
    assert_eq!((after.state, after.since), (before.state, before.since));
    scene.ends_well().await;
}
