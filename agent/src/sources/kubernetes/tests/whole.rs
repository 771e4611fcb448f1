//! Services that are served whole: whose they are, their VIPs, and what their annotations make of them.

use super::super::allocate::{Given, allocate};
use super::super::index::Concerned;
use super::super::objects::ANNOTATION;
use super::super::services::Services;
use super::super::whole::{Former, OWN, ROUTE, SETTINGS, advice, found};
use super::*;
use crate::config::{AddressPool, PoolId, Service as Made, WholeServices};
use crate::core::found::{Finding, FoundService};
use crate::sources::Said;
use std::collections::BTreeSet;
use std::sync::Arc;

fn pool_of(name: &str, ranges: &[&str]) -> AddressPool {
    let ranges = ranges.iter().map(|range| range.parse().expect("a range")).collect();
    AddressPool { name: name.into(), ranges, auto: true, namespaces: BTreeSet::new() }
}

pub(super) fn settings() -> WholeServices {
    WholeServices {
        class: Some("example.org/lvsd".into()),
        external_ips: false,
        node_ports: false,
        vips_on_nodes: false,
        lease: None,
        pools: vec![pool_of("public", &["192.0.2.10-192.0.2.12", "2001:db8::10-2001:db8::11"])],
    }
}

/// prod/web of our class, with annotations.
pub(super) fn ours(spec: Value, annotations: Value) -> Value {
    let mut object = web(spec);
    object["spec"]["loadBalancerClass"] = json!("example.org/lvsd");
    object["metadata"]["annotations"] = annotations;
    object
}

fn made(object: Value, settings: &WholeServices) -> Vec<FoundService> {
    found(&"k8s".into(), &service(object), &Former::No, settings)
}

/// The one service that is made of an object.
fn one(object: Value, settings: &WholeServices) -> Arc<Made> {
    let mut all = made(object, settings);
    assert_eq!(all.len(), 1, "{all:?}");
    served(&all.remove(0))
}

pub(super) fn served(found: &FoundService) -> Arc<Made> {
    let Finding::Served(service) = &found.finding else { panic!("{found:?}") };
    Arc::clone(service)
}

fn refused(found: &FoundService) -> String {
    let Finding::Refused(why) = &found.finding else { panic!("{found:?}") };
    why.clone()
}

/// Why an object is refused.
fn refusal(object: Value, settings: &WholeServices) -> String {
    let all = made(object, settings);
    refused(&all[0])
}

#[test]
fn a_load_balancer_of_our_class_is_served_on_the_addresses_of_its_status() {
    let service = one(ours(json!({}), json!({})), &settings());
    assert_eq!((&*service.name, service.port), ("k8s.prod.web.https", 443));
    assert_eq!(service.vips, [IpAddr::from([192, 0, 2, 10])]);
    assert_eq!(service.origin.to_string(), "k8s:prod/web");
    let PoolId::Remote { source, query } = &service.pool.sources()[0] else { panic!("{:?}", service.pool) };
    assert_eq!(format!("{source}:{query}"), "k8s:service prod/web port https at tcp 192.0.2.10:443");
    // Each node is asked what its kube-proxy says.
    assert!(format!("{:?}", service.checks[0].kind).contains("/healthz"), "{:?}", service.checks);
    assert_eq!(service.checks[0].port.map(u16::from), Some(10_256));
}

#[test]
fn others_services_are_left_alone() {
    let class = |class: Value| {
        let mut object = ours(json!({}), json!({}));
        object["spec"]["loadBalancerClass"] = class;
        object
    };
    for object in [
        class(json!("example.org/other")),
        class(Value::Null),
        ours(json!({"type": "NodePort"}), json!({})),
        ours(json!({"type": "ClusterIP"}), json!({"lvsd/vips": "192.0.2.10"})),
    ] {
        assert_eq!(made(object, &settings()), []);
    }
    // What an older server does not keep can be said in an annotation.
    let mut older = class(Value::Null);
    older["metadata"]["annotations"] = json!({"lvsd/class": "example.org/lvsd"});
    assert_eq!(&*one(older, &settings()).name, "k8s.prod.web.https");
    let mut deleting = ours(json!({}), json!({}));
    deleting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(made(deleting, &settings()), []);
}

#[test]
fn a_vip_has_to_be_of_an_address_pool_for_the_namespace() {
    let mut object = ours(json!({}), json!({}));
    object["status"]["loadBalancer"]["ingress"] = json!([{"ip": "203.0.113.9"}]);
    assert_eq!(
        refusal(object, &settings()),
        "203.0.113.9 is in no address pool that Services in prod may have"
    );
    let mut settings = settings();
    settings.pools[0].namespaces = [Arc::from("infra")].into();
    assert!(refusal(ours(json!({}), json!({})), &settings).contains("Services in prod may have"));
}

