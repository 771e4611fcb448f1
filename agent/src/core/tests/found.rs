//! Services that a source has by itself: they come, change and go as those of the configuration do, and take nothing from it.

use super::world::World;
use super::{ALL, WEB};
use crate::config::{self, Service};
use crate::core::Event;
use crate::core::event::Command;
use crate::core::found::{Finding, FoundService, LastGood};
use crate::core::numbers::numbers;
use crate::core::view;
use std::sync::Arc;
use std::time::Duration;

const SOURCE: &str = r#"
[source.k8s]
type = "kubernetes"
class = "example.org/lvsd"
address_pool = [{ name = "public", addresses = ["192.0.2.16/28"] }]
"#;

/// A service of one backend, as a source would make it.
pub(super) fn service(name: &str, vip: &str, backend: &str) -> Arc<Service> {
    let text = format!(
        "[service.\"{name}\"]\nvips = [\"{vip}\"]\nport = 80\nchecks = []\nbackends = [{{ host = \"{backend}\" }}]\n"
    );
    let config = config::parse(&[("k8s".into(), text)]).unwrap();
    Arc::clone(&config.services[name])
}

/// A service by its name, why it is refused, or nothing when it is gone.
type Said<'a> = (&'a str, Option<Result<Arc<Service>, &'a str>>);

impl World {
    fn found(&mut self, services: &[Said<'_>], whole: bool) {
        let finding = |service: &Option<Result<Arc<Service>, &str>>| match service {
            Some(Ok(service)) => Finding::Served(Arc::clone(service)),
            Some(Err(why)) => Finding::Refused((*why).to_owned()),
            None => Finding::Gone,
        };
        let services = services.iter().map(|(name, service)| (*name, finding(service)));
        self.findings(services.collect(), whole);
    }

    fn findings(&mut self, services: Vec<(&str, Finding)>, whole: bool) {
        let found =
            |(name, finding): (&str, Finding)| FoundService { name: name.to_owned(), finding, created: None };
        let services = services.into_iter().map(found).collect();
        self.event(Event::ServicesSaid { source: "k8s".into(), services, whole });
    }

    fn why(&self, name: &str) -> Result<Vec<String>, String> {
        let why = view::why(&self.state, name).map_err(|refusal| refusal.to_string())?;
        Ok(why.refused.into_iter().map(|refused| format!("{}: {}", refused.name, refused.reason)).collect())
    }

    fn refusals(&self) -> Vec<String> {
        let sources = self.status().sources;
        sources[0].refused.iter().map(|refused| format!("{}: {}", refused.name, refused.reason)).collect()
    }
}

fn running() -> World {
    let mut world = World::with(&format!("{WEB}{SOURCE}"));
    world.up(&ALL);
    world.writes.clear();
    world
}

const SHOP: &str = "tcp 192.0.2.20:80";

#[test]
fn a_service_of_a_source_is_served_and_announced_and_goes_as_one_of_the_configuration_does() {
    let mut world = running();
    world.found(&[("k8s.prod.shop", Some(Ok(service("k8s.prod.shop", "192.0.2.20", "10.64.0.21"))))], true);
    assert_eq!(world.weight(SHOP, "10.64.0.21:80"), Some(1));
    assert!(world.is_announced("192.0.2.20") && world.is_announced("192.0.2.10"));
    assert_eq!(world.status().sources[0].services, 1);
    let writes = world.writes.len();
    world.found(&[("k8s.prod.shop", Some(Ok(service("k8s.prod.shop", "192.0.2.20", "10.64.0.21"))))], true);
    assert_eq!(world.writes.len(), writes, "the same said again changes nothing");
    world.found(&[("k8s.prod.shop", None)], false);
    assert!(!world.is_announced("192.0.2.20"), "it is withdrawn at once");
    assert_eq!(world.weight(SHOP, "10.64.0.21:80"), Some(1), "and serves until routers have moved");
    world.pass(Duration::from_secs(3));
    assert_eq!(world.weight(SHOP, "10.64.0.21:80"), None);
    assert!(world.is_announced("192.0.2.10"));
}

#[test]
fn a_change_of_one_service_leaves_the_others_alone() {
    let mut world = running();
    let first = service("k8s.a", "192.0.2.20", "10.64.0.21");
    let second = service("k8s.b", "192.0.2.21", "10.64.0.22");
    world.found(&[("k8s.a", Some(Ok(first))), ("k8s.b", Some(Ok(second)))], true);
    world.writes.clear();
    world.found(&[("k8s.b", Some(Ok(service("k8s.b", "192.0.2.21", "10.64.0.23"))))], false);
    assert_eq!(world.weight("tcp 192.0.2.21:80", "10.64.0.23:80"), Some(1));
    let of_others = world.writes.iter().filter(|op| !op.to_string().contains("192.0.2.21"));
    assert_eq!(of_others.count(), 0, "{:?}", world.writes);
}

#[test]
fn a_vip_that_two_services_of_a_source_have_stays_announced_when_one_of_them_goes() {
    let mut world = running();
    let text = "[service.\"k8s.b\"]\nvips = [\"192.0.2.20\"]\nport = 443\nchecks = []\nbackends = [{ host = \"10.64.0.22\" }]\n";
    let config = config::parse(&[("k8s".into(), text.to_owned())]).unwrap();
    let (first, second) =
        (service("k8s.a", "192.0.2.20", "10.64.0.21"), Arc::clone(&config.services["k8s.b"]));
    world.found(&[("k8s.a", Some(Ok(first))), ("k8s.b", Some(Ok(second)))], true);
    assert!(world.is_announced("192.0.2.20"));
    world.found(&[("k8s.a", None)], false);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.weight(SHOP, "10.64.0.21:80"), None);
    assert_eq!(world.weight("tcp 192.0.2.20:443", "10.64.0.22:443"), Some(1));
    assert!(world.is_announced("192.0.2.20"), "the other is there");
    world.found(&[("k8s.b", None)], false);
    assert!(!world.is_announced("192.0.2.20"), "nobody has it any more");
}

