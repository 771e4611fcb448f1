//! The table of what direct routing can serve, and the words of each refusal.

use super::super::serve::{Arrival, Entry, entry};
use super::*;

/// What becomes of the first port of a Service on 192.0.2.10.
fn verdict(object: Value, port: u16, is_on_nodes: bool) -> Result<Entry, String> {
    let service = service(object);
    let arrival = Arrival { vip: IpAddr::from([192, 0, 2, 10]), port, is_on_nodes };
    entry(&service, &service.ports[0], arrival).map_err(|refused| refused.to_string())
}

fn with_status(spec: Value, ingress: Value) -> Value {
    let mut object = web(spec);
    object["status"] = json!({"loadBalancer": {"ingress": ingress}});
    object
}

#[test]
fn a_load_balancer_s_address_is_served_at_the_service_s_port() {
    let newer = json!({"loadBalancerClass": "example.org/lvsd", "allocateLoadBalancerNodePorts": false,
        "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": 8443, "appProtocol": "https"}]});
    for object in [
        web(json!({})),
        with_status(
            json!({}),
            json!([{"hostname": "lb.example.org"}, {"ip": "192.0.2.10", "ipMode": "VIP"}]),
        ),
        web(newer),
    ] {
        assert_eq!(verdict(object, 443, false), Ok(Entry::LoadBalancer));
    }
    let said = verdict(web(json!({})), 8443, false).expect_err("another port");
    assert!(said.contains("192.0.2.10 keep their port 8443, and nodes take 443 there"), "{said}");
}

#[test]
fn ip_mode_proxy_is_refused() {
    let object = with_status(json!({}), json!([{"ip": "192.0.2.10", "ipMode": "Proxy"}]));
    let said = verdict(object, 443, false).expect_err("nodes would drop it");
    assert!(said.contains("ipMode Proxy"), "{said}");
}

#[test]
fn an_external_address_is_served_whatever_the_type() {
    for kind in ["ClusterIP", "NodePort", "LoadBalancer"] {
        let object = with_status(json!({"type": kind, "externalIPs": ["192.0.2.10"]}), json!([]));
        assert_eq!(verdict(object.clone(), 443, false), Ok(Entry::ExternalIp), "{kind}");
        assert!(verdict(object, 80, false).expect_err("another port").contains("must be the Service's"));
    }
}

#[test]
fn a_node_port_is_served_where_the_nodes_have_the_vip_and_is_a_loop_elsewhere() {
    let object = || with_status(json!({"type": "NodePort"}), json!([]));
    assert_eq!(verdict(object(), 30443, true), Ok(Entry::NodePort));
    let said = verdict(object(), 30443, false).expect_err("a loop");
    assert!(said.contains("a loop") && said.contains("vips_on_nodes = true"), "{said}");
    let said = verdict(object(), 443, true).expect_err("another port");
    assert!(said.contains("they take port 30443 at their own addresses"), "{said}");
    // The VIP that is a node's is taken at its node port, also where the Service is a load balancer's.
    assert_eq!(verdict(web(json!({})), 30443, true), Ok(Entry::NodePort));
}

#[test]
fn what_has_an_address_of_the_cluster_only_is_refused_with_what_to_do() {
    let ports = json!([{"name": "https", "protocol": "TCP", "port": 443}]);
    let said = verdict(with_status(json!({"type": "ClusterIP", "ports": ports}), json!([])), 443, true);
    let said = said.expect_err("no node takes it");
    assert!(said.contains("make it a LoadBalancer or NodePort, or forward by NAT"), "{said}");
    let said = verdict(web(json!({"type": "ExternalName", "externalName": "example.org"})), 443, true);
    assert!(said.expect_err("only a name").contains("ExternalName"));
    let said = verdict(web(json!({"ports": [{"port": 443, "protocol": "QUIC"}]})), 443, true);
    assert!(said.expect_err("no such protocol").contains("only TCP, UDP and SCTP"));
    // An address that it does not have, though it is a load balancer.
    let said = verdict(with_status(json!({}), json!([{"ip": "192.0.2.11"}])), 443, false);
    let said = said.expect_err("another VIP");
    assert!(said.contains("they take port 443 at 192.0.2.11, and port 30443 at their own"), "{said}");
}

#[test]
fn by_nat_nodes_are_asked_at_their_node_port() {
    let index = cluster(&[web(json!({}))], &[], &[plain_node("n1", 1)]);
    assert_eq!(listed(&pool(&index, &behind_at(Target::NodePorts, 30443))), ["n1 10.64.0.1 1"]);
    let said = pool(&index, &behind_at(Target::NodePorts, 443)).expect_err("another port");
    assert!(said.contains("which take them at 30443: set backend_port"), "{said}");
}

#[test]
fn a_refusal_is_the_pool_s_and_names_the_service() {
    let index = cluster(&[with_status(json!({}), json!([]))], &[], &[plain_node("n1", 1)]);
    let said = pool(&index, &behind()).expect_err("it has no address yet");
    assert!(said.starts_with("prod/web: no node takes packets for 192.0.2.10 port 443"), "{said}");
    let said = pool(&Index::default(), &behind()).expect_err("there is none");
    assert_eq!(said, "prod/web: the cluster has no such Service");
}

#[test]
fn a_port_is_found_by_name_or_number_and_has_to_be_named_where_there_are_several() {
    let ports = json!([
        {"name": "http", "protocol": "TCP", "port": 80, "nodePort": 30080},
        {"name": "https", "protocol": "TCP", "port": 443, "nodePort": 30443},
        {"name": "quic", "protocol": "UDP", "port": 443, "nodePort": 30443}]);
    let index = cluster(&[web(json!({"ports": ports}))], &[], &[plain_node("n1", 1)]);
    let of = |port: Option<&str>, port_there, protocol| {
        let mut behind = Behind { port: port.map(Into::into), ..behind_at(Target::Nodes, port_there) };
        behind.front.protocol = protocol;
        pool(&index, &behind)
    };
    use ipvs::Protocol::{Tcp, Udp};
    assert!(of(Some("http"), 80, Tcp).is_ok() && of(Some("80"), 80, Tcp).is_ok());
    assert!(of(Some("https"), 443, Tcp).is_ok() && of(Some("quic"), 443, Udp).is_ok());
    for (port, words) in [
        (None, "it has several ports: name one of http 80, https 443, quic 443"),
        (Some("443"), "several of its ports are 443"),
        (Some("web"), "it has no port web; its ports are"),
        (Some("quic"), "port quic 443 is not tcp"),
    ] {
        let said = of(port, 443, Tcp).expect_err("no such port");
        assert!(said.contains(words), "{said}");
    }
}
