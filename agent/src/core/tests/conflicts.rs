//! Several services of sources want one VIP and port: the older object has it, whoever comes first or is asked in which order.

use super::found::service;
use super::world::World;
use super::{ALL, WEB};
use crate::core::found::{Finding, FoundService};
use crate::core::inventory::Snapshots;
use crate::core::{Event, Timestamp, view};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const SOURCES: &str = r#"
[source.k8s]
type = "kubernetes"
class = "example.org/lvsd"
address_pool = [{ name = "public", addresses = ["192.0.2.16/28"] }]
[source.other]
type = "kubernetes"
class = "example.org/lvsd"
address_pool = [{ name = "public", addresses = ["192.0.2.16/28"] }]
"#;

const VIP: &str = "192.0.2.20";
const KEY: &str = "tcp 192.0.2.20:80";

/// An object of a source: its name, the day that it was made on, its VIP, and its one backend.
#[derive(Clone, Copy, Debug)]
struct Made(&'static str, Option<u64>, &'static str, &'static str);

/// The one that is served: older, and last by name.
const OLD: Made = Made("k8s.prod.web", Some(1), VIP, "10.64.0.21");
/// The newcomer.
const NEW: Made = Made("k8s.aaa.web", Some(2), VIP, "10.64.0.22");

fn day(number: u64) -> Timestamp {
    Timestamp::from_micros(number * 86_400_000_000)
}

fn said(Made(name, created, vip, backend): Made) -> FoundService {
    let finding = Finding::Served(service(name, vip, backend));
    FoundService { name: name.into(), finding, created: created.map(day) }
}

fn gone(Made(name, ..): Made) -> FoundService {
    FoundService { name: name.into(), finding: Finding::Gone, created: None }
}

fn source_of(Made(name, ..): Made) -> &'static str {
    name.split('.').next().unwrap()
}

impl World {
    fn say(&mut self, source: &str, services: Vec<FoundService>, whole: bool) {
        self.event(Event::ServicesSaid { source: source.into(), services, whole });
    }

    /// Who is served of what sources have, and where.
    fn served(&self) -> BTreeMap<String, String> {
        let services = self.state.services.values().filter(|service| &*service.config.name != "web");
        services.map(|s| (s.config.name.to_string(), s.config.vips[0].to_string())).collect()
    }

    /// What `lvsctl why` says.
    fn reason(&self, name: &str) -> String {
        let why = view::why(&self.state, name).unwrap();
        why.refused.into_iter().map(|refused| refused.reason).collect()
    }

    fn holder(&self) -> Vec<String> {
        self.served().into_iter().filter(|(_, vip)| vip == VIP).map(|(name, _)| name).collect()
    }
}

fn running() -> World {
    let mut world = World::with(&format!("{WEB}{SOURCES}"));
    world.say("other", Vec::new(), true);
    world.up(&ALL);
    world.writes.clear();
    world
}

#[test]
fn a_newcomer_that_sorts_before_takes_no_vip_from_who_is_served() {
    let mut world = running();
    world.say("k8s", vec![said(OLD)], true);
    assert!(world.is_announced(VIP));
    world.writes.clear();
    world.say("k8s", vec![said(NEW)], false);
    assert_eq!(world.holder(), [OLD.0]);
    assert_eq!(world.writes, [], "nothing of what is served changes");
    let words = "tcp 192.0.2.20:80 is the service k8s.prod.web's, which is older: it is there since 1970-01-02T00:00:00.000Z, this one since 1970-01-03T00:00:00.000Z";
    assert_eq!(world.reason("aaa/web"), words);
    assert_eq!(world.conflicts["k8s"][NEW.0], words, "its source tells the cluster");
    let status = world.status();
    assert_eq!((status.sources[0].services, status.sources[0].refused.len()), (1, 1));
    let told = world.notices.iter().map(ToString::to_string).filter(|told| told.contains(words));
    assert_eq!(told.count(), 1);
}

#[test]
fn who_was_in_conflict_is_served_at_once_when_the_other_goes() {
    let mut world = running();
    world.say("k8s", vec![said(OLD), said(NEW)], true);
    assert_eq!(world.holder(), [OLD.0]);
    world.say("k8s", vec![gone(OLD)], false);
    assert_eq!(world.holder(), [NEW.0]);
    assert_eq!(world.weight(KEY, "10.64.0.22:80"), Some(1));
    assert!(world.is_announced(VIP), "the VIP goes over without a withdrawal");
    assert!(world.conflicts.is_empty(), "the cluster is told that it is over: {:?}", world.conflicts);
    world.pass(Duration::from_secs(120));
    assert_eq!(world.weight(KEY, "10.64.0.21:80"), None);
    assert_eq!(world.weight(KEY, "10.64.0.22:80"), Some(1));
}

#[test]
fn balancers_that_have_heard_in_another_order_agree() {
    let apart = |first: Made, second: Made| {
        let mut world = running();
        world.say("k8s", vec![said(first)], true);
        world.say("k8s", vec![said(second)], false);
        world.holder()
    };
    let mut at_once = running();
    at_once.say("k8s", vec![said(NEW), said(OLD)], true);
    assert_eq!((apart(OLD, NEW), apart(NEW, OLD), at_once.holder()), three(OLD));
}

fn three(Made(name, ..): Made) -> (Vec<String>, Vec<String>, Vec<String>) {
    (vec![name.into()], vec![name.into()], vec![name.into()])
}

