//! Slices put together, what endpoints are used for, and what follows for nodes and pods.

use super::*;

fn local() -> Value {
    web(json!({"externalTrafficPolicy": "Local", "healthCheckNodePort": 31337}))
}

fn nodes() -> [Value; 3] {
    [plain_node("n1", 1), plain_node("n2", 2), plain_node("n3", 3)]
}

/// The nodes of prod/web with Local and these slices, as `host weight`.
fn weights(slices: &[Value]) -> Vec<String> {
    let listed = listed(&pool(&cluster(&[local()], slices, &nodes()), &behind()));
    let short = |line: &String| line.split(' ').step_by(2).collect::<Vec<_>>().join(" ");
    listed.iter().map(short).collect()
}

fn pods(slices: &[Value]) -> Vec<String> {
    let behind = behind_at(Target::Pods, 8443);
    listed(&pool(&cluster(&[web(json!({}))], slices, &[]), &behind))
}

#[test]
fn cluster_is_every_node_and_local_those_with_endpoints_by_their_number() {
    let slices = [
        web_slice(
            "web-1",
            json!([endpoint("10.67.1.1", "n1", ready()), endpoint("10.67.1.2", "n1", ready())]),
        ),
        web_slice("web-2", json!([endpoint("10.67.2.1", "n2", ready())])),
    ];
    let all = cluster(&[web(json!({}))], &slices, &nodes());
    assert_eq!(listed(&pool(&all, &behind())), ["n1 10.64.0.1 1", "n2 10.64.0.2 1", "n3 10.64.0.3 1"]);
    assert_eq!(weights(&slices), ["n1 2", "n2 1"]);
}

#[test]
fn an_endpoint_in_two_slices_counts_once_as_the_best_of_both() {
    let slices = [
        web_slice(
            "web-1",
            json!([endpoint("10.67.1.1", "n1", gone()), endpoint("10.67.2.2", "n2", ready())]),
        ),
        web_slice(
            "web-2",
            json!([endpoint("10.67.1.1", "n1", ready()), endpoint("10.67.2.2", "n2", ending())]),
        ),
    ];
    assert_eq!(weights(&slices), ["n1 1", "n2 1"]);
    assert_eq!(pods(&slices), ["web-1.prod 10.67.1.1 1", "web-2.prod 10.67.2.2 1"]);
}

#[test]
fn what_is_not_said_of_an_endpoint_is_that_it_is_ready() {
    let silent = json!([
        {"addresses": ["10.67.1.1"], "nodeName": "n1"},
        {"addresses": ["10.67.1.2"], "nodeName": "n1", "conditions": {}},
        {"addresses": ["10.67.1.3"], "nodeName": "n1", "conditions": {"ready": null, "serving": null}},
        {"addresses": ["10.67.1.4"], "nodeName": "n1", "conditions": {"ready": false}}]);
    assert_eq!(weights(&[web_slice("web-1", silent)]), ["n1 3"]);
}

#[test]
fn those_that_end_but_serve_have_no_weight_and_the_others_are_no_backends() {
    let slices = [web_slice(
        "web-1",
        json!([
            endpoint("10.67.1.1", "n1", ending()),
            endpoint("10.67.2.2", "n2", ready()),
            endpoint("10.67.2.3", "n2", ending()),
            endpoint("10.67.3.4", "n3", gone()),
            // Serving is nothing without ending: it is not ready for another reason.
            endpoint("10.67.3.5", "n3", json!({"ready": false, "serving": true, "terminating": false}))
        ]),
    )];
    assert_eq!(weights(&slices), ["n1 0", "n2 1"]);
    assert_eq!(pods(&slices), ["web-1.prod 10.67.1.1 0", "web-2.prod 10.67.2.2 1", "web-3.prod 10.67.2.3 0"]);
}

#[test]
fn only_the_first_address_of_an_endpoint_counts() {
    let slices = [web_slice("web-1", json!([{"addresses": ["10.67.1.1", "10.67.1.9"], "nodeName": "n1"}]))];
    assert_eq!(weights(&slices), ["n1 1"]);
    assert_eq!(pods(&slices), ["10.67.1.1 10.67.1.1 1"], "without a pod it is called by its address");
}

#[test]
fn slices_of_names_and_of_nobody_are_passed_over() {
    let mut names = web_slice("web-fqdn", json!([{"addresses": ["web.example.org"]}]));
    names["addressType"] = json!("FQDN");
    let mut orphan = web_slice("web-orphan", json!([endpoint("10.67.3.3", "n3", ready())]));
    orphan["metadata"]["labels"] = json!({});
    let good = web_slice("web-1", json!([endpoint("10.67.1.1", "n1", ready())]));
    assert_eq!(weights(&[names, orphan, good]), ["n1 1"]);
}

