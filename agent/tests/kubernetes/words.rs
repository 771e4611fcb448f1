//! What is said when the API cannot be asked: what, where, and what to do, in one line.

use crate::cluster::Cluster;
use crate::objects::nodes;
use crate::watched::{self, Watched, settings};
use lvsd::config::KubernetesSettings;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A kubeconfig that names this server, with what else its cluster and its user have.
fn kubeconfig(folder: &Path, server: &str, cluster: &Value, user: &Value) -> PathBuf {
    let mut named = cluster.clone();
    named["server"] = json!(server);
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": named}], "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]
    });
    let file = folder.join("own.kubeconfig");
    std::fs::write(&file, text.to_string()).unwrap();
    file
}

/// What is said of a source with this kubeconfig.
async fn said(kubeconfig: PathBuf) -> String {
    let settings = KubernetesSettings { connect_timeout: Duration::from_secs(1), ..settings(kubeconfig) };
    let mut watched = Watched::new(settings, &[watched::nodes("")]);
    watched.until("it cannot be read", |w| matches!(w.standing, Some(Err(_)))).await;
    let said = watched.standing.unwrap().unwrap_err();
    assert!(!said.contains('\n'), "{said:?}");
    said
}

#[tokio::test]
async fn nobody_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = format!("https://127.0.0.1:{}", Cluster::free_port());
    let file = kubeconfig(folder.path(), &server, &json!({}), &json!({"token": "t"}));
    assert_eq!(
        said(file.clone()).await,
        format!(
            "list nodes: connection refused by {server} (of {}): start the API server, or mend the URL",
            file.display()
        )
    );
}

#[tokio::test]
async fn somebody_is_there_and_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("https://{}", silent.local_addr().unwrap());
    let file = kubeconfig(folder.path(), &server, &json!({}), &json!({"token": "t"}));
    assert_eq!(
        said(file.clone()).await,
        format!(
            "list nodes: no connection to {server} (of {}) within 1 s: mend the URL, or what drops packets on the way",
            file.display()
        )
    );
}

#[tokio::test]
async fn its_name_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let server = "https://api.invalid:6443";
    let file = kubeconfig(folder.path(), server, &json!({}), &json!({"token": "t"}));
    let said = said(file.clone()).await;
    let begin = format!("list nodes: the name in {server} (of {}) cannot be looked up: ", file.display());
    assert!(said.starts_with(&begin), "{said}");
    assert!(said.ends_with(": mend the name, or the resolver of this host"), "{said}");
}

#[tokio::test]
async fn it_does_not_speak_tls() {
    let fake = crate::fake::Fake::start().await;
    let folder = tempfile::tempdir().unwrap();
    let server = fake.server().replace("http://", "https://");
    let file = kubeconfig(folder.path(), &server, &json!({}), &json!({"token": "t"}));
    let said = said(file.clone()).await;
    assert!(
        said.starts_with(&format!("list nodes: no TLS with {server} (of {}): ", file.display())),
        "{said}"
    );
    assert!(said.ends_with(": is it the API's own port, with https?"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_is_not_trusted_or_does_not_know_or_allow_us() {
    let cluster = Cluster::start();
    nodes(&cluster);
    let folder = cluster.folder();
    let (server, named_by) = (cluster.server(), folder.join("own.kubeconfig"));
    let named_by = named_by.display();
    let ask = async |cluster: Value, user: Value| said(kubeconfig(folder, &server, &cluster, &user)).await;
    let (ca, wrong) = (folder.join("ca.crt"), folder.join("apiserver.crt"));
    // Nobody vouches for it, or somebody else.
    let token = folder.join("a-token");
    std::fs::write(&token, "nonsense").unwrap();
    assert_eq!(
        ask(json!({"certificate-authority": wrong}), json!({"tokenFile": token})).await,
        format!(
            "list nodes: the certificate of {server} is of no authority in {}: put the cluster's there",
            wrong.display()
        )
    );
    assert_eq!(
        ask(json!({}), json!({"tokenFile": token})).await,
        format!(
            "list nodes: the certificate of {server} is of no authority that is trusted: name the cluster's as certificate-authority in {named_by}"
        )
    );
    let other =
        ask(json!({"certificate-authority": ca, "tls-server-name": "api.example.org"}), json!({})).await;
    assert!(other.contains(&format!("the certificate of {server} is not for this name: ")), "{other}");
    // It does not know us.
    let trusted = json!({"certificate-authority": ca});
    assert_eq!(
        ask(trusted.clone(), json!({"tokenFile": token})).await,
        format!(
            "list nodes: 401 Unauthorized: {server} does not accept the token in {} (any more): put a new one there, as by kubectl create token",
            token.display()
        )
    );
    let (certificate, key) = (folder.join("stranger.crt"), folder.join("stranger.key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=stranger",
        ])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(
        ask(trusted.clone(), json!({"client-certificate": certificate, "client-key": key})).await,
        format!(
            "list nodes: 401 Unauthorized: {server} does not accept the certificate in {} (any more): put one there of the cluster's authority for clients",
            certificate.display()
        )
    );
    // Nobody may read nodes without a name.
    assert_eq!(
        ask(trusted, json!({})).await,
        format!(
            "list nodes: 403 nodes is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in API group \"\" at the cluster scope \
             (at {server}): apply kubernetes-rbac.yaml for this account"
        )
    );
}
