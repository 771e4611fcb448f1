//! Two Services of a cluster want one VIP and port: the older has it, and who has not is told why, in the cluster as well.

use crate::balancer::Balancer;
use crate::cluster::Cluster;
use crate::objects::{self, SERVICES};
use crate::permissions::{manifest, sign_in};
use crate::whole::{is_told, service};
use serde_json::{Value, json};
use std::path::PathBuf;

const FIRST: &str = "k8s.prod.web.https";
const SECOND: &str = "k8s.prod.api.https";

/// A cluster whose API server has its own clock's second passed since the last object: ages are whole seconds.
fn next_second(cluster: &Cluster, after: &Value) {
    let made = |object: &Value| object["metadata"]["creationTimestamp"].as_str().unwrap().to_owned();
    for number in 0.. {
        let map = json!({"metadata": {"name": format!("clock-{number}")}});
        if made(&cluster.create("/api/v1/namespaces/prod/configmaps", &map)) > made(after) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

fn ready() -> (Cluster, PathBuf) {
    let cluster = Cluster::start();
    cluster.apply(&manifest());
    objects::nodes(&cluster);
    let kubeconfig = cluster.kubeconfig_of("lvsd", &sign_in(&cluster));
    (cluster, kubeconfig)
}

/// A Service whose address others have given it.
fn with_external_ip(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"externalIPs": ["192.0.2.10"], "ports": [{"name": "https", "port": 443}]}
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_comes_later_takes_no_vip_whatever_its_name_and_has_it_when_the_first_goes() {
    let (cluster, kubeconfig) = ready();
    let mut first = Balancer::start(kubeconfig.clone(), "");
    let web = cluster.create(SERVICES, &with_external_ip("web"));
    first.until("it is served", |b| b.serves(FIRST)).await;
    next_second(&cluster, &web);
    cluster.create(SERVICES, &with_external_ip("api"));
    let words = "tcp 192.0.2.10:443 is the service k8s.prod.web.https's, which is older";
    first.until("the second is refused", |b| b.refusal("prod/api").contains(words)).await;
    assert!(first.serves(FIRST) && !first.serves(SECOND));
    first.until("an Event says so", |_| is_told(&cluster, words)).await;
    assert!(first.log.iter().any(|line| line.contains(words)), "{:#?}", first.log);
    // One that starts now, and lists them by name, comes to the same.
    let mut late = Balancer::start(kubeconfig, "");
    late.until("the other agrees", |b| b.refusal("prod/api").contains(words)).await;
    assert!(late.serves(FIRST) && !late.serves(SECOND));
    cluster.delete(&format!("{SERVICES}/web"));
    for balancer in [&mut first, &mut late] {
        balancer.until("the second is served", |b| b.serves(SECOND) && !b.serves(FIRST)).await;
        assert_eq!(balancer.status().sources[0].refused, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_status_is_ours_has_its_error_there_while_the_configuration_is_in_its_way() {
    let (cluster, kubeconfig) = ready();
    let text = "[service.own]\nvips = [\"192.0.2.10\"]\nport = 443\nchecks = []\nbackends = [{ host = \"10.64.0.1\" }]\n";
    let mut balancer = Balancer::start(kubeconfig.clone(), "");
    cluster.create(SERVICES, &service("web", json!({})));
    balancer.until("it is served", |b| b.serves(FIRST)).await;
    let error = || {
        let object = cluster.get(&format!("{SERVICES}/web"));
        object["status"]["loadBalancer"]["ingress"][0]["ports"][0]["error"].clone()
    };
    drop(balancer);
    let mut balancer = Balancer::start(kubeconfig.clone(), text);
    let words = "tcp 192.0.2.10:443 is the service own's, and the configuration goes first";
    balancer.until("its status says so", |_| error() == json!("lvsd/Refused")).await;
    balancer.until("an Event says so", |_| is_told(&cluster, words)).await;
    assert_eq!(balancer.refusal("prod/web"), words);
    drop(balancer);
    let mut balancer = Balancer::start(kubeconfig, "");
    balancer.until("its status has no error", |b| b.serves(FIRST) && error() == Value::Null).await;
}
