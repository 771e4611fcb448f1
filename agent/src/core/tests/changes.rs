//! What operators change in etcd: which objects match, what is refused, and what is answered when.

use super::world::World;
use crate::config::{Admin, Backend, PoolId, Query};
use crate::core::action::{Answer, Refusal};
use crate::core::change::{Object, Preview, Selector, Stored, Word, Written, preview};
use crate::core::event::{Command, Note, Request};
use crate::core::inventory::Progress;
use crate::core::{Event, Timestamp, fleet};
use std::time::Duration;

const TEXT: &str = r#"
[source.conftool]
type = "etcd"
endpoints = ["http://127.0.0.1:2379"]

[service.text]
vips = ["192.0.2.10"]
port = 80
checks = []
pool = { source = "conftool", path = "eqiad/cache/text" }

[service.api]
vips = ["192.0.2.11"]
port = 80
checks = []
pool = [{ source = "conftool", path = "eqiad/api/web" }, { source = "conftool", path = "codfw/api/web" }]

[service.own]
vips = ["192.0.2.12"]
port = 80
checks = []
backends = [{ host = "10.64.0.9" }]
"#;

fn pool(path: &str) -> PoolId {
    PoolId::Remote { source: "conftool".into(), query: Query::Path(path.into()) }
}

fn object(path: &str, host: &str) -> Object {
    Object { source: "conftool".into(), path: path.into(), host: host.into() }
}

/// Hosts are addresses, so that nothing has to be looked up.
fn world() -> World {
    let mut world = World::with(TEXT);
    for (path, hosts) in [
        ("eqiad/cache/text", &["10.64.0.1", "10.64.0.2", "10.64.0.3", "10.64.0.4"][..]),
        ("eqiad/api/web", &["10.64.0.1", "10.64.1.2"]),
        ("codfw/api/web", &["10.64.2.1"]),
    ] {
        let backend = |host: &&str| Backend {
            host: (*host).into(),
            weight: ipvs::Weight::new(10).unwrap(),
            pooled: Admin::Pooled,
            limits: Default::default(),
            addresses: None,
        };
        let outcome = Ok(hosts.iter().map(backend).collect());
        world.event(Event::PoolRead { pool: pool(path), outcome });
    }
    world
}

fn found(
    world: &World,
    hosts: &str,
    service: Option<&str>,
    cluster: Option<&str>,
) -> Result<Preview, Refusal> {
    let (service, cluster) = (service.map(Into::into), cluster.map(Into::into));
    preview(&world.state, &Selector { hosts: hosts.into(), service, cluster })
}

fn objects(preview: Result<Preview, Refusal>) -> Vec<String> {
    preview.unwrap().objects.iter().map(|one| one.object.to_string()).collect()
}

fn ask(world: &mut World, id: u64, objects: &[Object], to: Word, note: Note) -> Option<Answer> {
    let before = world.answers.len();
    let command = Command::ChangeSource { objects: objects.to_vec(), to, note };
    world.event(Event::Operator(Request { id, who: "ada".into(), command }));
    world.answers.get(before).cloned()
}

fn seen(revision: u64) -> Event {
    let progress = Progress { revision, ..Progress::default() };
    Event::SourceSeen { source: "conftool".into(), progress }
}

fn stored(object: &Object) -> Written {
    let (was, is) = ("pooled yes".into(), "pooled no".into());
    Written { object: object.clone(), outcome: Ok(Stored { was, is, revision: 7 }) }
}

#[test]
fn objects_are_found_by_host_service_and_cluster() {
    let world = world();
    assert_eq!(
        objects(found(&world, "10.64.0.1", None, None)),
        ["10.64.0.1 in conftool:eqiad/api/web", "10.64.0.1 in conftool:eqiad/cache/text"]
    );
    assert_eq!(objects(found(&world, "*.1", Some("api"), None)).len(), 2);
    assert_eq!(objects(found(&world, "*", None, Some("cache"))).len(), 4);
    let preview = found(&world, "10.64.0.*", None, None).unwrap();
    assert_eq!((preview.objects.len(), preview.elsewhere.len()), (5, 1), "{preview:?}");
    assert_eq!(preview.elsewhere[0].service, "own");
    assert_eq!((&*preview.objects[0].pooled, preview.objects[0].weight), ("yes", 10));
}

#[test]
fn what_is_not_there_is_said_with_what_is_near() {
    let world = world();
    let refusal = found(&world, "10.64.0.5", None, None).unwrap_err();
    assert!(matches!(refusal, Refusal::UnknownHost { .. }), "{refusal}");
    let refusal = found(&world, "10.64.0.1", Some("txet"), None).unwrap_err();
    assert_eq!(refusal.to_string(), "there is no service txet (did you mean text?)");
    let refusal = found(&world, "10.64.0.1", None, Some("nowhere")).unwrap_err();
    assert!(matches!(refusal, Refusal::UnknownHost { .. }), "{refusal}");
}

