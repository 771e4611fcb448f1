//! `[service.NAME.canary]`, `path = "ipvs"` and their marks.

use super::{SERVICE, error, errors, good};
use crate::config::CheckPath;

/// `SERVICE` with these settings, which begin at line 6.
fn with(settings: &str) -> String {
    format!("{SERVICE}{settings}\n")
}

/// `SERVICE` with this check, at line 4.
fn checked(check: &str) -> String {
    SERVICE.replace("checks = []", &format!("checks = [{{{check}}}]"))
}

#[test]
fn a_canary_is_a_check_of_the_services_own_port() {
    let config = good(&with("canary = { type = \"tcp\", interval = \"5s\" }"));
    let canary = config.services["web"].canary.as_ref().expect("a canary");
    assert_eq!((&canary.kind, canary.timing.interval().as_secs()), (&health::Kind::Tcp, 5));
    assert!(good(SERVICE).services["web"].canary.is_none());
    assert_eq!(good("").first_mark, 0x6c77_0000);
}

#[test]
fn a_canary_that_goes_elsewhere_or_asks_what_no_client_asks_is_refused() {
    for (setting, reason) in [
        ("type = \"tcp\", port = 81", "a canary asks the service's own port, and goes through IPVS"),
        ("type = \"tcp\", path = \"vip\"", "a canary asks the service's own port, and goes through IPVS"),
        ("type = \"tcp\", source = \"10.0.0.1\"", "a canary asks the service's own port"),
        ("type = \"icmp\"", "a canary asks as clients do: tcp, http, https, grpc, openapi, dns or udp"),
        ("type = \"idle\"", "a canary asks as clients do"),
        ("type = \"ftp\"", "expected \"tcp\", \"idle\""),
        ("url = \"/\"", "canary.type: missing"),
    ] {
        let said = errors(&with(&format!("canary = {{ {setting} }}"))).join("\n");
        assert!(said.starts_with("6:") && said.contains(reason), "{setting}: {said}");
    }
}

#[test]
fn a_service_by_firewall_mark_has_no_port_for_a_canary() {
    let text = with("canary = { type = \"tcp\" }").replace("port = 80", "fwmark = 7");
    let said = error(&text);
    assert!(said.starts_with("6:1: service.web.canary: the firewall says which packets"), "{said}");
}

#[test]
fn a_check_through_ipvs_needs_no_probes_and_goes_wherever_ipvs_does() {
    let config = good(&checked("type = \"tcp\", path = \"ipvs\""));
    assert_eq!(config.services["web"].checks[0].path, CheckPath::Ipvs);
    for forwarding in ["nat", "tunnel"] {
        good(&format!("{}forwarding = \"{forwarding}\"\n", checked("type = \"tcp\", path = \"ipvs\"")));
    }
    good(&checked("type = \"tcp\", path = \"ipvs\", port = 81").replace("port = 80", "fwmark = 7"));
}

#[test]
fn a_check_through_ipvs_is_refused_where_it_would_ask_somebody_else() {
    let said = error(&checked("type = \"icmp\", path = \"ipvs\""));
    assert!(said.contains("IPVS takes no echo for a client's"), "{said}");
    let said = error(&checked("type = \"tcp\", path = \"ipvs\", source = \"10.0.0.1\""));
    assert!(said.contains("the probes have the address that leads to the server"), "{said}");
    let said = error(&checked("type = \"tcp\", path = \"ipvs\"").replace("port = 80", "fwmark = 7"));
    assert!(said.contains("with a fwmark there is no port to ask"), "{said}");
}

#[test]
fn marks_of_services_are_none_of_those_that_checks_bear() {
    let marked = "[service.shop]\nvips = [\"192.0.2.20\"]\nfwmark = 1000\nchecks = []\nbackends = [{host = \"rs1\"}]\n";
    let asked = format!("{marked}{}", with("canary = { type = \"tcp\" }"));
    good(&asked);
    let range = "[ipvs]\nfirst_mark = 1000\n";
    good(&format!("{marked}{range}"));
    let said = error(&format!("{asked}{range}"));
    assert_eq!(
        said,
        "1:10: service.shop.fwmark: 1000 is among the marks 1000-66535 by which checks go through IPVS: choose another, \
         or another ipvs.first_mark"
    );
    assert!(error("[ipvs]\nfirst_mark = 0\n").contains("expected a mark 1-4294901759"));
    assert!(error("[ipvs]\nfirst_mark = 4294901760\n").contains("expected a mark 1-4294901759"));
}
