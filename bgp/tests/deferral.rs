//! Back after a crash, with graceful restart: no router waits for another.

mod pauses;
mod played;

use std::{
    net::{IpAddr, Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use bgp::{
    Asn, Family, PeerConfig, Speaker, SpeakerConfig, StateName,
    policy::{Import, Rule, Verdict},
    speaker::Statuses,
    wire::{Capability, GracefulRestart, Open, PreservedFamily},
};
use pauses::Pauses;
use played::*;

/// Less than any timer that could be waited for: the least is the 3 s in which withdrawals are to be read at the end.
const AT_ONCE: Duration = Duration::from_millis(2500);

/// An UPDATE that announces 10.67.1.0/24: no withdrawals, 20 octets of attributes (IGP, a path of 65001, next hop
/// 192.0.2.254).
const A_ROUTE: [u8; 47] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 47, 2,
    0, 0, 0, 20, 0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9, 0x40, 3, 4, 192, 0, 2, 254, 24, 10, 67,
    1,
];

/// A router at an address of its own.
struct Router {
    listener: TcpListener,
    config: PeerConfig,
}

impl Router {
    fn new(name: &str, last: u8) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 1, last), 0)).expect("a free port");
        let address = IpAddr::from(Ipv4Addr::new(127, 0, 1, last));
        let all = Rule { verdict: Verdict::ACCEPT, ..Rule::default() };
        let import = Some(Import::new(vec![all]));
        let config = PeerConfig { name: name.into(), address, import, ..peer(&listener) };
        Self { listener, config }
    }
}

/// The OPEN of a router with graceful restart, which itself comes back from one if `restarting`.
fn helper(restarting: bool) -> Open {
    let family = |family: Family| PreservedFamily { afi: family.afi(), safi: 1, forwarding: true };
    let families = Family::ALL.map(family).into();
    let restart = GracefulRestart { restarting, restart_time: 120, families, ..GracefulRestart::default() };
    let mut open = open(90);
    open.capabilities.push(Capability::GracefulRestart(restart));
    open
}

/// Hears both VIPs and the end of both families.
fn hears_everything(neighbour: &mut Neighbour) {
    let wanted = [
        Heard::Announced(prefixes(&["198.51.100.1/32"])),
        Heard::Announced(prefixes(&["2001:db8::5/128"])),
        Heard::EndOfRib(Family::Ipv4),
        Heard::EndOfRib(Family::Ipv6),
    ];
    wanted.into_iter().for_each(|one| assert_eq!(neighbour.hear_news(), one));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_routers_are_told_at_once_whatever_others_never_say_and_whoever_never_returns() {
    let names = ["no-end-of-rib", "restarts-too", "silent", "no-keepalive", "gone"];
    let mut routers: Vec<_> = (1..).zip(names).map(|(last, name)| Router::new(name, last)).collect();
    let gone = routers.pop().expect("five");
    let peers = routers.iter().chain([&gone]).map(|router| router.config.clone()).collect();
    drop(gone.listener);
    let config = SpeakerConfig::new(Asn::new(64_600).expect("a private AS"), Ipv4Addr::new(192, 0, 2, 1));
    let (speaker, _events) = Speaker::spawn(SpeakerConfig { restarting: true, peers, ..config });

    let (mut first, ours) = Neighbour::establish_as(&routers[0].listener, &helper(false));
    assert!(ours.graceful_restart().expect("it is offered").restarting);
    let (mut second, _) = Neighbour::establish_as(&routers[1].listener, &helper(true));
    let _silent = Neighbour::accept(&routers[2].listener);
    let mut half = Neighbour::accept(&routers[3].listener);
    half.say(|out| open(90).encode(out).expect("it fits"));

    // What the machine stands still is waited for nobody.
    let (start, pauses) = (Instant::now(), Pauses::watch());
    speaker.set_routes(routes(&["198.51.100.1/32", "2001:db8::5/128"]));
    hears_everything(&mut first);
    hears_everything(&mut second);
    let took = start.elapsed().saturating_sub(pauses.total());
    assert!(took < AT_ONCE, "{took:?}");

    // Nor does what one tells wait for its End-of-RIB.
    let (start, pauses) = (Instant::now(), Pauses::watch());
    first.say(|out| out.extend_from_slice(&A_ROUTE));
    let mut learned = speaker.learned();
    let came = learned.wait_for(|table| table.len() == 1);
    assert!(tokio::time::timeout(PATIENCE, came).await.is_ok_and(|table| table.is_ok()), "it is not learned");
    let took = start.elapsed().saturating_sub(pauses.total());
    assert!(took < AT_ONCE, "{took:?}");

    // A change goes out while the others are still not there; one that comes back late is told then.
    speaker.set_routes(routes(&["198.51.100.1/32"]));
    for neighbour in [&mut first, &mut second] {
        assert_eq!(neighbour.hear_news(), Heard::Withdrawn(prefixes(&["2001:db8::5/128"])));
    }
    let up = |all: &Statuses| {
        let up = all.iter().filter(|(_, peer)| peer.state == StateName::Established);
        up.map(|(name, _)| name.as_str()).eq(["no-end-of-rib", "restarts-too"])
    };
    let mut statuses = speaker.status();
    let shown = tokio::time::timeout(PATIENCE, statuses.wait_for(up)).await.is_ok_and(|all| all.is_ok());
    assert!(shown, "{:?}", speaker.status().borrow());
    let late = TcpListener::bind((gone.config.address, gone.config.port)).expect("its port is free");
    let (mut late, _) = Neighbour::establish_as(&late, &helper(false));
    assert_eq!(late.hear_news(), Heard::Announced(prefixes(&["198.51.100.1/32"])));
    let stopping = tokio::time::timeout(PATIENCE, speaker.shutdown("done")).await;
    assert!(stopping.is_ok(), "the end waits for somebody");
}