#[test]
fn the_configuration_goes_before_a_source_and_what_is_refused_is_served_once_there_is_room() {
    let mut world = running();
    world.found(&[("k8s.web", Some(Ok(service("k8s.web", "192.0.2.10", "10.64.0.21"))))], true);
    assert_eq!(
        world.refusals(),
        ["k8s.web: tcp 192.0.2.10:80 is the service web's, and the configuration goes first"]
    );
    assert_eq!(world.writes, []);
    world.found(&[("web", Some(Ok(service("web", "192.0.2.30", "10.64.0.21"))))], false);
    assert!(world.refusals().contains(&"web: there is a service web already".to_owned()));
    let said: Vec<_> =
        world.notices.iter().map(ToString::to_string).filter(|n| n.contains("k8s.web")).collect();
    assert_eq!(
        said,
        [
            "k8s.web of source k8s is not served: tcp 192.0.2.10:80 is the service web's, and the configuration goes first"
        ]
    );
    // The configuration lets go of the VIP.
    world.configure(&format!("{}{SOURCE}", WEB.replace("\"192.0.2.10\", ", "")));
    assert_eq!(world.refusals(), ["web: there is a service web already"]);
    assert_eq!(world.weight("tcp 192.0.2.10:80", "10.64.0.21:80"), Some(1));
    assert!(world.is_announced("192.0.2.10"));
}

#[test]
fn what_the_source_itself_refuses_is_told_and_does_not_reach_the_kernel() {
    let mut world = running();
    world.found(&[("k8s.prod.x", Some(Err("a ClusterIP only is not reachable by direct routing")))], true);
    assert_eq!(world.refusals(), ["k8s.prod.x: a ClusterIP only is not reachable by direct routing"]);
    assert_eq!(world.writes, []);
}

