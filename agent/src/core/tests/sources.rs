//! Pool files and host names: whole snapshots, and the last good one when there is none.

use super::world::World;
use super::{V4, WEB, running, with_pool_file};
use crate::config::{Backend, PoolId, Query};
use crate::core::Event;
use crate::core::event::{Command, ConnectionCount};
use crate::pool_file;
use std::path::Path;
use std::time::Duration;

const FILE: &str = "/pools/web.json";
const THREE: &str =
    r#"{"10.64.0.11": {"weight": 10}, "10.64.0.12": {"weight": 10}, "10.64.0.13": {"weight": 10}}"#;

impl World {
    fn pool_file(&mut self, text: &str) {
        let outcome = pool_file::parse(Path::new(FILE), text.as_bytes()).map_err(|error| error.to_string());
        self.event(Event::PoolRead { pool: PoolId::File(FILE.into()), outcome });
    }
}

fn from_file() -> World {
    let mut world = World::with(&with_pool_file());
    world.pool_file(THREE);
    world.up(&["10.64.0.11", "10.64.0.12", "10.64.0.13"]);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10));
    world.writes.clear();
    world
}

#[test]
fn nothing_is_written_before_the_source_has_spoken() {
    let mut world = World::with(&with_pool_file());
    assert_eq!(world.pools.pools.iter().collect::<Vec<_>>(), [&PoolId::File(FILE.into())]);
    assert!(world.kernel.is_empty() && world.addresses.is_empty() && world.routes.is_none());
    world.pass(Duration::from_secs(60));
    assert!(world.kernel.is_empty() && world.addresses.is_empty());
}

#[test]
fn a_bad_pool_file_loses_nothing_is_counted_and_is_said_once() {
    let mut world = from_file();
    let said = world.notices.len();
    for _ in 0..3 {
        world.pool_file(r#"{"10.64.0.11": {"weight": -1}}"#);
    }
    assert_eq!(world.writes, []);
    let service = &world.status().services[0];
    let error = service.source_error.clone().unwrap();
    assert!(error.starts_with("/pools/web.json:1:") && error.contains("weight"), "{error}");
    assert_eq!(service.source_errors, 3);
    assert_eq!(world.notices.len(), said + 1);
    world.pool_file(THREE);
    assert_eq!(world.status().services[0].source_error, None);
}

#[test]
fn a_source_that_is_bad_from_the_start_leaves_the_kernel_as_it_is() {
    let mut world = from_file();
    let (kernel, text) = (world.kernel.clone(), with_pool_file());
    world.restart(&text);
    world.pool_file("{");
    world.pass(Duration::from_secs(60));
    assert_eq!((world.writes.len(), &world.kernel), (0, &kernel));
    assert!(world.is_announced("192.0.2.10"), "what the kernel serves stays announced");
    world.pool_file(THREE);
    world.up(&["10.64.0.11", "10.64.0.12", "10.64.0.13"]);
    assert_eq!(world.writes, []);
}

#[test]
fn a_weight_in_the_file_is_a_weight_in_the_kernel() {
    let mut world = from_file();
    world.pool_file(&THREE.replacen("10}", "25}", 1));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(25));
    assert_eq!(world.writes.len(), 1);
}

#[test]
fn a_backend_that_is_removed_drains_and_is_deleted_when_its_connections_are_gone() {
    let mut world = from_file();
    world.connections = vec![ConnectionCount {
        service: V4.parse().unwrap(),
        destination: "10.64.0.13:80".parse().unwrap(),
        connections: 2,
    }];
    world.pool_file(r#"{"10.64.0.11": {"weight": 10}, "10.64.0.12": {"weight": 10}}"#);
    assert_eq!(world.weight(V4, "10.64.0.13:80"), Some(0));
    world.pass(Duration::from_secs(30));
    assert_eq!(world.weight(V4, "10.64.0.13:80"), Some(0), "it still has connections");
    world.connections.clear();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.weight(V4, "10.64.0.13:80"), None);
}

