//! One VIP told and taken back, again and again: how soon a neighbour has the message.

use std::{
    fmt::Write as _,
    net::Ipv4Addr,
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
    time::Instant,
};

use bgp::{
    Asn, Family, HoldTime, Path, PeerConfig, Prefix, Route, RouteSet, Speaker, SpeakerConfig,
    wire::{Announcement, NextHop, encode_announce, encode_withdraw},
};
use serde::Serialize;

use crate::{
    DAEMON_ASN, FEEDER, FEEDER_ASN, RECEIVER, RECEIVER_ASN,
    daemons::{Daemon, Kind, gobgp},
    neighbour::{Heard, Neighbour, open},
    quantile,
};

/// How often a VIP comes and goes; where each time takes tens of milliseconds, [`SELDOM`].
const OFTEN: usize = 1000;
const SELDOM: usize = 100;

/// Milliseconds until the neighbour has the message.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) name: String,
    samples: usize,
    pub(crate) announce_p50_ms: f64,
    pub(crate) announce_p99_ms: f64,
    pub(crate) withdraw_p50_ms: f64,
    pub(crate) withdraw_p99_ms: f64,
}

impl Latency {
    fn of(name: String, mut announce: Vec<f64>, mut withdraw: Vec<f64>) -> Self {
        announce.sort_by(f64::total_cmp);
        withdraw.sort_by(f64::total_cmp);
        let latency = Self {
            name,
            samples: announce.len(),
            announce_p50_ms: quantile(&announce, 0.5),
            announce_p99_ms: quantile(&announce, 0.99),
            withdraw_p50_ms: quantile(&withdraw, 0.5),
            withdraw_p99_ms: quantile(&withdraw, 0.99),
        };
        println!(
            "{:<44} {:>7} {:>9.3} {:>9.3} {:>9.3} {:>9.3}",
            latency.name,
            latency.samples,
            latency.announce_p50_ms,
            latency.announce_p99_ms,
            latency.withdraw_p50_ms,
            latency.withdraw_p99_ms
        );
        latency
    }

    /// Has `act` announce (true) and withdraw so often, and `hear` wait for it. `None`, which is told, when the session
    /// does not last as long.
    fn measured(
        name: String,
        times: usize,
        mut act: impl FnMut(bool),
        mut hear: impl FnMut() -> Option<Heard>,
    ) -> Option<Self> {
        let (mut announce, mut withdraw) = (Vec::new(), Vec::new());
        for _ in 0..times {
            for up in [true, false] {
                let start = Instant::now();
                act(up);
                let Some(heard) = hear() else {
                    println!("{name:<44} it closed the session");
                    return None;
                };
                assert_eq!((heard.announced, heard.withdrawn), if up { (1, 0) } else { (0, 1) }, "{name}");
                let milliseconds = (heard.at - start).as_secs_f64() * 1000.0;
                if up { announce.push(milliseconds) } else { withdraw.push(milliseconds) }
            }
        }
        Some(Self::of(name, announce, withdraw))
    }
}

pub(crate) fn compare(daemons: &[Daemon], feeders: Vec<Neighbour>) -> Vec<Latency> {
    println!("\none VIP, milliseconds until the neighbour has the message");
    println!("{:<44} {:>7} {:>9} {:>9} {:>9} {:>9}", "", "samples", "told p50", "p99", "gone p50", "p99");
    let mut rows = vec![own(1), own(1000)];
    for (daemon, mut feeder) in daemons.iter().zip(feeders) {
        let name = daemon.name();
        if daemon.kind == Kind::Lvsd {
            continue;
        }
        let mut receiver = Neighbour::establish(RECEIVER, RECEIVER_ASN, daemon.address());
        match daemon.kind {
            Kind::Bird => {
                let act = |up: bool| daemon.tell_bird(if up { "enable vip" } else { "disable vip" });
                rows.extend(Latency::measured(
                    format!("{name}, a command on its socket"),
                    OFTEN,
                    act,
                    || receiver.hear(),
                ));
            }
            Kind::Gobgp => {
                let act = |up: bool| {
                    let word = if up { "add" } else { "del" };
                    gobgp(&["global", "rib", word, "198.51.100.1/32"]).expect("gobgp runs");
                };
                rows.extend(Latency::measured(format!("{name}, its command line"), SELDOM, act, || {
                    receiver.hear()
                }));
            }
            Kind::Lvsd | Kind::Frr => {}
        }
        let times = if daemon.kind == Kind::Frr { SELDOM } else { OFTEN };
        let [announce, withdraw] = passed_on();
        let act = |up: bool| feeder.say(if up { &announce } else { &withdraw });
        rows.extend(Latency::measured(format!("{name}, passed on from a neighbour"), times, act, || {
            receiver.hear()
        }));
    }
    rows
}