#[test]
fn a_restart_without_the_source_goes_on_with_the_services_that_it_had() {
    let mut world = running();
    world.found(&[("k8s.prod.shop", Some(Ok(service("k8s.prod.shop", "192.0.2.20", "10.64.0.21"))))], true);
    assert!(world.is_announced("192.0.2.20"));
    world.writes.clear();
    world.restart(&format!("{WEB}{SOURCE}"));
    world.event(Event::SourceSaid { source: "k8s".into(), outcome: Err("connection refused".into()) });
    world.up(&ALL);
    assert_eq!(world.writes, [], "the kernel's entry stays");
    assert!(world.is_announced("192.0.2.20"));
    world.found(&[], true);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.weight(SHOP, "10.64.0.21:80"), None, "once it says that there are none, they go");
}

#[test]
fn a_source_that_goes_away_and_comes_back_is_one_outage_in_the_metrics() {
    let mut world = running();
    let is_live = |live: u8, outages: u8| {
        let series = |name: &str, value: u8| {
            vec![format!("lvsd_source_{name}{{source=\"k8s\",type=\"kubernetes\"}} {value}")]
        };
        (series("live", live), series("outages_total", outages))
    };
    let told = |world: &World| (world.metric("lvsd_source_live"), world.metric("lvsd_source_outages_total"));
    let said = |outcome| Event::SourceSaid { source: "k8s".into(), outcome };
    world.event(said(Ok(())));
    assert_eq!(told(&world), is_live(1, 0));
    world.event(said(Err("connection refused".into())));
    world.event(said(Err("connection refused".into())));
    assert_eq!(told(&world), is_live(0, 1));
    world.event(said(Ok(())));
    assert_eq!(told(&world), is_live(1, 1));
}

#[test]
fn a_source_that_the_configuration_loses_takes_its_services_along() {
    let mut world = running();
    world.found(&[("k8s.prod.shop", Some(Ok(service("k8s.prod.shop", "192.0.2.20", "10.64.0.21"))))], true);
    world.configure(WEB);
    assert!(!world.is_announced("192.0.2.20"));
    world.pass(Duration::from_secs(3));
    assert_eq!(world.weight(SHOP, "10.64.0.21:80"), None);
    assert_eq!(world.snapshots.services().count(), 0);
}

#[test]
fn a_source_that_is_not_asked_for_services_any_more_takes_them_along() {
    let mut world = running();
    let shop = || Some(Ok(service("k8s.prod.shop", "192.0.2.20", "10.64.0.21")));
    world.found(&[("k8s.prod.shop", shop())], true);
    let pools_only = "\n[source.k8s]\ntype = \"kubernetes\"\n";
    world.configure(&format!("{WEB}{pools_only}"));
    // What it said before it heard of the reload comes late.
    world.found(&[("k8s.prod.shop", shop())], true);
    assert!(
        !world.is_announced("192.0.2.20"),
        "a source that only has pools never says that it has no services"
    );
    world.pass(Duration::from_secs(3));
    assert_eq!(world.weight(SHOP, "10.64.0.21:80"), None);
    assert!(world.is_announced("192.0.2.10"));
    assert_eq!(world.snapshots.services().count(), 0);
}

#[test]
fn a_list_that_misses_more_than_half_of_the_services_is_held_back_until_it_is_confirmed() {
    let mut world = running();
    let names = ["k8s.a", "k8s.b", "k8s.c"];
    let vips = ["192.0.2.20", "192.0.2.21", "192.0.2.22"];
    let found = |number: usize| Some(Ok(service(names[number], vips[number], "10.64.0.21")));
    world.found(&[(names[0], found(0)), (names[1], found(1)), (names[2], found(2))], true);
    world.writes.clear();
    world.found(&[(names[0], found(0))], true);
    assert!(vips.iter().all(|vip| world.is_announced(vip)), "two of three do not go at once");
    assert_eq!(world.writes, []);
    let error = world.status().sources[0].error.clone().unwrap();
    assert_eq!(
        error,
        "held back: its list misses 2 of 3 services that are served; `lvsctl confirm k8s` lets it through"
    );
    let held =
        |count: usize| [format!("lvsd_source_services_held{{source=\"k8s\",type=\"kubernetes\"}} {count}")];
    assert_eq!(world.metric("lvsd_source_services_held"), held(1));
    world.operate(Command::Confirm { service: "k8s".into() }).unwrap();
    assert_eq!(world.metric("lvsd_source_services_held"), held(0));
    assert!(world.is_announced(vips[0]) && !world.is_announced(vips[1]) && !world.is_announced(vips[2]));
    assert_eq!(world.status().sources[0].error, None);
}

