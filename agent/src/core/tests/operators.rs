//! What an operator may do, what is refused, and what is kept.

use super::world::World;
use super::{ALL, V4, V6, WEB, running, with_pool_file};
use crate::config::PoolId;
use crate::core::Event;
use crate::core::action::Refusal;
use crate::core::event::{Command, Note, TakenOut};
use crate::core::operator;
use crate::core::saved::SetWeight;
use crate::pool_file;
use std::path::Path;
use std::time::Duration;

#[test]
fn a_depool_takes_the_weight_in_every_family_and_says_who_when_and_why() {
    let mut world = running();
    let done = world.depool("rs1").unwrap();
    assert_eq!(done.services, ["web"]);
    assert_eq!((world.weight(V4, "10.64.0.11:80"), world.weight(V6, "[fd00::11]:80")), (Some(0), Some(0)));
    let backend = world.backend("rs1");
    assert_eq!(backend.standing, "depooled");
    assert_eq!(backend.reason, format!("depooled by ada at {}: \"disk\"", world.now));
}

#[test]
fn a_depool_outlives_a_restart_and_is_taken_back_by_pool() {
    let mut world = running();
    world.depool("rs1").unwrap();
    world.restart(WEB);
    world.up(&ALL);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(0));
    world.pool("rs1").unwrap();
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10));
    assert!(world.saved.admin.is_empty());
}

#[test]
fn a_depool_that_would_break_the_threshold_is_refused_with_the_numbers() {
    let mut world = running();
    world.depool("rs1").unwrap();
    world.writes.clear();
    let refusal = world.depool("rs2").unwrap_err();
    assert!(matches!(refusal, Refusal::BelowThreshold { .. }));
    let text = refusal.to_string();
    assert!(text.contains("web (ipv4): 1 of 3 backends would be left serving, 2 are needed"), "{text}");
    assert!(text.contains("--force"), "{text}");
    assert_eq!(world.writes, []);
}

#[test]
fn a_backend_that_does_not_serve_may_always_be_depooled() {
    let mut world = running();
    world.down(&["10.64.0.11", "fd00::11", "10.64.0.12", "fd00::12"]);
    world.depool("rs1").unwrap();
}

#[test]
fn force_depools_below_the_threshold() {
    let mut world = running();
    for host in ["rs1", "rs2", "rs3"] {
        world
            .operate(Command::TakeOut {
                host: host.into(),
                to: TakenOut::Depooled,
                note: Note { force: true, ..Note::default() },
            })
            .unwrap();
    }
    assert_eq!(world.weight(V4, "10.64.0.13:80"), Some(0));
    assert!(!world.is_announced("192.0.2.10"));
}

#[test]
fn a_wrong_name_suggests_the_near_ones() {
    let mut world = running();
    let refusal = world.depool("rs4").unwrap_err().to_string();
    assert!(refusal.starts_with("no pool has a backend named rs4 (did you mean rs1 or"), "{refusal}");
}

#[test]
fn a_backend_that_its_source_depooled_is_not_pooled_by_an_operator() {
    let mut world = World::with(&with_pool_file());
    let text = br#"{"10.64.0.11": {"pooled": "no"}, "10.64.0.12": {}, "10.64.0.13": {}}"#;
    let outcome = Ok(pool_file::parse(Path::new("/pools/web.json"), text).unwrap());
    world.event(Event::PoolRead { pool: PoolId::File("/pools/web.json".into()), outcome });
    let refusal = world.pool("10.64.0.11").unwrap_err().to_string();
    assert_eq!(refusal, "10.64.0.11 is depooled in /pools/web.json: change it there");
}

#[test]
fn a_depooled_backend_is_not_held_for_the_threshold() {
    let mut world = running();
    world.depool("rs1").unwrap();
    world.down(&["10.64.0.12", "10.64.0.13"]);
    let weights = ["10.64.0.11:80", "10.64.0.12:80", "10.64.0.13:80"].map(|d| world.weight(V4, d));
    assert_eq!(weights, [Some(0), Some(10), Some(10)]);
}

fn take_out(
    world: &mut World,
    host: &str,
    to: TakenOut,
    lasts: Option<Duration>,
) -> crate::core::action::Answer {
    world.operate(Command::TakeOut { host: host.into(), to, note: Note { lasts, ..Note::default() } })
}

