//! Start, health, restart, reload, stop.

use super::world::World;
use super::{ALL, V4, V6, WEB, running};
use crate::config;
use crate::core::Event;
use crate::core::found::{Finding, FoundService};
use health::Verdict;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn nobody_is_pooled_before_its_first_result() {
    let mut world = World::with(WEB);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(0));
    assert_eq!(world.routes, None, "routers are told nothing before anything is known");
    world.up(&["10.64.0.11"]);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(0));
    assert_eq!(world.weight(V6, "[fd00::11]:80"), Some(0));
    assert_eq!(world.backend("rs2").standing, "awaiting-checks");
}

#[test]
fn a_vip_is_announced_once_everything_has_spoken() {
    let mut world = World::with(WEB);
    world.up(&ALL[..5]);
    assert!(!world.status().ready);
    world.up(&ALL[5..]);
    assert!(world.status().ready);
    assert!(world.is_announced("192.0.2.10") && world.is_announced("2001:db8::10"));
}

#[test]
fn a_first_failure_is_result_enough_to_be_ready() {
    let mut world = World::with(WEB);
    world.up(&ALL[..5]);
    world.report("fd00::13", Verdict::Unknown);
    assert!(world.status().ready);
    assert_eq!(world.weight(V6, "[fd00::13]:80"), Some(0));
}

#[test]
fn a_check_that_never_speaks_delays_the_start_by_the_grace_only() {
    let mut world = World::with(WEB);
    world.up(&ALL[..5]);
    world.pass(Duration::from_millis(9_999));
    assert_eq!(world.routes, None);
    world.pass(Duration::from_millis(1));
    assert!(world.is_announced("192.0.2.10") && world.is_announced("2001:db8::10"));
}

/// A cluster may have services by itself.
const CLUSTER: &str = r#"
[source.k8s]
type = "kubernetes"
class = "example.org/lvsd"
address_pool = [{ name = "public", addresses = ["192.0.2.16/28"] }]
"#;

fn says(world: &mut World, services: Vec<FoundService>) {
    world.event(Event::ServicesSaid { source: "k8s".into(), services, whole: true });
}

#[test]
fn a_first_start_is_ready_when_a_source_of_services_has_said_them_and_they_are_served() {
    let mut world = World::with(&format!("{WEB}{CLUSTER}"));
    world.up(&ALL);
    assert!(!world.status().ready, "nobody knows yet what there is to be served");
    let text = "[service.\"k8s.a\"]\nvips = [\"192.0.2.20\"]\nport = 80\nchecks = [{ type = \"tcp\" }]\nbackends = [{ host = \"10.64.0.21\" }]\n";
    let config = config::parse(&[("k8s".into(), text.into())]).unwrap();
    let finding = Finding::Served(Arc::clone(&config.services["k8s.a"]));
    says(&mut world, vec![FoundService { name: "k8s.a".into(), finding, created: None }]);
    assert!(!world.status().ready, "its backend's check has not spoken");
    world.up(&["10.64.0.21"]);
    assert!(world.status().ready && world.is_announced("192.0.2.20") && world.is_announced("192.0.2.10"));
}

#[test]
fn a_first_start_with_an_empty_cluster_is_ready() {
    let mut world = World::with(&format!("{WEB}{CLUSTER}"));
    world.up(&ALL);
    says(&mut world, Vec::new());
    assert!(world.status().ready && world.is_announced("192.0.2.10"));
}

#[test]
fn a_source_of_services_that_is_away_at_the_start_keeps_nobody_else_from_being_served() {
    let mut world = World::with(&format!("{WEB}{CLUSTER}"));
    world.up(&ALL);
    world.event(Event::SourceSaid { source: "k8s".into(), outcome: Err("connection refused".into()) });
    assert!(world.status().ready && world.is_announced("192.0.2.10"));
}

#[test]
fn a_source_of_services_that_is_silent_at_the_start_delays_it_by_the_grace_only_and_is_named() {
    let mut world = World::with(&format!("{WEB}{CLUSTER}"));
    world.up(&ALL);
    world.pass(Duration::from_millis(9_999));
    assert!(!world.status().ready && !world.is_announced("192.0.2.10"));
    world.pass(Duration::from_millis(1));
    assert!(world.status().ready && world.is_announced("192.0.2.10"));
    let said: Vec<_> =
        world.notices.iter().map(ToString::to_string).filter(|n| n.contains("ready")).collect();
    assert!(said[0].contains("k8s has not said its services"), "{said:?}");
}