#[test]
fn external_addresses_and_node_ports_are_served_where_that_is_set() {
    let external = || web(json!({"type": "ClusterIP", "externalIPs": ["192.0.2.11", "203.0.113.1"]}));
    assert_eq!(made(external(), &settings()), []);
    let with = WholeServices { external_ips: true, ..settings() };
    let service = one(external(), &with);
    assert_eq!(service.vips, [IpAddr::from([192, 0, 2, 11])], "the other is not ours");
    let deprecated = |object: Value| advice(&self::service(object), &with).is_some();
    assert!(deprecated(external()) && !deprecated(ours(json!({}), json!({}))));
    let node_port = |vips: &str| {
        let mut object = web(json!({"type": "NodePort"}));
        object["metadata"]["annotations"] = json!({"lvsd/vips": vips});
        object
    };
    let with = WholeServices { node_ports: true, vips_on_nodes: true, ..settings() };
    let service = one(node_port("192.0.2.12, 2001:db8::11"), &with);
    assert_eq!((service.port, service.vips.len()), (30443, 2));
    assert!(refusal(node_port("192.0.2.99"), &with).contains("in no address pool"));
    assert!(refusal(node_port("web"), &with).contains("annotation lvsd/vips: expected addresses"));
    let loops = WholeServices { vips_on_nodes: false, ..with };
    assert!(refusal(node_port("192.0.2.12"), &loops).contains("a loop"));
}

#[test]
fn several_ports_are_several_services_on_the_same_vip() {
    let ports = json!([
        {"name": "http", "protocol": "TCP", "port": 80, "nodePort": 30080},
        {"name": "dns", "protocol": "UDP", "port": 53, "nodePort": 30053}]);
    let all = made(ours(json!({"ports": ports}), json!({})), &settings());
    let names: Vec<&str> = all.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["k8s.prod.web.http", "k8s.prod.web.dns"]);
    let dns = served(&all[1]);
    assert_eq!((dns.port, dns.protocol), (53, ipvs::Protocol::Udp));
}

#[test]
fn affinity_is_persistence_and_local_is_asked_at_its_health_check_port() {
    let spec = json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}},
        "externalTrafficPolicy": "Local", "healthCheckNodePort": 31337});
    let service = one(ours(spec, json!({})), &settings());
    assert!(
        service.settings(ipvs::Family::V4).to_string().contains("600"),
        "{}",
        service.settings(ipvs::Family::V4)
    );
    assert_eq!(service.checks[0].port.map(u16::from), Some(31_337));
    let health::Kind::NodePort(check) = &service.checks[0].kind else { panic!("{:?}", service.checks) };
    assert_eq!(check.service(), Some("prod/web"));
    // Three hours when nothing else is said.
    let service = one(ours(json!({"sessionAffinity": "ClientIP"}), json!({})), &settings());
    assert!(
        service.settings(ipvs::Family::V4).to_string().contains("10800"),
        "{}",
        service.settings(ipvs::Family::V4)
    );
}

#[test]
fn annotations_are_settings_of_the_service_and_of_its_route() {
    let annotations = json!({
        "lvsd/scheduler": "wrr", "lvsd/depool-threshold": "0.75", "lvsd/slow-start": "30s", "lvsd/require": "any",
        "lvsd/checks": "[{ type = \"tcp\" }, { type = \"http\", port = 10256, url = \"/healthz\" }]",
        "lvsd/med": "100", "lvsd/prepend": "2", "lvsd/communities": "[\"65535:0\"]",
        "example.org/other": "is not ours"
    });
    let service = one(ours(json!({}), annotations), &settings());
    assert_eq!(service.scheduler.scheduler().to_string(), "wrr");
    assert_eq!((service.checks.len(), service.slow_start.as_secs()), (2, 30));
    assert_eq!(service.depool_threshold, crate::config::Threshold::from_share(0.75).expect("a share"));
    let route = &service.route.as_ref().expect("a route").attributes;
    assert_eq!(
        (route.med, route.prepend, route.communities.as_ref().map(Vec::len)),
        (Some(100), Some(2), Some(1))
    );
}

