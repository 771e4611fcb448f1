//! Calico's Kubernetes datastore as the source of `[nodes]`, on a real API server with resources of Calico's names.

use crate::cluster::Cluster;
use crate::objects::NODES;
use crate::permissions::{ROLE, manifest, sign_in, without};
use crate::watched::settings;
use lvsd::core::nodes::Cluster as Known;
use lvsd::sources::kubernetes::CalicoNodes;
use lvsd::sources::{Said, Source};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const CALICO: &str = "/apis/crd.projectcalico.org/v1";
const LIMIT: Duration = Duration::from_secs(120);

struct Watched {
    source: CalicoNodes,
    said: Result<Known, String>,
}

impl Watched {
    fn new(kubeconfig: &Path) -> Self {
        Self { source: CalicoNodes::new(settings(kubeconfig.into())), said: Err("unsaid".into()) }
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&Result<Known, String>) -> bool) {
        let listening = async {
            while !is_so(&self.said) {
                let Said::Cluster(said) = self.source.next().await else { panic!("it says something else") };
                self.said = said;
            }
        };
        let heard = tokio::time::timeout(LIMIT, listening).await;
        assert!(heard.is_ok(), "{what}: {:#?}", self.said);
    }
}

/// A node as Calico annotates it.
fn node(name: &str, address: &str, asn: &str) -> Value {
    json!({"metadata": {"name": name, "annotations": {
        "projectcalico.org/IPv4Address": format!("{address}/22"), "projectcalico.org/ASNumber": asn}}})
}

fn affinity(name: &str, cidr: &str, node: &str) -> Value {
    json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "BlockAffinity", "metadata": {"name": name},
        "spec": {"cidr": cidr, "node": node, "state": "confirmed", "type": "host", "deleted": "false"}})
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "crd.projectcalico.org/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// The AS of a node, if it is known.
fn asn(said: &Result<Known, String>, node: &str) -> Option<u32> {
    said.as_ref().ok()?.nodes.get(node)?.asn
}

/// Creates one of Calico's objects; a resource is served a moment after its definition was taken.
fn create(cluster: &Cluster, path: &str, value: &Value) {
    let begun = std::time::Instant::now();
    while !cluster.is_served(path) {
        assert!(begun.elapsed() < LIMIT, "{path} is not served");
        std::thread::sleep(Duration::from_millis(100));
    }
    cluster.create(path, value);
}

