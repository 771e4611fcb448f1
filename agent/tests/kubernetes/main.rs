//! A cluster's API as a source, on a real API server with its etcd and controllers (`tests/kube`), and on a small one of
//! our own for what a real one does not do when it is asked.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod balancer;
mod calico;
mod cluster;
mod conflicts;
mod credentials;
mod fake;
mod held;
mod leases;
mod newer;
mod objects;
mod outages;
mod permissions;
mod readiness;
mod told;
mod watched;
mod whole;
mod words;
mod writers;

use cluster::Cluster;
use lvsd::config::{Cordon, Target};
use objects::{NODES, SERVICES, SLICES, nodes, pod, set_ready, slice, web};
use serde_json::json;
use watched::{Watched, settings};

#[tokio::test(flavor = "multi_thread")]
async fn backends_follow_services_slices_and_nodes() {
    let cluster = Cluster::start();
    let (ingress, local, pods) =
        (watched::nodes("role=ingress"), watched::web(Target::Nodes, 443), watched::web(Target::Pods, 8443));
    let mut watched =
        Watched::new(settings(cluster.kubeconfig()), &[ingress.clone(), local.clone(), pods.clone()]);
    // Nothing is there yet, and that is said with words.
    watched.until("an empty cluster is read", Watched::is_live).await;
    let said = watched.pools[&local].clone().expect_err("there is no Service");
    assert_eq!(said, "prod/web: the cluster has no such Service");
    nodes(&cluster);
    watched.until("nodes come", |w| w.listed(&ingress) == ["n1 1", "n2 1", "n3 1"]).await;
    web(&cluster, json!({"externalTrafficPolicy": "Local"}));
    cluster.create(SLICES, &slice("web-1", &[("10.67.1.1", "n1", true), ("10.67.1.2", "n1", true)]));
    cluster.create(SLICES, &slice("web-2", &[("10.67.2.1", "n2", true), ("10.67.3.1", "n3", false)]));
    watched.until("nodes have their endpoints' number", |w| w.listed(&local) == ["n1 2", "n2 1"]).await;
    watched.until("pods are backends", |w| w.listed(&pods).len() == 3).await;
    // An endpoint becomes ready, another goes, a whole slice goes.
    cluster.patch(&format!("{SLICES}/web-2"), &slice("web-2", &[("10.67.3.1", "n3", true)]));
    watched.until("endpoints change", |w| w.listed(&local) == ["n1 2", "n3 1"]).await;
    cluster.delete(&format!("{SLICES}/web-1"));
    watched.until("a slice goes", |w| w.listed(&local) == ["n3 1"]).await;
    // What an administrator does with a node.
    let label =
        json!({"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": "true"}}});
    cluster.patch(&format!("{NODES}/n2"), &label);
    watched.until("a node is excluded", |w| w.listed(&ingress) == ["n1 1", "n3 1"]).await;
    cluster.delete(&format!("{NODES}/n1"));
    watched.until("a node goes", |w| w.listed(&ingress) == ["n3 1"]).await;
    // The last endpoint goes: an empty pool is refused, the core keeps what it had.
    cluster.delete(&format!("{SLICES}/web-2"));
    watched.until("an empty pool is refused", |w| w.pools[&local].is_err()).await;
    cluster.delete(&format!("{SERVICES}/web"));
    watched
        .until("the Service goes", |w| {
            w.pools[&local].as_ref().is_err_and(|why| why.ends_with("no such Service"))
        })
        .await;
    // A pool that was not wanted before is said, others are not said again.
    let all = watched::nodes("");
    watched.want(&[all.clone(), local]);
    watched.until("another pool is wanted", |w| w.pools.contains_key(&all)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_readiness_is_followed_through_the_real_controller() {
    let cluster = Cluster::start();
    nodes(&cluster);
    web(&cluster, json!({"externalTrafficPolicy": "Local", "selector": {"app": "web"}}));
    let query = watched::web(Target::Nodes, 443);
    let cordoned = watched::nodes("role=ingress");
    let settings =
        lvsd::config::KubernetesSettings { cordon: Cordon::Drain, ..settings(cluster.kubeconfig()) };
    let mut watched = Watched::new(settings, &[query.clone(), cordoned.clone()]);
    pod(&cluster, "a", "n1", "10.67.1.1");
    pod(&cluster, "b", "n1", "10.67.1.2");
    pod(&cluster, "c", "n2", "10.67.2.1");
    watched.until("three pods are ready", |w| w.listed(&query) == ["n1 2", "n2 1"]).await;
    set_ready(&cluster, "b", None, false);
    watched.until("one is not", |w| w.listed(&query) == ["n1 1", "n2 1"]).await;
    set_ready(&cluster, "b", None, true);
    watched.until("it is again", |w| w.listed(&query) == ["n1 2", "n2 1"]).await;
    // It is told to end, and its kubelet has not ended it yet: it serves what it has.
    cluster
        .patch(&format!("{}/c", objects::PODS), &json!({"metadata": {"finalizers": ["example.org/wait"]}}));
    cluster.delete(&format!("{}/c", objects::PODS));
    watched.until("one ends", |w| w.listed(&query) == ["n1 2", "n2 0"]).await;
    cluster.patch(&format!("{NODES}/n2"), &json!({"spec": {"unschedulable": true}}));
    watched.until("a cordon drains", |w| w.listed(&cordoned) == ["n1 1", "n2 0", "n3 1"]).await;
}