#[test]
fn a_restart_agrees_also_while_the_source_is_away() {
    for order in [[OLD, NEW], [NEW, OLD]] {
        let mut world = running();
        world.say("k8s", order.map(said).into(), true);
        world.writes.clear();
        world.restart(&format!("{WEB}{SOURCES}"));
        for source in ["k8s", "other"] {
            let outcome = Err("connection refused".into());
            world.event(Event::SourceSaid { source: source.into(), outcome });
        }
        world.up(&ALL);
        assert_eq!((world.holder(), &world.writes[..]), (vec![OLD.0.to_owned()], &[][..]));
        assert!(world.is_announced(VIP));
        world.say("k8s", order.map(said).into(), true);
        assert_eq!((world.holder(), &world.writes[..]), (vec![OLD.0.to_owned()], &[][..]));
    }
}

#[test]
fn what_an_earlier_release_has_left_goes_on_until_the_source_has_said_its_age() {
    let Made(name, _, vip, backend) = OLD;
    let left = Made(name, None, vip, backend);
    let mut world = running();
    world.say("k8s", vec![said(left)], true);
    // As a release has written it that did not know of ages.
    let text = serde_json::to_value(&world.snapshots).unwrap();
    assert_eq!(text["services"][0].as_array().map(Vec::len), Some(2), "{text}");
    world.restart(&format!("{WEB}{SOURCES}"));
    // A whole list that is held back has changes all the same.
    world.say("k8s", vec![said(NEW)], false);
    assert_eq!(world.holder(), [OLD.0]);
    world.say("k8s", vec![said(NEW), said(OLD)], true);
    assert_eq!(world.holder(), [OLD.0]);
}

#[test]
fn the_age_is_among_what_a_later_process_begins_with() {
    let mut world = running();
    world.say("k8s", vec![said(OLD)], true);
    let text = serde_json::to_string(&world.snapshots).unwrap();
    let read: Snapshots = serde_json::from_str(&text).unwrap();
    assert_eq!(read, world.snapshots);
    let (_, kept) = read.services().next().unwrap();
    assert_eq!(kept.created, Some(day(1)));
}

#[test]
fn those_of_one_age_go_by_source_and_name() {
    let mut world = running();
    let first = Made("k8s.prod.a", Some(1), VIP, "10.64.0.21");
    let second = Made("k8s.prod.b", Some(1), VIP, "10.64.0.22");
    let third = Made("other.aaa.a", Some(1), VIP, "10.64.0.23");
    world.say("other", vec![said(third)], true);
    world.say("k8s", vec![said(second), said(first)], true);
    assert_eq!(world.holder(), [first.0]);
    let words = "tcp 192.0.2.20:80 is the service k8s.prod.a's, which is as old, there since 1970-01-02T00:00:00.000Z, and goes first by its source and name";
    assert_eq!((world.reason(second.0), world.reason(third.0)), (words.into(), words.into()));
}

#[test]
fn an_older_service_of_another_source_goes_before() {
    let mut world = running();
    let elder = Made("other.prod.web", Some(0), VIP, "10.64.0.23");
    world.say("k8s", vec![said(OLD)], true);
    world.say("other", vec![said(elder)], true);
    assert_eq!(world.holder(), [elder.0]);
    assert!(world.reason(OLD.0).contains("is the service other.prod.web's, which is older"));
    // One that is made anew under its name is a newcomer.
    let again = Made(elder.0, Some(9), VIP, "10.64.0.23");
    world.say("other", vec![said(again)], false);
    assert_eq!(world.holder(), [OLD.0]);
}

const NAMES: [&str; 6] = ["k8s.a.a", "k8s.b.b", "k8s.c.c", "k8s.d.d", "other.a.a", "other.b.b"];
const VIPS: [&str; 3] = ["192.0.2.20", "192.0.2.21", "192.0.2.10"];

/// What each object says in the end, and what was said of objects before: in any order, some of it gone again.
fn histories() -> impl Strategy<Value = (Vec<Made>, Vec<Vec<(Made, bool)>>)> {
    let made = |name| {
        (proptest::option::weighted(0.9, 0..4u64), 0..VIPS.len())
            .prop_map(move |(created, vip)| Made(name, created, VIPS[vip], "10.64.0.21"))
    };
    let last = proptest::sample::subsequence(NAMES.to_vec(), 1..=NAMES.len())
        .prop_flat_map(move |names| names.into_iter().map(made).collect::<Vec<_>>());
    let object = proptest::sample::select(NAMES.to_vec()).prop_flat_map(made);
    let history = proptest::collection::vec((object, any::<bool>()), 0..8);
    (last, proptest::collection::vec(history, 2))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_served_follows_from_what_is_there_and_not_from_how_it_came_to_be(
        (last, before) in histories(),
        must_reverse in any::<bool>(),
    ) {
        let mut outcomes = Vec::new();
        for (number, history) in before.into_iter().enumerate() {
            let mut world = running();
            for (made, is_gone) in history {
                let word = if is_gone { gone(made) } else { said(made) };
                world.say(source_of(made), vec![word], false);
            }
            let mut all = last.clone();
            if number == 1 && must_reverse {
                all.reverse();
            }
            for name in NAMES.into_iter().filter(|name| !all.iter().any(|made| made.0 == *name)) {
                let made = Made(name, None, VIP, "10.64.0.21");
                world.say(source_of(made), vec![gone(made)], false);
            }
            for made in all {
                world.say(source_of(made), vec![said(made)], false);
            }
            outcomes.push((world.served(), world.conflicts));
        }
        prop_assert_eq!(&outcomes[0], &outcomes[1]);
        // No VIP of two, none of the configuration's, and nobody is left out for nothing.
        let (served, conflicts) = &outcomes[0];
        let refused = conflicts.values().map(BTreeMap::len).sum::<usize>();
        prop_assert_eq!(served.len() + refused, last.len());
        let vips: std::collections::BTreeSet<_> = served.values().collect();
        prop_assert_eq!(vips.len(), served.len());
        prop_assert!(!vips.contains(&VIPS[2].to_owned()));
    }
}
