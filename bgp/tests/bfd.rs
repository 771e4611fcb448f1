//! BFD against a real BIRD 2, over real links that are cut.

mod chain;
mod pauses;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use bgp::{
    Asn, BfdConfig, Family, PeerConfig, PeerGroup, PeerStatus, Prefix, Speaker, SpeakerConfig, StateName,
    bfd::{PathConfig, Service, State, Status, Statuses, Timing, Wanted},
    policy::{ExportFilter, ExportRule, Import, Overrides, Rule, Verdict},
};
use chain::{Bird, Chain, PATIENCE};
use pauses::Pauses;
use tokio::sync::watch;

/// The default's detection time: three times 300 ms.
const DETECTION: Duration = Duration::from_millis(900);

/// What a busy machine may add. Far below the hold time and below a second detection time.
const SLACK: Duration = Duration::from_millis(700);

/// A machine that stood still for longer may have broken paths by itself.
const STILL: Duration = Duration::from_millis(300);

const NEAR: [&str; 2] = ["10.90.0.2", "fd00:90::2"];
const FAR: [&str; 2] = ["10.91.0.3", "fd00:91::3"];

const NEAR_BIRD: &str = "
protocol bfd {
    debug { events, states, packets };
    interface \"*\" { interval 300 ms; multiplier 3; };
    neighbor 10.90.0.1;
    neighbor fd00:90::1;
}
";

const FAR_BIRD: &str = "
protocol bfd {
    debug { events, states, packets };
    multihop { interval 300 ms; multiplier 3; };
    neighbor 10.90.0.1 local 10.91.0.3 multihop;
    neighbor fd00:90::1 local fd00:91::3 multihop;
}
";

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn wanted(neighbours: &[&str], timing: Timing) -> Wanted {
    let path = |neighbour: &&str| {
        let multihop = FAR.contains(neighbour);
        (address(neighbour), PathConfig { local: None, multihop, timing })
    };
    neighbours.iter().map(path).collect()
}

async fn paths(
    statuses: &mut watch::Receiver<Statuses>,
    neighbours: &[&str],
    what: impl Fn(&Status) -> bool,
) -> Vec<Status> {
    let found = statuses
        .wait_for(|all| neighbours.iter().all(|neighbour| all.get(&address(neighbour)).is_some_and(&what)));
    let found = tokio::time::timeout(PATIENCE, found).await.map(|all| {
        all.map(|all| neighbours.iter().map(|neighbour| all[&address(neighbour)].clone()).collect())
    });
    match found {
        Ok(Ok(found)) => found,
        _ => panic!("{neighbours:?} do not get there: {:?}", statuses.borrow()),
    }
}

fn is_up(status: &Status) -> bool {
    status.state == State::Up && status.detection_time == Some(DETECTION)
}

fn bird_is_up(bird: &Bird, ours: &str) -> bool {
    bird.bfd(ours).is_some_and(|(state, timeout)| state == "Up" && (timeout - 0.9).abs() < 0.001)
}

/// How long until all of them have failed once more, but for the time in which the machine stood still.
async fn cut(
    statuses: &mut watch::Receiver<Statuses>,
    pauses: &Pauses,
    neighbours: &[&str],
    cut: impl FnOnce(),
) -> Duration {
    let failures = |all: &Statuses| {
        neighbours.iter().map(|neighbour| all[&address(neighbour)].failures).collect::<Vec<_>>()
    };
    let before = failures(&statuses.borrow());
    let (start, paused) = (Instant::now(), pauses.total());
    cut();
    let more = |all: &Statuses| failures(all).iter().zip(&before).all(|(now, before)| now > before);
    let down =
        |all: &Statuses| neighbours.iter().all(|neighbour| all[&address(neighbour)].state == State::Down);
    let found = tokio::time::timeout(PATIENCE, statuses.wait_for(|all| more(all) && down(all))).await;
    assert!(found.is_ok_and(|found| found.is_ok()), "the cut is not found: {:?}", statuses.borrow());
    let took = start.elapsed().saturating_sub(pauses.total() - paused);
    let once = failures(&statuses.borrow()).iter().zip(&before).all(|(now, before)| *now == before + 1);
    assert!(once || pauses.total() > STILL, "more than one failure: {:?}", statuses.borrow());
    took
}

