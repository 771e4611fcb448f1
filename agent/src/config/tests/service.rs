//! `[service.NAME]`.

use super::{SERVICE, error, errors, good};
use crate::config::{Admin, Pool, Service};

/// The service of [`SERVICE`] with more settings from line 6.
fn with(more: &str) -> String {
    format!("{SERVICE}{more}")
}

/// The service of [`SERVICE`] with one of its lines replaced.
fn instead(line: usize, text: &str) -> String {
    let mut lines: Vec<_> = SERVICE.lines().collect();
    lines[line - 1] = text;
    lines.join("\n")
}

fn web(text: &str) -> Service {
    Service::clone(&good(text).services["web"])
}

#[test]
fn what_is_left_out_has_its_default() {
    let web = web(SERVICE);
    assert_eq!(web.protocol, ipvs::Protocol::Tcp);
    assert_eq!(web.scheduler.to_string(), "scheduler wrr");
    assert_eq!(web.depool_threshold.permille(), 500);
    assert_eq!(web.origin.to_string(), "lvsd.toml:1:10");
    let Pool::Inline(backends) = web.pool else { panic!("the backends are inline") };
    assert_eq!((backends[0].weight.get(), backends[0].pooled), (1, Admin::Pooled));
}

#[test]
fn a_port_is_1_to_65535() {
    for port in ["0", "70000", "65536", "-1", "80.0", "\"80\"", "true", "[80]"] {
        let found = if port == "[80]" { "an array" } else { port };
        assert_eq!(
            error(&instead(3, &format!("port = {port}"))),
            format!("3:8: service.web.port: expected a port 1-65535, found {found}")
        );
    }
    assert_eq!(web(&instead(3, "port = 0xffff")).port, 65535);
}

#[test]
fn a_service_needs_vips_a_port_a_pool_and_checks() {
    assert_eq!(
        errors("[service.web]\n"),
        [
            "1:10: service.web.port: missing: expected a port 1-65535",
            "1:10: service.web.vips: missing: expected an array of one or more addresses, such as \
             [\"192.0.2.10\", \"2001:db8::10\"]",
            "1:10: service.web: missing: expected pool, pool_file, or one or more backends as [[service.web.backends]]",
            "1:10: service.web.checks: missing: expected one or more checks as [[service.web.checks]], or \
             `checks = []` to take every backend for up",
        ]
    );
    assert!(error(&instead(2, "vips = []")).contains("service.web.vips: expected an array of one or more"));
    assert!(error(&instead(5, "backends = []")).contains("expected one or more backends"));
}

#[test]
fn a_vip_is_an_address_that_clients_can_reach() {
    for (vip, reason) in [
        ("224.0.0.1", " (a multicast address is no host's)"),
        ("ff02::1", " (a multicast address is no host's)"),
        ("0.0.0.0", " (the unspecified address is no host's)"),
        ("::", " (the unspecified address is no host's)"),
        ("127.0.0.1", " (a loopback address never leaves its host)"),
        ("::1", " (a loopback address never leaves its host)"),
        ("::ffff:192.0.2.1", " (an IPv4-mapped address is written as 192.0.2.1)"),
        ("192.0.2.300", ""),
        ("192.0.2.1/32", ""),
        ("www.example.org", ""),
    ] {
        assert_eq!(
            error(&instead(2, &format!("vips = [\"{vip}\"]"))),
            format!(
                "2:9: service.web.vips[0]: expected an IPv4 or IPv6 address that clients can reach, \
                 found \"{vip}\"{reason}"
            )
        );
    }
}

#[test]
fn a_vip_twice_in_one_service_is_refused_with_both_places() {
    assert_eq!(
        error(&instead(2, "vips = [\"2001:db8::1\", \"2001:DB8:0::1\"]")),
        "2:24: service.web.vips[1]: VIP 2001:db8::1 for the second time; the first is at lvsd.toml:2:9"
    );
}

#[test]
fn a_service_name_fits_labels_and_command_lines() {
    let named = |name: &str| SERVICE.replace("web", name);
    good(&named("w"));
    good(&named("\"api.v2-eu_1\""));
    good(&named(&"a".repeat(64)));
    for name in ["Web", "-web", "_web", "web site", "wéb"] {
        let error = error(&named(&format!("\"{name}\"")));
        assert!(error.starts_with(&format!("1:10: service.{name}: expected a name of 1 to 64")), "{error}");
        assert!(error.ends_with(&format!("found {name:?}")), "{error}");
    }
    assert!(error(&named(&"a".repeat(65))).contains("expected a name of 1 to 64"));
    assert!(error(&named("\"\"")).contains("expected a name of 1 to 64"));
}