#[test]
fn a_drain_ends_at_its_cap() {
    let mut world = from_file();
    world.connections = vec![ConnectionCount {
        service: V4.parse().unwrap(),
        destination: "10.64.0.13:80".parse().unwrap(),
        connections: 1,
    }];
    world.pool_file(r#"{"10.64.0.11": {"weight": 10}, "10.64.0.12": {"weight": 10}}"#);
    world.pass(Duration::from_secs(59));
    assert_eq!(world.weight(V4, "10.64.0.13:80"), Some(0));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.weight(V4, "10.64.0.13:80"), None);
}

#[test]
fn a_backend_that_returns_while_it_drains_is_not_deleted_in_between() {
    let mut world = from_file();
    world.pool_file(r#"{"10.64.0.11": {"weight": 10}, "10.64.0.12": {"weight": 10}}"#);
    world.pool_file(THREE);
    world.up(&["10.64.0.13"]);
    assert_eq!(world.weight(V4, "10.64.0.13:80"), Some(10));
    assert!(
        !world.writes.iter().any(|op| matches!(op, ipvs::Op::DeleteDestination { .. })),
        "{:?}",
        world.writes
    );
}

#[test]
fn an_inactive_backend_leaves_the_pool_and_its_denominator() {
    let mut world = from_file();
    world.pool_file(r#"{"10.64.0.11": {"weight": 10}, "10.64.0.12": {"weight": 10}, "10.64.0.13": {"pooled": "inactive"}}"#);
    assert_eq!(world.status().services[0].pools[0].total, 2);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.weight(V4, "10.64.0.13:80"), None);
}

#[test]
fn names_are_looked_up_and_a_failure_keeps_the_last_addresses() {
    let text = WEB.replace(", addresses = [\"10.64.0.11\", \"fd00::11\"]", "");
    let mut world = World::with(&text);
    assert_eq!(world.names.iter().collect::<Vec<_>>(), ["rs1"]);
    assert!(world.kernel.is_empty(), "a name that nobody has looked up yet is a source that has not spoken");
    let resolved = |addresses: &[&str]| Event::Resolved {
        host: "rs1".into(),
        outcome: Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()),
    };
    world.event(resolved(&["10.64.0.21", "fd00::21"]));
    world.up(&["10.64.0.21", "10.64.0.12", "10.64.0.13"]);
    assert_eq!(world.weight(V4, "10.64.0.21:80"), Some(10));
    world.event(Event::Resolved { host: "rs1".into(), outcome: Err("SERVFAIL".into()) });
    assert_eq!(world.weight(V4, "10.64.0.21:80"), Some(10));
    world.event(resolved(&["10.64.0.31"]));
    world.up(&["10.64.0.31"]);
    assert_eq!((world.weight(V4, "10.64.0.21:80"), world.weight(V4, "10.64.0.31:80")), (Some(0), Some(10)));
}

#[test]
fn a_name_that_another_service_takes_up_is_not_looked_up_anew() {
    let service = |name: &str, vip: u8, host: &str| {
        format!(
            "[service.{name}]\nvips = [\"192.0.2.{vip}\"]\nport = 80\nchecks = []\nbackends = [{{ host = \"{host}\" }}]\n"
        )
    };
    let two = |one: &str, other: &str| service("one", 10, one) + &service("other", 11, other);
    let mut world = World::with(&two("rs1.example.org", "10.64.0.12"));
    assert_eq!(world.lookups, 1);
    world.configure(&two("10.64.0.12", "rs1.example.org"));
    assert_eq!((world.lookups, world.names.len()), (1, 1));
    world.configure(&two("rs2.example.org", "rs1.example.org"));
    assert_eq!((world.lookups, world.names.len()), (2, 2));
}

#[test]
fn a_name_that_cannot_be_looked_up_costs_its_own_backend_only() {
    let text = WEB.replace(", addresses = [\"10.64.0.11\", \"fd00::11\"]", "");
    let mut world = World::with(&text);
    world.event(Event::Resolved { host: "rs1".into(), outcome: Err("rs1: no such host".into()) });
    world.up(&["10.64.0.12"]);
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10));
    assert_eq!(world.status().services[0].unusable[0].reason, "rs1: no such host");
}

