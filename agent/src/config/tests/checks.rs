//! `[[service.NAME.checks]]` and `require`.

use super::{SERVICE, error, good};
use crate::config::{CheckPath, CheckTemplate, Require};
use health::{Kind, Pattern, Pick, Trust};
use std::time::Duration;

/// The service of [`SERVICE`] with this in place of its checks.
fn with(checks: &str) -> String {
    let mut lines: Vec<_> = SERVICE.lines().collect();
    lines[3] = checks;
    lines.join("\n") + PROBES
}

/// Where checks by VIP come from.
const PROBES: &str = "\n[[probes.segment]]\ninterface = \"eth0\"\naddresses = [\"10.64.0.201/24\"]\n";

/// What is wrong with a check of this type and these settings; its first one is at 4:20 and the length of the type.
fn wrong(kind: &str, text: &str) -> String {
    error(&with(&format!("checks = [{{type = \"{kind}\", {text}}}]")))
}

fn check(text: &str) -> CheckTemplate {
    let mut service = good(&with(&format!("checks = [{{{text}}}]"))).services.remove("web").expect("web");
    std::sync::Arc::make_mut(&mut service).checks.remove(0)
}

#[test]
fn a_check_has_a_type_and_only_the_keys_of_its_type() {
    let check = |text: &str| with(&format!("checks = [{{{text}}}]"));
    let unknown = error(&check("type = \"ping\""));
    assert!(unknown.starts_with("4:19: service.web.checks[0].type: expected \"tcp\""), "{unknown}");
    assert!(unknown.ends_with(", found \"ping\""), "{unknown}");
    let missing = error(&check("port = 80"));
    assert!(missing.starts_with("4:11: service.web.checks[0].type: missing: expected \"tcp\""), "{missing}");
    let other = error(&check("type = \"tcp\", url = \"/\""));
    assert!(other.starts_with("4:26: service.web.checks[0].url: unknown key; known here: `type`"), "{other}");
    assert_eq!(error(&with("checks = 1")).split(": expected").next(), Some("4:10: service.web.checks"));
}

#[test]
fn a_check_that_can_never_work_is_refused() {
    let wrong = |text: &str| wrong("http", text);
    let at = "4:33: service.web.checks[0].url: expected a path such as \"/healthz\"";
    assert!(wrong("url = \"healthz\"").starts_with(at), "{}", wrong("url = \"healthz\""));
    assert!(wrong("host = \"a b\"").starts_with("4:34: service.web.checks[0].host: expected a host name or"));
    assert_eq!(wrong("port = 0"), "4:34: service.web.checks[0].port: expected a port 1-65535, found 0");
    assert!(
        wrong("timeout = \"0s\"")
            .starts_with("4:37: service.web.checks[0].timeout: expected a duration from 1ms")
    );
    assert!(wrong("timeout = 1").ends_with("or \"1h\", found 1"));
    assert_eq!(wrong("fall = 0"), "4:34: service.web.checks[0].fall: expected a count 1-1000, found 0");
    assert_eq!(wrong("rise = 1001"), "4:34: service.web.checks[0].rise: expected a count 1-1000, found 1001");
    let status = "expected a status 100-599 or a range such as \"200-299\"";
    assert_eq!(wrong("expect = [99]"), format!("4:37: service.web.checks[0].expect[0]: {status}, found 99"));
    assert_eq!(
        wrong("expect = [200, \"399-300\"]"),
        format!("4:42: service.web.checks[0].expect[1]: {status}, found \"399-300\"")
    );
    assert!(
        wrong("expect = []")
            .starts_with("4:36: service.web.checks[0].expect: expected an array of one or more")
    );
}

