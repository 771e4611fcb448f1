//! `[probes]`.

use super::{error, errors, good};
use crate::config::Network;

const SEGMENT: &str = "[[probes.segment]]\ninterface = \"eth0\"\naddresses = [\"10.64.0.201/24\"]\n";

#[test]
fn a_segment_alone_has_defaults_beside_it() {
    let probes = good(SEGMENT).probes.expect("there is a [probes]");
    assert_eq!((probes.namespace.as_str(), probes.first_mark), ("lvsd-probes", 0x6c76_0000));
    assert!(good("").probes.is_none());
}

#[test]
fn probes_without_a_segment_are_an_error() {
    assert!(error("[probes]\n").starts_with("1:2: probes.segment: missing: expected at least one segment"));
    assert!(error("[probes]\nsegment = []\n").contains("expected at least one segment"));
}

#[test]
fn an_address_is_a_hosts_own_with_its_prefix_length() {
    for text in
        ["10.64.0.201", "10.64.0.201/0", "10.64.0.201/33", "fd00::1/129", "224.0.0.1/4", "::/64", "x/24"]
    {
        let said = error(&SEGMENT.replace("10.64.0.201/24", text));
        assert!(said.contains("expected a free address of the segment with its prefix length"), "{said}");
    }
}

#[test]
fn nothing_is_there_twice() {
    let said = errors(&(SEGMENT.to_owned() + SEGMENT)).join("\n");
    assert!(said.contains("the segment of eth0 for the second time"), "{said}");
    assert!(said.contains("the address 10.64.0.201 for the second time"), "{said}");
}

#[test]
fn a_gateway_is_in_the_segment_and_alone_in_its_family() {
    let said = errors(&format!("{SEGMENT}gateways = [\"10.65.0.1\"]\n")).join("\n");
    assert!(said.contains("10.65.0.1 is in no network of the segment's addresses"), "{said}");
    let said = errors(&format!("{SEGMENT}gateways = [\"10.64.0.1\", \"10.64.0.2\"]\n")).join("\n");
    assert!(said.contains("a gateway for ipv4 for the second time"), "{said}");
}

#[test]
fn a_network_knows_its_own() {
    let network: Network = "10.64.0.201/23".parse().expect("a network");
    for (address, is_inside) in [("10.64.1.255", true), ("10.64.2.0", false), ("fd00::1", false)] {
        assert_eq!(network.contains(address.parse().expect("an address")), is_inside, "{address}");
    }
    let host: Network = "fd00::1/128".parse().expect("a network");
    assert!(host.contains("fd00::1".parse().expect("an address")));
    assert!(!host.contains("fd00::2".parse().expect("an address")));
}

#[test]
fn checks_by_vip_need_probes() {
    let service = "[service.web]\nvips = [\"192.0.2.10\"]\nport = 80\nbackends = [{host = \"rs1\"}]\n\
                   checks = [{type = \"tcp\", path = \"vip\"}]\n";
    assert_eq!(
        error(service),
        "1:10: service.web.checks: path = \"vip\" needs [probes], which says where such checks come from"
    );
    good(&(service.to_owned() + SEGMENT));
}
