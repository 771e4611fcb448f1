//! Services that a source had, when a process begins that finds them in the kernel only: what was kept of the source is lost
//! and its API is away.

use super::found::service;
use super::world::World;
use super::{ALL, V4, WEB};
use crate::core::Event;
use crate::core::found::{Finding, FoundService};
use crate::core::inventory::Snapshots;
use ipvs::ServiceKey;
use std::time::Duration;

const SOURCE: &str = r#"
[source.k8s]
type = "kubernetes"
class = "example.org/lvsd"

[[source.k8s.address_pool]]
name = "public"
addresses = ["192.0.2.32/27"]
"#;

const SHOP: &str = "tcp 192.0.2.40:80";
const VIP: &str = "192.0.2.40";

fn config() -> String {
    format!("{WEB}{SOURCE}")
}

impl World {
    /// The source says its whole list: these by name and VIP.
    fn lists(&mut self, services: &[(&str, &str)]) {
        let found = |(name, vip): &(&str, &str)| FoundService {
            name: (*name).to_owned(),
            finding: Finding::Served(service(name, vip, "10.64.0.21")),
            created: None,
        };
        let services = services.iter().map(found).collect();
        self.event(Event::ServicesSaid { source: "k8s".into(), services, whole: true });
    }

    /// A new process that finds no snapshot, whose source is away.
    fn restart_without_snapshots(&mut self, text: &str) {
        self.snapshots = Snapshots::new();
        self.writes.clear();
        self.restart(text);
        self.event(Event::SourceSaid { source: "k8s".into(), outcome: Err("connection refused".into()) });
        self.up(&ALL);
    }
}

/// A balancer that serves the source's shop, and then starts without a snapshot.
fn restarted() -> World {
    let mut world = World::with(&config());
    world.up(&ALL);
    world.lists(&[("k8s.prod.shop", VIP)]);
    assert!(world.is_announced(VIP));
    world.restart_without_snapshots(&config());
    world
}

#[test]
fn what_the_source_had_goes_on_while_it_is_away_and_nothing_was_kept_of_it() {
    let mut world = restarted();
    world.pass(Duration::from_secs(300));
    assert_eq!(world.writes, [], "the kernel's entries stay");
    assert_eq!(world.weight(SHOP, "10.64.0.21:80"), Some(1));
    assert!(world.is_announced(VIP) && world.is_announced("192.0.2.10"));
    assert!(world.addresses.contains(&VIP.parse().unwrap()));
    let kept = "tcp 192.0.2.40:80: source k8s has not said yet which services it has";
    assert_eq!(world.status().unclaimed, [kept]);
    let shown = world.status().vips.into_iter().find(|vip| vip.address.to_string() == VIP).unwrap();
    assert_eq!(
        shown.reason,
        "tcp 192.0.2.40:80: 1 backends serve as the kernel has them; source k8s has not said yet which services it has"
    );
}

#[test]
fn it_is_repaired_meanwhile_and_a_reload_does_not_take_it_away() {
    let mut world = restarted();
    world.kernel.remove(&SHOP.parse::<ServiceKey>().unwrap());
    world.read_kernel();
    world.pass(Duration::from_secs(31));
    // What somebody deletes by hand is put back by who compares, which this world does with each wanted table.
    world.configure(&config().replace("shutdown_delay = \"2s\"", "shutdown_delay = \"3s\""));
    world.pass(Duration::from_secs(31));
    assert!(world.is_announced("192.0.2.10"));
    assert!(world.saved.owned.contains(&SHOP.parse().unwrap()), "it is still lvsd's");
}

#[test]
fn once_the_source_names_it_nothing_changes_for_clients() {
    let mut world = restarted();
    world.lists(&[("k8s.prod.shop", VIP)]);
    world.pass(Duration::from_secs(300));
    assert_eq!(world.writes, []);
    assert!(world.is_announced(VIP));
    assert_eq!(world.status().unclaimed, [""; 0]);
}

#[test]
fn once_the_source_does_not_name_it_it_leaves_as_others_do() {
    let mut world = restarted();
    world.lists(&[("k8s.prod.other", "192.0.2.41")]);
    assert!(!world.is_announced(VIP), "it is withdrawn at once");
    assert_eq!(world.weight(SHOP, "10.64.0.21:80"), Some(1), "and serves until routers have moved");
    world.pass(Duration::from_secs(3));
    assert_eq!(world.weight(SHOP, "10.64.0.21:80"), None);
    assert!(!world.addresses.contains(&VIP.parse().unwrap()));
    assert!(world.is_announced("192.0.2.41") && world.is_announced("192.0.2.10"));
}

#[test]
fn without_the_source_in_the_configuration_it_leaves_at_the_start() {
    let mut world = World::with(&config());
    world.up(&ALL);
    world.lists(&[("k8s.prod.shop", VIP)]);
    world.restart_without_snapshots(WEB);
    assert_eq!(world.weight(SHOP, "10.64.0.21:80"), None);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10));
}

#[test]
fn a_foreign_service_is_not_taken_for_the_sources() {
    let mut world = restarted();
    let foreign: ServiceKey = "tcp 192.0.2.50:80".parse().unwrap();
    let entry = world.kernel.get(&SHOP.parse().unwrap()).cloned().unwrap();
    world.kernel.insert(foreign, entry);
    world.restart_without_snapshots(&config());
    assert_eq!(world.status().unclaimed.len(), 1);
    assert_eq!(world.status().foreign_services, 1);
}

#[test]
fn a_configuration_that_has_lost_its_last_service_removes_it() {
    let mut world = World::with(WEB);
    world.up(&ALL);
    let start = WEB.find("[service.web]").unwrap();
    world.restart(&WEB[..start]);
    assert!(world.kernel.is_empty(), "{:?}", world.kernel.keys().collect::<Vec<_>>());
}
