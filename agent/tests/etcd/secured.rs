//! Who may read: certificates both ways, users and passwords.

use crate::balancer::Balancer;
use crate::changes::{ALL, configuration, fill};
use crate::server::{Plan, Server, etcdctl, http};
use crate::watched::{TEXT, Watched, key, settings, value};
use lvsd::config::{EtcdSettings, EtcdVersion, Login, TlsFiles};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// An authority, a server's certificate and a client's, as files: ca.pem, server.pem, server.key, client.pem,
/// client.key; and another authority, other.pem.
fn certificates(directory: &Path) {
    let (ca, ca_key) = authority("the authority");
    let (other, _) = authority("somebody else");
    fs::write(directory.join("ca.pem"), ca.pem()).unwrap();
    fs::write(directory.join("other.pem"), other.pem()).unwrap();
    for name in ["server", "client"] {
        let key = KeyPair::generate().unwrap();
        let mut parameters =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "etcd.example.org".to_owned()]).unwrap();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        let signed = parameters.signed_by(&key, &ca, &ca_key).unwrap();
        fs::write(directory.join(format!("{name}.pem")), signed.pem()).unwrap();
        fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

fn authority(name: &str) -> (Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    let certificate = parameters.self_signed(&key).unwrap();
    (certificate, key)
}

fn secured(version: EtcdVersion, port: u16, directory: &Path) -> EtcdSettings {
    let mut settings = settings(version, &[port]);
    settings.endpoints[0].is_secured = true;
    let identity = Some((directory.join("client.pem"), directory.join("client.key")));
    settings.tls = TlsFiles { ca_file: Some(directory.join("ca.pem")), identity };
    settings
}

#[tokio::test]
async fn certificates_are_verified_both_ways() {
    let directory = TempDir::new().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    certificates(directory.path());
    let server = Server::start(Plan::alone().secured(&[
        format!("--cert-file={}", file("server.pem")),
        format!("--key-file={}", file("server.key")),
        format!("--trusted-ca-file={}", file("ca.pem")),
        "--client-cert-auth".to_owned(),
    ]));
    let tls = ["--cacert", &file("ca.pem"), "--cert", &file("client.pem"), "--key", &file("client.key")];
    let put = [&tls[..], &["--endpoints", &server.plan.url(), "put", "--", &key("cp1"), &value(10, "yes")]];
    etcdctl(&put.concat(), directory.path());
    put_v2_secured(&server, directory.path());
    for version in [EtcdVersion::V2, EtcdVersion::V3] {
        let good = secured(version, server.plan.client, directory.path());
        let mut watched = Watched::new(good.clone(), &[TEXT]);
        watched.until_text("cp1*10").await;
        let named = EtcdSettings { server_name: Some("etcd.example.org".to_owned()), ..good.clone() };
        Watched::new(named, &[TEXT]).until_text("cp1*10").await;
        let other_name = EtcdSettings { server_name: Some("www.example.org".to_owned()), ..good.clone() };
        let with = |tls| EtcdSettings { tls, ..good.clone() };
        let other_authority =
            with(TlsFiles { ca_file: Some(directory.path().join("other.pem")), ..good.tls.clone() });
        let no_certificate = with(TlsFiles { identity: None, ..good.tls.clone() });
        for (settings, words) in [
            (other_authority, "UnknownIssuer"),
            (other_name, "not valid for name \"www.example.org\""),
            (no_certificate, "ertificate"),
        ] {
            let why = Watched::new(settings, &[TEXT]).until_stale().await;
            assert!(why.starts_with("https://127.0.0.1:") && why.contains(words), "{version:?}: {why}");
        }
    }
}

