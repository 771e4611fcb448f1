//! What is asked through IPVS itself: canaries, and servers one by one.

use super::world::{World, parse};
use super::{ALL, V4, V6, WEB};
use crate::core::event::ConnectionCount;
use crate::core::view::CanaryView;
use health::{Check, Route, Verdict};
use ipvs::{DestinationKey, Entry, ServiceKey, Weight};
use std::sync::Arc;
use std::time::Duration;

/// The first mark, which a canary gets where there is nothing else.
const CANARY: [&str; 2] = ["fwmark 1819738112 v4", "fwmark 1819738112 v6"];

/// `WEB` with a canary.
fn with_canary() -> String {
    format!("{WEB}canary = {{ type = \"tcp\" }}\n")
}

/// `WEB`, its servers asked through IPVS.
fn through_ipvs() -> String {
    WEB.replace("{ type = \"tcp\" }", "{ type = \"tcp\" }, { type = \"tcp\", path = \"ipvs\" }")
}

/// The checks that bear marks, in order.
fn marked(world: &World) -> Vec<Arc<Check>> {
    world.checks.iter().filter(|check| matches!(check.route, Route::Marked { .. })).cloned().collect()
}

/// Reports a check of this display.
fn report(world: &mut World, check: &Arc<Check>, verdict: Verdict) {
    let failure = (verdict == Verdict::Down).then(|| "timed out".to_owned());
    world.event(crate::core::Event::Checked {
        check: Arc::clone(check),
        verdict,
        failure,
        advice: Default::default(),
    });
}

/// Every server and every check through IPVS passes.
fn all_up(world: &mut World) {
    world.up(&ALL);
    for check in marked(world) {
        report(world, &check, Verdict::Up);
    }
}

/// The check of a server through IPVS.
fn of_server(world: &World, address: &str) -> Arc<Check> {
    let address: std::net::IpAddr = address.parse().unwrap();
    let is_its =
        |check: &&Arc<Check>| matches!(check.route, Route::Marked { toward, .. } if toward == address);
    marked(world).iter().find(is_its).cloned().expect("a check through IPVS")
}

/// The mark's service of a server.
fn its_service(world: &World, address: &str) -> ServiceKey {
    let check = of_server(world, address);
    let Route::Marked { mark: Some(mark), .. } = check.route else { panic!("{check} has no mark") };
    ServiceKey::FwMark { family: ipvs::Family::of(check.target.ip()), mark }
}

fn entry<'w>(world: &'w World, service: &str) -> &'w Arc<Entry> {
    world.kernel.get(&service.parse().unwrap()).expect("the service")
}

fn canary(world: &World, vip: &str) -> CanaryView {
    let status = world.status();
    let canaries = &status.services[0].canaries;
    canaries.iter().find(|canary| canary.vip.to_string() == vip).expect("a canary of the VIP").clone()
}

#[test]
fn a_canary_goes_by_a_service_that_mirrors_the_pool_without_its_persistence() {
    let text = with_canary().replace("port = 80\n", "port = 80\npersistence_timeout = \"5m\"\n");
    let mut world = World::with(&text);
    assert!(marked(&world).is_empty(), "nothing is pooled yet");
    assert_eq!((canary(&world, "192.0.2.10").state.as_str(), world.kernel.len()), ("silent", 4));
    all_up(&mut world);
    world.down(&["10.64.0.12"]);
    for (service, mirror) in [V4, V6].into_iter().zip(CANARY) {
        let (service, mirror) = (entry(&world, service), entry(&world, mirror));
        assert_eq!(service.destinations, mirror.destinations);
        assert_eq!(service.service.scheduler(), mirror.service.scheduler());
        assert!(mirror.service.persistence().is_none() && mirror.service.one_packet());
    }
    assert_eq!(world.weight(CANARY[0], "10.64.0.12:80"), Some(0));
    let checks: Vec<String> = marked(&world).iter().map(ToString::to_string).collect();
    let wanted = [
        "tcp 192.0.2.10:80 with mark 0x6c770000 towards 10.64.0.11",
        "tcp [2001:db8::10]:80 with mark 0x6c770000 towards fd00::11",
    ];
    assert_eq!(checks, wanted);
}