#[test]
fn a_backend_that_fails_loses_its_weight_and_says_why() {
    let mut world = running();
    world.down(&["10.64.0.12"]);
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(0));
    assert_eq!(world.weight(V6, "[fd00::12]:80"), Some(10), "the other family is a pool of its own");
    assert_eq!(world.writes.len(), 1, "one message for one flap: {:?}", world.writes);
    let backend = world.backend("rs2");
    assert_eq!((backend.standing.as_str(), backend.health.as_str()), ("down", "down"));
    assert_eq!(backend.reason, "tcp 10.64.0.12:80: connection refused");
    world.up(&["10.64.0.12"]);
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10));
}

#[test]
fn health_never_takes_a_pool_below_its_threshold() {
    let mut world = running();
    for address in ["10.64.0.11", "10.64.0.12", "10.64.0.13"] {
        world.down(&[address]);
        world.pass(Duration::from_secs(1));
    }
    let weights = ["10.64.0.11:80", "10.64.0.12:80", "10.64.0.13:80"].map(|d| world.weight(V4, d));
    assert_eq!(weights, [Some(0), Some(10), Some(10)], "half of three is two: the latest to fail stay");
    assert_eq!(world.backend("rs3").standing, "held-though-down");
    assert!(world.backend("rs3").reason.contains("asks for 2 of 3"), "{}", world.backend("rs3").reason);
}

#[test]
fn a_vip_on_which_nothing_can_serve_is_withdrawn_and_comes_back() {
    let mut world = running();
    world.down(&["10.64.0.11", "10.64.0.12", "10.64.0.13"]);
    assert!(!world.is_announced("192.0.2.10"), "held though down is not serving");
    assert!(world.is_announced("2001:db8::10"));
    world.up(&["10.64.0.12"]);
    assert!(world.is_announced("192.0.2.10"));
}

#[test]
fn a_withdrawal_waits_for_its_hold_and_is_forgotten_on_recovery() {
    let text = WEB.replace("[bgp]", "[bgp]\nwithdraw_hold = \"3s\"");
    let mut world = World::with(&text);
    world.up(&ALL);
    world.down(&ALL);
    world.pass(Duration::from_millis(2_999));
    assert!(world.is_announced("192.0.2.10"));
    world.up(&ALL);
    world.down(&ALL);
    world.pass(Duration::from_millis(2_999));
    assert!(world.is_announced("192.0.2.10"), "the hold begins anew");
    world.pass(Duration::from_millis(1));
    assert!(!world.is_announced("192.0.2.10"));
}

#[test]
fn a_restart_with_nothing_changed_writes_nothing_and_announces_at_once() {
    let mut world = running();
    world.down(&["10.64.0.12"]);
    world.writes.clear();
    world.saves = 0;
    let kernel = world.kernel.clone();
    world.restart(WEB);
    assert!(
        world.is_announced("192.0.2.10"),
        "what the kernel serves is announced without waiting for checks"
    );
    assert_eq!(world.backend("rs1").standing, "adopted");
    world.up(&["10.64.0.11", "10.64.0.13", "fd00::11", "fd00::12", "fd00::13"]);
    world.down(&["10.64.0.12"]);
    assert_eq!(world.writes, [], "the kernel is written to though nothing has changed");
    assert_eq!((world.kernel.clone(), world.saves), (kernel, 0));
}

#[test]
fn a_service_that_the_configuration_lost_while_lvsd_was_down_is_removed() {
    let mut world = World::with(&format!("{WEB}\n{OTHER}"));
    world.up(&ALL);
    world.restart(WEB);
    assert!(world.kernel.get(&"tcp 192.0.2.11:443".parse().unwrap()).is_none());
    assert!(!world.addresses.contains(&"192.0.2.11".parse().unwrap()));
    assert!(!world.saved.owned.contains(&"tcp 192.0.2.11:443".parse().unwrap()));
}

const OTHER: &str = r#"
[service.other]
vips = ["192.0.2.11"]
port = 443
backends = [{ host = "10.64.0.11" }, { host = "10.64.0.12" }]
checks = [{ type = "tcp" }]
"#;