#[test]
fn over_one_hop_and_several_in_both_families_a_cut_is_found_and_an_operators_down_is_none() {
    let chain = Chain::build();
    let (near, far) = (chain.bird("near", NEAR_BIRD), chain.bird("far", FAR_BIRD));
    chain.run_in("lb", async || {
        let service = Service::spawn();
        let mut statuses = service.statuses();
        let (all, pauses) = ([NEAR, FAR].concat(), Pauses::watch());
        let stood_still = || pauses.total() > STILL;
        service.set(wanted(&all, Timing::DEFAULT));
        paths(&mut statuses, &all, is_up).await;
        for (bird, ours) in [(&near, "10.90.0.1"), (&near, "fd00:90::1"), (&far, "10.90.0.1"), (&far, "fd00:90::1")] {
            bird.wait_until("BIRD has the session up, with the agreed times", || bird_is_up(bird, ours));
        }

        // An operator's down, as a stop does it, and back.
        service.set(wanted(&[NEAR[1], FAR[0], FAR[1]], Timing::DEFAULT));
        near.wait_until("BIRD hears of it", || near.log().contains("CTL received from 10.90.0.1 [AdminDown"));
        near.wait_until("its end is down", || near.bfd("10.90.0.1").is_some_and(|(state, _)| state == "Down"));
        service.set(wanted(&all, Timing::DEFAULT));
        let before = paths(&mut statuses, &all, is_up).await;
        assert!(before.iter().all(|status| status.failures == 0) || stood_still(), "{before:?}");

        // Another timing, while up.
        let patient = Timing::new(Duration::from_millis(500), 4).expect("a legal timing");
        service.set(wanted(&all, patient));
        near.wait_until("BIRD has agreed", || {
            let agreed = near.bfd("10.90.0.1");
            agreed.is_some_and(|(state, timeout)| state == "Up" && (timeout - 2.0).abs() < 0.001)
        });
        service.set(wanted(&all, Timing::DEFAULT));
        let after = paths(&mut statuses, &all, is_up).await;
        let counts = |of: &[Status]| of.iter().map(|status| (status.ups, status.failures)).collect::<Vec<_>>();
        assert!(counts(&after) == counts(&before) || stood_still(), "the sessions went on: {after:?}");

        let took = cut(&mut statuses, &pauses, &FAR, || chain.inside("far", "ip link set near down")).await;
        println!("a link between routers was cut; known after {took:?}");
        assert!(took < DETECTION + SLACK, "{took:?}");
        paths(&mut statuses, &NEAR, |status| is_up(status) && (status.failures == 0 || stood_still())).await;
        let took = cut(&mut statuses, &pauses, &NEAR, || {
            chain.inside("near", "nft 'add table inet t; add chain inet t i { type filter hook input priority 0; policy drop; }'; nft 'add chain inet t o { type filter hook output priority 0; policy drop; }'");
        })
        .await;
        println!("a router fell silent; known after {took:?}");
        assert!(took < DETECTION + SLACK, "{took:?}");

        chain.inside("near", "nft flush ruleset");
        chain.inside("far", "ip link set near up");
        chain.inside("far", "ip addr replace fd00:91::3/64 dev near nodad; ip route replace fd00:90::/64 via fd00:91::2; ip route replace 10.90.0.0/24 via 10.91.0.2");
        paths(&mut statuses, &all, is_up).await;
        service.shutdown().await;
        far.wait_until("BIRD hears of the end", || far.log().contains("CTL received from 10.90.0.1 [AdminDown"));
    });
}

