//! `lvsctl --host`: another balancer over TLS, and who may do what there.

use super::daemon::{Daemon, err, json, out};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::path::Path;
use std::process::Output;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// An authority.
struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut parts = CertificateParams::new(Vec::new()).unwrap();
        parts.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parts.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self { certificate: parts.self_signed(&key).unwrap(), key }
    }

    /// Writes ca.pem, cert.pem and key.pem of somebody by this name.
    fn certify(&self, directory: &Path, name: &str, purpose: ExtendedKeyUsagePurpose) {
        let alternative = if name.contains(['.', ':']) { vec![name.to_owned()] } else { Vec::new() };
        let mut parts = CertificateParams::new(alternative).unwrap();
        parts.distinguished_name.push(DnType::CommonName, name);
        parts.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate = parts.signed_by(&key, &self.certificate, &self.key).unwrap();
        std::fs::create_dir_all(directory).unwrap();
        let write = |file: &str, text: String| std::fs::write(directory.join(file), text).unwrap();
        write("ca.pem", self.certificate.pem());
        write("cert.pem", certificate.pem());
        write("key.pem", key.serialize_pem());
    }

    fn server(&self, directory: &Path) {
        self.certify(directory, "127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth);
    }

    fn person(&self, directory: &Path, name: &str) {
        self.certify(&directory.join(name), name, ExtendedKeyUsagePurpose::ClientAuth);
    }
}

const SERVICE: &str = "\n[service.web]\nvips = [\"192.0.2.10\"]\nport = 80\nchecks = []\nbackends = [{ host = \"rs1\", addresses = \
                       [\"10.64.0.11\"] }, { host = \"rs2\", addresses = [\"10.64.0.12\"] }]\n";

fn configuration(files: &Path, names: &str) -> String {
    let file = |name: &str| files.join(name).display().to_string();
    format!(
        "[remote]\nlisten = \"127.0.0.1:7391\"\ncertificate_file = {:?}\nkey_file = {:?}\nca_file = {:?}\n{names}\n{SERVICE}",
        file("cert.pem"),
        file("key.pem"),
        file("ca.pem")
    )
}