#[test]
fn a_fast_interval_is_no_longer_than_the_interval_and_follows_it() {
    assert!(
        wrong("tcp", "interval = \"500ms\", fast_interval = \"1s\"")
            .starts_with("4:62: service.web.checks[0].fast_interval: expected a duration from 1ms to 500ms")
    );
    let timing = |text: &str| check(&format!("type = \"tcp\", {text}")).timing;
    assert_eq!(timing("interval = \"500ms\"").fast_interval(), Duration::from_millis(500));
    assert_eq!(timing("interval = \"10s\"").fast_interval(), Duration::from_secs(1));
    assert_eq!(timing("fast_interval = \"2s\"").fast_interval(), Duration::from_secs(2));
}

#[test]
fn the_way_of_a_check_is_direct_from_anywhere_unless_told_otherwise() {
    let path = |text: &str| check(&format!("type = \"tcp\", {text}")).path;
    assert_eq!(path("path = \"vip\""), CheckPath::Vip);
    assert_eq!(path("path = \"direct\""), CheckPath::Direct { sources: Vec::new() });
    let sources = |text: &[&str]| CheckPath::Direct {
        sources: text.iter().map(|address| address.parse().expect("an address")).collect(),
    };
    assert_eq!(path("source = \"10.0.0.1\""), sources(&["10.0.0.1"]));
    assert_eq!(path("source = [\"10.0.0.1\", \"fd00::1\"]"), sources(&["10.0.0.1", "fd00::1"]));
}

#[test]
fn a_way_that_is_none_or_has_a_source_too_many_is_refused() {
    let slip = wrong("http", "path = \"/healthz\"");
    assert!(slip.contains(
        "expected \"direct\", \"vip\" or \"ipvs\" (a request's path is its `url`), found \"/healthz\""
    ));
    assert!(wrong("tcp", "path = \"vip\", source = \"10.0.0.1\"").contains("an address of their own"));
    for source in ["[]", "\"rs1\"", "[\"10.0.0.1\", \"10.0.0.2\"]"] {
        let error = wrong("tcp", &format!("source = {source}"));
        assert!(error.contains(".source") && error.contains("expected an address of this host"), "{error}");
    }
}

#[test]
fn a_check_by_the_vips_way_is_refused_where_no_packet_goes_that_way() {
    let text = |more: &str| with(&format!("checks = [{{type = \"tcp\", path = \"vip\"}}]\n{more}"));
    good(&text("forwarding = \"tunnel\""));
    let off_link = error(&text("require_on_link = false"));
    assert!(
        off_link.starts_with("4:11: service.web.checks[0]: path = \"vip\" hands packets to"),
        "{off_link}"
    );
    assert!(error(&text("forwarding = \"nat\"")).contains("has none with forwarding = \"nat\""));
}

#[test]
fn how_many_checks_must_pass_is_all_any_or_a_number_that_can_be() {
    const CHECKS: &str = "checks = [{type = \"tcp\"}, {type = \"http\"}, {type = \"tcp\", port = 81}]";
    let text = |require: &str| with(&format!("{CHECKS}\nrequire = {require}"));
    let read = |require: &str| good(&text(require)).services["web"].require;
    assert_eq!([read("\"all\""), read("\"any\"")], [Require::All, Require::Any]);
    assert_eq!(read("3").of(3), 3);
    assert_eq!(good(&with(CHECKS)).services["web"].require, Require::All);
    for require in ["0", "\"some\"", "1.5", "[1]"] {
        let error = error(&text(require));
        assert!(error.starts_with("5:11: service.web.require: expected \"all\", \"any\", or how"), "{error}");
    }
    assert_eq!(error(&text("4")), "5:11: service.web.require: 4 must pass, but there are 3 checks");
}

