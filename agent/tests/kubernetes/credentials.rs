//! By what lvsd is known to the cluster: a program that gives tokens, the account of the pod that it runs in, tokens that end.

use crate::cluster::Cluster;
use crate::objects::nodes;
use crate::permissions::{manifest, sign_in};
use crate::watched::{self, Watched, settings};
use lvsd::config::KubernetesSettings;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where a pod finds its account.
const POD: &str = "/run/secrets/kubernetes.io/serviceaccount";

/// The environment's name for the API server in a pod.
const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";

fn ready() -> Cluster {
    let cluster = Cluster::start();
    cluster.apply(&manifest());
    nodes(&cluster);
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gives_tokens_and_what_it_says_when_it_cannot_is_told() {
    let cluster = ready();
    let token = sign_in(&cluster);
    let program = cluster.folder().join("token-program");
    let script = format!(
        "#!/bin/sh\ntoken=$(cat {}) || exit 3\n\
         echo '{{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": {{\"token\": \"'$token'\"}}}}'\n",
        token.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let exec = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": program, "interactiveMode": "Never"}});
    let query = watched::nodes("role=ingress");
    let kubeconfig = cluster.kubeconfig_with("program", &exec);
    let mut watched = Watched::new(settings(kubeconfig), std::slice::from_ref(&query));
    watched.until("its token is accepted", |w| w.is_live() && w.listed(&query).len() == 3).await;
    // Its token is worth nothing any more, and the program cannot give another.
    fs::remove_file(&token).unwrap();
    cluster.delete("/api/v1/namespaces/lvsd/serviceaccounts/lvsd");
    watched.until("the program has failed", |w| w.is_stale(&["credentials", "exit status: 3"])).await;
    assert_eq!(watched.listed(&query).len(), 3, "what is known goes on");
    cluster.apply(&manifest());
    sign_in(&cluster);
    watched.until("it is asked again", Watched::is_live).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_expired_is_said_and_the_next_one_is_read_from_its_file() {
    let cluster = ready();
    let file = sign_in(&cluster);
    fs::write(&file, expiring(&cluster)).unwrap();
    let query = watched::nodes("role=ingress");
    let kubeconfig = cluster.kubeconfig_of("lvsd", &file);
    let mut watched = Watched::new(settings(kubeconfig), std::slice::from_ref(&query));
    watched.until("it is accepted", |w| w.is_live() && w.listed(&query).len() == 3).await;
    watched.until("it has expired", |w| w.is_stale(&["401", "token"])).await;
    assert_eq!(watched.listed(&query).len(), 3, "what is known goes on");
    sign_in(&cluster);
    watched.until("the new one is read", Watched::is_live).await;
}

/// In a mount namespace of its own, where it is a pod for all that it can see.
#[test]
fn in_a_pod_its_account_is_used_and_a_token_that_rotates_is_followed() {
    if std::env::var_os(HOST).is_some() {
        return tokio::runtime::Runtime::new().unwrap().block_on(in_a_pod());
    }
    let script = format!(
        "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p {POD} && exec \"$0\" --exact --nocapture {}",
        "credentials::in_a_pod_its_account_is_used_and_a_token_that_rotates_is_followed"
    );
    let done = Command::new("unshare")
        .args(["--mount", "sh", "-ec", &script])
        .arg(std::env::current_exe().unwrap())
        .env(HOST, "127.0.0.1")
        .env(PORT, Cluster::free_port().to_string())
        .env_remove("KUBECONFIG")
        .status()
        .unwrap();
    assert!(done.success(), "it failed in the pod");
}

async fn in_a_pod() {
    let port = std::env::var(PORT).unwrap().parse().unwrap();
    let pod = Path::new(POD);
    let query = watched::nodes("role=ingress");
    let settings = KubernetesSettings { kubeconfig: None, ..settings("unused".into()) };
    // It is no pod yet: there is no account.
    let mut watched = Watched::new(settings, std::slice::from_ref(&query));
    watched.until("it has no account", |w| w.is_stale(&["no kubeconfig is set", "this is no pod"])).await;
    let cluster = Cluster::start_at(port);
    cluster.apply(&manifest());
    nodes(&cluster);
    fs::write(pod.join("namespace"), "lvsd").unwrap();
    fs::copy(cluster.folder().join("ca.crt"), pod.join("ca.crt")).unwrap();
    rotate(&cluster, pod);
    watched.until("its account is used", |w| w.is_live() && w.listed(&query).len() == 3).await;
    // As kubelets do it, well before the old one ends; here the old one is worth nothing at once.
    cluster.delete("/api/v1/namespaces/lvsd/serviceaccounts/lvsd");
    watched.until("the old one is not accepted", |w| w.is_stale(&["401", "token"])).await;
    cluster.apply(&manifest());
    rotate(&cluster, pod);
    watched.until("the new one is", Watched::is_live).await;
    assert_eq!(watched.listed(&query).len(), 3);
    // An authority that did not make the server's certificate.
    fs::copy(cluster.folder().join("apiserver.crt"), pod.join("ca.crt")).unwrap();
    let own = KubernetesSettings { kubeconfig: None, ..watched::settings("unused".into()) };
    let mut other = Watched::new(own, std::slice::from_ref(&query));
    other.until("the server is not trusted", |w| w.is_stale(&["certificate"])).await;
}

/// A new token takes the place of the old one in the pod, by a rename.
fn rotate(cluster: &Cluster, pod: &Path) {
    let new = pod.join("token.new");
    fs::copy(sign_in(cluster), &new).unwrap();
    fs::rename(new, pod.join("token")).unwrap();
}

/// API servers accept a token for so much longer than it says, as clocks differ.
const LEEWAY: Duration = Duration::from_secs(60);

/// A token of lvsd's account that is accepted for a minute more, which the API gives to nobody: signed as the API server signs
/// them.
fn expiring(cluster: &Cluster) -> String {
    let account = cluster.get("/api/v1/namespaces/lvsd/serviceaccounts/lvsd");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let issuer = "https://kubernetes.default.svc";
    let claims = json!({
        "iss": issuer, "aud": [issuer], "sub": "system:serviceaccount:lvsd:lvsd",
        "iat": now.as_secs(), "nbf": now.as_secs(), "exp": (now + Duration::from_secs(60) - LEEWAY).as_secs(),
        "kubernetes.io": {"namespace": "lvsd", "serviceaccount": {"name": "lvsd", "uid": account["metadata"]["uid"]}}
    });
    let part = |value: Value| base64url(value.to_string().as_bytes());
    let text = format!("{}.{}", part(json!({"alg": "ES256", "typ": "JWT"})), part(claims));
    let file = cluster.folder().join("unsigned");
    fs::write(&file, &text).unwrap();
    let signed = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign"])
        .args([&cluster.folder().join("sa.key"), &file])
        .output()
        .unwrap();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    format!("{text}.{}", base64url(&raw(&signed.stdout)))
}

/// Both numbers of a signature, 32 bytes each (RFC 7518, section 3.4), of its DER form: SEQUENCE { INTEGER, INTEGER }.
fn raw(der: &[u8]) -> Vec<u8> {
    let (mut rest, mut numbers) = (&der[2..], Vec::new());
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = &number[number.len().saturating_sub(32)..];
        numbers.extend(std::iter::repeat_n(0, 32 - number.len()).chain(number.iter().copied()));
        rest = &rest[2 + length..];
    }
    numbers
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let letter = |six: &[u8]| {
        let value = six.iter().chain(&[0; 5]).take(6).fold(0, |all, bit| all << 1 | usize::from(*bit));
        char::from(LETTERS[value])
    };
    bits.chunks(6).map(letter).collect()
}