#[test]
fn a_scheduler_is_one_of_the_kernels() {
    assert_eq!(
        error(&with("scheduler = \"maglev\"")),
        "6:13: service.web.scheduler: expected one of rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, fo, ovf, mh, \
         found \"maglev\""
    );
}

#[test]
fn hashing_schedulers_have_both_flags_unless_told_otherwise() {
    let shown = |more: &str| web(&with(more)).scheduler.to_string();
    assert_eq!(shown("scheduler = \"mh\""), "scheduler mh (fallback,port)");
    assert_eq!(shown("scheduler = \"sh\"\nscheduler_flags = [\"port\"]"), "scheduler sh (port)");
    assert_eq!(shown("scheduler = \"mh\"\nscheduler_flags = []"), "scheduler mh");
    assert_eq!(shown("scheduler_flags = []"), "scheduler wrr");
}

#[test]
fn flags_on_a_scheduler_that_takes_none_are_refused() {
    assert_eq!(
        error(&with("scheduler = \"wlc\"\nscheduler_flags = [\"port\"]")),
        "7:19: service.web.scheduler_flags: scheduler wlc takes no flags: only sh and mh do"
    );
    assert_eq!(
        error(&with("scheduler = \"mh\"\nscheduler_flags = [\"prot\"]")),
        "7:20: service.web.scheduler_flags[0]: expected \"fallback\" or \"port\", found \"prot\""
    );
}

#[test]
fn the_weights_under_sh_must_fit_its_buckets() {
    let weights = |one: u32, other: u32| {
        let backends =
            format!("backends = [{{host = \"a\", weight = {one}}}, {{host = \"b\", weight = {other}}}]");
        format!("{}\nscheduler = \"sh\"\n", instead(5, &backends))
    };
    good(&weights(25_500, 100));
    good(&weights(0, 0));
    assert_eq!(
        error(&weights(25_600, 100)),
        "5:12: service.web.backends: the weights sum up to 257 after division by their greatest common divisor 100, \
         but sh has 256 buckets to share out: use smaller weights or scheduler mh"
    );
}

#[test]
fn a_threshold_is_a_share() {
    for threshold in ["1.5", "-0.1", "nan", "inf", "2", "-1", "\"0.5\"", "\"50%\"", "1e400"] {
        assert_eq!(
            error(&with(&format!("depool_threshold = {threshold}"))),
            format!(
                "6:20: service.web.depool_threshold: expected a share of the backends from 0 to 1, such as 0.5, \
                 found {threshold}"
            )
        );
    }
    for (threshold, permille) in [("0", 0), ("1", 1000), ("0.0", 0), ("1.0", 1000), ("0.6666", 667)] {
        assert_eq!(
            web(&with(&format!("depool_threshold = {threshold}"))).depool_threshold.permille(),
            permille
        );
    }
}

#[test]
fn a_weight_is_0_to_65535() {
    for weight in ["-1", "70000", "1.5", "\"10\""] {
        assert_eq!(
            error(&instead(5, &format!("backends = [{{host = \"rs1\", weight = {weight}}}]"))),
            format!("5:37: service.web.backends[0].weight: expected a weight 0-65535, found {weight}")
        );
    }
}

#[test]
fn pooled_is_a_boolean_or_a_word() {
    assert_eq!(
        error(&instead(5, "backends = [{host = \"rs1\", pooled = \"maybe\"}]")),
        "5:37: service.web.backends[0].pooled: expected true, false, \"yes\", \"no\" or \"inactive\", found \"maybe\""
    );
}

#[test]
fn a_host_twice_is_refused_with_both_places() {
    assert_eq!(
        error(&instead(5, "backends = [{host = \"rs1\"}, {host = \"RS1\"}]")),
        "5:37: service.web.backends[1].host: host rs1 for the second time; the first is at lvsd.toml:5:21"
    );
    assert_eq!(
        error(&instead(5, "backends = [{host = \"fd00::1\"}, {host = \"fd00:0::1\"}]")),
        "5:41: service.web.backends[1].host: address fd00::1 for the second time; the first is at lvsd.toml:5:21"
    );
}

#[test]
fn an_address_twice_in_one_service_is_refused_with_both_places() {
    let backends =
        "backends = [{host = \"a\", addresses = [\"10.0.0.1\"]}, {host = \"b\", addresses = [\"10.0.0.1\"]}]";
    assert_eq!(
        error(&instead(5, backends)),
        "5:79: service.web.backends[1].addresses[0]: address 10.0.0.1 for the second time; \
         the first is at lvsd.toml:5:39"
    );
    assert_eq!(
        error(&instead(5, "backends = [{host = \"10.0.0.1\"}, {host = \"b\", addresses = [\"10.0.0.1\"]}]")),
        "5:60: service.web.backends[1].addresses[0]: address 10.0.0.1 for the second time; \
         the first is at lvsd.toml:5:21"
    );
}