#[test]
fn two_names_of_one_address_are_one_backend() {
    let text = WEB.replace("10.64.0.12", "10.64.0.11");
    let errors = crate::config::parse(&[("/etc/lvsd/lvsd.toml".into(), text)]).map(drop).unwrap_err();
    assert!(errors.iter().any(|error| error.to_string().contains("10.64.0.11")), "{errors:?}");
}

#[test]
fn udp_backends_are_deleted_at_once() {
    let udp = with_pool_file()
        .replace("port = 80", "port = 53\nprotocol = \"udp\"")
        .replace("type = \"tcp\"", "type = \"tcp\", port = 53");
    let mut world = World::with(&udp);
    world.pool_file(THREE);
    world.up(&["10.64.0.11", "10.64.0.12", "10.64.0.13"]);
    world.pool_file(r#"{"10.64.0.11": {"weight": 10}, "10.64.0.12": {"weight": 10}}"#);
    assert_eq!(world.weight("udp 192.0.2.10:53", "10.64.0.13:53"), None);
}

#[test]
fn the_sources_of_a_world_are_left_alone_by_health() {
    let mut world = running();
    let (pools, names, checks) = (world.pools.clone(), world.names.clone(), world.checks.clone());
    world.down(&["10.64.0.11"]);
    assert_eq!((world.pools, world.names, world.checks), (pools, names, checks));
}

#[test]
fn weights_for_sh_are_divided_and_a_sum_that_does_not_fit_is_refused() {
    let mut world = World::with(&with_pool_file().replace("\"mh\"", "\"sh\""));
    world.pool_file(r#"{"10.64.0.11": {"weight": 300}, "10.64.0.12": {"weight": 100}}"#);
    world.up(&["10.64.0.11", "10.64.0.12"]);
    assert_eq!((world.weight(V4, "10.64.0.11:80"), world.weight(V4, "10.64.0.12:80")), (Some(3), Some(1)));
    world.pool_file(r#"{"10.64.0.11": {"weight": 301}, "10.64.0.12": {"weight": 100}}"#);
    let error = world.status().services[0].source_error.clone().unwrap();
    assert!(error.starts_with("/pools/web.json: ") && error.contains("256"), "{error}");
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(3));
    world.down(&["10.64.0.11"]);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(0), "health goes on with the last good pool");
}

#[test]
fn a_service_that_moves_to_a_broken_pool_file_keeps_its_pool_and_its_health() {
    let mut world = running();
    world.configure(&with_pool_file());
    world.pool_file("{");
    world.down(&["10.64.0.11"]);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(0));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10));
    assert!(world.is_announced("192.0.2.10"));
}

#[test]
fn a_push_that_takes_out_too_much_is_held_back_until_it_is_confirmed() {
    let mut world = from_file();
    world.pool_file(r#"{"10.64.0.11": {"weight": 10}}"#);
    assert_eq!(world.writes, []);
    let service = world.status().services[0].clone();
    assert!(service.source_held);
    let error = service.source_error.unwrap();
    assert!(
        error.contains("takes out 2 of 3 backends at once") && error.contains("lvsctl confirm"),
        "{error}"
    );
    let confirm = |service: &str| Command::Confirm { service: service.into() };
    assert!(world.operate(confirm("wbe")).unwrap_err().to_string().contains("did you mean web"));
    world.operate(confirm("web")).unwrap();
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(0));
    assert_eq!(world.status().services[0].source_error, None);
    assert!(world.operate(confirm("web")).is_err(), "nothing is held back any more");
}

#[test]
fn a_source_that_calms_down_is_obeyed_without_confirmation() {
    let mut world = from_file();
    world.pool_file(r#"{"10.64.0.11": {"weight": 10}}"#);
    world.pool_file(&THREE.replacen("10}", "25}", 1));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(25));
    assert!(!world.status().services[0].source_held);
}

