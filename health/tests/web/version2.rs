//! HTTP/2 and gRPC.

use health::{Failure, Grpc, GrpcParts, HttpVersion, TlsFailure};
use tonic::transport::Server;
use tonic_health::ServingStatus;

use super::authority::Authority;
use super::grpc_server::Health;
use super::nginx::{Nginx, files};
use super::*;

async fn call(target: SocketAddr, service: &str, tls: Option<Tls>) -> Result<(), String> {
    let host = Some("www.example.org".to_owned());
    let grpc = Grpc::new(GrpcParts { service: service.to_owned(), host, tls }).expect("a question");
    run(target, Kind::Grpc(grpc)).await.map(drop).map_err(|failure| failure.to_string())
}

#[tokio::test]
async fn a_grpc_server_serves_when_it_says_so_of_the_service_or_of_itself() {
    let server = Health::start("127.0.0.1").await;
    assert_eq!(call(server.address, "routing", None).await, Ok(()));
    assert_eq!(call(server.address, "", None).await, Ok(()));
    server.reporter.set_service_status("routing", ServingStatus::NotServing).await;
    let says = "gRPC health is NOT_SERVING, expected SERVING";
    assert_eq!(call(server.address, "routing", None).await, Err(says.to_owned()));
    server.reporter.set_service_status("routing", ServingStatus::Serving).await;
    assert_eq!(call(server.address, "routing", None).await, Ok(()));
}

#[tokio::test]
async fn a_grpc_server_that_does_not_know_the_service_is_told() {
    let server = Health::start("127.0.0.1").await;
    let failure = call(server.address, "other", None).await.expect_err("unknown");
    assert!(failure.starts_with("gRPC call failed: NOT_FOUND"), "{failure}");
}

#[tokio::test]
async fn grpc_is_checked_over_tls() {
    let server = Health::start("127.0.0.1").await;
    let authority = Authority::new("ours");
    let issued = authority.issues("www.example.org", 2099);
    let block = format!(
        "ssl_certificate {{files}}/a.pem; ssl_certificate_key {{files}}/a.key;
         location / {{ grpc_pass grpc://{}; }}",
        server.address
    );
    let proxy = Nginx::start(&[(8443, "ssl http2", &block)], &files(&issued, ["a.pem", "a.key"]));
    let tls = Tls::new(TlsParts { trust: authority.trusted(), ..TlsParts::default() }).expect("settings");
    assert_eq!(call(proxy.at(8443), "routing", Some(tls.clone())).await, Ok(()));
    drop(server);
    let failure = call(proxy.at(8443), "routing", Some(tls)).await.expect_err("nobody behind it");
    assert!(failure.contains("502") || failure.contains("UNAVAILABLE"), "{failure}");
    let tls = Tls::new(TlsParts::default()).expect("settings");
    let failure = call(proxy.at(8443), "routing", Some(tls)).await.expect_err("not trusted");
    assert!(failure.starts_with("certificate is from an authority that is not trusted"), "{failure}");
}

#[tokio::test]
async fn a_server_without_the_health_service_is_told_to_have_none() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("its address");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    let served = tokio::spawn(async move {
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let none = tonic::service::Routes::default();
        Server::builder().add_routes(none).serve_with_incoming(incoming).await
    });
    let failure = call(address, "routing", None).await.expect_err("no such service");
    assert_eq!(failure, "gRPC call failed: UNIMPLEMENTED");
    served.abort();
}

#[tokio::test]
async fn http2_is_spoken_with_and_without_tls_and_no_other_version_will_do() {
    let authority = Authority::new("ours");
    let issued = authority.issues("www.example.org", 2099);
    let secured =
        "ssl_certificate {files}/a.pem; ssl_certificate_key {files}/a.key; return 200 $server_protocol;";
    let plain = "return 200 $server_protocol;";
    let servers =
        [(8080, "http2", plain), (8443, "ssl http2", secured), (8444, "ssl", secured), (8081, "", plain)];
    let server = Nginx::start(&servers, &files(&issued, ["a.pem", "a.key"]));
    let expecting = |version, text: &str| HttpParts {
        version,
        body_contains: Some(text.to_owned()),
        ..HttpParts::default()
    };
    let two = expecting(HttpVersion::Http2, "HTTP/2.0");
    let one = expecting(HttpVersion::Http1, "HTTP/1.1");
    let tls = trusting(&authority);
    let over_tls = |parts: HttpParts| HttpParts { tls: tls.tls.clone(), host: tls.host.clone(), ..parts };
    assert!(ask(server.at(8080), two.clone()).await.is_ok());
    assert!(ask(server.at(8443), over_tls(two.clone())).await.is_ok());
    assert!(ask(server.at(8443), over_tls(one)).await.is_ok(), "what is asked for is spoken");
    let outcome = ask(server.at(8444), over_tls(two.clone())).await;
    let refused =
        matches!(&outcome, Err(Failure::Tls(TlsFailure::Incompatible { .. } | TlsFailure::Alert { .. })));
    assert!(refused, "{outcome:?}");
    let failure = ask(server.at(8081), two).await.expect_err("HTTP/1.1 only").to_string();
    assert!(failure.starts_with("HTTP/2 failed"), "{failure}");
}
