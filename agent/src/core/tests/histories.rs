//! Single histories that the simulation found, each once broken.

use super::world::World;
use super::{V4, WEB, running, with_pool_file};
use crate::core::Event;
use crate::core::event::{Command, Note, TakenOut};
use crate::pool_file;
use std::path::Path;
use std::time::Duration;

#[test]
fn an_inactive_backend_that_has_drained_is_not_added_again_when_its_pool_is_listed_anew() {
    let mut world = running();
    let (host, to, note) = ("rs1".to_string(), TakenOut::Inactive, Note::default());
    world.operate(Command::TakeOut { host, to, note }).unwrap();
    world.pass(Duration::from_secs(3));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), None);
    world.writes.clear();
    world.configure(WEB);
    assert_eq!(world.writes, []);
    world.depool("rs2").unwrap();
    assert_eq!(world.weight(V4, "10.64.0.11:80"), None);
}

#[test]
fn a_backend_that_is_inactive_from_the_start_never_gets_into_the_kernel() {
    let mut world = World::with(&with_pool_file());
    let pool = |world: &mut World, text: &str| {
        let outcome = Ok(pool_file::parse(Path::new("/pools/web.json"), text.as_bytes()).unwrap());
        world.event(Event::PoolRead { path: "/pools/web.json".into(), outcome });
    };
    pool(&mut world, r#"{"10.64.0.11": {}, "10.64.0.12": {}, "10.64.0.13": {"pooled": "inactive"}}"#);
    pool(
        &mut world,
        r#"{"10.64.0.11": {"weight": 2}, "10.64.0.12": {}, "10.64.0.13": {"pooled": "inactive"}}"#,
    );
    assert_eq!(world.weight(V4, "10.64.0.13:80"), None);
    pool(&mut world, r#"{"10.64.0.11": {"weight": 2}, "10.64.0.12": {}}"#);
    assert_eq!(world.weight(V4, "10.64.0.13:80"), None);
}

#[test]
fn a_look_up_that_ends_when_nobody_wants_the_name_any_more_is_not_kept() {
    let mut world = World::with(&WEB.replace(", addresses = [\"10.64.0.11\", \"fd00::11\"]", ""));
    assert!(world.names.contains("rs1"));
    world.configure(WEB);
    world.event(Event::Resolved { host: "rs1".into(), outcome: Ok(vec!["10.64.0.99".parse().unwrap()]) });
    assert!(world.state.inventory.name("rs1").is_none(), "an old answer would serve the next who wants it");
}

#[test]
fn the_vip_of_a_service_that_waits_stays_on_the_device_whatever_is_read_first() {
    let mut world = World::new();
    let vip: std::net::IpAddr = "192.0.2.10".parse().unwrap();
    world.addresses = [vip].into();
    let (saved, snapshots) = Default::default();
    world.event(Event::Restored { saved, snapshots });
    world.configure(&with_pool_file());
    world.read_kernel();
    assert!(world.addresses.contains(&vip), "taken away before it was known what is there");
    world.event(Event::AddressesSynced { present: [vip].into(), failures: Vec::new() });
    assert!(world.addresses.contains(&vip));
}

#[test]
fn an_inactive_backend_does_not_take_its_address_from_one_that_serves() {
    let looked_up = ["1", "2"].iter().fold(WEB.to_string(), |text, n| {
        text.replace(&format!(", addresses = [\"10.64.0.1{n}\", \"fd00::1{n}\"]"), "")
    });
    let mut world = World::with(&looked_up);
    for host in ["rs1", "rs2"] {
        let outcome = Ok(vec!["10.64.0.12".parse().unwrap()]);
        world.event(Event::Resolved { host: host.into(), outcome });
    }
    world.up(&["10.64.0.12", "10.64.0.13", "fd00::13"]);
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10), "rs1 has it, by its name");
    let (host, to, note) = ("rs1".to_string(), TakenOut::Inactive, Note { force: true, ..Note::default() });
    world.operate(Command::TakeOut { host, to, note }).unwrap();
    world.up(&["10.64.0.12"]);
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10), "rs2 has it now");
    world.pass(Duration::from_secs(120));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10));
}

#[test]
fn the_vip_of_a_service_that_waits_stays_on_the_device_when_a_late_report_does_not_have_it() {
    let mut world = World::new();
    let vip: std::net::IpAddr = "192.0.2.10".parse().unwrap();
    world.addresses = [vip].into();
    world.start(&with_pool_file());
    world.event(Event::AddressesSynced { present: Default::default(), failures: Vec::new() });
    assert!(world.addresses.contains(&vip), "two such reports on their way make it come and go for ever");
}
