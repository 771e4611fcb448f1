//! Whether backends are on a link of the balancer's own.

use super::world::World;
use super::{ALL, V4, WEB, running};
use crate::core::Event;
use crate::core::path::Path;
use std::collections::BTreeSet;
use std::time::Duration;

fn gateway() -> Path {
    Path::Gateway { interface: "eth0".into(), gateway: "10.64.0.251".parse().unwrap() }
}

fn straight() -> Path {
    Path::Direct { interface: "eth1".into() }
}

#[test]
fn a_backend_behind_a_gateway_is_not_pooled_and_says_why() {
    let mut world = running();
    world.reroute("10.64.0.12", gateway());
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(0));
    let backend = world.backend("rs2");
    assert_eq!((backend.standing.as_str(), backend.on_link), ("off-link", Some(false)));
    assert!(backend.reason.contains("gateway 10.64.0.251 on eth0"), "{}", backend.reason);
    assert!(backend.reason.contains("require_on_link"), "{}", backend.reason);
    let notice = world.notices.iter().find(|notice| notice.what.starts_with("off-link")).expect("it is said");
    assert!(notice.reason.contains("10.64.0.251"), "{notice}");
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10));
    world.reroute("10.64.0.12", straight());
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10));
    assert!(world.backend("rs2").path.contains("eth1"));
}

#[test]
fn one_that_is_local_or_unreachable_is_not_pooled_either() {
    let mut world = running();
    world.reroute("10.64.0.11", Path::Local);
    world.reroute("10.64.0.12", Path::Unreachable { error: "No route to host".into() });
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(0));
    assert!(world.backend("rs2").reason.contains("No route to host"));
}

#[test]
fn nobody_off_link_is_held_for_the_threshold_and_the_vip_goes_when_all_are() {
    let mut world = running();
    for address in ["10.64.0.11", "10.64.0.12", "10.64.0.13"] {
        world.reroute(address, gateway());
    }
    world.down(&["10.64.0.11"]);
    for destination in ["10.64.0.11:80", "10.64.0.12:80", "10.64.0.13:80"] {
        assert_eq!(world.weight(V4, destination), Some(0));
    }
    assert!(!world.is_announced("192.0.2.10") && world.is_announced("2001:db8::10"));
}

#[test]
fn the_rule_can_be_switched_off_and_it_is_said_all_the_same() {
    let mut world = running();
    world.reroute("10.64.0.12", gateway());
    world.configure(&WEB.replace("scheduler = \"mh\"", "scheduler = \"mh\"\nrequire_on_link = false"));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10));
    let backend = world.backend("rs2");
    assert_eq!((backend.standing.as_str(), backend.on_link), ("pooled", Some(false)));
    assert!(backend.reason.contains("gateway 10.64.0.251"), "{}", backend.reason);
}

#[test]
fn a_way_that_is_not_known_delays_the_start_by_the_grace_only_and_changes_nothing_then() {
    let mut world = World::new();
    world.is_blind = true;
    world.start(WEB);
    world.up(&ALL);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), None, "{:?}", world.writes);
    assert_eq!(world.backend("rs1").on_link, None);
    assert_eq!(world.backend("rs1").reason, "where its packets go is not known yet");
    assert!(!world.status().ready);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10));
    assert!(world.is_announced("192.0.2.10"));
}

#[test]
fn a_stop_while_ways_are_waited_for_leaves_the_kernel_as_it_is() {
    let mut world = World::new();
    world.is_blind = true;
    world.start(WEB);
    world.event(Event::Stop);
    world.pass(Duration::from_secs(10));
    assert!(world.has_exited && world.writes.is_empty(), "{:?}", world.writes);
}

#[test]
fn the_start_waits_for_the_ways_and_no_longer() {
    let mut world = World::new();
    world.is_blind = true;
    world.start(WEB);
    world.up(&ALL);
    assert!(!world.status().ready);
    world.reroute("10.64.0.11", straight());
    assert!(world.status().ready);
}

#[test]
fn a_start_on_an_empty_table_tells_the_kernel_of_each_backend_once() {
    let world = World::with(&WEB.replace("checks = [{ type = \"tcp\" }]", "checks = []"));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10));
    let destinations = world.writes.iter().filter(|op| format!("{op:?}").contains("Destination {"));
    assert_eq!(destinations.count(), ALL.len(), "{:?}", world.writes);
}

#[test]
fn after_a_restart_what_serves_goes_on_until_its_way_is_known_to_lead_elsewhere() {
    let mut world = running();
    world.is_blind = true;
    world.writes.clear();
    world.restart(WEB);
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10));
    assert!(world.writes.is_empty(), "{:?}", world.writes);
    world.reroute("10.64.0.12", gateway());
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(0));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10));
}

#[test]
fn a_restart_gives_nothing_to_whom_it_finds_behind_a_gateway_again() {
    let without_checks = WEB.replace("checks = [{ type = \"tcp\" }]", "checks = []");
    let mut world = World::with(&without_checks);
    world.reroute("10.64.0.12", gateway());
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(0));
    world.writes.clear();
    world.restart(&without_checks);
    assert_eq!((world.writes.len(), world.backend("rs2").standing.as_str()), (0, "off-link"));
}

#[test]
fn the_addresses_of_backends_are_watched_and_others_are_forgotten() {
    let mut world = running();
    let watched = |world: &World| world.watched.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(watched(&world), ALL.map(String::from).into());
    let line = "  { host = \"rs3\", weight = 10, addresses = [\"10.64.0.13\", \"fd00::13\"] },\n";
    world.configure(&WEB.replace(line, ""));
    assert_eq!(watched(&world).len(), 4);
    // A report that was on its way is of no use any more.
    world.reroute("10.64.0.13", gateway());
    world.configure(WEB);
    world.up(&["10.64.0.13"]);
    assert_eq!(world.backend("rs3").standing, "off-link", "it is looked at anew");
}

#[test]
fn a_neighbour_that_does_not_answer_has_its_checks_look_until_they_say_down() {
    let mut world = running();
    let failed = || Event::NeighboursFailed(BTreeSet::from(["10.64.0.12".parse().unwrap()]));
    world.event(failed());
    let asked = world.hastened.last().expect("its check is asked").clone();
    assert_eq!(asked.iter().map(|check| check.target.to_string()).collect::<Vec<_>>(), ["10.64.0.12:80"]);
    assert_eq!(
        world.weight(V4, "10.64.0.12:80"),
        Some(10),
        "the word of the neighbour table decides nothing"
    );
    world.down(&["10.64.0.12"]);
    world.event(failed());
    world.event(Event::NeighboursFailed(BTreeSet::from(["10.99.0.1".parse().unwrap()])));
    assert_eq!(world.hastened.len(), 1);
}
