use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::failure::{Failure, HttpFailure, Outcome};
use crate::probe::{OwnSockets, probe};
use crate::servers::{self, Server, answering, dripping, serve};
use crate::spec::{Check, Kind, OpenApi, OpenApiParts, Timing};

const PATIENCE: Duration = Duration::from_secs(20);

async fn run(target: SocketAddr, timeout: Duration) -> Outcome {
    let timing = Timing::new(timeout, timeout, 3, 2).expect("a valid timing");
    let parts = OpenApiParts { host: Some("service.example.org".to_owned()), ..OpenApiParts::default() };
    let kind = Kind::OpenApi(OpenApi::new(parts).expect("valid"));
    probe(&Check::new(target, kind, timing), &OwnSockets, 0).await
}

async fn told(target: SocketAddr) -> Result<(), String> {
    run(target, PATIENCE).await.map(drop).map_err(|failure| failure.to_string())
}

/// Serves `description` at `/?spec`, and for other paths what `answer` says of the request: a status and a body.
async fn service(
    description: Value,
    answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
) -> (Server, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (notes, description, answer) =
        (Arc::clone(&asked), Arc::new(description.to_string()), Arc::new(answer));
    let server = serve(move |mut stream| {
        let (notes, description, answer) =
            (Arc::clone(&notes), Arc::clone(&description), Arc::clone(&answer));
        async move {
            let mut request = servers::request(&mut stream).await;
            let length = request.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            drop(stream.read_exact(&mut body).await);
            request.push_str(&String::from_utf8_lossy(&body));
            let (status, body) = if request.starts_with("GET /?spec ") {
                (200, description.to_string())
            } else {
                answer(&request)
            };
            notes.lock().expect("no panic").push(request);
            let head =
                format!("HTTP/1.1 {status} X\r\nX-Served-By: a1\r\nContent-Length: {}\r\n\r\n", body.len());
            drop(stream.write_all(format!("{head}{body}").as_bytes()).await);
            servers::until_closed(&mut stream).await;
        }
    })
    .await;
    (server, asked)
}

fn description() -> Value {
    json!({
        "x-default-params": {"who": "joe"},
        "paths": {
            "/{who}/{verb}": {"get": {"x-amples": [{
                "title": "affirm",
                "request": {"params": {"verb": "rules"}, "query": {"deep": 1}},
                "response": {"status": 200, "headers": {"x-served-by": "/^a\\d$/"}, "body": {"sure": true}},
            }]}},
            "/important": {"post": {"x-amples": [{
                "title": "create",
                "request": {"headers": {"Content-Type": "application/json"}, "body": {"water": true}},
                "response": {"status": 201},
            }]}},
        },
    })
}

#[tokio::test]
async fn a_service_that_answers_its_examples_as_it_says_is_up() {
    let (server, asked) = service(description(), |request| match request.split(' ').next() {
        Some("POST") => (201, String::new()),
        _ => (200, r#"{"sure":true,"more":[]}"#.to_owned()),
    })
    .await;
    assert_eq!(told(server.address).await, Ok(()));
    let asked = asked.lock().expect("no panic");
    let lines: Vec<_> = asked.iter().filter_map(|request| request.lines().next()).collect();
    assert_eq!(lines, ["GET /?spec HTTP/1.1", "POST /important HTTP/1.1", "GET /joe/rules?deep=1 HTTP/1.1"]);
    assert!(asked.iter().all(|request| request.contains("host: service.example.org\r\n")), "{asked:?}");
    assert!(asked[1].ends_with(r#"{"water":true}"#), "{}", asked[1]);
}

#[tokio::test]
async fn the_endpoints_that_fail_are_told_with_their_reasons() {
    let (server, _) = service(description(), |_| (200, r#"{"sure":false}"#.to_owned())).await;
    let failure = told(server.address).await.expect_err("both fail");
    let expected = "2 of 2 examples failed: POST /important (create): HTTP status 200, expected 201; \
                    GET /{who}/{verb} (affirm): body has \"false\" at \"/sure\", expected \"true\"";
    assert_eq!(failure, expected);
}

#[tokio::test]
async fn many_failures_are_told_in_part() {
    let amples: Vec<_> = (0..20).map(|n| json!({"title": format!("t{n}")})).collect();
    let (server, _) =
        service(json!({"paths": {"/a": {"get": {"x-amples": amples}}}}), |_| (500, String::new())).await;
    let outcome = run(server.address, PATIENCE).await;
    let Err(Failure::Http(HttpFailure::Examples { failed, tried, first })) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((failed, tried, first.len()), (20, 20, 3));
}

#[tokio::test]
async fn a_service_without_a_description_is_told() {
    let (server, _) = service(json!("none"), |_| (200, String::new())).await;
    assert_eq!(told(server.address).await, Err("description cannot be used: it has no paths".to_owned()));
    let none = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(told(none.address).await, Err("HTTP status 404, expected 200".to_owned()));
    let endless = dripping(b"HTTP/1.1 200 OK\r\n\r\n", &[b' '; 65536], Duration::ZERO).await;
    assert_eq!(told(endless.address).await, Err("body exceeds 1048576 bytes".to_owned()));
}

#[tokio::test]
async fn a_description_that_would_break_a_request_is_called_unusable() {
    for (path, request) in [
        ("/a b", json!({})),
        ("/a", json!({"headers": {"x-a": "b\r\nc: d"}})),
        ("/a", json!({"headers": {"bad name": "b"}})),
        ("/a", json!({"headers": {"host": "a\r\nb"}})),
    ] {
        let description = json!({"paths": {path: {"get": {"x-amples": [{"request": request}]}}}});
        let (server, asked) = service(description, |_| (200, String::new())).await;
        let failure = told(server.address).await.expect_err("unusable");
        assert!(failure.contains(&format!("GET {path}: description cannot be used")), "{failure}");
        assert_eq!(asked.lock().expect("no panic").len(), 1, "the description alone was asked for");
    }
}

#[tokio::test]
async fn all_examples_share_one_timeout() {
    let amples = vec![json!({}); 50];
    let description = json!({"paths": {"/a": {"get": {"x-amples": amples}}}}).to_string();
    let description = Arc::new(description);
    let server = serve(move |mut stream| {
        let description = Arc::clone(&description);
        async move {
            if servers::request(&mut stream).await.starts_with("GET /?spec ") {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", description.len());
                drop(stream.write_all(format!("{head}{description}").as_bytes()).await);
            }
            servers::until_closed(&mut stream).await;
        }
    })
    .await;
    let outcome = run(server.address, Duration::from_secs(2)).await;
    let Err(Failure::Http(HttpFailure::Examples { failed: 1, tried: 1, first })) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(matches!(*first[0].failure, Failure::Timeout { .. }), "{first:?}");
    assert_eq!(server.accepted(), 2);
}