/// Calico's own API server has the objects in another group and version, and stores them where lvsd may not look.
#[tokio::test(flavor = "multi_thread")]
async fn where_only_calicos_own_api_is_served_that_is_read() {
    let cluster = Cluster::start();
    cluster.apply(&manifest());
    let definitions =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubernetes/crds.yaml"))
            .unwrap()
            .replace("crd.projectcalico.org", "projectcalico.org")
            .replace("- name: v1", "- name: v3");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("definitions.yaml");
    std::fs::write(&file, definitions).unwrap();
    cluster.apply(&file);
    let created = |plural: &str, mut value: Value| {
        value["apiVersion"] = "projectcalico.org/v3".into();
        create(&cluster, &format!("/apis/projectcalico.org/v3/{plural}"), &value);
    };
    created("ippools", object("IPPool", "pods", &json!({"cidr": "10.67.0.0/16", "blockSize": 26})));
    created("bgpconfigurations", object("BGPConfiguration", "default", &json!({"asNumber": 64601})));
    created("blockaffinities", affinity("n1-10-67-1-0-26", "10.67.1.0/26", "n1"));
    cluster.create(NODES, &node("n1", "10.64.0.21", "64611"));
    let mut watched = Watched::new(&cluster.kubeconfig_of("lvsd", &sign_in(&cluster)));
    watched
        .until("a node with its block", |said| {
            said.as_ref().is_ok_and(|known| {
                known.blocks.values().any(|owner| owner == "n1")
                    && known.pools.len() == 1
                    && known.asn == Some(64601)
                    && asn(said, "n1") == Some(64611)
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_join_move_and_leave_and_nothing_goes_when_the_datastore_is_away() {
    let cluster = Cluster::start();
    cluster.apply(&manifest());
    let kubeconfig = cluster.kubeconfig_of("lvsd", &sign_in(&cluster));
    cluster.create(NODES, &json!({"metadata": {"name": "n0"}, "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]}}));
    let mut watched = Watched::new(&kubeconfig);
    // Without Calico a node's blocks are those that Kubernetes gives it.
    watched
        .until("podCIDRs are blocks", |said| said.as_ref().is_ok_and(|known| known.blocks.len() == 1))
        .await;
    cluster.apply(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubernetes/crds.yaml"));
    let created = |plural: &str, value: &Value| create(&cluster, &format!("{CALICO}/{plural}"), value);
    created("ippools", &object("IPPool", "pods", &json!({"cidr": "10.67.0.0/16", "blockSize": 26})));
    created(
        "bgpconfigurations",
        &object(
            "BGPConfiguration",
            "default",
            &json!({"asNumber": 64601, "serviceClusterIPs": [{"cidr": "10.96.0.0/12"}]}),
        ),
    );
    cluster.create(NODES, &node("n1", "10.64.0.21", "64611"));
    created("blockaffinities", &affinity("n1-10-67-1-0-26", "10.67.1.0/26", "n1"));
    watched
        .until("a node with its block", |said| {
            asn(said, "n1") == Some(64611)
                && said.as_ref().is_ok_and(|known| {
                    known.blocks.values().any(|owner| owner == "n1")
                        && known.pools.len() == 1
                        && known.asn == Some(64601)
                        && known.service_cidrs.len() == 1
                })
        })
        .await;
    follow_changes(&cluster, &mut watched).await;
    without_each_permission(&cluster, &kubeconfig).await;
    watched.until("it may again", |said| asn(said, "n1") == Some(64699)).await;
    // The datastore is away: that is an error in words, which the core takes for no change.
    cluster.kill("kube-apiserver");
    watched.until("it is away", |said| said.as_ref().is_err_and(|why| why.contains("refused"))).await;
    cluster.up();
    watched.until("it is back", |said| asn(said, "n1") == Some(64699)).await;
}

/// What becomes of nodes and blocks in a day.
async fn follow_changes(cluster: &Cluster, watched: &mut Watched) {
    // Another joins; the first changes its address and AS; a block moves; a node leaves.
    cluster.create(NODES, &node("n2", "10.64.0.22", "64612"));
    watched.until("another joins", |said| asn(said, "n2") == Some(64612)).await;
    cluster.patch(&format!("{NODES}/n1"), &node("n1", "10.64.1.21", "64699"));
    watched
        .until("it moves", |said| {
            asn(said, "n1") == Some(64699)
                && said.as_ref().is_ok_and(|known| known.nodes["n1"].addresses[0].to_string() == "10.64.1.21")
        })
        .await;
    cluster.patch(
        &format!("{CALICO}/blockaffinities/n1-10-67-1-0-26"),
        &affinity("n1-10-67-1-0-26", "10.67.1.0/26", "n2"),
    );
    watched
        .until("a block moves", |said| {
            said.as_ref().is_ok_and(|known| known.blocks.values().any(|owner| owner == "n2"))
        })
        .await;
    let deleted = json!({"spec": {"deleted": "true"}});
    cluster.patch(&format!("{CALICO}/blockaffinities/n1-10-67-1-0-26"), &deleted);
    watched.until("a block goes", |said| said.as_ref().is_ok_and(|known| known.blocks.is_empty())).await;
    cluster.delete(&format!("{NODES}/n2"));
    watched.until("a node leaves", |said| said.is_ok() && asn(said, "n2").is_none()).await;
}

/// Whoever may not read one of Calico's kinds says which.
async fn without_each_permission(cluster: &Cluster, kubeconfig: &Path) {
    let rules = cluster.get(ROLE)["rules"].clone();
    let without_resource = |resource: &str| {
        let mut less = rules.clone();
        for rule in less.as_array_mut().unwrap() {
            rule["resources"].as_array_mut().unwrap().retain(|own| own != resource);
        }
        less.as_array_mut().unwrap().retain(|rule| rule["resources"] != json!([]));
        less
    };
    let kinds = ["blockaffinities", "ippools", "bgpconfigurations"];
    let resources = kinds.map(|kind| (without_resource(kind), format!("list {kind}: 403")));
    let verbs = ["list", "watch"].map(|verb| (without(&rules, kinds[0], verb), format!("{verb} ")));
    for (less, words) in resources.into_iter().chain(verbs) {
        cluster.patch(ROLE, &json!({"rules": less}));
        let mut anew = Watched::new(kubeconfig);
        let is_said = |said: &Result<Known, String>| {
            said.as_ref().is_err_and(|why| why.contains(&words) && why.contains("403"))
        };
        anew.until(&format!("without a permission: {words}"), is_said).await;
        cluster.patch(ROLE, &json!({"rules": rules}));
        anew.until("it may again", |said| asn(said, "n1") == Some(64699)).await;
    }
}