#[test]
fn the_answer_comes_when_etcd_has_it_and_the_log_says_who_and_why() {
    let mut world = world();
    let objects = [object("eqiad/cache/text", "10.64.0.1"), object("eqiad/cache/text", "10.64.0.2")];
    let note = Note { reason: Some("T12345".into()), ..Note::default() };
    assert_eq!(ask(&mut world, 5, &objects, Word::Pooled(Admin::Depooled), note), None);
    assert_eq!(world.orders.len(), 1);
    assert_eq!((world.orders[0].id, &world.orders[0].objects[..]), (5, &objects[..]));
    world.event(Event::SourceWritten { id: 5, written: objects.iter().map(stored).collect() });
    let done = world.answers.last().cloned().unwrap().unwrap();
    assert_eq!(done.services, ["text"]);
    assert!(done.message.starts_with(
        "10.64.0.1 in conftool:eqiad/cache/text: pooled yes became pooled no at revision 7\n10.64.0.2 in"
    ));
    let audit: Vec<_> = world.notices.iter().filter(|notice| notice.what.contains("became")).collect();
    assert_eq!(audit.len(), 2);
    assert_eq!(audit[0].reason, "ada asked for it: \"T12345\"");
    world.event(Event::SourceWritten { id: 5, written: Vec::new() });
    assert_eq!(world.answers.len(), 1, "one answer for one request");
}

#[test]
fn what_could_not_be_written_is_a_refusal_that_says_what_was() {
    let mut world = world();
    let objects = [object("eqiad/cache/text", "10.64.0.1"), object("eqiad/cache/text", "10.64.0.2")];
    ask(&mut world, 5, &objects, Word::Weight(0), Note::default());
    let failed = Written { object: objects[1].clone(), outcome: Err("permission denied".into()) };
    world.event(Event::SourceWritten { id: 5, written: vec![stored(&objects[0]), failed] });
    let refusal = world.answers.last().cloned().unwrap().unwrap_err().to_string();
    assert!(refusal.contains("10.64.0.1 in conftool:eqiad/cache/text: pooled yes became"), "{refusal}");
    assert!(refusal.contains("10.64.0.2 in conftool:eqiad/cache/text: not changed: permission denied"));
}

#[test]
fn the_threshold_is_held_for_all_hosts_together_and_in_every_service() {
    let mut world = world();
    let text = |host: &str| object("eqiad/cache/text", host);
    let three = [text("10.64.0.1"), text("10.64.0.2"), text("10.64.0.3")];
    for word in [Word::Pooled(Admin::Depooled), Word::Weight(0)] {
        let refusal = ask(&mut world, 1, &three, word, Note::default()).unwrap().unwrap_err().to_string();
        assert!(
            refusal.contains("text (ipv4): 1 of 4 backends would be left serving, 2 are needed"),
            "{refusal}"
        );
    }
    assert!(world.orders.is_empty());
    assert_eq!(ask(&mut world, 2, &three[..2], Word::Pooled(Admin::Depooled), Note::default()), None);
    let force = || Note { force: true, ..Note::default() };
    assert_eq!(ask(&mut world, 3, &three, Word::Pooled(Admin::Depooled), force()), None);
    assert_eq!(ask(&mut world, 4, &three, Word::Weight(5), Note::default()), None, "nobody is taken out");
    assert_eq!(world.orders.len(), 3);
}

#[test]
fn what_is_being_taken_out_already_counts_as_gone_until_its_source_has_said_it() {
    let mut world = world();
    world.event(Event::SourceSaid { source: "conftool".into(), outcome: Ok(()) });
    world.event(seen(3));
    let text = |host: &str| object("eqiad/cache/text", host);
    let (two, third) = ([text("10.64.0.1"), text("10.64.0.2")], [text("10.64.0.3")]);
    let depool = |world: &mut World, id, objects: &[Object]| {
        ask(world, id, objects, Word::Pooled(Admin::Depooled), Note::default())
    };
    assert_eq!(depool(&mut world, 1, &two), None);
    let numbers = "1 of 4 backends would be left serving (2 are being taken out already), 2 are needed";
    let refusal = depool(&mut world, 2, &third).unwrap().unwrap_err().to_string();
    assert!(refusal.contains(numbers), "{refusal}");
    world.event(Event::SourceWritten { id: 1, written: two.iter().map(stored).collect() });
    let refusal = depool(&mut world, 3, &third).unwrap().unwrap_err().to_string();
    assert!(refusal.contains(numbers), "etcd has it, and its watch is late: {refusal}");
    assert!(world.depool("10.64.0.3").is_err(), "on this balancer alone neither");
    // Somebody else has put them back: nothing of the pool has changed.
    world.event(seen(8));
    assert_eq!(depool(&mut world, 4, &third), None);
    let failed = Written { object: third[0].clone(), outcome: Err("permission denied".into()) };
    world.event(Event::SourceWritten { id: 4, written: vec![failed] });
    assert_eq!(depool(&mut world, 5, &two), None, "what was not written is not gone");
}