#[test]
fn a_depool_for_two_hours_is_over_after_two_hours_also_across_a_restart() {
    let mut world = running();
    take_out(&mut world, "rs1", TakenOut::Depooled, Some(Duration::from_secs(7200))).unwrap();
    assert!(world.backend("rs1").reason.contains("until"), "{}", world.backend("rs1").reason);
    world.restart(WEB);
    world.up(&ALL);
    world.pass(Duration::from_millis(7_199_999));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(0));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10));
    assert!(world.saved.admin.is_empty(), "what is over is not kept");
}

#[test]
fn a_change_that_ended_while_lvsd_was_down_is_over() {
    let mut world = running();
    take_out(&mut world, "rs1", TakenOut::Depooled, Some(Duration::from_secs(60))).unwrap();
    world.now = world.now + Duration::from_secs(61);
    world.restart(WEB);
    world.up(&ALL);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10));
}

#[test]
fn a_drained_backend_stays_in_the_kernel_with_weight_0() {
    let mut world = running();
    take_out(&mut world, "rs1", TakenOut::Drained, None).unwrap();
    world.pass(Duration::from_secs(300));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(0));
    assert_eq!(world.backend("rs1").standing, "drained");
}

#[test]
fn an_inactive_backend_leaves_the_kernel_once_it_has_drained_and_the_denominator_at_once() {
    let mut world = running();
    take_out(&mut world, "rs1", TakenOut::Inactive, None).unwrap();
    assert_eq!(world.status().services[0].pools[0].total, 2);
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(0));
    world.pass(Duration::from_secs(3));
    assert_eq!(world.weight(V4, "10.64.0.11:80"), None);
    world.pool("rs1").unwrap();
    assert_eq!(world.weight(V4, "10.64.0.11:80"), Some(10));
}

#[test]
fn an_operator_sets_a_weight_or_a_share_of_it_and_takes_it_back() {
    let mut world = running();
    let mut weigh = |to: Option<SetWeight>| {
        let done = world.operate(Command::Weigh { host: "rs1".into(), to, note: Note::default() });
        (done.map(|done| done.services), world.weight(V4, "10.64.0.11:80"))
    };
    let web = Ok(vec!["web".to_string()]);
    assert_eq!(weigh(Some(SetWeight::Percent(10))), (web.clone(), Some(1)));
    assert_eq!(weigh(Some(SetWeight::Absolute(ipvs::Weight::new(25).unwrap()))), (web.clone(), Some(25)));
    assert_eq!(weigh(None), (web, Some(10)));
}

#[test]
fn a_weight_of_zero_that_would_break_the_threshold_is_refused() {
    let mut world = running();
    world.depool("rs1").unwrap();
    let to = Some(SetWeight::Percent(0));
    let refusal =
        world.operate(Command::Weigh { host: "rs2".into(), to, note: Note::default() }).unwrap_err();
    assert!(matches!(refusal, Refusal::BelowThreshold { .. }), "{refusal}");
}

/// `WEB` with other hosts in place of its own.
fn with_hosts(prefix: &str, count: usize) -> String {
    let backends: Vec<String> = (0..count)
        .map(|n| format!("{{ host = \"{prefix}{n}\", addresses = [\"10.65.{}.{}\"] }}", n / 250, n % 250 + 1))
        .collect();
    let before = &WEB[..WEB.find("backends = [").unwrap()];
    format!("{before}backends = [{}]\nchecks = []\n", backends.join(", "))
}

#[test]
fn changes_of_hosts_that_are_gone_are_kept_up_to_a_bound_and_the_oldest_are_forgotten_with_a_word() {
    let mut world = World::with(&with_hosts("old", operator::MAX_ABSENT + 2));
    let drain = |world: &mut World, host: &str| {
        let note = Note { force: true, ..Note::default() };
        world.operate(Command::TakeOut { host: host.into(), to: TakenOut::Drained, note }).unwrap();
    };
    for n in 0..operator::MAX_ABSENT + 1 {
        world.now = world.now + Duration::from_millis(1);
        drain(&mut world, &format!("old{n}"));
    }
    world.configure(&with_hosts("new", 2));
    assert_eq!(world.saved.admin.len(), operator::MAX_ABSENT + 1, "they may come back");
    assert_eq!(world.status().absent_hosts.len(), operator::MAX_ABSENT + 1);
    world.notices.clear();
    drain(&mut world, "new0");
    assert_eq!(world.status().absent_hosts.len(), operator::MAX_ABSENT);
    assert!(!world.saved.admin.contains_key("old0") && world.saved.admin.contains_key("old1"));
    let said: Vec<String> = world.notices.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|line| line.starts_with("old0: an operator's change is forgotten")), "{said:?}");
}
