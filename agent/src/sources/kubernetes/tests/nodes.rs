//! Which nodes are to get traffic.

use super::*;

/// The nodes with role=ingress among three, one of them changed by `with`.
fn nodes(with: Value, cordon: Cordon) -> Vec<String> {
    let mut other = plain_node("n2", 2);
    merge(&mut other, with);
    let index = cluster(&[], &[], &[plain_node("n1", 1), other, plain_node("n3", 3)]);
    let selector = "role=ingress".parse().expect("a selector");
    let listed = listed(&backends(&index, &Wanted::Nodes(selector), cordon));
    let short = |line: &String| format!("{}:{}", &line[..2], line.rsplit(' ').next().unwrap_or_default());
    listed.iter().map(short).collect()
}

#[test]
fn a_node_has_one_address_of_each_family_of_the_internal_ones() {
    let index = cluster(&[], &[], &[plain_node("n1", 1)]);
    let selector = "role in (ingress)".parse().expect("a selector");
    let found = backends(&index, &Wanted::Nodes(selector), Cordon::Ignore);
    assert_eq!(listed(&found), ["n1 10.64.0.1 fd00:64::1 1"]);
}

#[test]
fn readiness_is_left_to_the_checks() {
    assert_eq!(nodes(json!({}), Cordon::Ignore), ["n1:1", "n2:1", "n3:1"]);
}

#[test]
fn nodes_that_are_to_get_nothing_are_no_backends() {
    let label = |value: &str| json!({"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": value}}});
    for out in [
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
        json!({"spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"}]}}),
        label("true"),
        label("1"),
        label(""),
        label("nonsense"),
        json!({"metadata": {"labels": {"role": "db"}}}),
        json!({"status": {"addresses": [{"type": "Hostname", "address": "n2"}]}}),
    ] {
        assert_eq!(nodes(out.clone(), Cordon::Ignore), ["n1:1", "n3:1"], "{out}");
    }
    for value in ["false", "False", "F", "0"] {
        assert_eq!(nodes(label(value), Cordon::Ignore), ["n1:1", "n2:1", "n3:1"], "{value}");
    }
}

#[test]
fn a_cordon_is_what_the_configuration_says() {
    let cordoned = json!({"spec": {"unschedulable": true,
        "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}});
    for (cordon, expected) in [
        (Cordon::Ignore, ["n1:1", "n2:1", "n3:1"].as_slice()),
        (Cordon::Drain, &["n1:1", "n2:0", "n3:1"]),
        (Cordon::Remove, &["n1:1", "n3:1"]),
    ] {
        assert_eq!(nodes(cordoned.clone(), cordon), expected, "{cordon:?}");
    }
}

#[test]
fn a_node_that_is_out_gets_nothing_for_its_local_endpoints_either() {
    let mut out = plain_node("n1", 1);
    out["metadata"]["labels"]["node.kubernetes.io/exclude-from-external-load-balancers"] = json!("");
    let slices = [web_slice(
        "web-1",
        json!([endpoint("10.67.1.1", "n1", ready()), endpoint("10.67.2.2", "n2", ready())]),
    )];
    let web = web(json!({"externalTrafficPolicy": "Local"}));
    let index = cluster(&[web], &slices, &[out, plain_node("n2", 2)]);
    assert_eq!(listed(&pool(&index, &behind())), ["n2 10.64.0.2 1"]);
}

#[test]
fn nobody_with_the_labels_is_refused() {
    let selector = "gpu".parse().expect("a selector");
    let index = cluster(&[], &[], &[plain_node("n1", 1)]);
    let said = backends(&index, &Wanted::Nodes(selector), Cordon::Ignore).expect_err("there is none");
    assert_eq!(said, "no node that is to get traffic has the labels gpu; an empty pool is refused");
}