#[test]
fn a_slice_s_port_is_found_by_the_name_of_the_service_s() {
    let mut other = web_slice("web-2", json!([endpoint("10.67.2.2", "n2", ready())]));
    other["ports"] =
        json!([{"name": "http", "protocol": "TCP", "port": 8080}, {"name": "https", "port": 9443}]);
    let mut none = web_slice("web-3", json!([endpoint("10.67.3.3", "n3", ready())]));
    none["ports"] = Value::Null;
    let good = web_slice("web-1", json!([endpoint("10.67.1.1", "n1", ready())]));
    assert_eq!(weights(&[good.clone(), other.clone(), none]), ["n1 1", "n2 1"]);
    // Pods that listen elsewhere are not reached.
    assert_eq!(pods(&[good, other.clone()]), ["web-1.prod 10.67.1.1 1"]);
    let behind = behind_at(Target::Pods, 443);
    let said = pool(&cluster(&[web(json!({}))], &[other], &[]), &behind).expect_err("none is reached");
    assert!(said.contains("its pods listen at 9443: set backend_port"), "{said}");
}

#[test]
fn of_two_families_each_has_its_addresses_and_a_pod_counts_once() {
    let mut six = web_slice("web-6", json!([endpoint("fd00:67::1:1", "n1", ready())]));
    six["addressType"] = json!("IPv6");
    // An address of the other family does not belong into a slice, and is not taken.
    six["endpoints"].as_array_mut().expect("an array").push(endpoint("10.67.3.3", "n3", ready()));
    let four = web_slice("web-4", json!([endpoint("10.67.1.1", "n1", ready())]));
    let families = json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack", "externalTrafficPolicy": "Local"});
    let mut both = web(families);
    both["status"]["loadBalancer"]["ingress"] = json!([{"ip": "192.0.2.10"}, {"ip": "2001:db8::10"}]);
    let index = cluster(&[both], &[four, six], &nodes());
    let vips = ["192.0.2.10", "2001:db8::10"].map(|vip| vip.parse::<IpAddr>().expect("an address"));
    let mut behind = behind();
    behind.front.vips = vips.into();
    assert_eq!(listed(&pool(&index, &behind)), ["n1 10.64.0.1 fd00:64::1 1"]);
    let pods = behind_at(Target::Pods, 8443);
    assert_eq!(listed(&pool(&index, &pods)), ["web-1.prod 10.67.1.1 fd00:67::1:1 1"]);
}

#[test]
fn pods_in_their_node_s_network_can_be_backends_by_direct_routing() {
    let slices = [web_slice(
        "web-1",
        json!([endpoint("10.64.0.1", "n1", ready()), endpoint("10.67.2.2", "n2", ready())]),
    )];
    let behind = behind_at(Target::HostPods, 8443);
    let index = cluster(&[web(json!({"type": "ClusterIP"}))], &slices, &nodes());
    assert_eq!(listed(&pool(&index, &behind)), ["web-1.prod 10.64.0.1 1"]);
}

#[test]
fn a_service_without_endpoints_is_refused_and_not_obeyed() {
    let ended = [web_slice("web-1", json!([endpoint("10.67.1.1", "n1", gone())]))];
    let said = pool(&cluster(&[local()], &ended, &nodes()), &behind()).expect_err("nothing serves");
    assert_eq!(
        said,
        "prod/web: no node has an endpoint that serves and is to get traffic; an empty pool is refused"
    );
    let behind = behind_at(Target::Pods, 8443);
    let said = pool(&cluster(&[web(json!({}))], &ended, &nodes()), &behind).expect_err("nothing serves");
    assert_eq!(said, "prod/web: it has no endpoint that serves; an empty pool is refused");
}

#[test]
fn a_change_concerns_the_service_whose_it_is_and_nothing_that_is_as_it_was() {
    use super::super::index::Concerned;
    let good = web_slice("web-1", json!([endpoint("10.67.1.1", "n1", ready())]));
    let mut index = cluster(&[local()], std::slice::from_ref(&good), &nodes());
    assert_eq!(index.apply(set(slice(good.clone()))), []);
    assert_eq!(index.apply(set(service(local()))), []);
    assert_eq!(index.apply(set(node(plain_node("n1", 1)))), []);
    // A heartbeat of the kubelet changes nothing that is kept.
    let mut beat = plain_node("n1", 1);
    beat["status"]["conditions"][0]["lastHeartbeatTime"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(index.apply(set(node(beat))), []);
    let mut moved = good.clone();
    moved["metadata"]["labels"]["kubernetes.io/service-name"] = json!("other");
    let other = Key { namespace: "prod".into(), name: "other".into() };
    assert_eq!(
        index.apply(set(slice(moved.clone()))),
        [Concerned::Endpoints(key()), Concerned::Endpoints(other.clone())]
    );
    assert_eq!(index.slices(&key()).count(), 0);
    assert_eq!(index.apply(Change::Gone(slice(moved).into())), [Concerned::Endpoints(other)]);
    assert_eq!(index.apply(Change::Gone(slice(good).into())), []);
    // A list that misses something takes it away, in its namespace only.
    let all = |namespace: Option<&str>| Change::All {
        namespace: namespace.map(Into::into),
        objects: Objects::Services(Vec::new()),
    };
    assert_eq!(index.apply(all(Some("other"))), []);
    assert_eq!(index.apply(all(Some("prod"))), [Concerned::Listed(key())]);
    assert_eq!(index.apply(all(None)), []);
}
