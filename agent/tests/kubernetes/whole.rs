//! Services of the cluster that are served whole: one balancer of two gives addresses, both serve, and what is written is taken
//! back.

use crate::cluster::Cluster;
use crate::objects::{self, SERVICES};
use crate::permissions::{ROLE, manifest, may, sign_in, without};
use crate::watched::{Watched, settings};
use lvsd::config::{AddressPool, KubernetesSettings, Lease, WholeServices};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

const LEASES: (&str, &str) = ("lvsd", "coordination.k8s.io/leases/lvsd");
const EVENTS: &str = "/api/v1/namespaces/prod/events";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/lvsd/leases/lvsd";
const LEASE_ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/lvsd/roles/lvsd-lease";

pub(crate) fn whole(kubeconfig: PathBuf) -> KubernetesSettings {
    let pool = AddressPool {
        name: "public".into(),
        ranges: vec!["192.0.2.10-192.0.2.15".parse().unwrap()],
        auto: true,
        namespaces: BTreeSet::new(),
    };
    let services = WholeServices {
        class: Some("lvsd".into()),
        external_ips: false,
        node_ports: false,
        vips_on_nodes: false,
        lease: Some(Lease { namespace: "lvsd".into(), name: "lvsd".into() }),
        pools: vec![pool],
    };
    KubernetesSettings { services: Some(services), ..settings(kubeconfig) }
}

/// A Service of our class. The server is too old for `loadBalancerClass`: an annotation says it.
pub(crate) fn service(name: &str, annotations: Value) -> Value {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "annotations": {"lvsd/class": "lvsd"}},
        "spec": {"type": "LoadBalancer", "ports": [{"name": "https", "port": 443}]}
    });
    for (key, value) in annotations.as_object().into_iter().flatten() {
        object["metadata"]["annotations"][key] = value.clone();
    }
    object
}

