//! Services whose annotations are wrong: what goes on, with which settings, and what ends.

use super::super::index::Concerned;
use super::whole::{index, ours, served, services, settings};
use super::*;
use crate::config::WholeServices;
use crate::core::found::{Finding, FoundService, LastGood};
use crate::sources::Said;
use crate::sources::kubernetes::services::Services;

const WEB: &str = "k8s.prod.web.https";

/// A cluster whose one Service is prod/web, and what was said of it.
struct Told {
    services: Services,
    index: Index,
    said: Vec<FoundService>,
}

impl Told {
    fn at_first(object: Value, settings: WholeServices) -> Self {
        let (mut services, index) = (services(settings), index(&[object]));
        let Some(Said::Services { services: said, whole: true }) = services.say(&index) else {
            panic!("nothing said")
        };
        Self { services, index, said }
    }

    fn becomes(&mut self, object: Value) {
        self.changes(Change::Set(service(object).into()));
    }

    fn changes(&mut self, change: Change) {
        for concerned in self.index.apply(change) {
            let Concerned::Service(key) = concerned else { panic!("{concerned:?}") };
            self.services.concern(&key, false);
        }
        if let Some(Said::Services { services, whole: false }) = self.services.say(&self.index) {
            for found in services {
                self.said.retain(|before| before.name != found.name);
                if found.finding != Finding::Gone {
                    self.said.push(found);
                }
            }
        }
    }

    /// `NAME scheduler SCHEDULER at KEY`, `wrong` before it if that is with former settings; or why not.
    fn words(&self) -> Vec<String> {
        let served = |service: &crate::config::Service| {
            let keys: Vec<String> = service.vips.iter().map(|vip| service.key(*vip).to_string()).collect();
            format!("{} {} at {}", service.name, service.scheduler.scheduler(), keys.join(", "))
        };
        let word = |found: &FoundService| match &found.finding {
            Finding::Served(service) => served(service),
            Finding::Wrong { last: LastGood::Is(service), .. } => format!("wrong {}", served(service)),
            Finding::Wrong { last: LastGood::ListensAt(keys), .. } => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                format!("wrong {} unknown at {}", found.name, keys.join(", "))
            }
            Finding::Refused(why) => format!("{}: {why}", found.name),
            Finding::Gone => panic!("{found:?}"),
        };
        self.said.iter().map(word).collect()
    }
}

fn scheduled(scheduler: &str) -> Value {
    ours(json!({}), json!({"lvsd/scheduler": scheduler}))
}

#[test]
fn wrong_annotations_leave_the_former_in_force_and_all_else_is_followed() {
    let mut told = Told::at_first(scheduled("wrr"), settings());
    assert_eq!(told.words(), ["k8s.prod.web.https wrr at tcp 192.0.2.10:443"]);
    let wrong = [
        ("scheduler", "nonsense", "annotation lvsd/scheduler: expected"),
        ("schedular", "rr", "annotation lvsd/schedular: there is no such setting"),
        ("forwarding", "nat", "packets must arrive at nodes as they are"),
        ("med", "many", "annotation lvsd/med: expected a MED"),
    ];
    for (key, text, words) in wrong {
        told.becomes(ours(json!({}), json!({format!("lvsd/{key}"): text})));
        assert_eq!(told.words(), ["wrong k8s.prod.web.https wrr at tcp 192.0.2.10:443"]);
        let Finding::Wrong { why, .. } = &told.said[0].finding else { panic!("{:?}", told.said) };
        assert!(why.contains(words), "{why}");
    }
    // Its port is another, and so is its VIP; it gets a port more.
    let ports = json!([
        {"name": "https", "protocol": "TCP", "port": 8443, "nodePort": 30443},
        {"name": "dns", "protocol": "UDP", "port": 53, "nodePort": 30053}]);
    let mut moved = ours(json!({"ports": ports}), json!({"lvsd/scheduler": "nonsense"}));
    moved["status"]["loadBalancer"]["ingress"] = json!([{"ip": "192.0.2.11"}]);
    told.becomes(moved);
    assert_eq!(
        told.words(),
        [
            "wrong k8s.prod.web.https wrr at tcp 192.0.2.11:8443",
            "wrong k8s.prod.web.dns wrr at udp 192.0.2.11:53"
        ]
    );
    told.becomes(scheduled("mh"));
    assert_eq!(told.words(), ["k8s.prod.web.https mh at tcp 192.0.2.10:443"]);
    follows_the_rest(&mut told);
    // Without the annotation it is as if there had never been one.
    told.becomes(ours(json!({}), json!({})));
    told.becomes(scheduled("nonsense"));
    assert_eq!(served_of(&told.said[0]).scheduler.scheduler().to_string(), "wrr", "the default");
}

