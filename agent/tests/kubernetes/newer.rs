//! Objects as a server of version 1.31 gives them, whose fields the real one of these tests drops: the class of a load balancer, the
//! mode of an address, zones and hints of endpoints.

use crate::fake::Fake;
use crate::watched::{self, Watched};
use crate::whole::whole;
use lvsd::config::{KubernetesSettings, Target, WholeServices};
use serde_json::{Value, json};

const WEB: &str = "k8s.prod.web.https";
const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// An object of `newer/`.
fn recorded(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// prod/NAME of a class.
fn balanced(name: &str, class: Value) -> Value {
    let mut object = recorded(include_str!("newer/load_balancer.json"));
    object["metadata"]["name"] = json!(name);
    object["spec"]["loadBalancerClass"] = class;
    object
}

/// prod/NAME of our class.
fn ours(name: &str) -> Value {
    balanced(name, json!("example.org/lvsd"))
}

fn node(last: u8) -> Value {
    let mut object = recorded(include_str!("newer/node.json"));
    object["metadata"]["name"] = json!(format!("n{last}"));
    object["status"]["addresses"][0]["address"] = json!(format!("10.64.0.{last}"));
    object
}

fn settings(fake: &Fake, change: impl FnOnce(&mut WholeServices)) -> KubernetesSettings {
    let mut settings = whole(fake.write_kubeconfig());
    let services = settings.services.as_mut().unwrap();
    services.class = Some("example.org/lvsd".into());
    change(services);
    settings
}

fn ingress(fake: &Fake, name: &str) -> Value {
    fake.get("services", name).unwrap()["status"]["loadBalancer"]["ingress"].clone()
}

/// Whether an Event about a Service has these words.
fn is_told(fake: &Fake, name: &str, words: &str) -> bool {
    let is_it = |event: &Value| {
        event["involvedObject"]["name"] == name
            && event["reason"] == "NotServed"
            && event["message"].as_str().is_some_and(|message| message.contains(words))
    };
    fake.all("events").iter().any(is_it)
}

#[tokio::test]
async fn services_of_our_class_get_an_address_and_those_of_others_and_of_none_are_left_alone() {
    let fake = Fake::start().await;
    let alone = [
        fake.create("services", &balanced("others", json!("example.org/other"))),
        fake.create("services", &balanced("none", Value::Null)),
    ];
    let web = fake.create("services", &ours("web"));
    let mut watched = Watched::new(settings(&fake, |_| {}), &[]);
    watched.until("ours is served", |w| w.vips(WEB) == ["192.0.2.10"]).await;
    assert_eq!(watched.scheduler(WEB), "mh");
    assert_eq!(ingress(&fake, "web"), json!([{"ip": "192.0.2.10", "ipMode": "VIP"}]));
    let now = fake.get("services", "web").unwrap();
    assert_eq!(now["metadata"]["finalizers"], json!(["example.org/audit", FINALIZER]), "beside another's");
    assert_eq!(now["metadata"]["managedFields"], web["metadata"]["managedFields"]);
    assert_eq!(now["spec"], web["spec"], "nothing of what was asked for is touched");
    // How it was written: once, of this very object, by its status.
    let asked: Vec<_> = fake.asked().into_iter().filter(|asked| asked.path.contains("services")).collect();
    assert_eq!(asked.len(), 1, "{asked:#?}");
    assert_eq!(
        (asked[0].path.as_str(), asked[0].kind.as_str(), asked[0].code),
        ("/api/v1/namespaces/prod/services/web/status", "application/strategic-merge-patch+json", 200)
    );
    assert_eq!(asked[0].body["metadata"]["uid"], web["metadata"]["uid"]);
    for before in alone {
        let name = before["metadata"]["name"].as_str().unwrap();
        assert_eq!(fake.get("services", name).as_ref(), Some(&before));
        assert!(!watched.services.keys().any(|known| known.contains(name)), "{:?}", watched.services);
    }
    // One without a class has an annotation instead; one of another class has not.
    let annotated = json!({"metadata": {"annotations": {"lvsd/class": "example.org/lvsd"}}});
    fake.change("services", "none", &annotated).unwrap();
    watched.until("an annotation says it", |w| w.vips("k8s.prod.none.https") == ["192.0.2.11"]).await;
    fake.change("services", "others", &annotated).unwrap();
    fake.create("services", &ours("later"));
    watched.until("one more is served", |w| w.vips("k8s.prod.later.https") == ["192.0.2.12"]).await;
    assert_eq!(ingress(&fake, "others"), Value::Null, "what its spec says goes first");
}

#[tokio::test]
async fn a_class_never_changes_and_a_service_made_anew_with_another_is_let_go() {
    let fake = Fake::start().await;
    fake.create("services", &ours("web"));
    let mut watched = Watched::new(settings(&fake, |_| {}), &[]);
    watched.until("it is served", |w| w.vips(WEB) == ["192.0.2.10"]).await;
    let other = json!({"spec": {"loadBalancerClass": "example.org/other"}});
    let refused = fake.change("services", "web", &other).expect_err("it is immutable");
    assert_eq!((refused.code, refused.reason), (422, "Invalid"));
    // It is deleted: it waits for the finalizers, of which ours goes once its status is cleared.
    fake.delete("services", "web");
    watched.until("it is withdrawn", |w| w.vips(WEB).is_empty()).await;
    watched
        .until("ours is taken back, and another's left", |_| {
            fake.get("services", "web").unwrap()["metadata"]["finalizers"] == json!(["example.org/audit"])
        })
        .await;
    let left = fake.get("services", "web").unwrap();
    assert_eq!(left["status"]["loadBalancer"], json!({}));
    assert_eq!(left["metadata"]["annotations"]["lvsd/served"], Value::Null);
    fake.change("services", "web", &json!({"metadata": {"finalizers": []}})).unwrap();
    assert_eq!(fake.get("services", "web"), None);
    let anew = fake.create("services", &balanced("web", json!("example.org/other")));
    // Its address is free for the next one.
    fake.create("services", &ours("next"));
    watched.until("its address is another's", |w| w.vips("k8s.prod.next.https") == ["192.0.2.10"]).await;
    assert_eq!(fake.get("services", "web"), Some(anew), "what is another's is not touched");
    assert!(watched.vips(WEB).is_empty());
}

#[tokio::test]
async fn a_service_that_was_made_anew_while_nobody_looked_is_withdrawn_and_not_written_to() {
    let fake = Fake::start().await;
    fake.create("services", &ours("web"));
    fake.create("services", &ours("stays"));
    let mut watched = Watched::new(settings(&fake, |_| {}), &[]);
    watched.until("both are served", |w| w.services.values().filter(|one| one.is_ok()).count() == 2).await;
    let mut anew = balanced("web", json!("example.org/other"));
    anew["metadata"]["uid"] = json!("another");
    anew["status"] = json!({"loadBalancer": {"ingress": [{"ip": "198.51.100.7", "ipMode": "Proxy"}]}});
    fake.put_silently("services", vec![fake.get("services", "stays").unwrap(), anew]);
    fake.expire();
    let before = fake.get("services", "web");
    watched.until("it is withdrawn", |w| w.vips(WEB).is_empty()).await;
    fake.create("services", &ours("next"));
    watched.until("its address is free", |w| !w.vips("k8s.prod.next.https").is_empty()).await;
    assert_eq!(fake.get("services", "web"), before);
    assert_eq!(watched.vips("k8s.prod.stays.https").len(), 1);
}

#[tokio::test]
async fn a_service_that_is_no_load_balancer_any_more_is_let_go() {
    let fake = Fake::start().await;
    fake.create("services", &ours("web"));
    let mut watched = Watched::new(settings(&fake, |_| {}), &[]);
    watched.until("it is served", |w| w.vips(WEB) == ["192.0.2.10"]).await;
    // Such a server takes out itself what only a load balancer has.
    let internal = json!({"spec": {"type": "ClusterIP", "loadBalancerClass": null, "allocateLoadBalancerNodePorts": null,
        "externalTrafficPolicy": null}});
    let cleared = json!({"status": {"loadBalancer": {"ingress": null}}});
    fake.change("services", "web/status", &cleared).unwrap();
    fake.change("services", "web", &internal).unwrap();
    watched.until("it is withdrawn", |w| w.vips(WEB).is_empty()).await;
    watched
        .until("nothing of ours is on it", |_| {
            let metadata = fake.get("services", "web").unwrap()["metadata"].clone();
            metadata["finalizers"] == json!(["example.org/audit"])
                && metadata["annotations"]["lvsd/served"].is_null()
        })
        .await;
}

#[tokio::test]
async fn addresses_are_served_with_mode_vip_or_none_and_refused_with_mode_proxy() {
    let fake = Fake::start().await;
    // Their status is not lvsd's own: an operator has written it.
    let with = |name: &str, ingress: Value| {
        let mut object = ours(name);
        object["status"] = json!({"loadBalancer": {"ingress": ingress}});
        fake.create("services", &object)
    };
    with("vip", json!([{"ip": "192.0.2.11", "ipMode": "VIP"}]));
    with("unset", json!([{"ip": "192.0.2.12"}]));
    let proxy = with("proxy", json!([{"ip": "192.0.2.13", "ipMode": "Proxy"}]));
    let mut watched = Watched::new(settings(&fake, |_| {}), &[]);
    watched
        .until("two are served, and one is not", |w| {
            w.vips("k8s.prod.vip.https") == ["192.0.2.11"]
                && w.vips("k8s.prod.unset.https") == ["192.0.2.12"]
                && w.refusal("k8s.prod.proxy.https").contains("192.0.2.13 has ipMode Proxy")
        })
        .await;
    watched.until("an Event says why", |_| is_told(&fake, "proxy", "192.0.2.13 has ipMode Proxy")).await;
    assert_eq!(fake.get("services", "proxy"), Some(proxy), "a status that is not ours stays as it is");
    // One of ours is made Proxy: packets for it are not let in, until the status is again as lvsd writes it.
    fake.create("services", &ours("web"));
    watched.until("it is served", |w| w.vips(WEB) == ["192.0.2.10"]).await;
    let mode =
        |mode: &str| json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10", "ipMode": mode}]}}});
    fake.change("services", "web/status", &mode("Proxy")).unwrap();
    watched.until("an Event says so", |_| is_told(&fake, "web", "192.0.2.10 has ipMode Proxy")).await;
    watched
        .until("its status is as it was", |w| {
            ingress(&fake, "web") == mode("VIP")["status"]["loadBalancer"]["ingress"]
                && w.vips(WEB).len() == 1
        })
        .await;
}

#[tokio::test]
async fn no_node_ports_are_needed_but_by_what_goes_to_node_ports() {
    let fake = Fake::start().await;
    (1..=4).for_each(|last| drop(fake.create("nodes", &node(last))));
    let mut object = ours("web");
    object["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.10", "ipMode": "VIP"}]}});
    fake.create("services", &object);
    fake.create("endpointslices", &recorded(include_str!("newer/slice.json")));
    let (nodes, ports) = (watched::web(Target::Nodes, 443), watched::web(Target::NodePorts, 30443));
    let mut watched = Watched::new(settings(&fake, |_| {}), &[nodes.clone(), ports.clone()]);
    // externalTrafficPolicy is about packets from outside, internalTrafficPolicy and trafficDistribution are not.
    watched.until("every node takes it", |w| w.listed(&nodes) == ["n1 1", "n2 1", "n3 1", "n4 1"]).await;
    watched
        .until(
            "there is no node port",
            |w| matches!(w.pools.get(&ports), Some(Err(why)) if why.contains("has no node port")),
        )
        .await;
    watched.until("it is served whole", |w| w.vips(WEB) == ["192.0.2.10"]).await;
    assert_eq!(watched.services[WEB].as_ref().map(|service| service.port), Ok(443));
}

