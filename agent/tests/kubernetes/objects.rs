//! Objects of a small cluster.

use crate::cluster::Cluster;
use serde_json::{Value, json};

pub(crate) const SERVICES: &str = "/api/v1/namespaces/prod/services";
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices";
pub(crate) const PODS: &str = "/api/v1/namespaces/prod/pods";
pub(crate) const NODES: &str = "/api/v1/nodes";

/// Three nodes with role=ingress, and the namespace prod.
pub(crate) fn nodes(cluster: &Cluster) {
    cluster.create("/api/v1/namespaces", &json!({"metadata": {"name": "prod"}}));
    for last in 1..=3 {
        cluster.create(NODES, &node(last));
    }
}

pub(crate) fn node(last: u8) -> Value {
    let name = format!("n{last}");
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"role": "ingress"}},
        "status": {"addresses": [
            {"type": "Hostname", "address": name}, {"type": "InternalIP", "address": format!("10.64.0.{last}")}]}
    })
}

/// prod/web of type LoadBalancer with 192.0.2.10 in its status.
pub(crate) fn web(cluster: &Cluster, spec: Value) {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"type": "LoadBalancer", "ports": [{"name": "https", "port": 443, "targetPort": 8443}]}
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    cluster.create(SERVICES, &object);
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}}});
    cluster.patch(&format!("{SERVICES}/web/status"), &status);
}

/// A slice of prod/web with these endpoints: address, node, and whether it is ready.
pub(crate) fn slice(name: &str, endpoints: &[(&str, &str, bool)]) -> Value {
    let endpoint = |(address, node, ready): &(&str, &str, bool)| json!({"addresses": [address], "nodeName": node, "conditions": {"ready": ready}});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "web"}},
        "ports": [{"name": "https", "port": 8443, "protocol": "TCP"}],
        "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>()
    })
}

/// A pod of the app web on a node; nothing runs.
pub(crate) fn pod(cluster: &Cluster, name: &str, node: &str, address: &str) {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"nodeName": node, "containers": [{"name": "web", "image": "web"}]}
    });
    cluster.create(PODS, &object);
    set_ready(cluster, name, Some(address), true);
}

/// What the node's kubelet says of a pod.
pub(crate) fn set_ready(cluster: &Cluster, name: &str, address: Option<&str>, is_ready: bool) {
    let word = if is_ready { "True" } else { "False" };
    let mut status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": word}]});
    if let Some(address) = address {
        status["podIP"] = json!(address);
        status["podIPs"] = json!([{"ip": address}]);
    }
    cluster.patch(&format!("{PODS}/{name}/status"), &json!({"status": status}));
}