fn near_bgp() -> String {
    NEAR_BIRD.replace("neighbor 10.90.0.1;", "")
        + "
protocol static { ipv4; route 203.0.113.0/24 blackhole; }
protocol bgp lb {
    local 10.90.0.2 as 65001;
    neighbor 10.90.0.1 as 64600;
    bfd on;
    hold time 90;
    connect retry time 1;
    error wait time 1, 2;
    connect delay time 1;
    ipv4 { import all; export where source = RTS_STATIC; next hop self; };
}
"
}

fn peer(timing: Timing, strict: bool) -> PeerConfig {
    let mut peer = PeerConfig::new("r1", address(NEAR[0]), Asn::new(65_001).expect("a private AS"));
    peer.families = [Family::Ipv4].into();
    peer.connect_retry = Duration::from_secs(1);
    peer.bfd = Some(BfdConfig { timing, strict });
    peer.import = Some(Import::new(vec![Rule { verdict: Verdict::ACCEPT, ..Rule::default() }]));
    peer
}

async fn status(speaker: &Speaker, what: impl Fn(&PeerStatus) -> bool) -> PeerStatus {
    status_of(speaker, "r1", what).await
}

async fn status_of(speaker: &Speaker, peer: &str, what: impl Fn(&PeerStatus) -> bool) -> PeerStatus {
    let mut status = speaker.status();
    let found = status.wait_for(|all| all.get(peer).is_some_and(&what));
    let found = tokio::time::timeout(PATIENCE, found).await.map(|found| found.map(|all| all[peer].clone()));
    match found {
        Ok(Ok(status)) => status,
        _ => panic!("the status does not come; it is {:?}", speaker.status().borrow().get(peer)),
    }
}

fn bfd_is_up(status: &PeerStatus) -> bool {
    status.bfd.as_ref().is_some_and(is_up)
}

#[test]
fn a_session_ends_when_its_router_falls_silent_and_its_routes_are_gone_and_it_comes_back() {
    let chain = Chain::build();
    let near = chain.bird("near", &near_bgp());
    chain.run_in("lb", async || {
        let pauses = Pauses::watch();
        let stood_still = || pauses.total() > STILL;
        let asn = Asn::new(64_600).expect("a private AS");
        let config = SpeakerConfig::new(asn, Ipv4Addr::new(192, 0, 2, 1));
        let peers = vec![peer(Timing::DEFAULT, true)];
        let (speaker, _events) = Speaker::spawn(SpeakerConfig { peers, ..config });
        let host: Prefix = "198.51.100.1/32".parse().expect("a prefix");
        speaker.set_routes([bgp::Route::new(host)].into_iter().collect());
        let learned = |status: &PeerStatus| status.learned.get(&Family::Ipv4) == Some(&1);
        let up = |status: &PeerStatus| status.state == StateName::Established && bfd_is_up(status);
        status(&speaker, |status| up(status) && learned(status) && status.in_sync).await;

        // Neither another timing nor another strictness resets it.
        let patient = Timing::new(Duration::from_millis(400), 3).expect("a legal timing");
        speaker.set_peers(vec![peer(patient, false)]);
        near.wait_until("BIRD has agreed", || {
            near.bfd("10.90.0.1").is_some_and(|(_, timeout)| timeout > 1.1)
        });
        speaker.set_peers(vec![peer(Timing::DEFAULT, true)]);
        let same = status(&speaker, up).await;
        assert!(same.counters.established == 1 || stood_still(), "{same:?}");

        let (before, paused) = (Instant::now(), pauses.total());
        chain.inside("near", "ip link set lb down");
        let down = status(&speaker, |status| status.state != StateName::Established).await;
        let took = before.elapsed().saturating_sub(pauses.total() - paused);
        println!("a router fell silent; its session was over after {took:?}, its hold time is 90 s");
        assert!(took < DETECTION + SLACK, "{took:?}");
        assert!(down.last_error.as_ref().is_some_and(|error| error.contains("Cease/BFD Down")), "{down:?}");
        status(&speaker, |status| !learned(status)).await;
        assert!(speaker.learned().borrow().best("203.0.113.0/24".parse().expect("a prefix")).is_none());

        chain.inside("near", "ip link set lb up");
        let again = status(&speaker, |status| up(status) && learned(status)).await;
        let failures = again.bfd.as_ref().map_or(0, |bfd| bfd.failures);
        assert!(failures == 1 || (failures > 1 && stood_still()), "{again:?}");
        near.wait_until("the VIP is back", || near.ask("show route for 198.51.100.1").contains("10.90.0.1"));

        speaker.shutdown("rack 4 moves").await;
        near.wait_until("the router reads why", || near.log().contains("rack 4 moves"));
        assert!(!near.ask("show route for 198.51.100.1").contains("10.90.0.1"));
    });
}

