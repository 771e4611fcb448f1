//! A balancer's first start, which knows nothing of a cluster yet: it is ready when it serves what the cluster has, and one whose
//! cluster is away is ready with what else there is.

use crate::balancer::Balancer;
use crate::cluster::Cluster;
use crate::objects::{self, SERVICES};
use crate::permissions::{manifest, sign_in};
use serde_json::json;

/// A service of the configuration beside the cluster's, and a router.
const OWN: &str = r#"
[bgp]
local_asn = 64600
router_id = "10.64.0.1"
peer = [{ name = "r1", address = "10.64.0.251", asn = 65001 }]
[service.own]
vips = ["192.0.2.50"]
port = 80
checks = []
backends = [{ host = "10.64.0.1" }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_when_what_the_cluster_has_is_served() {
    let cluster = Cluster::start();
    cluster.apply(&manifest());
    objects::nodes(&cluster);
    cluster.create(
        SERVICES,
        &json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "annotations": {"lvsd/checks": "[]"}},
            "spec": {"externalIPs": ["192.0.2.10"], "ports": [{"name": "https", "port": 443}]}
        }),
    );
    let mut balancer = Balancer::start(cluster.kubeconfig_of("lvsd", &sign_in(&cluster)), OWN);
    assert!(!balancer.is_ready(), "nothing is known of the cluster");
    balancer.until("it is ready", Balancer::is_ready).await;
    let said = balancer.log.iter().find(|line| line.contains("ready")).unwrap().clone();
    if !said.contains("every source") {
        panic!("a cluster that answers is waited for: {:#?}", balancer.log);
    }
    assert!(
        balancer.announces("192.0.2.50") && balancer.announces("192.0.2.10"),
        "{:?}",
        balancer.status().vips
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_cluster_is_away_is_ready_with_what_else_there_is_and_takes_the_cluster_up_when_it_is_back()
{
    let cluster = Cluster::start();
    cluster.apply(&manifest());
    objects::nodes(&cluster);
    cluster.create(
        SERVICES,
        &json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "annotations": {"lvsd/checks": "[]"}},
            "spec": {"externalIPs": ["192.0.2.10"], "ports": [{"name": "https", "port": 443}]}
        }),
    );
    let kubeconfig = cluster.kubeconfig_of("lvsd", &sign_in(&cluster));
    cluster.kill("kube-apiserver");
    let mut balancer = Balancer::start(kubeconfig, OWN);
    balancer.until("it is ready", Balancer::is_ready).await;
    assert!(balancer.announces("192.0.2.50"), "{:?}", balancer.status().vips);
    assert!(!balancer.announces("192.0.2.10"));
    cluster.up();
    balancer.until("the cluster's are announced", |b| b.announces("192.0.2.10")).await;
    assert!(balancer.announces("192.0.2.50"));
}