/// A balancer whose files are in a directory beside those of persons, and its authority.
async fn balancer(names: &str) -> (Daemon, tempfile::TempDir, Authority) {
    let (files, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.server(files.path());
    let daemon = Daemon::start_with(&configuration(files.path(), names)).await;
    (daemon, files, authority)
}

async fn ask(daemon: &Daemon, files: &Path, who: &str, arguments: &[&str]) -> Output {
    let directory = files.join(who).display().to_string();
    let mut all = vec!["--host", daemon.remote.as_str(), "--certificates", &directory];
    all.extend(arguments);
    daemon.lvsctl_anywhere(&all).await
}

#[tokio::test]
async fn whoever_is_named_may_look_or_change_and_is_remembered_by_name() {
    let (daemon, files, authority) = balancer("read = [\"bob\"]\nwrite = [\"alice\"]").await;
    let files = files.path();
    ["alice", "bob", "eve"].iter().for_each(|name| authority.person(files, name));

    let seen = json(&ask(&daemon, files, "bob", &["status", "-o", "json"]).await);
    assert_eq!(seen["services"][0]["name"], "web");
    let refused = ask(&daemon, files, "bob", &["depool", "rs1"]).await;
    assert_eq!(refused.status.code(), Some(6));
    let said = "bob (at 127.0.0.1) may look but not change anything: no name of it is in remote.write";
    assert!(err(&refused).contains(said), "{}", err(&refused));

    out(&ask(&daemon, files, "alice", &["depool", "rs1", "--reason", "disk"]).await);
    let why = out(&daemon.lvsctl(&["why", "rs1"]).await);
    assert!(why.contains("alice (TLS)") && why.contains("disk"), "{why}");

    for arguments in [&["status"][..], &["why", "rs1"], &["pool", "rs1"], &["reload"]] {
        let refused = ask(&daemon, files, "eve", arguments).await;
        assert_eq!(refused.status.code(), Some(6), "{arguments:?}");
        assert!(err(&refused).contains("eve (at 127.0.0.1) may not look"), "{}", err(&refused));
    }
}

#[tokio::test]
async fn whoever_the_authority_knows_may_look_and_nobody_may_change_unless_it_is_said() {
    let (daemon, files, authority) = balancer("").await;
    authority.person(files.path(), "bob");
    out(&ask(&daemon, files.path(), "bob", &["status"]).await);
    assert_eq!(ask(&daemon, files.path(), "bob", &["depool", "rs1"]).await.status.code(), Some(6));
    // A reload counts for the next request.
    let file = daemon.directory.path().join("lvsd.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("[remote]", "[remote]\nwrite = [\"*\"]");
    std::fs::write(&file, text).unwrap();
    out(&daemon.lvsctl(&["reload"]).await);
    out(&ask(&daemon, files.path(), "bob", &["depool", "rs1"]).await);
}

#[tokio::test]
async fn without_a_certificate_of_the_authority_nobody_gets_in_on_either_side() {
    let (daemon, files, authority) = balancer("read = [\"*\"]\nwrite = [\"*\"]").await;
    let files = files.path();
    authority.person(files, "alice");
    // Somebody of that name whom another authority vouches for, who believes the balancer's.
    Authority::new().person(files, "stranger");
    std::fs::copy(files.join("ca.pem"), files.join("stranger/ca.pem")).unwrap();
    let refused = ask(&daemon, files, "stranger", &["status"]).await;
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(err(&refused).contains("received fatal alert"), "{}", err(&refused));
    assert!(out(&daemon.lvsctl(&["status"]).await).contains("rs1"), "the socket goes on");
    counted(&daemon, "refused", 1).await;

    // Somebody who pretends to be the balancer: alice does not believe it.
    Authority::new().server(files);
    let refused = ask(&daemon, files, "alice", &["status"]).await;
    assert_eq!(refused.status.code(), Some(3));
    assert!(err(&refused).contains("invalid peer certificate"), "{}", err(&refused));

    // A renewed certificate of the right authority counts without a reload.
    authority.server(files);
    out(&ask(&daemon, files, "alice", &["status"]).await);
}

/// Waits until /metrics has so many connections with this result.
async fn counted(daemon: &Daemon, result: &str, wanted: usize) {
    let line = format!("\nlvsd_remote_connections_total{{result=\"{result}\"}} {wanted}\n");
    let begin = std::time::Instant::now();
    while !daemon.get("/metrics").await.contains(&line) {
        assert!(begin.elapsed().as_secs() < 60, "no {line}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn more_connections_than_there_may_be_wait_for_a_place_and_none_is_lost() {
    let (daemon, files, authority) = balancer("").await;
    authority.person(files.path(), "bob");
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(&daemon.remote).await.unwrap());
    }
    // It has its turn when those before it have been given up.
    out(&ask(&daemon, files.path(), "bob", &["status"]).await);
    counted(&daemon, "refused", 300).await;
    counted(&daemon, "accepted", 1).await;
}

#[tokio::test]
async fn connections_that_say_nothing_hold_nobody_up() {
    let (daemon, files, authority) = balancer("").await;
    authority.person(files.path(), "bob");
    let mut silent = Vec::new();
    for _ in 0..32 {
        silent.push(TcpStream::connect(&daemon.remote).await.unwrap());
    }
    out(&ask(&daemon, files.path(), "bob", &["status"]).await);
    // They are closed in the end.
    assert_eq!(silent[0].read(&mut [0; 64]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn what_is_missing_on_the_way_there_is_said() {
    let (daemon, files, _) = balancer("").await;
    let missing = ask(&daemon, files.path(), "nobody", &["status"]).await;
    assert_eq!(missing.status.code(), Some(3));
    let said = err(&missing);
    assert!(said.contains("nobody/ca.pem") && said.contains("--certificates DIR"), "{said}");
    let doctor = ask(&daemon, files.path(), "nobody", &["doctor"]).await;
    assert_eq!(doctor.status.code(), Some(2));
    assert!(err(&doctor).contains("looks at the host that it runs on"), "{}", err(&doctor));
    let wrong = daemon.lvsctl_anywhere(&["--host", "lb2:0", "status"]).await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(err(&wrong).contains("expected a name or an address"), "{}", err(&wrong));
}