/// As `docs/performance.md` has it.
pub(crate) fn documented(latencies: &[Latency]) -> String {
    let mut text = String::from(
        "\n| | times | announced, p50 | p99 | withdrawn, p50 | p99 | required p99 |\n|---|---|---|---|---|---|---|\n",
    );
    for one in latencies {
        let worst = one.announce_p99_ms.max(one.withdraw_p99_ms);
        let required = match one.name.starts_with("lvsd") {
            true if worst < 1.0 => "1: met",
            true => "1: **missed**",
            false => "",
        };
        let _ = writeln!(
            text,
            "| {} | {} | {:.3} | {:.3} | {:.3} | {:.3} | {required} |",
            one.name,
            one.samples,
            one.announce_p50_ms,
            one.announce_p99_ms,
            one.withdraw_p50_ms,
            one.withdraw_p99_ms
        );
    }
    text
}

/// What a feeder says of a VIP.
fn passed_on() -> [Vec<u8>; 2] {
    let prefixes = ["198.51.100.2/32".parse::<Prefix>().expect("a prefix")];
    let announcement = Announcement::new(Path::sequence(vec![FEEDER_ASN]), NextHop::V4(FEEDER));
    let (mut announce, mut withdraw) = (Vec::new(), Vec::new());
    encode_announce(&mut announce, &announcement, &prefixes, true).expect("it fits");
    encode_withdraw(&mut withdraw, Family::Ipv4, &prefixes).expect("it fits");
    [announce, withdraw]
}

/// This speaker, from the call that decides; beside the VIP that comes and goes there are others that stay.
fn own(vips: u32) -> Latency {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _inside = runtime.enter();
    let listener = TcpListener::bind((RECEIVER, 0)).expect("a port");
    let asn = |number| Asn::new(number).expect("a legal number");
    let mut peer = PeerConfig::new("receiver", RECEIVER.into(), asn(RECEIVER_ASN));
    peer.port = listener.local_addr().map(|address: SocketAddr| address.port()).expect("its port");
    peer.hold_time = HoldTime::from_secs(0).expect("no KEEPALIVEs");
    let id = Ipv4Addr::new(10, 99, 2, 5);
    let (speaker, _events) =
        Speaker::spawn(SpeakerConfig { peers: vec![peer], ..SpeakerConfig::new(asn(DAEMON_ASN), id) });
    let route = |n: u32| Route::new(Prefix::host(Ipv4Addr::from_bits(0xc612_0000 + n).into()));
    let set = |count: u32| (0..count).map(route).collect::<RouteSet>();
    let (all, others) = (set(vips), set(vips - 1));
    speaker.set_routes(others.clone());
    let (stream, _) = listener.accept().expect("the speaker dials");
    let mut receiver = Neighbour::over(stream, &open(RECEIVER_ASN, RECEIVER, 0)).expect("a session");
    let mut known = 0;
    while known < usize::try_from(vips - 1).expect("it fits") {
        known += receiver.hear().expect("the session stays").announced;
    }
    let (send, heard) = mpsc::channel();
    // It waits in read(2) when the message comes, as a router does.
    let listening = thread::spawn(move || {
        for _ in 0..2 * OFTEN {
            send.send(receiver.hear().expect("the session stays")).expect("somebody waits");
        }
    });
    let act = |up: bool| speaker.set_routes(if up { all.clone() } else { others.clone() });
    let name = format!("lvsd-bgp, one of {vips}, set_routes called");
    let latency = Latency::measured(name, OFTEN, act, || heard.recv().ok());
    listening.join().expect("its end");
    latency.expect("the session stays")
}
