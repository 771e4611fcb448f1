//! Objects of a large cluster, as full as API servers give them.

use serde_json::{Value, json};

use crate::watched::{backend, vip};

/// Nodes.
pub(crate) const NODES: u32 = 100;

/// Endpoints of each Service, on as many nodes.
pub(crate) const ENDPOINTS: u32 = 10;

/// The class of all Services.
pub(crate) const CLASS: &str = "example.org/lvsd";

/// The node of an endpoint of a Service.
pub(crate) fn node_of(service: u32, endpoint: u32) -> u32 {
    (service * 7 + endpoint) % NODES
}

fn named(kind: &str, name: &str, number: u32) -> Value {
    json!({
        "name": name, "namespace": format!("team-{:02}", number % 50), "uid": uid(kind, number), "resourceVersion": "1",
        "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": name, "team": "bench"},
        "managedFields": [{
            "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app": {}, "f:team": {}}}, "f:spec": {
                "f:externalTrafficPolicy": {}, "f:internalTrafficPolicy": {}, "f:selector": {}, "f:type": {}}}
        }]
    })
}

fn uid(kind: &str, number: u32) -> String {
    format!("{number:08x}-0000-4000-8000-{:012x}", kind.len())
}

fn name(service: u32) -> String {
    format!("s{service:05}")
}

/// A Service with one port and its address, whose nodes are not checked.
pub(crate) fn service(number: u32) -> Value {
    let mut metadata = named("service", &name(number), number);
    metadata["annotations"] = json!({"lvsd/checks": "[]"});
    let cluster_ip = format!("10.96.{}.{}", number / 250, number % 250 + 1);
    json!({
        "metadata": metadata,
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": CLASS, "allocateLoadBalancerNodePorts": false,
            "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Cluster",
            "healthCheckNodePort": 30000 + number % 2768, "clusterIP": cluster_ip, "clusterIPs": [cluster_ip],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
            "selector": {"app": name(number)},
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}]
        },
        "status": {"loadBalancer": {"ingress": [{"ip": vip(number), "ipMode": "VIP"}]}}
    })
}

/// The slice of a Service. One of its endpoints may be about to end.
pub(crate) fn slice(number: u32, ending: Option<u32>) -> Value {
    let (service, one) = (name(number), |endpoint| endpoint_of(number, endpoint, ending == Some(endpoint)));
    let mut metadata = named("endpointslice", &format!("{service}-x7k2p"), number);
    metadata["labels"] = json!({
        "app": service, "kubernetes.io/service-name": service,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"
    });
    metadata["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Service", "name": service,
        "uid": uid("service", number), "controller": true, "blockOwnerDeletion": true}]);
    json!({
        "metadata": metadata, "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        "endpoints": (0..ENDPOINTS).map(one).collect::<Vec<_>>()
    })
}

fn endpoint_of(service: u32, endpoint: u32, is_ending: bool) -> Value {
    let pod = service * ENDPOINTS + endpoint;
    json!({
        "addresses": [format!("10.{}.{}.{}", 128 + pod / 62_500, pod / 250 % 250, pod % 250 + 1)],
        "conditions": {"ready": !is_ending, "serving": true, "terminating": is_ending},
        "nodeName": node_name(node_of(service, endpoint)), "zone": "b",
        "targetRef": {"kind": "Pod", "namespace": format!("team-{:02}", service % 50),
            "name": format!("{}-7d9f8b6c5-{pod:05x}", name(service)), "uid": uid("pod", pod)}
    })
}

fn node_name(number: u32) -> String {
    format!("node-{number:03}")
}

/// A node.
pub(crate) fn node(number: u32) -> Value {
    let name = node_name(number);
    json!({
        "metadata": {
            "name": name, "uid": uid("node", number), "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}
        },
        "spec": {"podCIDR": format!("10.128.{number}.0/24")},
        "status": {
            "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": backend(number)}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
        }
    })
}
