//! Two balancers and one Lease on a real API server: who writes is read from its own record of what was asked.

use crate::cluster::Cluster;
use crate::objects::{SERVICES, nodes};
use crate::permissions::{manifest, sign_in};
use crate::watched::Watched;
use crate::whole::{service, whole};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::path::PathBuf;

const NAMES: [&str; 2] = ["lvsd", "lvsd-two"];

/// How long a silent holder keeps the Lease, as others see it, less what clocks are read apart.
const LENGTH: f64 = 14.9;

/// What is recorded: whatever is written by who has the Lease, and the Lease.
fn policy() -> Value {
    json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
        {"level": "Metadata", "verbs": ["create", "update", "patch"], "users": NAMES.map(user), "resources": [
            {"group": "coordination.k8s.io", "resources": ["leases"]},
            {"group": "", "resources": ["services/status", "events"]}]},
        {"level": "None"}]})
}

fn user(name: &str) -> String {
    format!("system:serviceaccount:lvsd:{name}")
}

/// A second account that may what the manifest lets the first, and its kubeconfig.
fn second(cluster: &Cluster) -> PathBuf {
    let name = NAMES[1];
    let metadata = json!({"name": name});
    let accounts = "/api/v1/namespaces/lvsd/serviceaccounts";
    cluster.create(accounts, &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}));
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    for (path, of, role, of_role) in [
        ("clusterrolebindings", "ClusterRoleBinding", "lvsd", "ClusterRole"),
        ("namespaces/lvsd/rolebindings", "RoleBinding", "lvsd-lease", "Role"),
    ] {
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": of, "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": of_role, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "lvsd"}]});
        cluster.create(&format!("{rbac}/{path}"), &binding);
    }
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600, "audiences": []}});
    let made = cluster.create(&format!("{accounts}/{name}/token"), &request);
    let file = cluster.folder().join("token-two");
    std::fs::write(&file, made["status"]["token"].as_str().unwrap()).unwrap();
    cluster.kubeconfig_of(name, &file)
}

/// Who last got or renewed the Lease.
fn holder(cluster: &Cluster) -> Option<String> {
    let has_it = |entry: &&Value| is_of_lease(entry) && is_done(entry);
    cluster.audit().iter().rfind(has_it).map(|entry| entry["user"]["username"].as_str().unwrap().to_owned())
}

fn is_of_lease(entry: &Value) -> bool {
    entry["objectRef"]["resource"] == "leases"
}

fn is_done(entry: &Value) -> bool {
    entry["responseStatus"]["code"].as_u64().is_some_and(|code| (200..300).contains(&code))
}

fn serves(watched: &Watched, names: &[&str]) -> bool {
    names.iter().all(|name| !watched.vips(&format!("k8s.prod.{name}.https")).is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_writes_at_any_moment_and_the_other_takes_over_when_it_is_silent_for_long() {
    let cluster = Cluster::start_audited(&policy());
    cluster.apply(&manifest());
    nodes(&cluster);
    let kubeconfigs = [cluster.kubeconfig_of(NAMES[0], &sign_in(&cluster)), second(&cluster)];
    let begin = |index: usize| Watched::new(whole(kubeconfigs[index].clone()), &[]);
    let (mut one, mut two) = (begin(0), begin(1));
    let mut names = vec!["a", "b", "c"];
    names.iter().for_each(|name| drop(cluster.create(SERVICES, &service(name, json!({})))));
    cluster.create(SERVICES, &service("bad", json!({"lvsd/scheduler": "fastest"})));
    let all = |watched: &Watched| serves(watched, &names);
    tokio::join!(one.until("one serves them", all), two.until("the other does", all));
    for name in names.iter().map(|name| format!("k8s.prod.{name}.https")) {
        assert_eq!(one.vips(&name), two.vips(&name), "both see the same");
    }
    // Who has it dies. What comes now waits for the other.
    let first = holder(&cluster).unwrap();
    let dead = NAMES.iter().position(|name| user(name) == first).unwrap();
    let (mut left, gone) = if dead == 0 { (two, one) } else { (one, two) };
    drop(gone);
    cluster.create(SERVICES, &service("late", json!({})));
    names.push("late");
    left.until("the other gives it an address", |w| serves(w, &names)).await;
    assert_ne!(holder(&cluster), Some(first));
    // The dead one returns, and takes nothing from who has it.
    let mut again = begin(dead);
    again.until("it serves what there is", |w| serves(w, &names)).await;
    cluster.create(SERVICES, &service("last", json!({})));
    names.push("last");
    let all = |watched: &Watched| serves(watched, &names);
    tokio::join!(left.until("one more", all), again.until("on both", all));
    in_the_record_only_the_holder_writes(&cluster.audit());
}

fn in_the_record_only_the_holder_writes(record: &[Value]) {
    let time = |entry: &Value, key: &str| -> Timestamp { entry[key].as_str().unwrap().parse().unwrap() };
    let mut holders: Vec<(&str, Timestamp)> = Vec::new();
    let mut writes = 0;
    for entry in record {
        let user = entry["user"]["username"].as_str().unwrap();
        if !is_of_lease(entry) {
            assert_eq!(holders.last().map(|(holder, _)| *holder), Some(user), "{entry}");
            writes += 1;
        } else if is_done(entry) {
            let asked = time(entry, "requestReceivedTimestamp");
            match holders.last_mut() {
                Some((holder, renewed)) if *holder == user => *renewed = asked,
                Some((_, renewed)) => {
                    let silent = asked.duration_since(*renewed).as_secs_f64();
                    assert!(silent >= LENGTH, "it was taken after {silent} s: {entry}");
                    holders.push((user, asked));
                }
                None => holders.push((user, asked)),
            }
        }
    }
    assert_eq!(holders.len(), 2, "it has changed hands once: {holders:?}");
    assert!(writes >= 6, "five addresses and an Event: {writes}");
}
