//! What VIPs are announced with, what a router is told, and what is taken of it.

use super::{error, errors, good};
use bgp::policy::{ExportFilter, MaxPrefixes, NextHopRule, Overrides, Verdict};
use bgp::{Prefix, RouteAttributes};
use std::time::Duration;

/// Two services on one VIP, on lines 1 and 7.
fn two(first: &str, second: &str, more: &str) -> String {
    let service = |name: &str, port: u16, route: &str| {
        format!(
            "[service.{name}]\nvips = [\"192.0.2.10\"]\nport = {port}\nchecks = []\n\
             backends = [{{ host = \"10.0.0.1\" }}]\nroute = {{ {route} }}\n"
        )
    };
    format!("{}{}{more}", service("a", 80, first), service("b", 443, second))
}

/// A router on line 4 with more behind its address on line 7.
fn router(more: &str) -> String {
    format!(
        "[bgp]\nlocal_asn = 64600\nrouter_id = \"10.64.0.1\"\n[[bgp.peer]]\nname = \"r1\"\nasn = 65001\n\
         address = \"10.64.0.251\"\n{more}"
    )
}

#[test]
fn services_on_one_vip_that_say_different_things_are_refused_with_both_places() {
    assert_eq!(
        error(&two("med = 1, prepend = 1", "med = 2", "")),
        "12:1: service.b.route.med: 2 for the VIP 192.0.2.10, of which service a says 1 at lvsd.toml:6:1; \
         say it once, or decide with med in [vip.\"192.0.2.10\"]"
    );
    let error = error(&two("communities = [\"1:1\"]", "communities = []", ""));
    assert!(error.contains("none for the VIP 192.0.2.10, of which service a says 1:1"), "{error}");
}

#[test]
fn services_on_one_vip_may_say_the_same_or_different_attributes_or_the_vip_decides() {
    good(&two("med = 1", "med = 1", ""));
    let config = good(&two("med = 1", "prepend = 3", ""));
    let said = config.attributes_of_vips();
    let said = &said[&"192.0.2.10".parse().unwrap()];
    assert_eq!((said.med, said.prepend), (Some(1), Some(3)));
    let config = good(&two("med = 1", "med = 2", "[vip.\"192.0.2.10\"]\nmed = 7\n"));
    assert_eq!(config.attributes_of_vips()[&"192.0.2.10".parse().unwrap()].med, Some(7));
}

#[test]
fn attributes_that_no_message_carries_are_refused() {
    assert_eq!(
        errors(&two("prepend = 33", "large_communities = [\"1:2\"]", "")),
        [
            "6:21: service.a.route.prepend: expected a number of times 0-32, found 33",
            "12:32: service.b.route.large_communities[0]: expected a large community \"AS:LOCAL:LOCAL\", each \
             0-4294967295, such as \"4200000001:1:2\", found \"1:2\"",
        ]
    );
}

#[test]
fn a_router_without_rules_is_told_everything_and_nothing_is_taken_of_it() {
    let peer = good(&router("")).bgp.unwrap().peers.remove(0);
    assert_eq!(
        (peer.terms.import, peer.terms.export, peer.terms.overrides),
        (None, ExportFilter::All, Overrides::default())
    );
    let error = error(&router("max_prefixes = 5\n"));
    assert_eq!(error, "8:1: bgp.peer[0].max_prefixes: without import rules nothing is taken");
}

