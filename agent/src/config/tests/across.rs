//! What only all services together show.

use super::{SERVICE, error, good};

/// The service of [`SERVICE`] under another name; its VIPs are in its second line.
fn other(name: &str) -> String {
    SERVICE.replace("web", name)
}

#[test]
fn the_same_vip_port_and_protocol_twice_names_both_places() {
    assert_eq!(
        error(&format!("{SERVICE}{}", other("api"))),
        "7:9: service.api.vips[0]: tcp 192.0.2.10:80 for the second time; the first is at lvsd.toml:2:9"
    );
}

#[test]
fn a_vip_in_two_services_with_different_ports_or_protocols_is_fine() {
    let tls = other("tls").replace("80", "443");
    let quic = other("quic").replace("port = 80", "port = 443\nprotocol = \"udp\"");
    assert_eq!(good(&format!("{SERVICE}{tls}{quic}")).services.len(), 3);
}

#[test]
fn a_clash_is_found_though_both_services_have_other_errors() {
    let one = SERVICE.replace("rs1", "a b");
    let errors = super::errors(&format!("{one}{}", other("api").replace("checks = []", "")));
    assert!(errors.iter().any(|e| e.contains("tcp 192.0.2.10:80 for the second time")), "{errors:#?}");
    assert_eq!(errors.len(), 3, "{errors:#?}");
}

#[test]
fn a_service_twice_in_one_file_names_both_places() {
    assert_eq!(
        error(&format!("{SERVICE}[service.web]\n")),
        "6:10: service.web: given for the second time; the first is at lvsd.toml:1:10"
    );
}

#[test]
fn a_setting_twice_names_both_places() {
    assert_eq!(
        error(&format!("{SERVICE}port = 81\n")),
        "6:1: service.web.port: given for the second time; the first is at lvsd.toml:3:1"
    );
    assert_eq!(
        error(&SERVICE.replace("{host = \"rs1\"}", "{host = \"rs0\"}, {host = \"rs1\", \"host\" = \"rs2\"}")),
        "5:44: service.web.backends[1].host: given for the second time; the first is at lvsd.toml:5:30"
    );
    assert_eq!(
        error("[lvsd]\ndevice = \"a\"\n[service]\n[lvsd]\n"),
        "4:2: lvsd: given for the second time; the first is at lvsd.toml:1:2"
    );
}
