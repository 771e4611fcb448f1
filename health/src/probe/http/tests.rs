mod arbitrary;
mod http2;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::failure::{HttpFailure, Outcome, Stage};
use crate::probe::{OwnSockets, probe};
use crate::servers::{self, Server, answering, dripping, serve};
use crate::spec::{Check, Digest, HttpVersion, Kind, NodePort, Regex, Timing, Tls, UrlsParts};

/// For probes that must not time out, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(20);

async fn run(target: SocketAddr, kind: Kind, turn: u64) -> Outcome {
    let timing = Timing::new(PATIENCE, PATIENCE, 3, 2).expect("a valid timing");
    probe(&Check::new(target, kind, timing), &OwnSockets, turn).await
}

async fn http(target: SocketAddr, parts: HttpParts) -> Outcome {
    run(target, Kind::Http(HttpRequest::new(parts).expect("a valid request")), 0).await
}

fn matching(pattern: &str) -> HttpParts {
    HttpParts { body_matches: Some(Regex::new(pattern).expect("a pattern")), ..HttpParts::default() }
}

fn digesting(body: &str) -> HttpParts {
    HttpParts { body_sha256: Some(Digest::of(body.as_bytes())), ..HttpParts::default() }
}

async fn with_body(body: &str) -> Server {
    answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await
}

/// Answers 200 to the paths that begin with `/ok`, 503 to others, and notes what was asked for.
async fn by_path() -> (Server, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    let server = serve(move |mut stream| {
        let notes = Arc::clone(&notes);
        async move {
            let request = servers::request(&mut stream).await;
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let status = if path.starts_with("/ok") { 200 } else { 503 };
            notes.lock().expect("no panic").push(path);
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
            drop(stream.write_all(answer.as_bytes()).await);
            servers::until_closed(&mut stream).await;
        }
    })
    .await;
    (server, asked)
}

fn urls(paths: &[&str], pick: Pick) -> Kind {
    let requests = paths.iter().map(|path| HttpRequest::get(*path).expect("a path")).collect();
    Kind::Urls(Urls::new(UrlsParts { requests, pick }).expect("valid urls"))
}

#[tokio::test]
async fn a_body_is_matched_against_a_regular_expression() {
    let server = with_body("status: degraded\nload: 17").await;
    assert!(http(server.address, matching(r"(?m)^load: \d+$")).await.is_ok());
    let mismatch = HttpFailure::Mismatch { regex: "status: (ok|fine)".to_owned(), read: 25 }.into();
    assert_eq!(http(server.address, matching("status: (ok|fine)")).await, Err(mismatch));
    let parts = HttpParts { max_body: 10, ..matching("degraded") };
    let failure = http(server.address, parts).await.expect_err("beyond the bound").to_string();
    assert_eq!(failure, "body does not match /degraded/ in its first 10 bytes");
}

#[tokio::test]
async fn a_body_is_held_against_its_digest_whole() {
    let server = with_body("hello").await;
    assert!(http(server.address, digesting("hello")).await.is_ok());
    let (found, expected) = (Digest::of(b"hello"), Digest::of(b"hell"));
    assert_eq!(
        http(server.address, digesting("hell")).await,
        Err(HttpFailure::Digest { found, expected }.into())
    );
    let parts = HttpParts { max_body: 5, ..digesting("hello") };
    assert!(http(server.address, parts).await.is_ok(), "a body of exactly the bound");
    let parts = HttpParts { max_body: 4, ..digesting("hello") };
    assert_eq!(http(server.address, parts).await, Err(HttpFailure::TooLarge { limit: 4 }.into()));
    let endless = dripping(b"HTTP/1.1 200 OK\r\n\r\n", &[b'y'; 4096], Duration::ZERO).await;
    let limit = HttpParts::default().max_body;
    assert_eq!(http(endless.address, digesting("y")).await, Err(HttpFailure::TooLarge { limit }.into()));
}