#[test]
fn each_annotation_is_what_the_setting_of_its_name_is_in_a_configuration() {
    let values = [
        ("scheduler", "sh"),
        ("scheduler-flags", "[\"port\"]"),
        ("forwarding", "tunnel"),
        ("tunnel", "{ type = \"gue\", port = 5555 }"),
        ("depool-threshold", "0.75"),
        ("max-change", "0.25"),
        ("slow-start", "30s"),
        ("require-on-link", "true"),
        ("require", "any"),
        ("checks", "[{ type = \"tcp\", interval = \"3s\" }]"),
        ("med", "100"),
        ("local-pref", "200"),
        ("prepend", "2"),
        ("communities", "[\"65535:0\"]"),
        ("large-communities", "[\"4200000001:1:2\"]"),
    ];
    assert_eq!(values.map(|(key, _)| key).to_vec(), [&SETTINGS[..], &ROUTE[..]].concat());
    let annotations = values.map(|(key, text)| (format!("{ANNOTATION}{key}"), json!(text)));
    let found = one(ours(json!({}), Value::Object(annotations.into_iter().collect())), &settings());
    let line = |(key, text): &(&str, &str)| {
        let is_toml = text.parse::<f64>().is_ok() || text.starts_with(['[', '{']) || *text == "true";
        let text = if is_toml { (*text).to_owned() } else { format!("\"{text}\"") };
        format!("{} = {text}\n", key.replace('-', "_"))
    };
    let (own, route) = values.split_at(SETTINGS.len());
    let lines = |of: &[(&str, &str)]| of.iter().map(line).collect::<String>();
    let text = format!(
        "[service.x]\nvips = [\"192.0.2.10\"]\nport = 443\nbackends = [{{ host = \"10.64.0.11\" }}]\n{}[service.x.route]\n{}",
        lines(own),
        lines(route)
    );
    let configured =
        &crate::config::parse(&[("lvsd.toml".into(), text)]).expect("a configuration").services["x"];
    let of = |service: &Made| {
        let thresholds = (service.depool_threshold, service.max_change, service.slow_start);
        let ways = (service.scheduler.clone(), service.forward, service.require_on_link, service.require);
        (
            thresholds,
            ways,
            service.checks.clone(),
            service.route.as_ref().map(|route| route.attributes.clone()),
        )
    };
    assert_eq!(of(&found), of(configured));
}

const PAGE: &str = include_str!("../../../../../docs/kubernetes.md");