#[tokio::test]
async fn endpoints_of_all_zones_count_whatever_hints_say_and_those_that_end_get_nothing_new() {
    let fake = Fake::start().await;
    (1..=4).for_each(|last| drop(fake.create("nodes", &node(last))));
    let mut object = ours("web");
    object["spec"]["externalTrafficPolicy"] = json!("Local");
    object["spec"]["healthCheckNodePort"] = json!(31337);
    object["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.10", "ipMode": "VIP"}]}});
    fake.create("services", &object);
    fake.create("endpointslices", &recorded(include_str!("newer/slice.json")));
    let (nodes, pods) = (watched::web(Target::Nodes, 443), watched::web(Target::Pods, 8443));
    let mut watched = Watched::new(settings(&fake, |_| {}), &[nodes.clone(), pods.clone()]);
    watched.until("nodes have those that serve", |w| w.listed(&nodes) == ["n1 1", "n2 1", "n3 0"]).await;
    watched
        .until("pods of all zones", |w| {
            w.listed(&pods)
                == ["web-5f6b8d7c4-hh2rn.prod 0", "web-6d8f7c9b5-4xk2m.prod 1", "web-6d8f7c9b5-9qz7w.prod 1"]
        })
        .await;
    // The one that ends is gone, and conditions are not said of another: it is ready.
    let mut slice = recorded(include_str!("newer/slice.json"));
    slice["endpoints"].as_array_mut().unwrap().remove(2);
    slice["endpoints"][2]["conditions"] = json!({});
    let endpoints = json!({"endpoints": slice["endpoints"]});
    fake.change("endpointslices", "web-l7x9k", &endpoints).unwrap();
    watched.until("what is not said is true", |w| w.listed(&nodes) == ["n1 1", "n2 1", "n4 1"]).await;
}