#[test]
fn a_list_that_calms_down_is_obeyed_and_one_service_at_a_time_may_always_go() {
    let mut world = running();
    let found = |name: &str, vip: &str| Some(Ok(service(name, vip, "10.64.0.21")));
    world.found(&[("k8s.a", found("k8s.a", "192.0.2.20")), ("k8s.b", found("k8s.b", "192.0.2.21"))], true);
    world.found(&[], true);
    assert!(world.is_announced("192.0.2.20") && world.is_announced("192.0.2.21"));
    world.found(&[("k8s.a", found("k8s.a", "192.0.2.20"))], true);
    assert!(world.is_announced("192.0.2.20") && !world.is_announced("192.0.2.21"));
    world.found(&[("k8s.a", None)], false);
    assert!(!world.is_announced("192.0.2.20"));
}

const FOUR: [(&str, &str); 4] =
    [("k8s.a", "192.0.2.20"), ("k8s.b", "192.0.2.21"), ("k8s.c", "192.0.2.22"), ("k8s.d", "192.0.2.23")];

impl World {
    /// A list of the first of four services, and of the others with this refusal, if it has them.
    fn list(&mut self, served: usize, others: Option<&str>) {
        let says = |(number, (name, vip)): (usize, &(&'static str, &str))| {
            let finding = match number < served {
                true => Ok(service(name, vip, "10.64.0.21")),
                false => Err(others?),
            };
            Some((*name, Some(finding)))
        };
        let list: Vec<Said<'_>> = FOUR.iter().enumerate().filter_map(says).collect();
        self.found(&list, true);
    }

    fn announced_of_four(&self) -> usize {
        FOUR.iter().filter(|(_, vip)| self.is_announced(vip)).count()
    }

    fn held(&self) -> Option<String> {
        self.status().sources[0].error.clone()
    }
}

#[test]
fn a_list_that_has_services_but_refuses_most_of_them_is_held_back_and_says_why() {
    let mut world = running();
    world.list(4, None);
    world.writes.clear();
    world.list(1, Some("it has no address yet"));
    assert_eq!((world.announced_of_four(), world.writes.len()), (4, 0));
    assert_eq!(
        world.held().unwrap(),
        "held back: its list misses 3 of 4 services that are served, 3 of which it has but not to be served \
         (k8s.b: it has no address yet); `lvsctl confirm k8s` lets it through"
    );
    // By the watch each goes as it is said.
    world.found(&[("k8s.d", Some(Err("ipMode Proxy")))], false);
    assert_eq!(world.announced_of_four(), 3);
    assert!(world.held().unwrap().contains("misses 2 of 3 services"), "{:?}", world.held());
    world.list(2, Some("it has no address yet"));
    assert_eq!((world.announced_of_four(), world.held()), (2, None), "one of three may go");
}

#[test]
fn a_start_holds_back_a_first_list_without_most_of_what_the_former_process_served() {
    for (served, others, missing) in [(1, None, 3), (0, None, 4), (0, Some("it has no address yet"), 4)] {
        let mut world = running();
        world.list(4, None);
        world.writes.clear();
        world.restart(&format!("{WEB}{SOURCE}"));
        world.list(served, others);
        world.up(&ALL);
        world.pass(Duration::from_secs(60));
        assert_eq!((world.announced_of_four(), &*world.writes), (4, &[][..]), "{served} {others:?}");
        let words = format!("misses {missing} of 4 services that are served");
        assert!(world.held().unwrap().contains(&words), "{:?}", world.held());
        // Held back over one more start as well.
        world.restart(&format!("{WEB}{SOURCE}"));
        world.list(served, others);
        world.up(&ALL);
        assert_eq!((world.announced_of_four(), &*world.writes), (4, &[][..]));
        world.list(2, others);
        assert_eq!((world.announced_of_four(), world.held()), (2, None), "half may go");
    }
}

#[test]
fn a_list_that_is_held_back_is_over_when_none_is_missing_any_more_and_not_before() {
    let mut world = running();
    world.list(4, None);
    world.list(0, None);
    for (number, (name, vip)) in FOUR.iter().enumerate() {
        assert!(world.held().unwrap().contains(&format!("misses {} of 4", 4 - number)), "{:?}", world.held());
        world.found(&[(name, Some(Ok(service(name, vip, "10.64.0.22"))))], false);
        assert_eq!(world.announced_of_four(), 4);
    }
    assert_eq!(world.held(), None);
    let said = world.notices.iter().filter(|notice| notice.to_string().contains("is held back"));
    assert_eq!(said.count(), 1);
}

#[test]
fn lvsctl_why_says_of_a_service_why_it_is_not_served() {
    let mut world = running();
    let bad = Some(Err("192.0.2.30 has ipMode Proxy"));
    world.found(&[("k8s.prod.web.http", bad.clone()), ("k8s.prod.web2", bad.clone())], true);
    let why = |name: &str| world.why(name);
    let web = vec!["k8s.prod.web.http: 192.0.2.30 has ipMode Proxy".to_owned()];
    assert_eq!(why("k8s.prod.web.http"), Ok(web.clone()));
    assert_eq!(why("prod/web"), Ok(web), "and no other whose name begins so");
    assert_eq!(why("prod/web2"), Ok(vec!["k8s.prod.web2: 192.0.2.30 has ipMode Proxy".to_owned()]));
    assert_eq!(why("web"), Ok(vec!["web: nothing is wrong with it; see `lvsctl status web`".to_owned()]));
    assert!(why("prod/other").is_err());
}

const WRONG: &str = "annotation lvsd/scheduler: expected a scheduler, found \"nonsense\"";

fn shop(backend: &str) -> Arc<Service> {
    service("k8s.prod.shop", "192.0.2.20", backend)
}

fn wrong(last: LastGood) -> Vec<(&'static str, Finding)> {
    vec![("k8s.prod.shop", Finding::Wrong { why: WRONG.into(), last })]
}

/// As a source says it that does not know the former settings of prod/shop, which listens at these ports of its VIP.
fn wrong_at(ports: &[u16]) -> Vec<(&'static str, Finding)> {
    let key = |port: &u16| format!("tcp 192.0.2.20:{port}").parse().unwrap();
    wrong(LastGood::ListensAt(ports.iter().map(key).collect()))
}

#[test]
fn a_service_whose_settings_are_wrong_goes_on_with_the_former_ones_and_that_is_told() {
    let mut world = running();
    world.found(&[("k8s.prod.shop", Some(Ok(shop("10.64.0.21"))))], true);
    world.writes.clear();
    for said in [wrong(LastGood::Is(shop("10.64.0.21"))), wrong_at(&[80]), wrong_at(&[80])] {
        world.findings(said, false);
        assert_eq!(world.writes, []);
        assert!(world.is_announced("192.0.2.20"));
        let words = format!("{WRONG}; its former settings stay in force");
        let status = world.status();
        let view = status.services.iter().find(|service| service.name == "k8s.prod.shop").unwrap();
        assert_eq!(view.source_error.as_ref(), Some(&words));
        assert_eq!((status.sources[0].services, status.sources[0].refused.len()), (1, 0));
        let told = Ok(vec![format!("k8s.prod.shop: {words}")]);
        assert_eq!((world.why("k8s.prod.shop"), world.why("prod/shop")), (told.clone(), told));
        let numbers = numbers(&world.state);
        let failed = numbers.services.iter().filter(|service| service.source_failed);
        assert_eq!(failed.map(|service| &*service.name).collect::<Vec<_>>(), ["k8s.prod.shop"]);
    }
    let said: Vec<_> =
        world.notices.iter().map(ToString::to_string).filter(|n| n.contains("nonsense")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    // What else the source says of it is followed, and so are right settings.
    world.findings(wrong(LastGood::Is(shop("10.64.0.22"))), false);
    assert_eq!(world.weight(SHOP, "10.64.0.22:80"), Some(1));
    world.found(&[("k8s.prod.shop", Some(Ok(shop("10.64.0.23"))))], false);
    assert_eq!(world.weight(SHOP, "10.64.0.23:80"), Some(1));
    assert!(world.why("prod/shop").is_err(), "nothing is wrong any more");
}

#[test]
fn a_service_with_wrong_settings_ends_where_it_listens_no_more_and_when_it_is_gone() {
    for (said, is_refused) in [
        (wrong_at(&[81]), true),
        (vec![("k8s.prod.shop", Finding::Refused("192.0.2.20 has ipMode Proxy".into()))], true),
        (vec![("k8s.prod.shop", Finding::Gone)], false),
    ] {
        let mut world = running();
        world.found(&[("k8s.prod.shop", Some(Ok(shop("10.64.0.21"))))], true);
        world.findings(wrong_at(&[80]), false);
        assert!(world.is_announced("192.0.2.20"));
        world.findings(said, false);
        assert!(!world.is_announced("192.0.2.20"));
        assert_eq!(world.refusals().len(), usize::from(is_refused), "{:?}", world.refusals());
        world.pass(Duration::from_secs(3));
        assert_eq!(world.weight(SHOP, "10.64.0.21:80"), None);
    }
}

#[test]
fn a_service_whose_settings_are_wrong_at_first_is_refused() {
    let mut world = running();
    world.findings(wrong_at(&[80]), true);
    assert_eq!(world.refusals(), [format!("k8s.prod.shop: {WRONG}")]);
    assert_eq!(world.writes, []);
}

#[test]
fn a_restart_goes_on_with_the_settings_that_an_earlier_process_understood() {
    let mut world = running();
    world.found(&[("k8s.prod.shop", Some(Ok(shop("10.64.0.21"))))], true);
    world.findings(wrong_at(&[80]), false);
    for _ in 0..2 {
        world.writes.clear();
        world.restart(&format!("{WEB}{SOURCE}"));
        world.findings(wrong_at(&[80]), true);
        world.up(&ALL);
        assert_eq!(world.writes, [], "the kernel's entry stays");
        assert!(world.is_announced("192.0.2.20"));
        assert_eq!(world.why("prod/shop").unwrap().len(), 1);
    }
    // It moves to another port: that it had is nobody's.
    world.findings(wrong_at(&[81]), true);
    assert_eq!(world.refusals(), [format!("k8s.prod.shop: {WRONG}")]);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.weight(SHOP, "10.64.0.21:80"), None);
}

#[test]
fn a_list_that_is_held_back_has_the_former_settings_of_a_service_as_well() {
    let mut world = running();
    let others = ["k8s.a", "k8s.b", "k8s.c"].into_iter().zip(["192.0.2.21", "192.0.2.22", "192.0.2.23"]);
    let others = others.map(|(name, vip)| (name, Finding::Served(service(name, vip, "10.64.0.22"))));
    let all = others.chain([("k8s.prod.shop", Finding::Served(shop("10.64.0.21")))]);
    world.findings(all.collect(), true);
    world.findings(wrong_at(&[80]), true);
    world.findings(wrong_at(&[80]), false);
    world.operate(Command::Confirm { service: "k8s".into() }).unwrap();
    assert!(world.is_announced("192.0.2.20") && !world.is_announced("192.0.2.21"));
    assert_eq!(world.refusals(), [] as [String; 0]);
}
