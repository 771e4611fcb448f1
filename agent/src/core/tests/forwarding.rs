//! What the kernel is told beside addresses and weights: the way to the backends, limits, persistence, firewall marks.

use super::world::World;
use super::{ALL, V4, V6, WEB, running};
use crate::core::event::ConnectionCount;
use ipvs::{Destination, DestinationKey, Forward, ServiceKey};
use std::time::Duration;

/// `WEB` with more settings.
fn with(settings: &str) -> String {
    WEB.replace("port = 80\n", &format!("port = 80\n{settings}\n"))
}

/// A world in which this runs and every backend is up.
fn up(text: &str) -> World {
    let mut world = World::with(text);
    world.up(&ALL);
    world
}

fn destination(world: &World, service: &str, key: &str) -> Destination {
    let key: DestinationKey = key.parse().unwrap();
    world.kernel.get(&service.parse().unwrap()).expect("the service").destinations[&key]
}

#[test]
fn packets_get_to_the_backends_as_configured_and_a_reload_changes_that_without_a_deletion() {
    let mut world = running();
    assert_eq!(destination(&world, V4, "10.64.0.11:80").forward, Forward::DirectRouting);
    world.writes.clear();
    world.configure(&with("forwarding = \"tunnel\"\ntunnel = { type = \"gre\", checksum = \"full\" }"));
    assert_eq!(destination(&world, V6, "[fd00::11]:80").forward.to_string(), "gre tunnel flags 0x1");
    let is_set = |op: &ipvs::Op| matches!(op, ipvs::Op::SetDestination { .. });
    assert!(world.writes.len() == 6 && world.writes.iter().all(is_set), "{:?}", world.writes);
}

#[test]
fn nat_asks_and_serves_at_the_backends_own_port_and_lets_another_one_drain() {
    let nat = |port: u16| with(&format!("forwarding = \"nat\"\nbackend_port = {port}"));
    let mut world = up(&nat(8080));
    assert!(world.checks.iter().all(|check| check.target.port() == 8080), "{:?}", world.checks);
    assert_eq!(destination(&world, V4, "10.64.0.11:8080").forward, Forward::Masquerade);
    world.connections = vec![ConnectionCount {
        service: V4.parse().unwrap(),
        destination: "10.64.0.11:8080".parse().unwrap(),
        connections: 1,
    }];
    world.configure(&nat(8081));
    world.pass(Duration::from_secs(31));
    assert_eq!(world.weight(V4, "10.64.0.11:8080"), Some(0), "it has connections to finish");
    assert_eq!(world.weight(V4, "10.64.0.12:8080"), None, "it has none");
    world.pass(Duration::from_secs(60));
    assert_eq!(world.weight(V4, "10.64.0.11:8080"), None);
}

#[test]
fn limits_of_connections_reach_the_kernel() {
    let world =
        up(&WEB.replace("host = \"rs1\",", "host = \"rs1\", upper_threshold = 100, lower_threshold = 80,"));
    let limited = destination(&world, V4, "10.64.0.11:80");
    assert_eq!((limited.upper_threshold, limited.lower_threshold), (100, 80));
    assert_eq!(destination(&world, V4, "10.64.0.12:80").upper_threshold, 0);
}

#[test]
fn clients_stay_by_the_prefix_of_their_family() {
    let world = up(&with("persistence_timeout = \"5m\"\npersistence_prefix_ipv6 = 64"));
    let persistence = |service: &str| {
        let key: ServiceKey = service.parse().unwrap();
        world.kernel.get(&key).expect("the service").service.persistence().expect("persistence")
    };
    assert_eq!((persistence(V4).timeout_seconds, persistence(V4).prefix_len), (300, 32));
    assert_eq!((persistence(V6).timeout_seconds, persistence(V6).prefix_len), (300, 64));
}

/// `WEB` by its firewall mark.
fn marked() -> String {
    WEB.replace("port = 80\n", "fwmark = 7\n").replace("{ type = \"tcp\" }", "{ type = \"tcp\", port = 80 }")
}

#[test]
fn a_firewall_mark_serves_the_vips_that_its_service_names_and_they_are_announced() {
    let world = up(&marked());
    assert_eq!(
        world.kernel.keys().map(ToString::to_string).collect::<Vec<_>>(),
        ["fwmark 7 v4", "fwmark 7 v6"]
    );
    assert_eq!(world.weight("fwmark 7 v4", "10.64.0.11:0"), Some(10));
    assert!(world.is_announced("192.0.2.10") && world.is_announced("2001:db8::10"));
    let text = crate::ctl::render::status(&world.status(), crate::ctl::render::Paint::new(false));
    assert!(text.contains("web  fwmark 7 on 192.0.2.10 2001:db8::10"), "{text}");
}

#[test]
fn a_vip_that_leaves_a_firewall_mark_stays_until_the_routers_have_moved_its_traffic() {
    let mut world = up(&marked());
    world.configure(&marked().replace("\"192.0.2.10\", ", ""));
    let vip = "192.0.2.10".parse().unwrap();
    assert!(!world.is_announced("192.0.2.10") && world.addresses.contains(&vip));
    world.pass(Duration::from_secs(2));
    assert!(!world.addresses.contains(&vip));
    assert_eq!(world.kernel.keys().map(ToString::to_string).collect::<Vec<_>>(), ["fwmark 7 v6"]);
}
