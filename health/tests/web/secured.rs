//! HTTPS: whose certificates are accepted, and what is said of those that are not.

use std::time::SystemTime;

use health::{Failure, Identity, PrivateKey, TlsFailure, TlsVersion};

use super::authority::{Authority, Issued};
use super::nginx::{Nginx, files};
use super::*;

/// 2099-12-31, as `date -u -d 2099-12-31 +%s` prints it.
const END_OF_2099: u64 = 4_102_358_400;

/// An nginx whose only server shows `issued`.
fn showing(issued: &Issued, further: &str) -> Nginx {
    let block = format!("ssl_certificate {{files}}/a.pem; ssl_certificate_key {{files}}/a.key; {further}");
    let mut contents = files(issued, ["a.pem", "a.key"]).to_vec();
    contents.push(("index.html", "hello"));
    Nginx::start(&[(8443, "ssl", &block)], &contents)
}

fn tls_failure(outcome: Outcome) -> TlsFailure {
    match outcome {
        Err(Failure::Tls(failure)) => failure,
        other => panic!("{other:?} is no failure of TLS"),
    }
}

#[tokio::test]
async fn a_certificate_from_an_authority_of_the_checks_own_is_accepted_and_its_expiry_told() {
    let authority = Authority::new("ours");
    let server = showing(&authority.issues("www.example.org", 2099), "");
    let request = HttpParts { body_contains: Some("hello".to_owned()), ..trusting(&authority) };
    let found = ask(server.at(8443), request).await.expect("up");
    let expires = found.certificate_expires.expect("a certificate").duration_since(SystemTime::UNIX_EPOCH);
    assert_eq!(expires.expect("after 1970").as_secs(), END_OF_2099);
}

#[tokio::test]
async fn a_certificate_from_elsewhere_is_not_accepted_unless_anyones_is() {
    let server = showing(&Authority::new("theirs").issues("www.example.org", 2099), "");
    let outcome = ask(server.at(8443), trusting(&Authority::new("ours"))).await;
    assert_eq!(tls_failure(outcome), TlsFailure::UnknownIssuer);
    let outcome = ask(server.at(8443), with(TlsParts::default())).await;
    assert_eq!(tls_failure(outcome), TlsFailure::UnknownIssuer, "this system does not trust it either");
    let anyone = TlsParts { trust: Trust::Anyone, ..TlsParts::default() };
    let found = ask(server.at(8443), with(anyone)).await.expect("up");
    assert!(found.certificate_expires.is_some());
}

#[tokio::test]
async fn an_expired_certificate_is_told_with_its_day() {
    let authority = Authority::new("ours");
    let server = showing(&authority.issues("www.example.org", 2021), "");
    let failure = tls_failure(ask(server.at(8443), trusting(&authority)).await);
    assert_eq!(failure.to_string(), "certificate expired on 2021-12-31T00:00:00Z");
    let anyone = TlsParts { trust: Trust::Anyone, ..TlsParts::default() };
    let found = ask(server.at(8443), with(anyone)).await.expect("nobody looks at it");
    assert!(found.certificate_expires.expect("a certificate") < SystemTime::now());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_told_with_both_names() {
    let authority = Authority::new("ours");
    let server = showing(&authority.issues("other.example.org", 2099), "");
    let failure = tls_failure(ask(server.at(8443), trusting(&authority)).await);
    assert_eq!(failure.to_string(), "certificate is not for www.example.org but for other.example.org");
    let server_name = Some("other.example.org".to_owned());
    let named = TlsParts { server_name, trust: authority.trusted(), ..TlsParts::default() };
    assert!(ask(server.at(8443), with(named)).await.is_ok(), "the name of the server is apart from the host");
}

#[tokio::test]
async fn without_a_name_the_certificate_must_be_for_the_address() {
    let authority = Authority::new("ours");
    let server = showing(&authority.issues("www.example.org", 2099), "");
    let nameless = HttpParts { host: None, ..trusting(&authority) };
    let failure = tls_failure(ask(server.at(8443), nameless).await).to_string();
    assert!(
        failure.starts_with(&format!("certificate is not for {} but", server.at(8443).ip())),
        "{failure}"
    );
    let server = showing(&authority.issues("127.0.0.1", 2099), "");
    let server_name = Some("127.0.0.1".to_owned());
    let named = TlsParts { server_name, trust: authority.trusted(), ..TlsParts::default() };
    assert!(ask(server.at(8443), with(named)).await.is_ok());
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_the_checks_own() {
    let authority = Authority::new("ours");
    let issued = authority.issues("www.example.org", 2099);
    let block = "ssl_certificate {files}/a.pem; ssl_certificate_key {files}/a.key;
        ssl_client_certificate {files}/ca.pem; ssl_verify_client on; location / { return 204; }";
    let pem = authority.pem();
    let mut contents = files(&issued, ["a.pem", "a.key"]).to_vec();
    contents.push(("ca.pem", &pem));
    let server = Nginx::start(&[(8443, "ssl", block)], &contents);

    let outcome = ask(server.at(8443), trusting(&authority)).await;
    assert!(
        matches!(outcome, Err(Failure::Status { found: 400, .. })),
        "nginx' way to ask for it: {outcome:?}"
    );
    let client = authority.issues("client.example.org", 2099);
    let identity = Identity::new(
        Certificates::from_pem(client.certificate.as_bytes()).expect("a certificate"),
        PrivateKey::from_pem(client.key.as_bytes()).expect("a key"),
    );
    let identity = Some(identity.expect("a pair"));
    let shown = TlsParts { identity, trust: authority.trusted(), ..TlsParts::default() };
    assert!(ask(server.at(8443), with(shown)).await.is_ok());
}

#[tokio::test]
async fn a_server_of_old_versions_and_one_that_refuses_the_name_are_told_apart() {
    let authority = Authority::new("ours");
    let issued = authority.issues("www.example.org", 2099);
    let old = showing(&issued, "ssl_protocols TLSv1.2;");
    assert!(ask(old.at(8443), trusting(&authority)).await.is_ok());
    let newest =
        TlsParts { min_version: TlsVersion::Tls13, trust: authority.trusted(), ..TlsParts::default() };
    let failure = tls_failure(ask(old.at(8443), with(newest)).await);
    assert_eq!(failure.to_string(), "server refused TLS with the alert \"protocol version\"");
    let refusing = showing(&issued, "ssl_reject_handshake on;");
    let failure = tls_failure(ask(refusing.at(8443), trusting(&authority)).await);
    assert_eq!(failure.to_string(), "server refused TLS with the alert \"unrecognised name\"");
}

#[tokio::test]
async fn plain_http_where_tls_is_expected_and_the_other_way_round_are_told() {
    let authority = Authority::new("ours");
    let issued = authority.issues("www.example.org", 2099);
    let secured = "ssl_certificate {files}/a.pem; ssl_certificate_key {files}/a.key; return 204;";
    let servers = [(8080, "", "return 204;"), (8443, "ssl", secured)];
    let server = Nginx::start(&servers, &files(&issued, ["a.pem", "a.key"]));
    let failure = tls_failure(ask(server.at(8080), trusting(&authority)).await);
    assert!(matches!(failure, TlsFailure::Malformed { .. }), "{failure}");
    let outcome = ask(server.at(8443), HttpParts::default()).await;
    assert!(matches!(outcome, Err(Failure::Status { found: 400, .. })), "{outcome:?}");
}
