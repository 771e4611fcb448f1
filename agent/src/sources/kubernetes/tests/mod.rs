//! The rules, on objects as API servers give them; `newer` has what 1.20 does not know.

mod leases;
mod merging;
mod nodes;
mod serving;
mod whole;
mod wrong;

use super::index::{Change, Index, Object, Objects};
use super::model::{Key, Node, Service, Slice};
use super::names::Names;
use super::objects::{Compact, NodeObject, ServiceObject, SliceObject};
use super::pools::{Behind, Wanted, backends};
use crate::config::{Backend, Cordon, Front, Target};
use serde_json::{Value, json};
use std::net::IpAddr;

fn service(object: Value) -> Service {
    serde_json::from_value::<ServiceObject>(object)
        .expect("a Service")
        .compact(&mut Names::default())
        .expect("it has a name")
}

fn slice(object: Value) -> Slice {
    serde_json::from_value::<SliceObject>(object)
        .expect("a slice")
        .compact(&mut Names::default())
        .expect("it has a name")
}

fn node(object: Value) -> Node {
    serde_json::from_value::<NodeObject>(object)
        .expect("a Node")
        .compact(&mut Names::default())
        .expect("it has a name")
}

/// prod/web of type LoadBalancer: https, port 443, node port 30443, with 192.0.2.10 in its status.
fn web(spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "prod", "uid": "5b0c", "resourceVersion": "7",
            "managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}}]},
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "externalTrafficPolicy": "Cluster",
            "sessionAffinity": "None", "selector": {"app": "web"},
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": "tls", "nodePort": 30443}]
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}}
    });
    merge(&mut object["spec"], spec);
    object
}

/// A slice of prod/web.
fn web_slice(name: &str, endpoints: Value) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "namespace": "prod", "labels": {
            "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}},
        "ports": [{"name": "https", "protocol": "TCP", "port": 8443}],
        "endpoints": endpoints
    })
}

/// An endpoint of a newer server, with zone and hints.
fn endpoint(address: &str, node: &str, conditions: Value) -> Value {
    let pod = format!("web-{}", address.rsplit(['.', ':']).next().expect("a last part"));
    json!({
        "addresses": [address], "conditions": conditions, "nodeName": node, "zone": "b",
        "hints": {"forZones": [{"name": "a"}]},
        "targetRef": {"kind": "Pod", "namespace": "prod", "name": pod, "uid": "77"}
    })
}

fn ready() -> Value {
    json!({"ready": true, "serving": true, "terminating": false})
}

fn ending() -> Value {
    json!({"ready": false, "serving": true, "terminating": true})
}

fn gone() -> Value {
    json!({"ready": false, "serving": false, "terminating": true})
}

/// A node with one address of each family.
fn plain_node(name: &str, last: u8) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "role": "ingress"}},
        "spec": {"podCIDRs": [format!("10.67.{last}.0/24")]},
        "status": {"addresses": [
            {"type": "Hostname", "address": name},
            {"type": "InternalIP", "address": format!("10.64.0.{last}")},
            {"type": "InternalIP", "address": format!("fd00:64::{last}")},
            {"type": "InternalIP", "address": format!("10.99.0.{last}")},
            {"type": "ExternalIP", "address": format!("203.0.113.{last}")}
        ], "conditions": [{"type": "Ready", "status": "False"}]}
    })
}

/// Puts what is in `with` in the place of what is there.
fn merge(object: &mut Value, with: Value) {
    match (object, with) {
        (Value::Object(object), Value::Object(with)) => {
            for (key, value) in with {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (object, with) => *object = with,
    }
}

/// A cluster of these objects.
fn cluster(services: &[Value], slices: &[Value], nodes: &[Value]) -> Index {
    let mut index = Index::default();
    for objects in [
        Objects::Services(services.iter().cloned().map(service).collect()),
        Objects::Slices(slices.iter().cloned().map(slice).collect()),
        Objects::Nodes(nodes.iter().cloned().map(node).collect()),
    ] {
        index.apply(Change::All { namespace: None, objects });
    }
    index
}

fn key() -> Key {
    Key { namespace: "prod".into(), name: "web".into() }
}

/// The https port of prod/web on 192.0.2.10, port 443, by direct routing.
fn behind() -> Behind {
    Behind {
        service: key(),
        port: Some("https".into()),
        front: Front {
            vips: [IpAddr::from([192, 0, 2, 10])].into(),
            protocol: ipvs::Protocol::Tcp,
            backend_port: 443,
            to: Target::Nodes,
        },
        is_on_nodes: false,
    }
}

/// The same with other backends, at another port.
fn behind_at(to: Target, backend_port: u16) -> Behind {
    let behind = behind();
    Behind { front: Front { to, backend_port, ..behind.front.clone() }, ..behind }
}

/// `host address… weight`, one a backend.
fn listed(outcome: &Result<Vec<Backend>, String>) -> Vec<String> {
    let words = |backend: &Backend| {
        let addresses: Vec<String> =
            backend.addresses.iter().flat_map(|all| all.iter()).map(ToString::to_string).collect();
        format!("{} {} {}", backend.host, addresses.join(" "), backend.weight.get())
    };
    outcome.as_ref().expect("there are backends").iter().map(words).collect()
}

fn pool(index: &Index, behind: &Behind) -> Result<Vec<Backend>, String> {
    backends(index, &Wanted::Service(behind.clone()), Cordon::Ignore)
}

fn set(object: impl Into<Object>) -> Change {
    Change::Set(object.into())
}