/// By curl, as nothing else here speaks HTTP with a client's certificate.
fn put_v2_secured(server: &Server, directory: &Path) {
    let output = std::process::Command::new("curl")
        .current_dir(directory)
        .args(["--silent", "--fail", "--cacert", "ca.pem", "--cert", "client.pem", "--key", "client.key"])
        .args(["-X", "PUT", "--data", &format!("value={}", value(10, "yes"))])
        .arg(format!("{}/v2/keys{}", server.plan.url(), key("cp1")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn with_login(version: EtcdVersion, port: u16, directory: &Path, password: &str) -> EtcdSettings {
    let password_file = directory.join(format!("{password}.password"));
    fs::write(&password_file, format!("{password}\n")).unwrap();
    let login = Some(Login { username: "lvsd".to_owned(), password_file });
    // etcd hashes passwords slowly on purpose, and a machine that is busy takes its time.
    EtcdSettings { login, timeout: Duration::from_secs(30), ..settings(version, &[port]) }
}

/// From now on there is the user lvsd, who may read pools, and root.
fn with_reader_v3(server: &Server) {
    for command in [
        "user add root:toor",
        "user grant-role root root",
        "role add reader",
        "role grant-permission reader --prefix=true read /conftool/v1/pools/eqiad/",
        "user add lvsd:secret",
        "user grant-role lvsd reader",
        "auth enable",
    ] {
        if command == "user grant-role root root" {
            server.etcdctl(&["role", "add", "root"]);
        }
        server.etcdctl(&command.split(' ').collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_user_reads_what_it_may_in_version_3() {
    let server = Server::start(Plan::alone());
    let directory = TempDir::new().unwrap();
    server.etcdctl(&["put", "--", &key("cp1"), &value(10, "yes")]);
    with_reader_v3(&server);
    let login = |password| with_login(EtcdVersion::V3, server.plan.client, directory.path(), password);
    let mut watched = Watched::new(login("secret"), &[TEXT]);
    watched.until_text("cp1*10").await;
    let as_root = ["--user", "root:toor", "put", "--", &key("cp1"), &value(11, "yes")];
    server.etcdctl(&as_root);
    watched.until_text("cp1*11").await;
    let why = Watched::new(login("wrong"), &[TEXT]).until_stale().await;
    assert!(why.contains("authentication failed"), "{why}");
    let nobody = settings(EtcdVersion::V3, &[server.plan.client]);
    let why = Watched::new(nobody, &[TEXT]).until_stale().await;
    assert!(why.contains("user name is empty"), "{why}");
    let why = Watched::new(login("secret"), &["codfw/cache/text"]).until_stale().await;
    assert!(why.contains("permission denied"), "{why}");
}

/// The same in version 2.
fn with_reader_v2(port: u16) {
    let put = |path: &str, json: &str| {
        let answer = http(port, "PUT", path, json).unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    };
    put("/v2/auth/users/root", r#"{"user":"root","password":"toor"}"#);
    let kv = r#"{"read":["/conftool/*"],"write":[]}"#;
    put("/v2/auth/roles/reader", &format!(r#"{{"role":"reader","permissions":{{"kv":{kv}}}}}"#));
    put("/v2/auth/users/lvsd", r#"{"user":"lvsd","password":"secret","roles":["reader"]}"#);
    put("/v2/auth/enable", "");
    // Guests may do everything until that is taken from them.
    change_role_v2(port, "guest", r#"{"role":"guest","revoke":{"kv":{"read":["/*"],"write":["/*"]}}}"#);
}

/// As root.
fn change_role_v2(port: u16, role: &str, change: &str) {
    let output = std::process::Command::new("curl")
        .args(["--silent", "--fail", "--user", "root:toor", "-X", "PUT", "--data", change])
        .arg(format!("http://127.0.0.1:{port}/v2/auth/roles/{role}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_user_reads_what_it_may_in_version_2() {
    let server = Server::start(Plan::alone());
    let directory = TempDir::new().unwrap();
    let port = server.plan.client;
    server.put_v2(&key("cp1"), &value(10, "yes"));
    with_reader_v2(port);
    let login = |password| with_login(EtcdVersion::V2, port, directory.path(), password);
    Watched::new(login("secret"), &[TEXT]).until_text("cp1*10").await;
    for settings in [login("wrong"), settings(EtcdVersion::V2, &[port])] {
        let why = Watched::new(settings, &[TEXT]).until_stale().await;
        assert!(why.contains("401 Unauthorized") && why.contains("Insufficient credentials"), "{why}");
    }
}

#[tokio::test]
async fn who_may_only_read_is_told_so_and_changes_once_it_may() {
    for version in [2, 3] {
        let server = Server::start(Plan::alone());
        let (port, directory) = (server.plan.client, TempDir::new().unwrap());
        fill(&server, version);
        match version {
            2 => with_reader_v2(port),
            _ => with_reader_v3(&server),
        }
        let password = directory.path().join("password");
        fs::write(&password, "secret\n").unwrap();
        let login = format!("type = \"etcd\"\nusername = \"lvsd\"\npassword_file = {password:?}");
        let text = configuration(version, &[port]).replace("type = \"etcd\"", &login);
        let balancer = Balancer::start(&text).await;
        balancer.until("text", ALL).await;
        let said = balancer.refused(&["depool", "cp1"]).await;
        let denied = if version == 2 { "Insufficient credentials" } else { "permission denied" };
        assert!(said.contains("cp1 in conftool:eqiad/cache/text: not changed: "), "{version}: {said}");
        assert!(said.contains(&key("cp1")) && said.contains(denied), "{version}: {said}");
        assert_eq!(balancer.backends("text").await, ALL);
        match version {
            2 => change_role_v2(
                port,
                "reader",
                r#"{"role":"reader","grant":{"kv":{"read":[],"write":["/conftool/*"]}}}"#,
            ),
            _ => {
                let grant = "--user root:toor role grant-permission reader --prefix=true readwrite /conftool/v1/pools/eqiad/";
                drop(server.etcdctl(&grant.split(' ').collect::<Vec<_>>()));
            }
        }
        balancer.done(&["depool", "cp1"]).await;
        balancer.until("text", "cp1 depooled, cp2 pooled, cp3 pooled, cp4 pooled").await;
    }
}