#[test]
fn what_is_sent_and_expected_may_hold_any_byte() {
    let kind = check(r#"type = "tcp", send = "EHLO\\x00\r\n", expect = '\x2bOK\r\n', max_read = 100"#).kind;
    let Kind::TcpExchange(exchange) = kind else { panic!("{kind:?}") };
    let parts = exchange.parts();
    assert_eq!(parts.send, "EHLO\0\r\n".into());
    assert_eq!(parts.expect, Some(Pattern::Contains(b"+OK\r\n".to_vec())));
    assert_eq!(parts.max_read, 100);
    assert!(wrong("tcp", r"send = '\q'").contains("expected a text, with \\r"));
}

#[test]
fn a_regex_is_compiled_when_it_is_read() {
    assert!(matches!(check("type = \"tcp\", expect_regex = '^220 '").kind, Kind::TcpExchange(_)));
    let error = wrong("tcp", "expect_regex = '('");
    assert!(error.starts_with("4:41: service.web.checks[0].expect_regex: "), "{error}");
    assert!(wrong("tcp", "expect = 'a', expect_regex = 'a'").contains("exclude each other"));
}

#[test]
fn several_urls_are_asked_one_at_a_time_or_all_with_some_that_may_fail() {
    let pick = |text: &str| match check(&format!("type = \"http\", urls = [\"/a\", \"/b\"]{text}")).kind {
        Kind::Urls(urls) => urls.parts().pick,
        other => panic!("{other:?}"),
    };
    assert_eq!(pick(""), Pick::One);
    assert_eq!(pick(", check_all = true, max_failures = 1"), Pick::All { max_failures: 1 });
    for (text, expected) in [
        ("urls = []", "an array of 1 to 16 paths"),
        ("urls = [\"a\"]", "expected a path such as"),
        ("urls = [\"/a\"], url = \"/b\"", "exclude each other"),
        ("urls = [\"/a\"], max_failures = 0", "only with check_all = true"),
        ("urls = [\"/a\"], check_all = true, max_failures = 1", "expected fewer than the 1"),
        ("check_all = true", "there are no urls"),
    ] {
        let error = wrong("http", text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn the_files_of_a_secured_check_are_read_and_what_is_wrong_with_one_names_it() {
    let kind = check("type = \"https\", host = \"a.example.org\", ca = \"/etc/lvsd/cert.pem\"").kind;
    let Kind::Http(request) = kind else { panic!("{kind:?}") };
    let tls = request.parts().tls.as_ref().expect("https is secured").parts();
    assert!(matches!(tls.trust, Trust::Authorities(_)));
    let text = "client_certificate = \"/etc/lvsd/cert.pem\", client_key = ";
    for (text, expected) in [
        ("ca = \"/nowhere.pem\"".to_owned(), "/nowhere.pem: cannot be read: no such file"),
        ("ca = \"/etc/lvsd/garbage.pem\"".to_owned(), "/etc/lvsd/garbage.pem: certificates: "),
        ("ca = \"/etc/lvsd/key.pem\"".to_owned(), "expected a certificate in PEM"),
        ("ca = \"/etc/lvsd/cert.pem\", verify = false".to_owned(), "no certificate is held against a ca"),
        (format!("{text}\"/etc/lvsd/other-key.pem\""), "it is not the key of the client's certificate"),
        (format!("{text}\"/etc/lvsd/cert.pem\""), "expected a private key in PEM"),
        ("client_key = \"/etc/lvsd/key.pem\"".to_owned(), "without its client_certificate"),
        ("min_version = \"1.1\"".to_owned(), "expected \"1.2\" or \"1.3\", found \"1.1\""),
        ("server_name = \"a b\"".to_owned(), "the DNS name or IP address that the certificate is for"),
    ] {
        let error = wrong("https", &text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_a_configuration_says_of_secrets_is_not_shown() {
    let text = "type = \"https\", headers = { authorization = \"Bearer s3cret\" }, \
                client_certificate = \"/etc/lvsd/cert.pem\", client_key = \"/etc/lvsd/key.pem\"";
    let kind = check(text).kind;
    let shown = health::Check::new("10.0.0.1:443".parse().unwrap(), kind.clone(), health::Timing::default());
    assert!(!shown.to_string().contains("s3cret"));
    let recorded = serde_json::to_string(&kind).unwrap();
    assert!(!recorded.contains("PRIVATE KEY"), "{recorded}");
    let sent = r#"send = "AUTH s3cret\r\n""#;
    let kinds =
        ["tcp", "udp", "agent"].map(|name| check(&format!("type = \"{name}\", port = 9, {sent}")).kind);
    for kind in kinds.iter().chain([&kind]) {
        let recorded = serde_json::to_string(kind).unwrap();
        let bytes = serde_json::to_string(b"s3cret").unwrap();
        let bytes = bytes.trim_matches(['[', ']']);
        for told in [&recorded, &format!("{kind:?}")] {
            assert!(!told.contains("s3cret") && !told.contains(bytes), "{told}");
        }
        assert_eq!(
            serde_json::from_str::<Kind>(&recorded).unwrap(),
            *kind,
            "it is still known by what is recorded"
        );
    }
}

#[test]
fn an_error_about_a_secret_does_not_repeat_it() {
    for error in [
        wrong("tcp", r#"send = 'AUTH s3cret\q'"#),
        wrong("http", "headers = { x-token = [\"s3cret\"] }"),
        wrong("http", "headers = { x-token = 5326537 }"),
        wrong("http", "headers = { x-token = \"s3cret\\u0007\" }"),
    ] {
        assert!(error.contains("service.web.checks[0].") && !error.contains("s3cret"), "{error}");
        assert!(!error.contains("5326537"), "{error}");
    }
    let shown = wrong("http", "headers = { x-token = 7 }");
    assert!(
        shown.ends_with("expected a table of names and texts, found something else, which is not shown"),
        "{shown}"
    );
}

#[test]
fn an_agent_is_asked_on_a_port_of_its_own() {
    let missing = wrong("agent", "fall = 1");
    assert!(missing.contains("service.web.checks[0].port: missing: expected a port 1-65535"), "{missing}");
    assert!(matches!(check("type = \"agent\", port = 9999").kind, Kind::Agent(_)));
    assert!(wrong("agent", "port = 9, unanswered = \"up\"").contains("expected \"keep\" or \"fail\""));
}

#[test]
fn a_question_to_a_name_server_is_one_that_can_be_answered() {
    assert!(matches!(check("type = \"dns\", name = \"example.org\"").kind, Kind::Dns(_)));
    for (text, expected) in [
        ("record_type = \"A\"", "name: missing: expected a domain name"),
        ("name = \"a..b\"", "expected a domain name"),
        ("name = \"a\", record_type = \"AXFR\"", "expected a type of records"),
        ("name = \"a\", rcodes = []", "expected an array of one or more codes"),
        ("name = \"a\", records = [\"nonsense\"]", "expected the data of a record A"),
        ("name = \"a\", transport = \"tls\"", "expected \"udp\" or \"tcp\""),
    ] {
        let error = wrong("dns", text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn silence_is_no_success_where_an_answer_is_expected() {
    assert!(matches!(check("type = \"udp\", send = 'x', hold = \"0s\"").kind, Kind::Udp(_)));
    assert!(wrong("udp", "expect = \"x\", wait = \"1s\"").contains("silence is no success"));
}

#[test]
fn what_asks_no_port_or_makes_its_own_way_is_given_none() {
    assert_eq!(check("type = \"icmp\", path = \"vip\"").kind, Kind::Icmp);
    assert!(wrong("icmp", "port = 7").contains("what asks a host as a whole has no port"));
    let command = "command = \"/bin/true\"";
    assert!(matches!(check(&format!("type = \"command\", {command}")).kind, Kind::Command(_)));
    assert!(wrong("command", &format!("{command}, path = \"vip\"")).contains("a program makes its own way"));
    for (text, expected) in [
        ("command = \"true\"", "expected the absolute path of a program; no shell reads it, found \"true\""),
        ("command = \"/bin/true\", arguments = \"-v\"", "expected an array of texts"),
        ("command = \"/bin/true\", uid = 0", "a user or group without privileges"),
    ] {
        let error = wrong("command", text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn settings_of_tls_without_tls_are_refused() {
    assert!(wrong("grpc", "ca = \"/etc/lvsd/cert.pem\"").contains("only with tls = true"));
    assert!(matches!(check("type = \"grpc\"").kind, Kind::Grpc(_)));
}
