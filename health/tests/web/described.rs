//! The examples in a service's own description, by each version of HTTP and over TLS.

use health::{Failure, HttpVersion, OpenApi, OpenApiParts, TlsFailure};
use serde_json::json;

use super::authority::Authority;
use super::nginx::{Nginx, files};
use super::*;

/// A server's block whose description says that its answers come by this version.
fn block(version: &str) -> String {
    let spoken = json!({"x-spoken": version});
    let description = json!({"paths": {
        "/page": {"get": {"x-amples": [{"title": "read", "response": {"status": 200, "headers": spoken, "body": "hello"}}]}},
        "/made": {"post": {"x-amples": [{
            "title": "make",
            "request": {"headers": {"Content-Type": "application/json"}, "body": {"water": true}},
            "response": {"status": 201, "headers": spoken},
        }]}},
    }});
    format!(
        "add_header x-spoken $server_protocol always;
         location = / {{ if ($args = spec) {{ return 200 '{description}'; }} return 404; }}
         location = /page {{ return 200 hello; }}
         location = /made {{ if ($request_method != POST) {{ return 405; }} return 201; }}"
    )
}

/// Tries the examples of `www.example.org`.
async fn examples(target: SocketAddr, version: HttpVersion, tls: Option<Tls>) -> Outcome {
    let host = Some("www.example.org".to_owned());
    let parts = OpenApiParts { host, tls, version, ..OpenApiParts::default() };
    run(target, Kind::OpenApi(OpenApi::new(parts).expect("a valid check"))).await
}

#[tokio::test]
async fn examples_are_tried_by_either_version_of_http_with_and_without_tls() {
    let authority = Authority::new("ours");
    let issued = authority.issues("www.example.org", 2099);
    let (one, two) = (block("HTTP/1.1"), block("HTTP/2.0"));
    let certificate = "ssl_certificate {files}/a.pem; ssl_certificate_key {files}/a.key;";
    let [one_secured, two_secured] = [&one, &two].map(|block| format!("{certificate} {block}"));
    let servers = [
        (8080, "", one.as_str()),
        (8081, "http2", two.as_str()),
        (8443, "ssl", one_secured.as_str()),
        (8444, "ssl http2", two_secured.as_str()),
    ];
    let server = Nginx::start(&servers, &files(&issued, ["a.pem", "a.key"]));
    let trusting = Tls::new(TlsParts { trust: authority.trusted(), ..TlsParts::default() });
    let trusting = Some(trusting.expect("settings"));
    for (port, version, tls) in [
        (8080, HttpVersion::Http1, None),
        (8081, HttpVersion::Http2, None),
        (8443, HttpVersion::Http1, trusting.clone()),
        (8444, HttpVersion::Http2, trusting.clone()),
    ] {
        let is_secured = tls.is_some();
        let found = examples(server.at(port), version, tls).await;
        let found = found.unwrap_or_else(|failure| panic!("{port} by {version:?}: {failure}"));
        assert_eq!(found.certificate_expires.is_some(), is_secured, "{port}");
    }

    let failure = examples(server.at(8444), HttpVersion::Http1, trusting).await.expect_err("HTTP/2 is meant");
    let failure = failure.to_string();
    assert!(failure.starts_with("2 of 2 examples failed: "), "{failure}");
    assert!(failure.contains("HTTP/1.1") && failure.contains("HTTP/2.0"), "{failure}");
    let failure = examples(server.at(8080), HttpVersion::Http2, None).await.expect_err("HTTP/1.1 only");
    assert!(failure.to_string().starts_with("HTTP/2 failed"), "{failure}");
    let stranger = Some(Tls::new(TlsParts::default()).expect("settings"));
    let outcome = examples(server.at(8444), HttpVersion::Http2, stranger).await;
    assert!(matches!(outcome, Err(Failure::Tls(TlsFailure::UnknownIssuer))), "{outcome:?}");
}