/// Routers of 10.90.0.0/24, which dial.
fn group(timing: Timing) -> PeerGroup {
    let asn = Asn::new(65_001).expect("a private AS");
    let mut group = PeerGroup::new("routers", "10.90.0.0/24".parse().expect("a prefix"), asn);
    group.template = peer(timing, false);
    let host = "198.51.100.0/24 ge 32".parse().expect("a range");
    let told = ExportRule { prefixes: vec![host], accept: true, ..ExportRule::default() };
    group.template.export = ExportFilter::Rules(vec![told]);
    group.template.overrides = Overrides { med: Some(50), prepend: Some(1) };
    group
}

#[test]
fn a_router_of_a_group_is_told_and_watched_as_the_group_says() {
    let chain = Chain::build();
    let near = chain.bird("near", &near_bgp());
    chain.run_in("lb", async || {
        let pauses = Pauses::watch();
        let asn = Asn::new(64_600).expect("a private AS");
        let config = SpeakerConfig::new(asn, Ipv4Addr::new(192, 0, 2, 1));
        let listen = vec![SocketAddr::new(address("10.90.0.1"), 179)];
        let (speaker, _events) =
            Speaker::spawn(SpeakerConfig { listen, groups: vec![group(Timing::DEFAULT)], ..config });
        let hosts = ["198.51.100.1/32", "203.0.113.1/32"];
        let route = |host: &str| bgp::Route::new(host.parse::<Prefix>().expect("a prefix"));
        speaker.set_routes(hosts.into_iter().map(route).collect());
        let name = "routers/10.90.0.2";
        let is_up = |status: &PeerStatus| bfd_is_up(status) && status.learned.get(&Family::Ipv4) == Some(&1);
        status_of(&speaker, name, is_up).await;
        near.wait_until("the router is told what the group says", || {
            let shown = near.ask("show route all for 198.51.100.1");
            shown.contains("BGP.med: 50") && shown.contains("BGP.as_path: 64600 64600")
        });
        assert!(
            !near.ask("show route for 203.0.113.1").contains("10.90.0.1"),
            "that is not for these routers"
        );

        let patient = Timing::new(Duration::from_millis(400), 3).expect("a legal timing");
        speaker.set_groups(vec![group(patient)]);
        near.wait_until("BIRD has agreed", || {
            near.bfd("10.90.0.1").is_some_and(|(_, timeout)| timeout > 1.1)
        });
        speaker.set_groups(vec![group(Timing::DEFAULT)]);
        let before = status_of(&speaker, name, is_up).await;
        let is_first = before.counters.established == 1;
        assert!(is_first || pauses.total() > STILL, "another timing resets nothing: {before:?}");

        chain.inside("near", "ip link set lb down");
        let down = status_of(&speaker, name, |status| status.state != StateName::Established).await;
        assert!(down.last_error.as_ref().is_some_and(|error| error.contains("Cease/BFD Down")), "{down:?}");
    });
}