#[tokio::test]
async fn all_that_is_expected_of_a_body_must_hold() {
    let server = with_body("one two").await;
    let parts = |text: &str, pattern: &str, whole: &str| HttpParts {
        body_contains: Some(text.to_owned()),
        ..HttpParts { body_sha256: digesting(whole).body_sha256, ..matching(pattern) }
    };
    assert!(http(server.address, parts("one", "tw.", "one two")).await.is_ok());
    let outcome = http(server.address, parts("three", "tw.", "one two")).await;
    assert!(matches!(outcome, Err(Failure::Body { .. })), "{outcome:?}");
    let outcome = http(server.address, parts("one", "th.", "one two")).await;
    assert!(matches!(outcome, Err(Failure::Http(HttpFailure::Mismatch { .. }))), "{outcome:?}");
    let outcome = http(server.address, parts("one", "tw.", "one")).await;
    assert!(matches!(outcome, Err(Failure::Http(HttpFailure::Digest { .. }))), "{outcome:?}");
}

#[tokio::test]
async fn a_body_of_a_gigabyte_costs_no_more_than_the_bound() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let server = serve(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            servers::request(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n";
            let mut alive = stream.write_all(head).await.is_ok();
            while alive {
                alive = stream.write_all(&[b'y'; 65536]).await.is_ok();
                count.fetch_add(65536, Ordering::SeqCst);
            }
        }
    })
    .await;
    assert!(http(server.address, HttpParts::default()).await.is_ok());
    // Beyond what was read, socket buffers took some.
    assert!(sent.load(Ordering::SeqCst) < 64 << 20, "{sent:?} bytes were sent");
}

#[tokio::test]
async fn redirects_in_a_ring_are_answers_and_are_not_followed() {
    let ring = answering("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n").await;
    let outcome = http(ring.address, HttpParts::default()).await;
    assert!(matches!(outcome, Err(Failure::Status { found: 302, .. })), "{outcome:?}");
    assert_eq!(ring.accepted(), 1);
}

#[tokio::test]
async fn one_of_several_urls_is_asked_for_and_each_of_them_in_turn() {
    let (server, asked) = by_path().await;
    let kind = urls(&["/ok1", "/ok2", "/bad"], Pick::One);
    let mut failed = 0;
    for turn in 0..60 {
        if let Err(failure) = run(server.address, kind.clone(), turn).await {
            assert_eq!(failure.to_string(), "/bad: HTTP status 503, expected 200-299");
            failed += 1;
        }
    }
    let asked = asked.lock().expect("no panic");
    assert_eq!(asked.len(), 60, "one for each probe");
    for path in ["/ok1", "/ok2", "/bad"] {
        assert!(asked.iter().any(|one| one == path), "{path} was never asked for");
    }
    assert_eq!(failed, asked.iter().filter(|one| *one == "/bad").count());
}

#[tokio::test]
async fn a_refusal_is_as_certain_for_one_of_several_urls_as_for_a_single_one() {
    let closed = servers::closed();
    for pick in [Pick::One, Pick::All { max_failures: 0 }] {
        let failure = run(closed.address, urls(&["/a", "/b"], pick), 0).await.expect_err("refused");
        assert!(failure.is_conclusive() && failure.class() == "refused", "{failure}");
    }
}

#[tokio::test]
async fn all_of_several_urls_may_fail_as_often_as_allowed() {
    let (server, asked) = by_path().await;
    let paths = ["/ok1", "/bad1", "/ok2", "/bad2"];
    assert!(run(server.address, urls(&paths, Pick::All { max_failures: 2 }), 0).await.is_ok());
    assert_eq!(asked.lock().expect("no panic").len(), 4);
    let failure = run(server.address, urls(&paths, Pick::All { max_failures: 1 }), 0).await;
    let text = failure.expect_err("two fail").to_string();
    assert_eq!(text, "2 of 4 URLs failed, 1 may: /bad1: HTTP status 503, expected 200-299");
    let failure = run(server.address, urls(&paths, Pick::All { max_failures: 0 }), 0).await;
    assert!(failure.expect_err("one fails").to_string().starts_with("1 of 2 URLs failed, 0 may"));
}