#[test]
fn what_an_earlier_process_read_serves_when_the_source_is_broken_at_start_and_is_marked_stale() {
    let mut world = from_file();
    world.kernel = ipvs::Table::new();
    world.restart(&with_pool_file());
    world.pool_file("{");
    world.up(&["10.64.0.11", "10.64.0.12", "10.64.0.13"]);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10));
    assert!(world.status().services[0].source_stale);
    world.pool_file(THREE);
    assert!(!world.status().services[0].source_stale);
}

#[test]
fn the_first_content_after_a_restart_is_held_against_what_was_there_before() {
    let mut world = from_file();
    world.restart(&with_pool_file());
    world.pool_file(r#"{"10.64.0.11": {"weight": 10}}"#);
    world.up(&["10.64.0.11", "10.64.0.12", "10.64.0.13"]);
    assert_eq!(world.writes, []);
    assert!(world.status().services[0].source_held);
}

#[test]
fn a_reload_that_lets_more_go_at_once_lets_through_what_was_held_back() {
    let mut world = from_file();
    world.pool_file(r#"{"10.64.0.11": {"weight": 10}}"#);
    assert!(world.status().services[0].source_held);
    world.configure(&with_pool_file().replace("port = 80", "port = 80\nmax_change = 0.6"));
    assert!(world.status().services[0].source_held, "two of three are more than 0.6 of them");
    world.configure(&with_pool_file().replace("port = 80", "port = 80\nmax_change = 0.7"));
    assert!(!world.status().services[0].source_held);
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(0));
    assert!(world.notices.iter().any(|notice| notice.what == "what was held back is obeyed now"));
}

/// `WEB` with its backends in two pools of a source, the first before the second.
fn with_source() -> String {
    with_pool_file().replace(
        "pool_file = \"/pools/web.json\"",
        "pool = [{ source = \"master\", path = \"a\" }, { source = \"master\", path = \"b\" }]",
    ) + "\n[source.master]\ntype = \"http\"\nurl = \"http://192.0.2.99/pools\"\n"
}

fn remote(path: &str) -> PoolId {
    PoolId::Remote { source: "master".into(), query: Query::Path(path.into()) }
}

impl World {
    fn remote_pool(&mut self, path: &str, text: &str) {
        let outcome = pool_file::parse(Path::new(path), text.as_bytes()).map_err(|error| error.to_string());
        self.event(Event::PoolRead { pool: remote(path), outcome });
    }

    fn source(&mut self, outcome: Result<(), &str>) {
        let outcome = outcome.map_err(str::to_owned);
        self.event(Event::SourceSaid { source: "master".into(), outcome });
    }
}

#[test]
fn of_a_host_that_several_pools_list_the_first_ones_word_counts_and_all_have_to_speak_first() {
    let mut world = World::with(&with_source());
    assert_eq!(world.pools.pools.iter().cloned().collect::<Vec<_>>(), [remote("a"), remote("b")]);
    world.remote_pool("b", r#"{"10.64.0.11": {"weight": 1}, "10.64.0.12": {"weight": 2}}"#);
    assert!(world.kernel.is_empty(), "the other pool has not spoken");
    let waiting = world.status().services[0].waiting.clone().unwrap();
    assert_eq!(waiting, "its pool master:a has not been read yet");
    world.remote_pool("a", r#"{"10.64.0.11": {"weight": 7}}"#);
    world.up(&["10.64.0.11", "10.64.0.12"]);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(7));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(2));
}

#[test]
fn a_source_that_is_away_changes_nothing_and_is_said_until_it_is_back() {
    let mut world = World::with(&with_source());
    world.remote_pool("a", r#"{"10.64.0.11": {"weight": 7}}"#);
    world.remote_pool("b", r#"{"10.64.0.12": {"weight": 7}}"#);
    world.source(Ok(()));
    world.up(&["10.64.0.11", "10.64.0.12"]);
    world.writes.clear();
    world.source(Err("connection refused"));
    let service = world.status().services[0].clone();
    assert_eq!(service.source_error.as_deref(), Some("master: connection refused"));
    assert_eq!((service.pools[0].pooled, world.writes.len()), (2, 0));
    world.source(Ok(()));
    assert_eq!(world.status().services[0].source_error, None);
    let said: Vec<_> =
        world.notices.iter().map(ToString::to_string).filter(|n| n.contains("master")).collect();
    assert_eq!(
        said,
        [
            "source master cannot be read; what it said stays: connection refused",
            "master: the source can be read again: everything that is wanted of it was said"
        ]
    );
}

#[test]
fn what_an_earlier_process_had_read_serves_while_the_source_is_away_at_the_start() {
    let mut world = World::with(&with_source());
    world.remote_pool("a", r#"{"10.64.0.11": {"weight": 7}}"#);
    world.remote_pool("b", r#"{"10.64.0.12": {"weight": 7}}"#);
    world.up(&["10.64.0.11", "10.64.0.12"]);
    let text = with_source();
    world.restart(&text);
    assert!(world.status().services[0].waiting.is_some());
    world.source(Err("no route to host"));
    let service = world.status().services[0].clone();
    assert_eq!((service.waiting, service.source_stale), (None, true));
    world.up(&["10.64.0.11", "10.64.0.12"]);
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(7));
    world.remote_pool("a", r#"{"10.64.0.11": {"weight": 7}}"#);
    world.remote_pool("b", r#"{"10.64.0.12": {"weight": 8}}"#);
    world.source(Ok(()));
    let service = world.status().services[0].clone();
    assert_eq!((service.source_stale, service.source_error), (false, None));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(8));
}

#[test]
fn addresses_that_the_source_knows_are_not_looked_up() {
    let mut world = World::with(&with_source());
    let backend = |host: &str, address: Option<&str>| Backend {
        host: host.into(),
        weight: ipvs::Weight::new(3).unwrap(),
        pooled: Default::default(),
        limits: Default::default(),
        addresses: address.map(|address| [address.parse().unwrap()].into()),
    };
    let outcome = Ok(vec![backend("node1", Some("10.64.0.11")), backend("node2", None)]);
    world.event(Event::PoolRead { pool: remote("a"), outcome });
    let outcome = Ok(vec![backend("node3", Some("10.64.0.13"))]);
    world.event(Event::PoolRead { pool: remote("b"), outcome });
    assert_eq!(world.names.iter().collect::<Vec<_>>(), ["node2"]);
    world.event(Event::Resolved { host: "node2".into(), outcome: Ok(vec!["10.64.0.12".parse().unwrap()]) });
    world.up(&["10.64.0.11", "10.64.0.12", "10.64.0.13"]);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(3));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(3));
    assert_eq!(world.weight(V4, "10.64.0.13:80"), Some(3));
    let outcome = Ok(vec![backend("node1", Some("10.64.0.11"))]);
    world.event(Event::PoolRead { pool: remote("a"), outcome });
    assert!(world.names.is_empty(), "{:?}", world.names);
}

#[test]
fn what_is_heard_together_has_its_consequences_once_and_the_same_as_apart() {
    let read = |path: &str, host: &str| {
        let text = format!("{{\"{host}\": {{\"weight\": 7}}}}");
        let outcome = pool_file::parse(Path::new(path), text.as_bytes()).map_err(|error| error.to_string());
        Event::PoolRead { pool: remote(path), outcome }
    };
    let (first, second) = (read("a", "10.64.0.11"), read("b", "10.64.0.12"));
    let live = Event::SourceSaid { source: "master".into(), outcome: Ok(()) };
    let mut together = World::with(&with_source());
    let saves = together.saves;
    together.event(Event::Several(vec![first.clone(), second.clone(), live.clone()]));
    assert_eq!(together.saves, saves + 1, "the disk is waited for once");
    let mut apart = World::with(&with_source());
    for event in [first, second, live] {
        apart.event(event);
    }
    for world in [&mut together, &mut apart] {
        world.up(&["10.64.0.11", "10.64.0.12"]);
    }
    assert_eq!(together.kernel, apart.kernel);
    assert_eq!(together.weight(V4, "10.64.0.12:80"), Some(7));
}