#[test]
fn with_strict_export_a_router_of_another_as_without_rules_is_told_nothing() {
    let strict = |more: &str, asn: &str| {
        let text = router(more).replace("router_id", "strict_export = true\nrouter_id").replace("65001", asn);
        let peer = good(&text).bgp.unwrap().peers.remove(0);
        peer.terms.export.permits("192.0.2.10/32".parse::<Prefix>().unwrap(), &RouteAttributes::default())
    };
    let accept = "[[bgp.peer.export]]\naction = \"accept\"\n";
    assert_eq!((strict("", "65001"), strict(accept, "65001")), (false, true));
    assert!(strict("", "64600"), "a router of our own AS is told everything (RFC 8212 is about others)");
    let group = "listen = [\"10.64.0.1\"]\nstrict_export = true\nrouter_id";
    let group = format!(
        "[bgp]\nlocal_asn = 64600\n{group} = \"10.64.0.1\"\n[[bgp.group]]\nname = \"nodes\"\nasns = [65001]\n\
         prefixes = [\"10.64.0.0/16\"]\n"
    );
    let groups = good(&group).bgp.unwrap().groups;
    assert_eq!(groups[0].terms.export, ExportFilter::Rules(Vec::new()));
}

#[test]
fn a_router_has_rules_for_what_it_is_told_and_for_what_is_taken() {
    let text = router(
        "med = 100\nprepend = 1\nmax_prefixes = 10\nmax_prefixes_hold_off = \"1m\"\n\
         [[bgp.peer.export]]\naction = \"reject\"\ncommunities = [\"64600:9\"]\n\
         [[bgp.peer.export]]\naction = \"accept\"\nprefixes = [\"192.0.2.0/24 ge 32\"]\n\
         [[bgp.peer.import]]\naction = \"accept\"\nprefixes = [\"0.0.0.0/0\", \"10.0.0.0/8 ge 16 le 24\"]\n\
         longest_path = 2\nnext_hop = \"peer\"\nlocal_pref = 200\n\
         [[bgp.peer.import]]\naction = \"reject\"\nnext_hop = [\"10.64.0.9\"]\n",
    );
    let peer = good(&text).bgp.unwrap().peers.remove(0);
    assert_eq!(peer.terms.overrides, Overrides { med: Some(100), prepend: Some(1) });
    let permits = |text: &str, communities: &[&str]| {
        let communities = communities.iter().map(|text| text.parse().unwrap()).collect();
        let attributes = RouteAttributes { communities, ..RouteAttributes::default() };
        peer.terms.export.permits(text.parse::<Prefix>().unwrap(), &attributes)
    };
    assert!(permits("192.0.2.10/32", &[]));
    assert!(!permits("192.0.2.10/32", &["64600:9"]) && !permits("198.51.100.1/32", &[]));
    let import = peer.terms.import.unwrap();
    let limits = MaxPrefixes { warn: 8, limit: 10, hold_off: Duration::from_secs(60) };
    assert_eq!((import.max_prefixes, import.rules.len()), (limits, 2));
    let first = &import.rules[0];
    assert_eq!(first.prefixes[1].to_string(), "10.0.0.0/8 ge 16 le 24");
    assert_eq!((first.longest_path, &first.next_hop), (Some(2), &NextHopRule::Neighbour));
    assert_eq!(first.verdict, Verdict::Accept { local_pref: Some(200), med: None });
    assert_eq!(import.rules[1].verdict, Verdict::Reject);
}

#[test]
fn a_rule_that_cannot_be_meant_is_refused_with_its_place() {
    let wrong = router(
        "[[bgp.peer.import]]\naction = \"permit\"\nprefixes = []\n\
         [[bgp.peer.import]]\naction = \"reject\"\nmed = 5\nprefixes = [\"10.0.0.0/8 ge 4\"]\n",
    );
    let errors = errors(&wrong);
    assert_eq!(errors.len(), 4, "{errors:#?}");
    assert!(errors[0].starts_with("9:10: bgp.peer[0].import[0].action: expected \"accept\" or \"reject\""));
    assert!(errors[1].starts_with("10:12: bgp.peer[0].import[0].prefixes: expected an array of prefixes"));
    assert_eq!(errors[2], "13:1: bgp.peer[0].import[1].med: what is rejected gets no attribute");
    assert!(errors[3].contains("10.0.0.0/8 with lengths 4 to 32 matches nothing"), "{}", errors[3]);
}