fn addresses(cluster: &Cluster, name: &str) -> Vec<String> {
    let object = cluster.get(&format!("{SERVICES}/{name}"));
    let ingress = object["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
    ingress.iter().map(|one| one["ip"].as_str().unwrap().to_owned()).collect()
}

fn holder(cluster: &Cluster) -> String {
    cluster.get(LEASE)["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

/// Whether an Event of prod that says that something is not served has these words.
pub(crate) fn is_told(cluster: &Cluster, words: &str) -> bool {
    is_told_as(cluster, "NotServed", words)
}

/// Whether an Event of prod with this reason has these words.
pub(crate) fn is_told_as(cluster: &Cluster, reason: &str, words: &str) -> bool {
    let events = cluster.get(EVENTS);
    events["items"].as_array().unwrap().iter().any(|event| {
        event["reason"] == reason && event["message"].as_str().unwrap_or_default().contains(words)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_balancers_gives_addresses_and_takes_them_back_and_the_other_does_when_it_is_gone() {
    let cluster = Cluster::start();
    cluster.apply(&manifest());
    objects::nodes(&cluster);
    let kubeconfig = cluster.kubeconfig_of("lvsd", &sign_in(&cluster));
    let mut first = Watched::new(whole(kubeconfig.clone()), &[]);
    first.until("the first reads", |w| w.is_live() && w.is_whole).await;
    cluster.create(SERVICES, &service("web", json!({"lvsd/scheduler": "wrr"})));
    first.until("it is served", |w| w.vips("k8s.prod.web.https") == ["192.0.2.10"]).await;
    let mut second = Watched::new(whole(kubeconfig), &[]);
    second.until("the other serves it as well", |w| w.vips("k8s.prod.web.https") == ["192.0.2.10"]).await;
    assert_eq!(addresses(&cluster, "web"), ["192.0.2.10"]);
    let object = cluster.get(&format!("{SERVICES}/web"));
    assert_eq!(object["metadata"]["finalizers"], json!(["service.kubernetes.io/load-balancer-cleanup"]));
    // One that cannot be served says so, on the Service and in lvsctl.
    cluster.create(SERVICES, &service("bad", json!({"lvsd/scheduler": "fastest"})));
    first
        .until("it is refused", |w| w.refusal("k8s.prod.bad.https").contains("annotation lvsd/scheduler"))
        .await;
    first.until("an Event says so", |_| is_told(&cluster, "annotation lvsd/scheduler")).await;
    assert!(!is_told(&cluster, "no address"), "to wait for an address is nothing to be told");
    // The one that has the Lease dies; the other takes it.
    let before = holder(&cluster);
    drop(first);
    cluster.create(SERVICES, &service("late", json!({})));
    second.until("the other gives addresses", |w| !w.vips("k8s.prod.late.https").is_empty()).await;
    assert_ne!(holder(&cluster), before);
    assert_eq!(addresses(&cluster, "web"), ["192.0.2.10"], "what was given stays");
    // Without a permission that is said, and done once it is back.
    let rules = cluster.get(ROLE)["rules"].clone();
    cluster.patch(ROLE, &json!({"rules": without(&rules, "services/status", "patch")}));
    cluster.create(SERVICES, &service("more", json!({"lvsd/vips": "192.0.2.10", "lvsd/scheduler": "rr"})));
    second
        .until("it collides", |w| w.refusal("k8s.prod.more").contains("has a port of prod/web already"))
        .await;
    cluster.delete(&format!("{SERVICES}/web"));
    second.until("what goes is not served", |w| w.vips("k8s.prod.web.https").is_empty()).await;
    cluster.create(SERVICES, &service("wait", json!({})));
    second
        .until("a missing permission is said", |w| {
            let why = w.refusal("k8s.prod.wait");
            why.contains("patch services/status") && why.contains("403")
        })
        .await;
    cluster.patch(ROLE, &json!({"rules": rules}));
    second
        .until("the finalizer lets it go, and its address is another's", |w| {
            w.vips("k8s.prod.more.https") == ["192.0.2.10"] && !w.vips("k8s.prod.wait.https").is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_each_permission_on_the_lease_who_waits_for_an_address_says_so() {
    let cluster = Cluster::start();
    cluster.apply(&manifest());
    objects::nodes(&cluster);
    let kubeconfig = cluster.kubeconfig_of("lvsd", &sign_in(&cluster));
    let rules = cluster.get(LEASE_ROLE)["rules"].clone();
    let mut nobody = Watched::new(settings(kubeconfig.clone()), &[]);
    let mut watched: Option<Watched> = None;
    // As long as it may not create the Lease there is none to be read.
    for verb in ["create", "get", "update"] {
        let mut less = rules.clone();
        for rule in less.as_array_mut().unwrap() {
            rule["verbs"].as_array_mut().unwrap().retain(|own| own != verb);
        }
        less.as_array_mut().unwrap().retain(|rule| rule["verbs"] != json!([]));
        cluster.patch(LEASE_ROLE, &json!({"rules": less}));
        nobody.until("the API server knows it", |_| !may(&cluster, verb, LEASES)).await;
        let watched = watched.get_or_insert_with(|| Watched::new(whole(kubeconfig.clone()), &[]));
        cluster.create(SERVICES, &service(verb, json!({})));
        let said = format!("{verb} leases: 403");
        let pending = format!("k8s.prod.{verb}");
        watched.until(&format!("without {verb}"), |w| w.refusal(&pending).contains(&said)).await;
        if verb == "create" {
            // One that has its address and is refused: nobody can tell the cluster, and it is said here.
            cluster.create(SERVICES, &service("bad", json!({"lvsd/scheduler": "fastest"})));
            let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.15"}]}}});
            cluster.patch(&format!("{SERVICES}/bad/status"), &status);
            let words = ["annotation lvsd/scheduler", "this balancer cannot tell the cluster: ", &said];
            let is_said =
                |w: &Watched| words.iter().all(|words| w.refusal("k8s.prod.bad.https").contains(words));
            watched.until("a refusal says that nobody is told", is_said).await;
            assert!(!is_told(&cluster, "annotation lvsd/scheduler"));
        }
        cluster.patch(LEASE_ROLE, &json!({"rules": rules}));
        watched.until("it may again", |w| !w.vips(&format!("{pending}.https")).is_empty()).await;
        watched.until("an Event says why", |_| is_told(&cluster, "annotation lvsd/scheduler")).await;
    }
}