#[test]
fn the_page_names_each_annotation_and_no_other() {
    let (_, table) = PAGE.split_once("| annotation | what |\n|---|---|\n").expect("the table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let names = rows.flat_map(|row| row.split('|').nth(1).expect("a column").split('`').skip(1).step_by(2));
    let named: BTreeSet<&str> = names.map(|name| name.trim_start_matches(ANNOTATION)).collect();
    // lvsd writes the last one itself.
    let known = SETTINGS.into_iter().chain(ROUTE).chain(OWN).filter(|key| *key != "served");
    assert_eq!(named, known.collect());
}

#[test]
fn the_example_of_the_page_is_served_as_it_says() {
    let (_, example) = PAGE.split_once("      annotations:\n").expect("the example");
    let annotations = example.lines().map_while(|line| line.trim().strip_prefix(ANNOTATION));
    let annotations: serde_json::Map<String, Value> = annotations
        .map(|line| {
            let (key, text) = line.split_once(": ").expect("a key and a text");
            (format!("{ANNOTATION}{key}"), json!(text.trim_matches(['\'', '"'])))
        })
        .collect();
    assert_eq!(annotations.len(), 4, "{annotations:?}");
    let service = one(ours(json!({}), Value::Object(annotations)), &settings());
    assert_eq!(service.scheduler.scheduler().to_string(), "mh");
    assert_eq!(service.depool_threshold, crate::config::Threshold::from_share(0.75).expect("a share"));
    assert_eq!((service.checks.len(), service.checks[0].timing.interval().as_secs()), (1, 2));
    let communities = service.route.as_ref().and_then(|route| route.attributes.communities.as_ref());
    assert_eq!(communities.map(Vec::len), Some(1));
}

#[test]
fn what_is_wrong_with_an_annotation_is_said_in_its_words() {
    for (key, text, words) in [
        ("scheduler", "fastest", "annotation lvsd/scheduler: expected"),
        ("depool-threshold", "2", "annotation lvsd/depool-threshold: expected a share of the backends"),
        (
            "schedular",
            "wrr",
            "annotation lvsd/schedular: there is no such setting; did you mean lvsd/scheduler?",
        ),
        ("pool-file", "/etc/shadow", "there is no such setting"),
        ("med", "many", "annotation lvsd/med: expected a MED"),
        ("forwarding", "nat", "packets must arrive at nodes as they are"),
        (
            "checks",
            "[{ type = \"command\", command = \"/bin/sh\" }]",
            "only the balancer's own configuration runs commands",
        ),
        ("checks", "[{ type = \"https\", ca = \"/etc/shadow\" }]", "no files are read here"),
        ("checks", "[]\npool_file = \"/etc/shadow\"", "annotation lvsd/checks: expected"),
        ("scheduler", "wrr\"\nport = 22 #", "annotation lvsd/scheduler: expected"),
    ] {
        let said = refusal(ours(json!({}), json!({format!("lvsd/{key}"): text})), &settings());
        assert!(said.contains(words), "{key}: {said}");
    }
}

pub(super) fn services(settings: WholeServices) -> Services {
    Services::new("k8s".into(), settings)
}

pub(super) fn index(objects: &[Value]) -> Index {
    cluster(objects, &[], &[])
}

#[test]
fn all_are_said_at_first_and_what_changed_afterwards() {
    let mut services = services(settings());
    let mut index = index(&[ours(json!({}), json!({}))]);
    let Some(Said::Services { services: all, whole: true }) = services.say(&index) else {
        panic!("nothing said")
    };
    assert_eq!(all.len(), 1);
    assert_eq!(services.say(&index), None);
    for concerned in index.apply(Change::Gone(service(ours(json!({}), json!({}))).into())) {
        let super::super::index::Concerned::Service(key) = concerned else { panic!("{concerned:?}") };
        services.concern(&key, false);
    }
    let gone = FoundService { name: "k8s.prod.web.https".into(), finding: Finding::Gone, created: None };
    assert_eq!(services.say(&index), Some(Said::Services { services: vec![gone], whole: false }));
}

/// prod/NAME of our class at 192.0.2.10, with a port of its own.
fn at_port(name: &str, port: u16) -> Value {
    let mut object =
        ours(json!({"ports": [{"name": "https", "port": port, "nodePort": 30000 + port}]}), json!({}));
    object["metadata"]["name"] = json!(name);
    object
}

#[test]
fn a_list_that_changes_something_is_said_whole_and_what_was_deleted_since_is_gone_by_name() {
    let all = [at_port("a", 443), at_port("b", 444), at_port("c", 445)];
    let (mut services, mut index) = (services(settings()), index(&all));
    let mut say = |changes: Vec<Change>| {
        for concerned in changes.into_iter().flat_map(|change| index.apply(change)) {
            match concerned {
                Concerned::Service(key) => services.concern(&key, false),
                Concerned::Listed(key) => services.concern(&key, true),
                Concerned::Endpoints(_) | Concerned::Nodes => panic!("{concerned:?}"),
            }
        }
        let Said::Services { services: said, whole } = services.say(&index)? else { panic!("no services") };
        let word = |found: &FoundService| match found.finding {
            Finding::Gone => format!("{} is gone", found.name),
            _ => found.name.clone(),
        };
        Some((whole, said.iter().map(word).collect::<Vec<_>>().join(", ")))
    };
    let list = |objects: &[Value]| {
        let objects = Objects::Services(objects.iter().cloned().map(service).collect());
        Change::All { namespace: None, objects }
    };
    let said = |whole, words: &str| Some((whole, words.to_owned()));
    assert_eq!(say(vec![]), said(true, "k8s.prod.a.https, k8s.prod.b.https, k8s.prod.c.https"));
    assert_eq!(say(vec![list(&all)]), None);
    let gone = Change::Gone(service(all[1].clone()).into());
    assert_eq!(
        say(vec![list(&all[..2]), gone]),
        said(true, "k8s.prod.b.https is gone, k8s.prod.a.https"),
        "nobody has said that c is gone"
    );
    assert_eq!(say(vec![list(&all)]), said(true, "k8s.prod.a.https, k8s.prod.b.https, k8s.prod.c.https"));
    let gone = Change::Gone(service(all[2].clone()).into());
    assert_eq!(say(vec![gone]), said(false, "k8s.prod.c.https is gone"));
}

#[test]
fn who_waits_for_an_address_says_for_whom_it_waits() {
    let mut object = ours(json!({}), json!({}));
    object["status"] = json!({});
    let said = |settings: WholeServices| match services(settings).say(&index(std::slice::from_ref(&object))) {
        Some(Said::Services { services, .. }) => refused(&services[0]),
        other => panic!("{other:?}"),
    };
    let alone = said(settings());
    assert!(alone.contains("nobody gives it one: set lease"), "{alone}");
    let lease = crate::config::Lease { namespace: "lvsd".into(), name: "lvsd".into() };
    let waits = said(WholeServices { lease: Some(lease), ..settings() });
    assert!(waits.contains("who has the Lease gives it one"), "{waits}");
}

/// prod/NAME of our class that has no address yet.
fn waiting(name: &str, spec: Value, annotations: Value) -> Service {
    let mut object = ours(spec, annotations);
    object["metadata"]["name"] = json!(name);
    object["metadata"]["uid"] = json!(name);
    object["status"] = json!({});
    service(object)
}

/// What each gets, as `name address…` or `name: why`.
fn gets(services: &[Service], settings: &WholeServices, given: &mut Given) -> Vec<String> {
    let words = |(key, outcome): (Key, Result<Vec<IpAddr>, String>)| match outcome {
        Ok(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("{} {}", key.name, addresses.join(" "))
        }
        Err(why) => format!("{}: {why}", key.name),
    };
    allocate(services.iter(), settings, given).into_iter().map(words).collect()
}

#[test]
fn addresses_are_given_from_the_lowest_and_stay_given() {
    let mut given = Given::new();
    let other = service(ours(json!({"externalIPs": ["192.0.2.10"]}), json!({})));
    let (b, c) = (waiting("b", json!({}), json!({})), waiting("c", json!({}), json!({})));
    assert_eq!(gets(&[other.clone(), b.clone()], &settings(), &mut given), ["b 192.0.2.11"]);
    // One that comes later and sorts before takes nothing from it.
    let a = waiting("a", json!({}), json!({}));
    let all = [other.clone(), a.clone(), b.clone(), c];
    assert_eq!(
        gets(&all, &settings(), &mut given),
        ["a 192.0.2.12", "b 192.0.2.11", "c: no free ipv4 address is left in public"]
    );
    // Who is gone gives back.
    assert_eq!(gets(&[other, a], &settings(), &mut given), ["a 192.0.2.12"]);
    assert_eq!(given.len(), 1);
}

#[test]
fn each_family_of_a_service_gets_an_address_and_one_is_enough_where_both_are_only_preferred() {
    let both = json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"});
    let (a, b) = (waiting("a", both.clone(), json!({})), waiting("b", both.clone(), json!({})));
    let c = waiting("c", both, json!({}));
    let six = waiting("d", json!({"ipFamilies": ["IPv6"]}), json!({}));
    assert_eq!(
        gets(&[a, b, c, six], &settings(), &mut Given::new()),
        [
            "a 192.0.2.10 2001:db8::10",
            "b 192.0.2.11 2001:db8::11",
            "c 192.0.2.12",
            "d: no free ipv6 address is left in public"
        ]
    );
    let required = json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"});
    let mut four = settings();
    four.pools[0].ranges.truncate(1);
    let outcome = gets(&[waiting("a", required, json!({}))], &four, &mut Given::new());
    assert_eq!(outcome, ["a: no free ipv6 address is left in public"]);
}

#[test]
fn who_asks_for_an_address_gets_it_if_it_may_and_shares_it_if_ports_differ() {
    let mut settings = settings();
    settings.pools.push(AddressPool { auto: false, ..pool_of("special", &["198.51.100.0/30"]) });
    let ask = |name: &str, port: u16, annotations: Value| {
        let ports = json!([{"name": "p", "protocol": "TCP", "port": port, "nodePort": 30000 + port}]);
        waiting(name, json!({"ports": ports}), annotations)
    };
    let all = [
        ask("a", 443, json!({"lvsd/vips": "192.0.2.12"})),
        ask("b", 80, json!({"lvsd/vips": "192.0.2.12"})),
        ask("c", 443, json!({"lvsd/vips": "192.0.2.12"})),
        ask("d", 443, json!({"lvsd/vips": "203.0.113.1"})),
        ask("e", 443, json!({"lvsd/address-pool": "special"})),
        ask("f", 443, json!({"lvsd/address-pool": "none"})),
    ];
    assert_eq!(
        gets(&all, &settings, &mut Given::new()),
        [
            "a 192.0.2.12",
            "b 192.0.2.12",
            "c: 192.0.2.12 has a port of prod/a already",
            "d: 203.0.113.1 is in no address pool that Services in prod may have",
            "e 198.51.100.0",
            "f: there is no address pool none for Services in prod"
        ]
    );
    let by_spec = waiting("g", json!({"loadBalancerIP": "192.0.2.11"}), json!({}));
    assert_eq!(gets(&[by_spec], &settings, &mut Given::new()), ["g 192.0.2.11"]);
}
