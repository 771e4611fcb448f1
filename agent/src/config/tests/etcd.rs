//! `[source.NAME]` with `type = "etcd"`.

use super::{errors, good};
use crate::config::{EtcdSettings, EtcdVersion, Login, SourceSettings, TlsFiles};
use std::time::Duration;

const TEXT: &str = r#"
[source.conftool]
type = "etcd"
endpoints = ["https://etcd1.example.org:2379", "https://[2001:db8::2]:2379/"]
"#;

fn settings(text: &str) -> EtcdSettings {
    match good(text).sources.remove("conftool") {
        Some(SourceSettings::Etcd(settings)) => settings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn conftools_etcd_needs_its_servers_only() {
    let settings = settings(TEXT);
    let endpoints: Vec<_> = settings.endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(endpoints, ["https://etcd1.example.org:2379", "https://[2001:db8::2]:2379"]);
    assert_eq!(settings.version, EtcdVersion::V3);
    assert_eq!(&*settings.prefix, "/conftool/v1/pools");
    assert_eq!(settings.timeout, Duration::from_secs(5));
    assert_eq!((settings.tls, settings.server_name, settings.login), (TlsFiles::default(), None, None));
}

#[test]
fn everything_can_be_said() {
    let settings = settings(
        r#"
[source.conftool]
type = "etcd"
version = 2
endpoints = ["https://etcd1.example.org:2379"]
prefix = "/pools"
ca_file = "ca.pem"
certificate_file = "/etc/lvsd/cert.pem"
key_file = "/etc/lvsd/key.pem"
server_name = "etcd.example.org"
username = "lvsd"
password_file = "r1.password"
timeout = "2s"
"#,
    );
    assert_eq!((settings.version, &*settings.prefix), (EtcdVersion::V2, "/pools"));
    let identity = Some(("/etc/lvsd/cert.pem".into(), "/etc/lvsd/key.pem".into()));
    assert_eq!(settings.tls, TlsFiles { ca_file: Some("ca.pem".into()), identity });
    assert_eq!(settings.server_name.as_deref(), Some("etcd.example.org"));
    let login = Login { username: "lvsd".into(), password_file: "r1.password".into() };
    assert_eq!(settings.login, Some(login));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let endpoints = "endpoints = [\"https://etcd1.example.org:2379\", \"https://[2001:db8::2]:2379/\"]";
    let plain = "endpoints = [\"http://etcd1.example.org:2379\"]";
    let an_endpoint = "expected an etcd server: http:// or https://, a host and a port, such as \
                       \"https://etcd1.example.org:2379\", found";
    for (new, expected) in [
        ("version = 4", "4:11: source.conftool.version: expected 2 or 3, the version of etcd's API, found 4"),
        (
            "endpoints = []",
            "4:13: source.conftool.endpoints: expected an array of one or more etcd servers, such as \
             [\"https://etcd1.example.org:2379\"], found an empty array",
        ),
        (
            "endpoints = [\"etcd1:2379\"]",
            &format!("4:14: source.conftool.endpoints[0]: {an_endpoint} \"etcd1:2379\""),
        ),
        (
            "endpoints = [\"https://u:p@etcd1:2379\"]",
            &format!("4:14: source.conftool.endpoints[0]: {an_endpoint} \"https://u:p@etcd1:2379\""),
        ),
        (
            "endpoints = [\"https://etcd1/v2\"]",
            &format!("4:14: source.conftool.endpoints[0]: {an_endpoint} \"https://etcd1/v2\""),
        ),
        (
            "endpoints = [\"https://a:1\", \"http://b:1\"]",
            "4:13: source.conftool.endpoints: some of them are http and some https: a cluster is secured or it is not",
        ),
        (
            "prefix = \"pools/\"",
            "4:10: source.conftool.prefix: expected the directory of the pools, such as \"/conftool/v1/pools\", \
             found \"pools/\"",
        ),
        (
            &format!("ca_file = \"ca.pem\"\n{plain}"),
            "4:1: source.conftool.ca_file: only https is secured, and the endpoints are http",
        ),
        (
            "username = \"lvsd\"",
            "4:1: source.conftool.username: a user is of no use without its password_file",
        ),
        (
            "password_file = \"r1.password\"",
            "4:1: source.conftool.password_file: a password is of no use without its username",
        ),
        (
            "username = \"lvsd\"\npassword_file = \"/etc/lvsd/empty.password\"",
            "5:17: source.conftool.password_file: /etc/lvsd/empty.password: expected one line with the password",
        ),
        (
            "key_file = \"key.pem\"",
            "4:1: source.conftool.key_file: a key is of no use without its certificate_file",
        ),
        ("prefx = \"/p\"", "4:1: source.conftool.prefx: unknown key; did you mean `prefix`?"),
    ] {
        let text = match new.contains("endpoints =") {
            true => TEXT.replace(endpoints, new),
            false => TEXT.replace(endpoints, &format!("{new}\n{endpoints}")),
        };
        assert_eq!(errors(&text), [expected], "{new}");
    }
}

#[test]
fn every_mistake_is_said_at_once() {
    let text = "[source.conftool]\ntype = \"etcd\"\nversion = 1\nprefix = \"\"\ntimeout = \"1h\"\nserver_name = \"a b\"\n";
    let lines: Vec<_> =
        errors(text).iter().filter_map(|error| Some(error.split(':').next()?.to_owned())).collect();
    assert_eq!(lines, ["1", "3", "4", "5", "6"]);
}