proptest! {
    #[test]
    fn a_body_is_judged_alike_however_it_is_cut(body: Vec<u8>, cuts in prop::collection::vec(0usize..64, 0..8)) {
        let parts = HttpParts {
            body_contains: Some("ab".to_owned()),
            body_matches: Some(Regex::new("b+").expect("a pattern")),
            body_sha256: Some(Digest::of(b"aabb")),
            max_body: 48,
            ..HttpParts::default()
        };
        let judged = |mut pieces: Vec<&[u8]>| {
            let mut judge = Judge::new(&parts);
            pieces.retain(|piece| !piece.is_empty());
            for piece in pieces {
                if judge.takes(piece)? {
                    break;
                }
            }
            judge.verdict()
        };
        let (mut rest, mut pieces) = (&body[..], Vec::new());
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        prop_assert_eq!(judged(pieces), judged(vec![&body]));
    }
}

#[tokio::test]
async fn a_node_is_up_while_an_endpoint_of_the_service_is_on_it() {
    let endpoints = Arc::new(AtomicUsize::new(1));
    let count = Arc::clone(&endpoints);
    let server = serve(move |mut stream| {
        let endpoints = count.load(Ordering::SeqCst);
        async move {
            assert!(servers::request(&mut stream).await.starts_with("GET /healthz HTTP/1.1\r\n"));
            let service = r#"{"namespace":"web","name":"front"}"#;
            let body = format!(r#"{{"service":{service},"localEndpoints":{endpoints}}}"#);
            let status = if endpoints > 0 { 200 } else { 503 };
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
            drop(stream.write_all(format!("{head}{body}").as_bytes()).await);
            servers::until_closed(&mut stream).await;
        }
    })
    .await;
    let ask = |service| run(server.address, Kind::NodePort(NodePort::new(service).expect("a service")), 0);
    assert!(ask(Some("web/front")).await.is_ok() && ask(None).await.is_ok());
    assert!(ask(Some("web/back")).await.is_err());
    endpoints.store(0, Ordering::SeqCst);
    let failure = ask(Some("web/front")).await.expect_err("none is left");
    assert_eq!(failure.to_string(), "no endpoint of web/front is on this node");
    assert!(failure.is_conclusive());
}

#[tokio::test]
async fn a_dropped_probe_leaves_no_connection_whatever_it_speaks() {
    let secured = HttpParts { tls: Some(Tls::default()), ..HttpParts::default() };
    let second = HttpParts { version: HttpVersion::Http2, ..HttpParts::default() };
    for parts in [HttpParts::default(), secured, second] {
        let server = servers::silent().await;
        let target = server.address;
        let probing = tokio::spawn(async move { http(target, parts).await });
        let server = &server;
        let until = |open| async move {
            while server.open() != open {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, until(1)).await.expect("a connection");
        probing.abort();
        tokio::time::timeout(PATIENCE, until(0)).await.expect("its end");
    }
}

#[test]
fn a_probe_takes_little_memory_while_it_waits() {
    let timing = Timing::new(PATIENCE, PATIENCE, 3, 2).expect("a valid timing");
    let check = Check::new("127.0.0.1:80".parse().expect("an address"), Kind::Tcp, timing);
    let limit = crate::probe::limit(&check);
    let way = Way { target: check.target, route: &check.route, sockets: &OwnSockets, limit };
    let request = HttpRequest::get("/").expect("a request");
    let (any, http) =
        (size_of_val(&probe(&check, &OwnSockets, 0)), size_of_val(&super::probe(&way, &request)));
    // Without optimization; there may be thousands of them at once.
    assert!(any < 2048 && http < 4096, "{any} bytes, {http} bytes more for HTTP");
}