#[test]
fn what_a_canary_says_is_told_and_changes_no_pool_and_no_route() {
    let mut world = World::with(&with_canary());
    all_up(&mut world);
    all_up(&mut world);
    assert_eq!(canary(&world, "192.0.2.10").state, "up");
    world.writes.clear();
    let (check, notices) = (marked(&world)[0].clone(), world.notices.len());
    report(&mut world, &check, Verdict::Down);
    let said = canary(&world, "192.0.2.10");
    assert_eq!(said.state, "down");
    assert!(said.reason.ends_with("towards 10.64.0.11: timed out"), "{}", said.reason);
    let told: Vec<String> = world.notices[notices..].iter().map(ToString::to_string).collect();
    assert!(
        told[0].starts_with("web: canary of 192.0.2.10: IPVS does not forward (was up): tcp "),
        "{told:?}"
    );
    assert!(world.is_announced("192.0.2.10") && world.writes.is_empty(), "{:?}", world.writes);
    assert_eq!(canary(&world, "2001:db8::10").state, "up");
    let text = crate::ctl::render::status(&world.status(), crate::ctl::render::Paint::new(false));
    assert!(text.contains("  canary of 192.0.2.10: down since "), "{text}");
}

#[test]
fn a_canary_is_not_asked_while_nothing_is_pooled() {
    let mut world = World::with(&with_canary().replace("port = 80\n", "port = 80\ndepool_threshold = 0\n"));
    all_up(&mut world);
    assert_eq!(marked(&world).len(), 2);
    world.down(&["10.64.0.11", "10.64.0.12", "10.64.0.13"]);
    assert_eq!(marked(&world).len(), 1, "that of the other family");
    assert_eq!(canary(&world, "192.0.2.10").reason, "it is not asked: nothing is pooled");
}

#[test]
fn a_server_is_asked_through_ipvs_by_a_service_of_its_own_whatever_its_weight_in_the_pool() {
    let mut world = World::with(&through_ipvs());
    all_up(&mut world);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10));
    world.depool("rs1").unwrap();
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(0));
    let entry = Arc::clone(world.kernel.get(&its_service(&world, "10.64.0.11")).expect("its service"));
    let key: DestinationKey = "10.64.0.11:0".parse().unwrap();
    assert_eq!(entry.destinations.keys().copied().collect::<Vec<_>>(), [key]);
    assert_eq!(entry.destinations[&key].weight, Weight::new(1).unwrap());
    assert_eq!(marked(&world).len(), 6);
}

#[test]
fn a_server_that_fails_through_ipvs_alone_leaves_alone() {
    let mut world = World::with(&through_ipvs());
    all_up(&mut world);
    let check = of_server(&world, "10.64.0.12");
    report(&mut world, &check, Verdict::Down);
    let weights = ["11", "12", "13"].map(|last| world.weight(V4, &format!("10.64.0.{last}:80")));
    assert_eq!(weights, [Some(10), Some(0), Some(10)]);
    assert!(world.backend("rs2").reason.contains("towards 10.64.0.12: timed out"));
}

#[test]
fn nothing_is_asked_by_a_mark_before_the_kernel_has_its_service() {
    let mut world = World::new();
    world.is_deaf = true;
    world.start(&through_ipvs());
    assert_eq!((world.checks.len(), marked(&world).len()), (6, 0));
    world.is_deaf = false;
    world.pass(Duration::from_secs(31));
    world.configure(WEB);
    world.configure(&through_ipvs());
    assert_eq!(marked(&world).len(), 6);
}

