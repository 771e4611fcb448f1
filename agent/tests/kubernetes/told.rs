//! Where a cluster is told that one of its Services is not served, and what is said when it cannot be told.

use crate::cluster::Cluster;
use crate::objects::{self, SERVICES};
use crate::permissions::{ROLE, manifest, may, sign_in, without};
use crate::watched::Watched;
use crate::whole::{is_told, is_told_as, service, whole};
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
async fn a_service_of_ours_whose_annotation_is_wrong_is_served_as_before_and_has_an_error_in_its_status() {
    let (cluster, mut watched) = ready();
    cluster.create(SERVICES, &service("web", json!({"lvsd/scheduler": "mh"})));
    watched.until("it is served", |w| w.vips(WEB) == ["192.0.2.10"]).await;
    assert_eq!(error(&cluster, "web"), Value::Null);
    schedule(&cluster, "web", "nonsense");
    watched.until("what is wrong is said", |w| w.wrong(WEB).contains("annotation lvsd/scheduler")).await;
    assert_eq!((watched.scheduler(WEB).as_str(), watched.vips(WEB)), ("mh", vec!["192.0.2.10".to_owned()]));
    watched.until("its status says so", |_| error(&cluster, "web") == json!("lvsd/Refused")).await;
    let words = ["annotation lvsd/scheduler", "its former settings stay in force"];
    watched
        .until("an Event says so", |_| {
            words.iter().all(|words| is_told_as(&cluster, "FormerSettings", words))
        })
        .await;
    assert!(!is_told(&cluster, "annotation"), "it is served");
    // What else it says is followed.
    let ports = json!({"spec": {"ports": [{"name": "https", "port": 8443}]}});
    cluster.patch(&format!("{SERVICES}/web"), &ports);
    let port = |w: &Watched| w.services[WEB].as_ref().map(|service| service.port).ok();
    watched.until("its port is another", |w| port(w) == Some(8443)).await;
    assert_eq!(watched.scheduler(WEB), "mh");
    schedule(&cluster, "web", "wrr");
    watched.until("it has what it says", |w| w.scheduler(WEB) == "wrr" && w.wrong(WEB).is_empty()).await;
    watched.until("its status has no error", |_| error(&cluster, "web") == Value::Null).await;
    // It is given to another class, with an annotation that is wrong again: all that was written is taken back.
    let other = json!({"metadata": {"annotations": {"lvsd/class": "another", "lvsd/scheduler": "nonsense"}}});
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

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_address_pool_is_taken_away_is_refused_in_its_status_and_an_event() {
    let (cluster, mut watched) = ready();
    cluster.create(SERVICES, &service("web", json!({})));
    watched.until("it is served", |w| w.vips(WEB) == ["192.0.2.10"]).await;
    assert_eq!(error(&cluster, "web"), Value::Null);
    // lvsd is started anew with another configuration.
    drop(watched);
    let mut settings = whole(cluster.folder().join("lvsd.kubeconfig"));
    for pool in settings.services.iter_mut().flat_map(|services| &mut services.pools) {
        pool.ranges = vec!["192.0.2.100-192.0.2.105".parse().unwrap()];
    }
    let mut watched = Watched::new(settings, &[]);
    let words = "192.0.2.10 is in no address pool";
    watched.until("it is refused whole", |w| w.refusal("k8s.prod.web").contains(words)).await;
    assert!(watched.vips(WEB).is_empty());
    watched.until("its status says so", |_| error(&cluster, "web") == json!("lvsd/Refused")).await;
    watched.until("an Event says so", |_| is_told(&cluster, words)).await;
    assert!(!is_told_as(&cluster, "FormerSettings", words), "it has nothing to go on with");
    assert!(watched.vips(WEB).is_empty());
}
