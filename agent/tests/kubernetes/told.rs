//! Where a cluster is told that one of its Services is not served, and what is said when it cannot be told.

use crate::cluster::Cluster;
use crate::objects::{self, SERVICES};
use crate::permissions::{ROLE, manifest, may, sign_in, without};
use crate::watched::Watched;
use crate::whole::{is_told, service, whole};
use serde_json::{Value, json};

const BAD: &str = "k8s.prod.bad.https";
const WEB: &str = "k8s.prod.web.https";

fn ready() -> (Cluster, Watched) {
    let cluster = Cluster::start();
    cluster.apply(&manifest());
    objects::nodes(&cluster);
    let kubeconfig = cluster.kubeconfig_of("lvsd", &sign_in(&cluster));
    let watched = Watched::new(whole(kubeconfig), &[]);
    (cluster, watched)
}

/// What a Service's status says of its one port at its one address.
fn error(cluster: &Cluster, name: &str) -> Value {
    let object = cluster.get(&format!("{SERVICES}/{name}"));
    let ingress = &object["status"]["loadBalancer"]["ingress"];
    assert_eq!(ingress.as_array().map(Vec::len), Some(1), "{object}");
    ingress[0]["ports"][0]["error"].clone()
}

fn schedule(cluster: &Cluster, name: &str, scheduler: &str) {
    let change = json!({"metadata": {"annotations": {"lvsd/scheduler": scheduler}}});
    cluster.patch(&format!("{SERVICES}/{name}"), &change);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_permission_to_create_events_a_refusal_says_that_nobody_is_told() {
    let (cluster, mut watched) = ready();
    let rules = cluster.get(ROLE)["rules"].clone();
    cluster.patch(ROLE, &json!({"rules": without(&rules, "events", "create")}));
    watched.until("the API server knows it", |_| !may(&cluster, "create", ("prod", "/events"))).await;
    cluster.create(SERVICES, &service("bad", json!({"lvsd/scheduler": "fastest"})));
    watched
        .until("it says why it is refused, and that it cannot say so", |w| {
            let why = w.refusal(BAD);
            why.contains("annotation lvsd/scheduler") && why.contains("create events in prod: 403")
        })
        .await;
    assert!(!is_told(&cluster, "annotation lvsd/scheduler"));
    // Others are written all the same.
    cluster.create(SERVICES, &service("web", json!({})));
    watched.until("another one is given an address", |w| !w.vips(WEB).is_empty()).await;
    cluster.patch(ROLE, &json!({"rules": rules}));
    watched.until("an Event says why", |_| is_told(&cluster, "annotation lvsd/scheduler")).await;
    assert!(!is_told(&cluster, "403"), "who reads Events has nothing of our permissions");
    watched
        .until("it is refused for its own reason alone", |w| {
            let why = w.refusal(BAD);
            why.contains("annotation lvsd/scheduler") && !why.contains("events")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_ours_that_is_refused_has_an_error_in_its_status_until_it_is_served_again() {
    let (cluster, mut watched) = ready();
    cluster.create(SERVICES, &service("web", json!({})));
    watched.until("it is served", |w| w.vips(WEB) == ["192.0.2.10"]).await;
    assert_eq!(error(&cluster, "web"), Value::Null);
    schedule(&cluster, "web", "fastest");
    watched.until("it is refused", |w| w.refusal(WEB).contains("annotation lvsd/scheduler")).await;
    watched.until("its status says so", |_| error(&cluster, "web") == json!("lvsd/Refused")).await;
    watched.until("an Event says so", |_| is_told(&cluster, "annotation lvsd/scheduler")).await;
    schedule(&cluster, "web", "wrr");
    watched.until("it is served again", |w| w.vips(WEB) == ["192.0.2.10"]).await;
    watched.until("its status has no error", |_| error(&cluster, "web") == Value::Null).await;
    // It is given to another class: all that was written is taken back.
    let other = json!({"metadata": {"annotations": {"lvsd/class": "another"}}});
    cluster.patch(&format!("{SERVICES}/web"), &other);
    watched.until("it is not served", |w| w.vips(WEB).is_empty()).await;
    watched
        .until("nothing of ours is on it", |_| {
            let object = cluster.get(&format!("{SERVICES}/web"));
            let metadata = &object["metadata"];
            object["status"]["loadBalancer"]["ingress"].is_null()
                && metadata["finalizers"].is_null()
                && metadata["annotations"]["lvsd/served"].is_null()
        })
        .await;
}