#[test]
fn foreign_services_are_left_alone_over_start_reload_and_restart() {
    let mut world = World::new();
    let foreign = super::World::with(OTHER);
    world.kernel = foreign.kernel.clone();
    world.start(WEB);
    world.up(&ALL);
    world.configure(&WEB.replace("port = 80", "port = 81"));
    world.pass(Duration::from_secs(60));
    world.restart(WEB);
    let key = "tcp 192.0.2.11:443".parse().unwrap();
    assert_eq!(world.kernel.get(&key), foreign.kernel.get(&key));
    assert_eq!(world.status().foreign_services, 1);
}

#[test]
fn a_reload_that_changes_nothing_does_nothing() {
    let mut world = running();
    let checks = world.checks.clone();
    world.configure(WEB);
    assert_eq!(world.writes, []);
    assert_eq!(world.checks, checks);
    assert!(world.is_announced("192.0.2.10"));
}

#[test]
fn a_reload_that_changes_an_interval_keeps_every_weight_until_the_new_checks_speak() {
    let mut world = running();
    world.configure(&WEB.replace("{ type = \"tcp\" }", "{ type = \"tcp\", interval = \"7s\" }"));
    assert_eq!(world.writes, []);
    assert_eq!(world.backend("rs1").standing, "adopted");
    world.down(&["10.64.0.11"]);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(0));
}

#[test]
fn a_reload_that_adds_a_service_touches_only_that() {
    let mut world = running();
    world.configure(&format!("{WEB}\n{OTHER}"));
    assert!(
        world.writes.iter().all(|op| op.service().to_string() == "tcp 192.0.2.11:443"),
        "{:?}",
        world.writes
    );
    assert!(!world.is_announced("192.0.2.11"));
    world.up(&["10.64.0.11"]);
    assert!(world.is_announced("192.0.2.11"));
}

#[test]
fn a_service_that_is_removed_is_withdrawn_first_and_serves_until_traffic_has_moved() {
    let mut world = World::with(&format!("{WEB}\n{OTHER}"));
    world.up(&ALL);
    let key = "tcp 192.0.2.11:443".parse().unwrap();
    world.configure(WEB);
    assert!(!world.is_announced("192.0.2.11"));
    assert!(world.kernel.contains_key(&key) && world.addresses.contains(&"192.0.2.11".parse().unwrap()));
    world.pass(Duration::from_secs(2));
    assert!(!world.kernel.contains_key(&key) && !world.addresses.contains(&"192.0.2.11".parse().unwrap()));
    assert!(!world.saved.owned.contains(&key), "what is gone from the kernel is not ours any more");
}

#[test]
fn a_failing_service_does_not_take_a_shared_vip_down() {
    let shared = OTHER.replace("192.0.2.11", "192.0.2.10");
    let mut world = World::with(&format!("{WEB}\n{shared}"));
    world.up(&ALL);
    for check in world.checks.clone().into_iter().filter(|check| check.target.port() == 443) {
        let failure = Some("timeout".into());
        world.event(crate::core::Event::Checked {
            check,
            verdict: Verdict::Down,
            failure,
            advice: Default::default(),
        });
    }
    assert!(world.is_announced("192.0.2.10"));
}

#[test]
fn a_stop_withdraws_first_waits_and_leaves_the_kernel_serving() {
    let mut world = running();
    let kernel = world.kernel.clone();
    world.event(crate::core::Event::Stop);
    assert!(world.is_announced("192.0.2.10"), "it asks routers to prefer others");
    world.pass(Duration::from_secs(2));
    assert!(!world.is_announced("192.0.2.10") && !world.has_exited);
    world.down(&["10.64.0.11"]);
    world.up(&["10.64.0.11"]);
    world.pass(Duration::from_millis(1_999));
    assert!(!world.has_exited);
    world.pass(Duration::from_millis(1));
    assert!(world.has_exited);
    assert_eq!(world.kernel, kernel);
    assert!(world.addresses.contains(&"192.0.2.10".parse().unwrap()));
}

#[test]
fn a_second_stop_exits_at_once() {
    let mut world = running();
    world.event(crate::core::Event::Stop);
    world.event(crate::core::Event::Stop);
    assert!(world.has_exited);
}

#[test]
fn the_kernel_is_read_again_periodically() {
    let mut world = running();
    let reads = world.reads;
    world.pass(Duration::from_secs(29));
    assert_eq!(world.reads, reads, "resync_interval is 30 s");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.reads, reads + 1);
}

