//! A list that misses Services that are served whole, at a balancer that serves them.

use crate::balancer::Balancer;
use crate::fake::Fake;
use serde_json::{Value, json};

/// prod/NAME of our class, at 192.0.2.NUMBER; each node has an endpoint of it.
fn service((name, number): &(&str, u8)) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "prod", "uid": name,
            "annotations": {"lvsd/checks": "[]"}},
        "spec": {"type": "LoadBalancer", "loadBalancerClass": "lvsd", "ports": [{"name": "https", "port": 443}]},
        "status": {"loadBalancer": {"ingress": [{"ip": format!("192.0.2.{number}")}]}}
    })
}

const BGP: &str = "[bgp]\nlocal_asn = 64600\nrouter_id = \"10.64.0.1\"\n\
    [[bgp.peer]]\nname = \"r1\"\naddress = \"10.64.0.251\"\nasn = 65001\n";

const FOUR: [(&str, u8); 4] = [("a", 11), ("b", 12), ("c", 13), ("d", 14)];

fn vips(of: &[(&str, u8)]) -> Vec<String> {
    of.iter().map(|(_, number)| format!("192.0.2.{number}")).collect()
}

/// A slice of a Service with an endpoint on each node.
fn slice((name, _): &(&str, u8)) -> Value {
    let endpoint = |node: u8| json!({"addresses": [format!("10.67.0.{node}")], "conditions": {"ready": true}, "nodeName": format!("n{node}")});
    json!({
        "metadata": {"name": name, "namespace": "prod", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "ports": [{"name": "https", "port": 8443}],
        "endpoints": [endpoint(1), endpoint(2)]
    })
}

/// The next list has exactly these; who watches is not told, but that it is too late.
fn list(fake: &Fake, of: &[(&str, u8)]) {
    fake.put_silently("services", of.iter().map(service).collect());
    fake.expire();
}

impl Balancer {
    fn announces_just(&self, of: &[(&str, u8)]) -> bool {
        self.announced.iter().eq(&vips(of))
    }

    fn is_held(&self, words: &str) -> bool {
        self.source().error.is_some_and(|error| error.contains(words))
    }
}

/// A balancer that announces the VIPs of four Services, and their cluster.
async fn four() -> (Fake, Balancer) {
    let fake = Fake::start().await;
    fake.nodes(&["n1", "n2"]);
    fake.put_silently("services", FOUR.iter().map(service).collect());
    fake.put_silently("endpointslices", FOUR.iter().map(slice).collect());
    let mut balancer = Balancer::start(fake.write_kubeconfig(), BGP);
    balancer.until("four are announced", |b| b.announces_just(&FOUR)).await;
    (fake, balancer)
}

#[tokio::test]
async fn a_list_that_misses_most_services_takes_no_vip_away_until_it_is_confirmed_or_has_them_again() {
    let (fake, mut balancer) = four().await;
    for (left, words) in [(1, "misses 3 of 4 services"), (0, "misses 4 of 4 services")] {
        list(&fake, &FOUR[..left]);
        let is_over = |b: &Balancer| b.is_held(words) || !b.announces_just(&FOUR);
        balancer.until("it is held back", is_over).await;
        assert!(balancer.announces_just(&FOUR), "{:?}", balancer.announced);
        list(&fake, &FOUR);
        balancer.until("it is over", |b| b.source().error.is_none()).await;
        assert!(balancer.announces_just(&FOUR), "{:?}", balancer.announced);
    }
    list(&fake, &FOUR[..1]);
    balancer.until("it is held back", |b| b.is_held("misses 3 of 4")).await;
    balancer.confirm();
    assert!(balancer.announces_just(&FOUR[..1]), "{:?}", balancer.announced);
}

#[tokio::test]
async fn a_service_that_comes_back_by_the_watch_ends_it_when_none_is_missing_any_more() {
    let (fake, mut balancer) = four().await;
    list(&fake, &[]);
    balancer.until("it is held back", |b| b.is_held("misses 4 of 4")).await;
    for (place, one) in FOUR.iter().enumerate() {
        assert!(balancer.source().is_held, "{place} are back");
        fake.create("services", &service(one));
        let others = FOUR.len() - place - 1;
        let words = format!("misses {others} of 4");
        balancer.until("one is back", |b| b.is_held(&words) || (others == 0 && !b.source().is_held)).await;
        assert!(balancer.announces_just(&FOUR), "{:?}", balancer.announced);
    }
}

#[tokio::test]
async fn services_that_are_deleted_go_at_once_however_many_they_are() {
    let (fake, mut balancer) = four().await;
    for left in (0..4).rev() {
        fake.delete("services", FOUR[left].0);
        balancer.until("its VIP goes", |b| b.announces_just(&FOUR[..left])).await;
        assert_eq!(balancer.source().error, None);
    }
}

#[tokio::test]
async fn half_of_the_services_may_be_missing_and_those_that_are_deleted_are_not() {
    let (fake, mut balancer) = four().await;
    fake.delete("services", "d");
    balancer.until("its VIP goes", |b| b.announces_just(&FOUR[..3])).await;
    list(&fake, &FOUR[..2]);
    balancer.until("one may be missing", |b| b.announces_just(&FOUR[..2])).await;
    assert_eq!(balancer.source().error, None);
}
