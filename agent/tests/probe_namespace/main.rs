//! The probe namespace on this machine's own kernel: a balancer, a switch and two servers in network namespaces of
//! theirs. Needs root and Debian's iproute2.

mod segment;

use health::probe::probe;
use health::{Check, Failure, Kind, Route, Timing};
use lvsd::exec::probes::Handle;
use lvsd::probes::wire::{Answer, Channel, Request, Suspicion};
use segment::{PORT, Segment, VIPS, eventually};
use std::net::SocketAddr;
use std::time::Duration;

/// As long as a machine under load may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Checks of the port on the VIP of a family (0: IPv4, 1: IPv6), handed to a server (1, 2).
fn by_vip(family: usize, server: usize) -> Check {
    let target = SocketAddr::new(VIPS[family], PORT);
    let route = Route::Through { server: segment::address(family, server), encapsulation: None };
    Check::new(target, Kind::Tcp, timing()).by(route)
}

fn timing() -> Timing {
    Timing::new(LIMIT, LIMIT, 3, 2).expect("a timing")
}

/// All checks by VIP: of both families and both servers.
fn all() -> Vec<Check> {
    [(0, 1), (0, 2), (1, 1), (1, 2)].map(|(family, server)| by_vip(family, server)).into()
}

/// Waits until the namespace serves these checks.
async fn ready(handle: &Handle, checks: &[Check]) {
    handle.set(checks);
    let is_so = |view: &lvsd::core::view::ProbesView| view.is_up && view.servers == checks.len();
    let mut view = handle.view();
    let waited = tokio::time::timeout(LIMIT, view.wait_for(is_so)).await;
    assert_eq!(waited.expect("in time").expect("it lives").refused.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_by_vip_reaches_exactly_its_server_and_fails_without_the_vip_on_its_lo() {
    let segment = Segment::new("reach");
    segment.up();
    let _serve = segment.serve();
    let handle = Handle::spawn(segment.settings());
    ready(&handle, &all()).await;
    for (family, server) in [(0, 1), (0, 2), (1, 1), (1, 2)] {
        let before = segment.accepted();
        probe(&by_vip(family, server), &handle.sockets(), 0).await.expect("up");
        let mut wanted = before;
        wanted[server - 1] += 1;
        eventually("the server has taken the connection", || segment.accepted() == wanted);
    }

    segment.ip(&format!("-n {} addr del {}/32 dev lo", segment.server(2), VIPS[0]));
    segment.ip(&format!("-n {} addr del {}/128 dev lo", segment.server(2), VIPS[1]));
    for family in [0, 1] {
        let short = Timing::new(Duration::from_secs(10), Duration::from_secs(1), 3, 2).expect("a timing");
        let check = Check { timing: short, ..by_vip(family, 2) };
        let failure = probe(&check, &handle.sockets(), 0).await.expect_err("no VIP there");
        assert!(!failure.is_inconclusive(), "{failure}");
        probe(&by_vip(family, 1), &handle.sockets(), 0).await.expect("the other server is up");
    }
    segment.ip(&format!("-n {} addr add {}/32 dev lo", segment.server(2), VIPS[0]));
    probe(&by_vip(0, 2), &handle.sockets(), 0).await.expect("up again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_inside_may_be_killed_and_marks_stay_those_of_their_servers() {
    let segment = Segment::new("kill");
    segment.up();
    let mut serve = segment.serve();
    let handle = Handle::spawn(segment.settings());
    // The second server is told first, so that its mark is not the one that a new start would give.
    ready(&handle, &[by_vip(0, 2)]).await;
    ready(&handle, &all()).await;
    let rules = segment.rules();
    serve.kill();
    let mut view = handle.view();
    let gone = tokio::time::timeout(LIMIT, view.wait_for(|view| !view.is_up)).await;
    drop(gone.expect("in time").expect("it lives"));
    let failure = probe(&by_vip(0, 1), &handle.sockets(), 0).await.expect_err("nobody hands sockets over");
    assert!(matches!(failure, Failure::Local { .. }), "{failure}");

    let _serve = segment.serve();
    ready(&handle, &all()).await;
    assert_eq!(segment.rules(), rules);
    for check in all() {
        probe(&check, &handle.sockets(), 0).await.unwrap_or_else(|failure| panic!("{check}: {failure}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_routes_are_those_of_the_wanted_servers_and_foreign_ones_stay() {
    let segment = Segment::new("rules");
    segment.up();
    let _serve = segment.serve();
    let namespace = segment.namespace();
    segment.ip(&format!("-n {namespace} rule add fwmark 0x1001 lookup 7 pref 500"));
    segment.ip(&format!("-n {namespace} route add 198.51.100.0/24 dev lo table 4097"));
    let handle = Handle::spawn(segment.settings());
    ready(&handle, &all()).await;
    assert_eq!(segment.rules().len(), 4, "{:?}", segment.rules());
    ready(&handle, &[by_vip(0, 2)]).await;
    let rules = segment.rules();
    assert_eq!(rules.len(), 1, "{rules:?}");
    assert!(segment.ip(&format!("-n {namespace} rule")).contains("500:\tfrom all fwmark 0x1001 lookup 7"));
    let routes = segment.ip(&format!("-n {namespace} route show table all"));
    assert!(routes.contains("198.51.100.0/24 dev lo table 4097"), "{routes}");
    assert_eq!(routes.matches("default via").count(), 1, "{routes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_namespace_is_brought_to_its_configuration_and_taken_down_whole() {
    let segment = Segment::new("life");
    segment.up();
    let namespace = segment.namespace();
    let link = || segment.ip(&format!("-n {namespace} -o link show eth0"));
    let before = link();
    segment.ip(&format!("-n {namespace} addr add 10.64.0.99/24 dev eth0"));
    segment.up();
    assert_eq!(link(), before, "the interface was left alone");
    let addresses = segment.ip(&format!("-n {namespace} -o addr show dev eth0"));
    assert!(addresses.contains("10.64.0.201/24") && addresses.contains("fd00:64::201/64"), "{addresses}");
    assert!(!addresses.contains("10.64.0.99"), "{addresses}");
    segment.down();
    assert!(!segment.ip("netns").contains(&namespace));
    segment.down();
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_of_its_namespace_it_serves_nothing_and_says_where_to() {
    let segment = Segment::new("outside");
    segment.up();
    let said = segment.lvsd_in(&segment.balancer(), &["probes", "serve"]);
    assert!(said.contains("start lvsd-probes.service"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_for_a_vip_is_found_though_another_host_answers_as_well() {
    let segment = Segment::new("answers");
    segment.up();
    let _serve = segment.serve();
    ready(&Handle::spawn(segment.settings()), &all()).await;
    let question = || {
        let suspicions = [(0, 1), (0, 2), (1, 1), (1, 2)];
        let suspicion =
            |(family, server)| Suspicion { server: segment::address(family, server), vip: VIPS[family] };
        Request::WhoAnswers(suspicions.map(suspicion).into())
    };
    let mut channel = Channel::connect(&segment.settings().socket).expect("it listens");
    let mut ask = async || {
        channel.send(&question(), &[]).await.expect("it is asked");
        match channel.receive().await.expect("it answers") {
            Some((Answer::Answering { found, unasked: 0 }, _)) => {
                found.into_iter().map(|(suspicion, _)| suspicion).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask().await, []);
    // The switch stands for another balancer: it answers for everything that it has.
    segment.on_the_switch();
    assert_eq!(ask().await, []);
    segment.let_answer(2);
    let wrong = [0, 1].map(|family| Suspicion { server: segment::address(family, 2), vip: VIPS[family] });
    // Whoever is held up for too long to answer is not seen by one question.
    let begun = std::time::Instant::now();
    loop {
        let found = ask().await;
        if found == wrong {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{found:?} answer, not {wrong:?}");
    }
}