#[test]
fn a_restart_finds_each_mark_where_it_was_and_writes_nothing() {
    let text = through_ipvs() + "canary = { type = \"tcp\" }\n";
    let mut world = World::with(&text);
    all_up(&mut world);
    // A server that left and one that came: the marks are not in the order of the servers any more.
    let without =
        text.replace("{ host = \"rs1\", weight = 10, addresses = [\"10.64.0.11\", \"fd00::11\"] },", "");
    world.configure(&without);
    world.pass(Duration::from_secs(120));
    world.configure(&text);
    all_up(&mut world);
    let before: Vec<String> = marked(&world).iter().map(ToString::to_string).collect();
    world.writes.clear();
    world.saved = serde_json::from_str(&serde_json::to_string(&world.saved).unwrap()).unwrap();
    world.restart(&text);
    all_up(&mut world);
    assert_eq!(marked(&world).iter().map(ToString::to_string).collect::<Vec<_>>(), before);
    assert!(world.writes.is_empty(), "{:?}", world.writes);
}

#[test]
fn a_start_whose_pool_is_not_known_yet_leaves_the_services_of_marks_alone() {
    let start = WEB.find("backends = [").unwrap();
    let text = format!(
        "{}backends = [{{ host = \"rs1\" }}, {{ host = \"rs2\" }}]\nchecks = [{{ type = \"tcp\", path = \"ipvs\" }}]\n\
         canary = {{ type = \"tcp\" }}\n",
        &WEB[..start]
    );
    let resolved = |world: &mut World| {
        for (host, address) in [("rs1", "10.64.0.11"), ("rs2", "10.64.0.12")] {
            let outcome = Ok(vec![address.parse().unwrap()]);
            world.event(crate::core::Event::Resolved { host: host.into(), outcome });
        }
    };
    let mut world = World::with(&text);
    resolved(&mut world);
    all_up(&mut world);
    assert_eq!(marked(&world).len(), 3, "{:?}", world.checks);
    world.writes.clear();
    world.restart(&text);
    assert!(world.checks.is_empty(), "{:?}", world.checks);
    resolved(&mut world);
    all_up(&mut world);
    all_up(&mut world);
    assert!(world.writes.is_empty(), "{:?}", world.writes);
}

#[test]
fn services_of_marks_leave_with_those_who_needed_them() {
    let mut world = World::with(&(through_ipvs() + "canary = { type = \"tcp\" }\n"));
    all_up(&mut world);
    assert_eq!(world.kernel.len(), 2 + 6 + 2);
    world.configure(WEB);
    assert_eq!(world.kernel.keys().map(ToString::to_string).collect::<Vec<_>>(), [V4, V6]);
    assert!(marked(&world).is_empty() && world.saved.marks.is_empty());
    assert_eq!(world.saved.owned.len(), 2);
}

#[test]
fn another_range_of_marks_takes_the_servers_over_and_the_pool_goes_on() {
    let text = through_ipvs() + "canary = { type = \"tcp\" }\n";
    let mut world = World::with(&text);
    all_up(&mut world);
    world.configure(&format!("[ipvs]\nfirst_mark = 1000\n{text}"));
    let is_old = |key: &&ServiceKey| matches!(key, ServiceKey::FwMark { mark, .. } if mark.get() > 1100);
    assert_eq!((world.kernel.keys().filter(is_old).count(), world.kernel.len()), (0, 10));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10), "it goes on until the new check has spoken");
    assert_eq!(marked(&world).len(), 8);
}

#[test]
fn a_mark_that_somebody_else_uses_is_left_to_them() {
    let mut world = World::new();
    let foreign: ServiceKey = CANARY[1].parse().unwrap();
    let service = ipvs::Service::new(ipvs::Scheduler::Wlc, ipvs::SchedulerFlags::NONE).unwrap();
    world.kernel.insert(foreign, Entry::new(service));
    let before = world.kernel.clone();
    world.start(&with_canary());
    all_up(&mut world);
    assert_eq!(world.kernel.get(&foreign), before.get(&foreign));
    assert_eq!(marked(&world)[0].to_string(), "tcp 192.0.2.10:80 with mark 0x6c770001 towards 10.64.0.11");
}

