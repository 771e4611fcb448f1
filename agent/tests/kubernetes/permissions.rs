//! What lvsd may do: with exactly the manifest everything works, and whatever is taken out of it is said.

use crate::cluster::Cluster;
use crate::objects::{self, nodes, slice, web};
use crate::watched::{self, Watched, settings};
use lvsd::config::Target;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(crate) const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/lvsd";
const BINDING: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/lvsd";
const ACCOUNTS: &str = "/api/v1/namespaces/lvsd/serviceaccounts";

/// Gives the account of the manifest a token that its file holds.
pub(crate) fn sign_in(cluster: &Cluster) -> PathBuf {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600, "audiences": []}});
    let made = cluster.create(&format!("{ACCOUNTS}/lvsd/token"), &request);
    let file = cluster.folder().join("token");
    std::fs::write(&file, made["status"]["token"].as_str().unwrap()).unwrap();
    file
}

pub(crate) fn manifest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/kubernetes-rbac.yaml")
}

/// The rules without one verb on one resource.
pub(crate) fn without(rules: &Value, resource: &str, verb: &str) -> Value {
    let mut rules = rules.clone();
    for rule in rules.as_array_mut().unwrap() {
        if rule["resources"].as_array().unwrap().contains(&json!(resource)) {
            rule["verbs"].as_array_mut().unwrap().retain(|own| own != verb);
        }
    }
    rules.as_array_mut().unwrap().retain(|rule| !rule["verbs"].as_array().unwrap().is_empty());
    rules
}

/// Whether the API server lets lvsd's account do something in a namespace, with `GROUP/RESOURCE` or `GROUP/RESOURCE/NAME`.
pub(crate) fn may(cluster: &Cluster, verb: &str, (namespace, what): (&str, &str)) -> bool {
    let words: Vec<&str> = what.split('/').collect();
    let asked = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": "system:serviceaccount:lvsd:lvsd",
        "resourceAttributes": {"namespace": namespace, "verb": verb, "group": words[0], "resource": words[1],
            "name": words.get(2)}}});
    let answer = cluster.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", &asked);
    answer["status"]["allowed"] == json!(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_exactly_the_manifest_everything_works_and_without_each_rule_something_is_said() {
    let cluster = Cluster::start();
    cluster.apply(&manifest());
    nodes(&cluster);
    web(&cluster, json!({}));
    cluster.create(objects::SLICES, &slice("web-1", &[("10.67.1.1", "n1", true)]));
    let kubeconfig = cluster.kubeconfig_of("lvsd", &sign_in(&cluster));
    let query = watched::web(Target::Nodes, 443);
    let queries = [query.clone(), watched::nodes("role=ingress")];
    let mut watched = Watched::new(settings(kubeconfig.clone()), &queries);
    watched.until("the manifest is enough", |w| w.is_live() && w.listed(&query).len() == 3).await;
    let rules = cluster.get(ROLE)["rules"].clone();
    for (resource, verb) in [
        ("nodes", "list"),
        ("nodes", "watch"),
        ("services", "list"),
        ("services", "watch"),
        ("endpointslices", "list"),
        ("endpointslices", "watch"),
    ] {
        cluster.patch(ROLE, &json!({"rules": without(&rules, resource, verb)}));
        // One that has listed already notices that it may not when it has to list again.
        let mut anew = Watched::new(settings(kubeconfig.clone()), &queries);
        anew.until(&format!("without {verb} {resource}"), |w| w.is_stale(&[verb, resource, "403"])).await;
        if verb == "watch" {
            watched
                .until("who watches is told", |w| w.is_stale(&["watch", resource, "403", "forbidden"]))
                .await;
            assert_eq!(watched.listed(&query).len(), 3, "what is known goes on");
        }
        cluster.patch(ROLE, &json!({"rules": rules}));
        anew.until("it may again", |w| w.is_live() && w.listed(&query).len() == 3).await;
        watched.until("it may again", Watched::is_live).await;
    }
    let said = watched.said;
    // All of it is taken away, and the account with it: the token is not accepted any more.
    cluster.delete(BINDING);
    watched.until("nothing is allowed", |w| w.is_stale(&["403", "forbidden"])).await;
    cluster.apply(&manifest());
    watched.until("it may again", Watched::is_live).await;
    cluster.delete(&format!("{ACCOUNTS}/lvsd"));
    watched.until("the token is worth nothing", |w| w.is_stale(&["401", "token"])).await;
    cluster.apply(&manifest());
    sign_in(&cluster);
    watched.until("the new token is read", Watched::is_live).await;
    assert_eq!(watched.said, said, "no pool was touched");
}
