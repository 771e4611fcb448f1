use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::failure::Outcome;
use crate::probe::{OwnSockets, probe};
use crate::servers::{self, serve};
use crate::spec::{Check, HttpParts, HttpRequest, HttpVersion, Kind, Timing, TlsParts, Trust};

const TIMEOUT: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(20);

async fn ask(target: SocketAddr, timeout: Duration) -> Outcome {
    ask_by(target, timeout, HttpVersion::Http1).await
}

async fn ask_by(target: SocketAddr, timeout: Duration, version: HttpVersion) -> Outcome {
    let tls = Tls::new(TlsParts { trust: Trust::Anyone, ..TlsParts::default() }).expect("settings");
    let request =
        HttpRequest::new(HttpParts { tls: Some(tls), version, ..HttpParts::default() }).expect("a request");
    let timing = Timing::new(timeout, timeout, 3, 2).expect("a timing");
    probe(&Check::new(target, Kind::Http(request), timing), &OwnSockets, 0).await
}

async fn saying(bytes: &'static [u8]) -> Outcome {
    let server = serve(move |mut stream| async move {
        drop(stream.write_all(bytes).await);
        servers::until_closed(&mut stream).await;
    })
    .await;
    ask(server.address, PATIENCE).await
}

#[tokio::test]
async fn a_handshake_that_never_ends_times_out_while_negotiating() {
    let server = servers::silent().await;
    let begun = Instant::now();
    let timeout = Failure::Timeout { after: TIMEOUT, stage: Stage::Securing };
    assert_eq!(ask(server.address, TIMEOUT).await, Err(timeout.clone()));
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(timeout.to_string(), "timeout after 300 ms while negotiating TLS");
}

#[tokio::test]
async fn a_server_that_closes_instead_of_a_handshake_is_closed() {
    let server = serve(|mut stream| async move {
        let mut hello = [0; 5];
        drop(tokio::io::AsyncReadExt::read_exact(&mut stream, &mut hello).await);
        drop(stream.shutdown().await);
        servers::until_closed(&mut stream).await;
    })
    .await;
    assert_eq!(ask(server.address, PATIENCE).await, Err(Failure::Closed { stage: Stage::Securing }));
}

#[tokio::test]
async fn what_is_no_tls_is_called_so() {
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0x16, 3, 3, 0, 4, 2, 0, 0, 0],
    ] {
        let outcome = saying(bytes).await;
        let is_malformed = matches!(outcome, Err(Failure::Tls(TlsFailure::Malformed { .. })));
        assert!(is_malformed, "{outcome:?} for {:?}", bytes.escape_ascii());
    }
}

#[tokio::test]
async fn an_alert_is_told_by_its_name() {
    // A fatal handshake_failure (RFC 8446, section 6).
    let failure = saying(&[0x15, 3, 3, 0, 2, 2, 40]).await.expect_err("an alert");
    assert_eq!(failure.to_string(), "server refused TLS with the alert \"handshake failure\"");
    assert_eq!(failure.class(), "tls");
}

#[test]
fn the_name_is_the_one_given_or_the_host_or_the_address() {
    let target: SocketAddr = "[::1]:443".parse().expect("an address");
    let named = |server_name: Option<&str>, host| {
        let server_name = server_name.map(str::to_owned);
        let tls = Tls::new(TlsParts { server_name, ..TlsParts::default() }).expect("settings");
        super::server_name(&tls, host, target).map(|name| name.to_str().into_owned())
    };
    let ok = |name: &str| Ok(name.to_owned());
    assert_eq!(named(Some("a.example"), Some("b.example:8443")), ok("a.example"));
    assert_eq!(named(None, Some("b.example:8443")), ok("b.example"));
    assert_eq!(named(None, Some("[fd00::1]:8443")), ok("fd00::1"));
    assert_eq!(named(None, Some("[fd00::1]")), ok("fd00::1"));
    assert_eq!(named(None, None), ok("::1"));
    let failure = named(None, Some("under score.example")).expect_err("no name");
    assert!(failure.is_inconclusive(), "{failure}");
}

/// A server that wants a certificate from whoever comes, and says so only after the client's part of the handshake is over
/// (RFC 8446, section 4.4.2).
async fn demanding(protocol: &[u8]) -> servers::Server {
    let pair = rcgen::generate_simple_self_signed(vec!["www.example.org".to_owned()]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.der().clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::try_from(pair.key_pair.serialize_der()).expect("a key");
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("versions")
        .with_client_cert_verifier(clients.build().expect("a verifier"))
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .expect("a configuration");
    config.alpn_protocols = vec![protocol.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Err((_, mut stream)) = acceptor.accept(stream).into_fallible().await {
                servers::until_closed(&mut stream).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_certificate_that_is_wanted_is_told_though_the_handshake_was_over() {
    for (version, protocol) in [(HttpVersion::Http1, &b"http/1.1"[..]), (HttpVersion::Http2, b"h2")] {
        let server = demanding(protocol).await;
        let failure = ask_by(server.address, PATIENCE, version).await.expect_err("refused");
        assert_eq!(failure.to_string(), "server refused TLS with the alert \"certificate required\"");
    }
}

proptest! {
    #[test]
    fn any_host_is_a_name_or_a_failure(host: String) {
        let tls = Tls::default();
        drop(super::server_name(&tls, Some(&host), "127.0.0.1:443".parse().expect("an address")));
    }
}
