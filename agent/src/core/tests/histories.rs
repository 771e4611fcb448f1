//! Single histories that the simulation found, each once broken.

use super::world::World;
use super::{V4, WEB, running, with_pool_file};
use crate::config::PoolId;
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
        world.event(Event::PoolRead { pool: PoolId::File("/pools/web.json".into()), outcome });
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

/// The addresses of the IPv4 pool, and the weights that the kernel has there.
fn weights(world: &World) -> [Option<u32>; 3] {
    ["10.64.0.11:80", "10.64.0.12:80", "10.64.0.13:80"].map(|destination| world.weight(V4, destination))
}

/// rs3, rs2 and rs1 have failed, in this order; two of three are held.
fn held() -> World {
    let mut world = running();
    for address in ["10.64.0.13", "10.64.0.12", "10.64.0.11"] {
        world.pass(Duration::from_secs(1));
        world.down(&[address]);
    }
    assert_eq!(weights(&world), [Some(10), Some(10), Some(0)]);
    world.writes.clear();
    world
}

#[test]
fn a_restart_holds_those_that_were_held_whichever_check_speaks_first() {
    for order in [["11", "12", "13"], ["13", "12", "11"], ["12", "13", "11"]] {
        let mut world = held();
        world.restart(WEB);
        for host in order {
            world.pass(Duration::from_millis(10));
            world.down(&[&format!("10.64.0.{host}")]);
        }
        assert_eq!(world.writes, [], "{order:?}");
        assert_eq!(world.backend("rs3").standing, "down");
    }
}

#[test]
fn a_reload_with_other_checks_holds_those_that_were_held_and_keeps_their_order() {
    let mut world = held();
    world.configure(&WEB.replace("{ type = \"tcp\" }", "{ type = \"tcp\", interval = \"7s\" }"));
    for address in ["10.64.0.11", "10.64.0.12", "10.64.0.13"] {
        world.pass(Duration::from_millis(10));
        world.down(&[address]);
    }
    assert_eq!(world.writes, []);
    world.up(&["10.64.0.13"]);
    assert_eq!(weights(&world), [Some(10), Some(0), Some(10)], "rs1 failed last");
}

#[test]
fn a_pool_file_with_another_port_is_awaited_and_nobody_is_sent_there_unasked() {
    let mut world = running();
    let moved = with_pool_file().replace("port = 80", "port = 81");
    world.configure(&moved);
    let new = "tcp 192.0.2.10:81".parse().unwrap();
    assert!(world.kernel.get(&new).is_none(), "written before its source has spoken");
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10), "the old port serves until traffic has moved");
    world.pass(Duration::from_secs(3));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), None);
    let text = r#"{"10.64.0.11": {}, "10.64.0.12": {}}"#;
    let outcome = Ok(pool_file::parse(Path::new("/pools/web.json"), text.as_bytes()).unwrap());
    world.event(Event::PoolRead { pool: PoolId::File("/pools/web.json".into()), outcome });
    assert_eq!(world.weight("tcp 192.0.2.10:81", "10.64.0.11:81"), Some(0), "its check has not spoken");
    assert!(world.checks.iter().all(|check| check.target.port() == 81), "{:?}", world.checks);
}

/// Only rs1 and rs2.
fn without_rs3() -> String {
    WEB.replace("  { host = \"rs3\", weight = 10, addresses = [\"10.64.0.13\", \"fd00::13\"] },\n", "")
}

#[test]
fn a_backend_drains_on_when_its_port_or_vip_changes_and_changes_back() {
    let other_port = without_rs3().replace("port = 80", "port = 81");
    let other_vip = without_rs3().replace("192.0.2.10", "192.0.2.12");
    for meanwhile in [other_port, other_vip] {
        let mut world = running();
        world.configure(&without_rs3());
        world.connections = vec![crate::core::event::ConnectionCount {
            service: V4.parse().unwrap(),
            destination: "10.64.0.13:80".parse().unwrap(),
            connections: 3,
        }];
        world.pass(Duration::from_secs(1));
        world.configure(&meanwhile);
        world.pass(Duration::from_secs(1));
        world.configure(&without_rs3());
        world.pass(Duration::from_secs(30));
        assert_eq!(world.weight(V4, "10.64.0.13:80"), Some(0), "deleted with connections");
        world.pass(Duration::from_secs(60));
        assert_eq!(world.weight(V4, "10.64.0.13:80"), None);
    }
}

#[test]
fn what_drains_is_not_added_to_another_port_only_to_drain_there() {
    let mut world = running();
    world.configure(&without_rs3());
    world.configure(&without_rs3().replace("port = 80", "port = 81"));
    assert_eq!(world.weight("tcp 192.0.2.10:81", "10.64.0.12:81"), Some(10));
    assert_eq!(world.weight("tcp 192.0.2.10:81", "10.64.0.13:81"), None);
    assert_eq!(world.weight(V4, "10.64.0.13:80"), Some(0));
}

#[test]
fn two_services_that_change_places_let_each_others_backends_drain() {
    let service = |name: &str, port: u16, address: &str| {
        format!(
            "[service.{name}]\nvips = [\"192.0.2.10\"]\nport = {port}\nchecks = []\nbackends = [{{ host = \"{address}\" }}]\n"
        )
    };
    let both = |web: u16, other: u16| {
        format!("{}{}", service("web", web, "10.64.0.11"), service("other", other, "10.64.0.12"))
    };
    let mut world = World::with(&both(80, 81));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(1));
    world.configure(&both(81, 80));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(1));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(0), "it has connections to finish");
}