#[test]
fn a_check_that_fails_through_ipvs_has_the_kernel_read_and_repaired_at_once() {
    let mut world = World::with(&with_canary());
    all_up(&mut world);
    all_up(&mut world);
    world.pass(Duration::from_secs(2));
    world.kernel.remove(&CANARY[0].parse().unwrap());
    let check = marked(&world)[0].clone();
    report(&mut world, &check, Verdict::Down);
    world.configure(&with_canary());
    assert!(world.state.next_wakeup() > Some(world.now + Duration::from_secs(29)), "it was read just now");
}

#[test]
fn nat_gives_a_checks_packets_the_backends_port_unless_the_check_has_its_own() {
    let text =
        through_ipvs().replace("port = 80\n", "port = 80\nforwarding = \"nat\"\nbackend_port = 8080\n");
    let mut world = World::with(&text);
    all_up(&mut world);
    let key: DestinationKey = "10.64.0.11:8080".parse().unwrap();
    let its = world.kernel.get(&its_service(&world, "10.64.0.11")).expect("its service");
    assert!(its.destinations.contains_key(&key), "{its:?}");
    let own = text.replace("path = \"ipvs\"", "path = \"ipvs\", port = 81");
    world.configure(&own);
    let key: DestinationKey = "10.64.0.11:0".parse().unwrap();
    let its = world.kernel.get(&its_service(&world, "10.64.0.11")).expect("its service");
    assert!(its.destinations.contains_key(&key), "{its:?}");
    assert!(marked(&world).iter().all(|check| check.target.port() == 81));
}

#[test]
fn servers_of_several_services_are_asked_by_one_mark() {
    let second = "[service.other]\nvips = [\"192.0.2.10\"]\nport = 443\n\
                  backends = [{ host = \"rs1\", addresses = [\"10.64.0.11\", \"fd00::11\"] }]\n\
                  checks = [{ type = \"tcp\", path = \"ipvs\" }]\n";
    let mut world = World::with(&(through_ipvs() + second));
    all_up(&mut world);
    assert_eq!((marked(&world).len(), world.saved.marks.len()), (7, 6));
    // It stays for the one when the other leaves.
    world.configure(second);
    world.pass(Duration::from_secs(3));
    assert_eq!(marked(&world).len(), 1);
    assert_eq!(world.saved.marks.len(), 1);
}

#[test]
fn a_backend_that_drains_drains_in_the_canarys_service_as_well() {
    let mut world = World::with(&with_canary());
    all_up(&mut world);
    world.connections = vec![ConnectionCount {
        service: V4.parse().unwrap(),
        destination: "10.64.0.11:80".parse().unwrap(),
        connections: 1,
    }];
    let without = "{ host = \"rs1\", weight = 10, addresses = [\"10.64.0.11\", \"fd00::11\"] },";
    world.configure(&with_canary().replace(without, ""));
    assert_eq!(world.weight(CANARY[0], "10.64.0.11:80"), Some(0));
    world.pass(Duration::from_secs(120));
    assert_eq!(world.weight(CANARY[0], "10.64.0.11:80"), None);
}

#[test]
fn a_plan_names_what_canaries_and_marks_would_add() {
    let mut world = World::with(WEB);
    all_up(&mut world);
    let config = Arc::new(parse(&with_canary()));
    let plan = crate::core::plan::plan(&world.state, config, world.now);
    let is_canarys = |line: &&String| line.contains("fwmark 1819738112");
    assert!(plan.kernel.iter().any(|line| is_canarys(&line)), "{:?}", plan.kernel);
    assert_eq!(plan.checks_started.len(), 2, "{:?}", plan.checks_started);
}