#[test]
fn what_is_no_host_is_refused() {
    for (host, reason) in
        [("10.0.0", ""), ("a b", ""), ("", ""), ("::", " (the unspecified address is no host's)")]
    {
        assert_eq!(
            error(&instead(5, &format!("backends = [{{host = \"{host}\"}}]"))),
            format!(
                "5:21: service.web.backends[0].host: expected a host name or an IP address, found \"{host}\"{reason}"
            )
        );
    }
}

#[test]
fn addresses_belong_to_a_backend_and_are_given_once() {
    let table = |text: &str| with(&format!("[service.web.addresses]\n{text}"));
    assert_eq!(
        error(&table("rs2 = [\"10.0.0.2\"]")),
        "7:1: service.web.addresses.rs2: no backend of the service is called rs2; did you mean rs1?"
    );
    assert_eq!(
        error(&table("rs1 = []")),
        "7:7: service.web.addresses.rs1: expected an array of one or more addresses of the host, found an empty array"
    );
    let twice = instead(
        5,
        "backends = [{host = \"rs1\", addresses = [\"10.0.0.1\"]}]\naddresses = {RS1 = [\"10.0.0.2\"]}",
    );
    assert_eq!(
        error(&twice),
        "5:28: service.web.backends[0].addresses: addresses of rs1 for the second time; \
         the first is at lvsd.toml:6:14"
    );
    assert_eq!(
        error(&instead(5, "backends = [{host = \"10.0.0.1\", addresses = [\"10.0.0.2\"]}]")),
        "5:33: service.web.backends[0].addresses: the host is an address already: give it a name, or no addresses"
    );
}

#[test]
fn a_pool_is_inline_or_a_file_and_not_both() {
    assert_eq!(
        error(&with("pool_file = \"web.json\"")),
        "6:1: service.web.pool_file: pool_file and backends exclude each other; the other is at lvsd.toml:5:12"
    );
    assert_eq!(
        error(&instead(5, "pool_file = \"\"")),
        "5:13: service.web.pool_file: expected the path of a JSON file, found \"\""
    );
}

#[test]
fn settings_that_the_kernel_would_not_heed_are_refused() {
    for (more, expected) in [
        ("backend_port = 81", "only `forwarding = \"nat\"` gives packets another port"),
        (
            "forwarding = \"tunnel\"\nbackend_port = 81",
            "only `forwarding = \"nat\"` gives packets another port",
        ),
        ("[service.web.tunnel]\ntype = \"gre\"", "only `forwarding = \"tunnel\"` has a tunnel"),
        ("forwarding = \"tunnel\"\n[service.web.tunnel]\ntype = \"gue\"", "gue needs a port"),
        ("forwarding = \"tunnel\"\n[service.web.tunnel]\ntype = \"gre\"\nport = 7", "others have none"),
        (
            "forwarding = \"tunnel\"\n[service.web.tunnel]\ntype = \"ipip\"\nchecksum = \"full\"",
            "for gue and gre",
        ),
        ("one_packet_scheduling = true", "only UDP has packets that can be scheduled one by one"),
        ("persistence_timeout = \"60s\"\npersistence_engine = \"sip\"", "the kernel reads SIP over UDP only"),
        ("persistence_prefix_ipv6 = 64", "without persistence_timeout there is no persistence"),
        ("persistence_timeout = \"1500ms\"", "the kernel counts no less"),
        ("persistence_timeout = \"60s\"\npersistence_prefix_ipv4 = 33", "a prefix length 1-32"),
        ("fwmark = 7", "whatever their port and protocol"),
    ] {
        let text = error(&with(more));
        assert!(text.contains(expected), "{more}: {text}");
    }
    let limits = "backends = [{ host = \"rs1\", upper_threshold = 5, lower_threshold = 6 }]";
    assert!(error(&instead(5, limits)).ends_with("lower_threshold is above upper_threshold"));
}

#[test]
fn a_firewall_mark_is_one_services_and_its_checks_have_ports_of_their_own() {
    let marked = |name: &str, checks: &str| {
        format!(
            "[service.{name}]\nvips = [\"192.0.2.10\", \"192.0.2.11\"]\nfwmark = 7\n\
             backends = [{{ host = \"rs1\" }}]\nchecks = [{checks}]\n"
        )
    };
    good(&marked("one", "{ type = \"tcp\", port = 80 }"));
    let text = error(&marked("one", "{ type = \"tcp\" }"));
    assert!(text.contains("give each check its own"), "{text}");
    let twice = format!("{}{}", marked("one", ""), marked("other", ""));
    let text = error(&twice);
    assert!(text.contains("fwmark 7 v4 for the second time"), "{text}");
}