#[test]
fn hosts_that_leave_a_pool_and_did_not_serve_leave_its_denominator_too() {
    let mut world = world();
    ["10.64.0.3", "10.64.0.4"].iter().for_each(|host| drop(world.depool(host).unwrap()));
    let text = |host: &str| object("eqiad/cache/text", host);
    let three = [text("10.64.0.1"), text("10.64.0.3"), text("10.64.0.4")];
    let refusal = ask(&mut world, 10, &three, Word::Pooled(Admin::Depooled), Note::default());
    assert!(refusal.unwrap().is_err(), "1 of 4 would be left");
    let answer = ask(&mut world, 11, &three, Word::Pooled(Admin::Inactive), Note::default());
    assert_eq!(answer, None, "1 of 1 is left");
}

#[test]
fn what_makes_no_sense_in_etcd_or_is_not_there_is_refused_at_once() {
    let mut world = world();
    let note = Note { lasts: Some(Duration::from_secs(60)), ..Note::default() };
    let one = [object("eqiad/cache/text", "10.64.0.1")];
    let refusal = ask(&mut world, 1, &one, Word::Weight(5), note).unwrap().unwrap_err();
    assert!(refusal.to_string().contains("does not end by itself"));
    for objects in [
        vec![object("eqiad/cache/text", "10.64.0.7")],
        vec![object("eqiad/cache/nothing", "10.64.0.1")],
        vec![Object { source: "other".into(), ..object("eqiad/cache/text", "10.64.0.1") }],
        vec![],
    ] {
        assert!(ask(&mut world, 1, &objects, Word::Weight(5), Note::default()).unwrap().is_err());
    }
    assert!(world.orders.is_empty());
}

#[test]
fn requests_that_wait_are_bounded() {
    let mut world = world();
    let one = [object("eqiad/cache/text", "10.64.0.1")];
    for id in 0..64 {
        assert_eq!(ask(&mut world, id, &one, Word::Weight(5), Note::default()), None);
    }
    assert!(ask(&mut world, 64, &one, Word::Weight(5), Note::default()).unwrap().is_err());
    world.event(Event::SourceWritten { id: 0, written: vec![stored(&one[0])] });
    assert_eq!(ask(&mut world, 65, &one, Word::Weight(5), Note::default()), None);
}

#[test]
fn a_report_to_the_fleet_says_what_is_done_and_how_far_sources_are_obeyed() {
    let mut world = world();
    world.event(seen(3));
    assert!(fleet::news(&world.state).seen.is_empty(), "a source that has not said how it is");
    world.event(Event::SourceSaid { source: "conftool".into(), outcome: Ok(()) });
    world.event(seen(42));
    assert_eq!(fleet::news(&world.state).seen["conftool"], 42);
    let before = fleet::report(&world.state, None);
    let text = &before.pools["text ipv4"];
    assert_eq!((text.pooled, text.total, text.needed, text.out.len()), (4, 4, 2, 0));
    assert_eq!(before.sources["conftool"], "live");
    assert_ne!(before.changed, Timestamp::default());
    let since = fleet::news(&world.state).decisions;
    world.depool("10.64.0.1").unwrap();
    assert_ne!(fleet::news(&world.state).decisions, since, "it is news");
    let news = fleet::report(&world.state, Some(since));
    assert!(news.pools.contains_key("text ipv4") && !news.pools.contains_key("own ipv4"), "{news:?}");
    let after = fleet::report(&world.state, None);
    let mut followed = before.clone();
    followed.follow(news);
    assert_eq!(followed, after, "with what is news it is all that there is");
    assert_eq!(after.pools["text ipv4"].out, ["10.64.0.1 depooled"]);
    assert_ne!(after.pools["text ipv4"].digest, text.digest);
    assert_eq!(after.pools["own ipv4"].digest, before.pools["own ipv4"].digest);
}

#[test]
fn a_source_that_comes_back_with_all_that_it_has_is_news_to_the_fleet() {
    let mut world = world();
    let said = |outcome| Event::SourceSaid { source: "conftool".into(), outcome };
    world.event(said(Err("connection refused".into())));
    let away = fleet::news(&world.state).decisions;
    world.event(Event::Several(vec![seen(3), said(Ok(()))]));
    assert_eq!(fleet::report(&world.state, None).sources["conftool"], "live");
    assert_ne!(fleet::news(&world.state).decisions, away, "others go on showing it as away");
}