#[tokio::test]
async fn external_addresses_are_served_whatever_the_class() {
    let fake = Fake::start().await;
    let mut object = balanced("web", json!("example.org/other"));
    object["spec"]["externalIPs"] = json!(["192.0.2.14", "203.0.113.9"]);
    let before = fake.create("services", &object);
    let mut watched = Watched::new(settings(&fake, |services| services.external_ips = true), &[]);
    watched.until("the one of a pool is served", |w| w.vips(WEB) == ["192.0.2.14"]).await;
    fake.create("services", &ours("next"));
    watched.until("another is given an address", |w| !w.vips("k8s.prod.next.https").is_empty()).await;
    assert_eq!(fake.get("services", "web"), Some(before), "another controller's status is its own");
}

#[tokio::test]
async fn bookmarks_keep_a_quiet_watch_from_being_too_old() {
    let fake = Fake::start().await;
    fake.create("nodes", &node(1));
    let query = watched::nodes("role=ingress");
    let mut watched = Watched::new(watched::settings(fake.write_kubeconfig()), std::slice::from_ref(&query));
    watched.until("it is read", |w| w.is_live() && w.listed(&query) == ["n1 1"]).await;
    // Much happens that nobody here watches; then all of it is forgotten.
    for number in 0..20 {
        fake.create("services", &ours(&format!("s{number}")));
    }
    fake.bookmark();
    let lists = fake.lists();
    watched.until("its watch is another", |_| fake.watches("nodes") >= 3).await;
    fake.forget();
    let watches = fake.watches("nodes");
    watched.until("it goes on where it was told to be", |_| fake.watches("nodes") >= watches + 2).await;
    fake.create("nodes", &node(2));
    watched.until("it is followed", |w| w.listed(&query) == ["n1 1", "n2 1"]).await;
    assert_eq!(fake.lists(), lists, "nothing had to be listed again");
    assert!(watched.is_live());
}