/// Which nodes are asked and how, and where clients stay, is no matter of annotations.
fn follows_the_rest(told: &mut Told) {
    let local = json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}},
        "externalTrafficPolicy": "Local", "healthCheckNodePort": 31337});
    let settings = |told: &Told| served_of(&told.said[0]).settings(ipvs::Family::V4).to_string();
    assert!(!settings(told).contains("600"), "{}", settings(told));
    told.becomes(ours(local, json!({"lvsd/scheduler": "nonsense"})));
    assert_eq!(told.words(), ["wrong k8s.prod.web.https mh at tcp 192.0.2.10:443"]);
    assert!(settings(told).contains("600"), "{}", settings(told));
    let checks = served_of(&told.said[0]).checks.clone();
    let health::Kind::NodePort(check) = &checks[0].kind else { panic!("{checks:?}") };
    assert_eq!((check.service(), checks[0].port.map(u16::from)), (Some("prod/web"), Some(31_337)));
    told.becomes(scheduled("nonsense"));
    assert!(!settings(told).contains("600"), "{}", settings(told));
    assert_eq!(served_of(&told.said[0]).checks[0].port.map(u16::from), Some(10_256));
}

fn served_of(found: &FoundService) -> std::sync::Arc<crate::config::Service> {
    match &found.finding {
        Finding::Wrong { last: LastGood::Is(service), .. } => std::sync::Arc::clone(service),
        _ => served(found),
    }
}

#[test]
fn what_ends_for_another_reason_ends_whatever_its_annotations_are() {
    let wrong = || scheduled("nonsense");
    let mut proxied = wrong();
    proxied["status"]["loadBalancer"]["ingress"] = json!([{"ip": "192.0.2.10", "ipMode": "Proxy"}]);
    let mut other_class = wrong();
    other_class["spec"]["loadBalancerClass"] = json!("example.org/other");
    let mut deleted = wrong();
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut taken = wrong();
    taken["status"] = json!({});
    let mut not_ours = wrong();
    not_ours["status"]["loadBalancer"]["ingress"] = json!([{"ip": "203.0.113.9"}]);
    let mut other_type = wrong();
    other_type["spec"]["type"] = json!("NodePort");
    let ended: [(Value, &[&str]); 6] = [
        (proxied, &["192.0.2.10 has ipMode Proxy"]),
        (other_class, &[]),
        (deleted, &[]),
        (taken, &["it has no address yet"]),
        (not_ours, &["is in no address pool"]),
        (other_type, &[]),
    ];
    for (object, words) in ended {
        let mut told = Told::at_first(scheduled("wrr"), settings());
        told.becomes(wrong());
        assert_eq!(told.words(), ["wrong k8s.prod.web.https wrr at tcp 192.0.2.10:443"]);
        told.becomes(object);
        assert_eq!(told.said.len(), words.len(), "{:?}", told.said);
        for (found, words) in told.said.iter().zip(words) {
            assert!(matches!(&found.finding, Finding::Refused(why) if why.contains(words)), "{found:?}");
        }
    }
    let mut told = Told::at_first(scheduled("wrr"), settings());
    told.becomes(wrong());
    told.changes(Change::Gone(service(wrong()).into()));
    assert_eq!(told.said, []);
    // One that comes anew has no former settings.
    told.becomes(wrong());
    assert!(matches!(&told.said[..], [FoundService { finding: Finding::Refused(_), .. }]), "{:?}", told.said);
}

#[test]
fn vips_that_cannot_be_understood_leave_a_service_with_node_ports_at_its_former_ones() {
    let settings = || WholeServices { node_ports: true, vips_on_nodes: true, ..settings() };
    let node_port = |vips: &str, scheduler: &str| {
        let mut object = web(json!({"type": "NodePort"}));
        object["metadata"]["annotations"] = json!({"lvsd/vips": vips, "lvsd/scheduler": scheduler});
        object
    };
    let mut told = Told::at_first(node_port("192.0.2.12", "mh"), settings());
    assert_eq!(told.words(), ["k8s.prod.web.https mh at tcp 192.0.2.12:30443"]);
    told.becomes(node_port("web", "mh"));
    assert_eq!(told.words(), ["wrong k8s.prod.web.https mh at tcp 192.0.2.12:30443"]);
    let Finding::Wrong { why, .. } = &told.said[0].finding else { panic!("{:?}", told.said) };
    assert!(why.contains("annotation lvsd/vips: expected addresses"), "{why}");
    // VIPs that can be understood are followed, though something else is wrong.
    told.becomes(node_port("192.0.2.11", "nonsense"));
    assert_eq!(told.words(), ["wrong k8s.prod.web.https mh at tcp 192.0.2.11:30443"]);
}

#[test]
fn annotations_that_are_wrong_at_a_start_leave_it_to_what_an_earlier_process_has_understood() {
    let mut told = Told::at_first(scheduled("nonsense"), settings());
    assert_eq!(told.words(), ["wrong k8s.prod.web.https unknown at tcp 192.0.2.10:443"]);
    let other = json!({"ports": [{"name": "https", "protocol": "TCP", "port": 8443, "nodePort": 30443}]});
    told.becomes(ours(other, json!({"lvsd/scheduler": "nonsense"})));
    assert_eq!(told.words(), ["wrong k8s.prod.web.https unknown at tcp 192.0.2.10:8443"]);
    told.becomes(scheduled("mh"));
    told.becomes(scheduled("nonsense"));
    assert_eq!(told.words(), ["wrong k8s.prod.web.https mh at tcp 192.0.2.10:443"]);
    assert_eq!(told.said[0].name, WEB);
}