#[test]
fn a_kernel_that_does_not_answer_delays_the_first_announcement() {
    let mut world = World::new();
    world.is_deaf = true;
    world.start(WEB);
    world.up(&ALL);
    assert_eq!(world.routes, None);
    world.pass(Duration::from_secs(10));
    assert!(!world.is_announced("192.0.2.10"), "announced without a service in the kernel");
}

#[test]
fn what_is_only_held_though_down_is_not_announced_by_a_restart_or_a_change_of_its_checks() {
    let mut world = running();
    world.down(&["10.64.0.11", "10.64.0.12", "10.64.0.13"]);
    assert!(!world.is_announced("192.0.2.10"));
    let other_checks = WEB.replace("{ type = \"tcp\" }", "{ type = \"tcp\", interval = \"7s\" }");
    world.configure(&other_checks);
    assert!(!world.is_announced("192.0.2.10"), "announced by a reload");
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10), "it is held until the new checks have spoken");
    world.restart(WEB);
    assert!(
        world.is_announced("2001:db8::10") && !world.is_announced("192.0.2.10"),
        "announced by a restart"
    );
    world.up(&["10.64.0.11"]);
    assert!(world.is_announced("192.0.2.10"));
    world.restart(WEB);
    assert!(world.is_announced("192.0.2.10"), "trust comes back");
}

/// `WEB` with something said of its IPv4 VIP.
fn with_policy(policy: &str) -> String {
    format!("{WEB}\n{OTHER}\n[vip.\"192.0.2.10\"]\n{policy}\n").replace("\"192.0.2.11\"", "\"192.0.2.10\"")
}

fn fail_port(world: &mut World, port: u16, verdict: Verdict) {
    for check in world.checks.clone().into_iter().filter(|check| check.target.port() == port) {
        let failure = Some("timeout".into());
        world.event(crate::core::Event::Checked { check, verdict, failure, advice: Default::default() });
    }
}

#[test]
fn a_vip_with_the_policy_all_needs_every_service_on_it() {
    let mut world = World::with(&with_policy("announce = \"all\""));
    world.up(&ALL);
    assert!(world.is_announced("192.0.2.10"));
    fail_port(&mut world, 443, Verdict::Down);
    assert!(!world.is_announced("192.0.2.10"));
    fail_port(&mut world, 443, Verdict::Up);
    assert!(world.is_announced("192.0.2.10"));
}

#[test]
fn a_vip_with_the_policy_always_is_announced_even_when_nothing_can_serve() {
    let mut world = World::with(&with_policy("announce = \"always\""));
    world.down(&ALL);
    world.pass(Duration::from_secs(20));
    assert!(world.is_announced("192.0.2.10"));
    assert!(!world.is_announced("2001:db8::10"));
}

#[test]
fn a_vip_that_was_withdrawn_waits_for_its_announce_hold() {
    let mut world = World::with(&with_policy("announce_hold = \"30s\""));
    world.up(&ALL);
    assert!(world.is_announced("192.0.2.10"), "the first announcement waits for nothing");
    world.down(&ALL);
    assert!(!world.is_announced("192.0.2.10"));
    world.up(&ALL);
    world.pass(Duration::from_millis(29_999));
    assert!(!world.is_announced("192.0.2.10"));
    world.pass(Duration::from_millis(1));
    assert!(world.is_announced("192.0.2.10"));
}

#[test]
fn a_backend_that_comes_back_starts_slowly_when_configured_so() {
    let mut world = World::with(&WEB.replace("port = 80\n", "port = 80\nslow_start = \"10s\"\n"));
    world.up(&ALL);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10));
    world.down(&["10.64.0.12"]);
    world.up(&["10.64.0.12"]);
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(1));
    assert!(world.backend("rs2").reason.contains("its full weight is 10"), "{}", world.backend("rs2").reason);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(6));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10));
    assert_eq!(world.backend("rs2").reason, "its check passes");
}

#[test]
fn a_restart_does_not_start_slowly_what_served_already() {
    let text = WEB.replace("port = 80\n", "port = 80\nslow_start = \"10s\"\n");
    let mut world = World::with(&text);
    world.up(&ALL);
    world.pass(Duration::from_secs(10));
    world.writes.clear();
    world.restart(&text);
    world.up(&ALL);
    assert_eq!(world.writes, []);
}
