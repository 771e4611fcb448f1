//! Plain HTTP: what is expected of an answer.

use std::fs::File;

use health::{Digest, Failure, HttpFailure, Pick, Regex, Urls, UrlsParts};

use super::nginx::Nginx;
use super::*;

const GIGABYTE: u64 = 1 << 30;

fn get(path: &str) -> HttpParts {
    HttpParts { path: path.to_owned(), ..HttpParts::default() }
}

#[tokio::test]
async fn status_body_and_method_are_as_a_server_gives_them() {
    let block = "location = /busy { return 503; } location = /old { return 301 /new; }
        location = /ring { return 302 /ring; }";
    let server = Nginx::start(&[(8080, "", block)], &[("status.txt", "pool: ok\nload: 17\n")]);
    let target = server.at(8080);
    let file = || get("/status.txt");
    let regex = |text| Some(Regex::new(text).expect("a regex"));
    assert!(ask(target, HttpParts { body_matches: regex(r"(?m)^load: \d+$"), ..file() }).await.is_ok());
    let outcome = ask(target, HttpParts { body_matches: regex("pool: bad"), ..file() }).await;
    assert!(matches!(outcome, Err(Failure::Http(HttpFailure::Mismatch { read: 18, .. }))), "{outcome:?}");
    let digest = |text: &[u8]| Some(Digest::of(text));
    assert!(ask(target, HttpParts { body_sha256: digest(b"pool: ok\nload: 17\n"), ..file() }).await.is_ok());
    assert!(ask(target, HttpParts { body_sha256: digest(b"pool: ok"), ..file() }).await.is_err());
    assert!(ask(target, HttpParts { method: "HEAD".to_owned(), ..file() }).await.is_ok());
    for (path, status) in [("/none", 404), ("/busy", 503), ("/old", 301), ("/ring", 302)] {
        let outcome = ask(target, get(path)).await;
        assert!(
            matches!(outcome, Err(Failure::Status { found, .. }) if found == status),
            "{path}: {outcome:?}"
        );
        let expect = vec![status.to_string().parse().expect("a status")];
        assert!(ask(target, HttpParts { expect, ..get(path) }).await.is_ok(), "{path}");
    }
}

#[tokio::test]
async fn of_a_gigabyte_no_more_is_read_than_the_bound() {
    let server = Nginx::start(&[(8080, "", "")], &[("large", "")]);
    let file = File::options().write(true).open(server.home().join("large")).expect("the file");
    file.set_len(GIGABYTE).expect("a sparse file");
    let parts = HttpParts { body_contains: Some("never".to_owned()), ..get("/large") };
    let read = parts.max_body;
    assert_eq!(ask(server.at(8080), parts).await, Err(Failure::Body { wanted: "never".to_owned(), read }));
    assert!(ask(server.at(8080), get("/large")).await.is_ok());
}

#[tokio::test]
async fn several_urls_are_asked_for_in_one_check() {
    let server = Nginx::start(&[(8080, "", "location /bad { return 500; }")], &[("a", "a"), ("b", "b")]);
    let urls = |paths: &[&str], max_failures| {
        let requests = paths.iter().map(|path| HttpRequest::get(*path).expect("a path")).collect();
        Kind::Urls(Urls::new(UrlsParts { requests, pick: Pick::All { max_failures } }).expect("urls"))
    };
    assert!(run(server.at(8080), urls(&["/a", "/b"], 0)).await.is_ok());
    assert!(run(server.at(8080), urls(&["/a", "/bad", "/b"], 1)).await.is_ok());
    let failure =
        run(server.at(8080), urls(&["/a", "/bad", "/b"], 0)).await.expect_err("one fails").to_string();
    assert_eq!(failure, "1 of 2 URLs failed, 0 may: /bad: HTTP status 500, expected 200-299");
}
