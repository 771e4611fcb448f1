//! The page for people: its files are part of the program, and ask nobody but lvsd for anything.

use super::Context;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

/// The files, by name, with their types.
const FILES: [(&str, &str, &str); 8] = [
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("live.js", SCRIPT, include_str!("page/live.js")),
    ("main.js", SCRIPT, include_str!("page/main.js")),
    ("nodes.js", SCRIPT, include_str!("page/nodes.js")),
    ("others.js", SCRIPT, include_str!("page/others.js")),
    ("services.js", SCRIPT, include_str!("page/services.js")),
    ("style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
];

const SCRIPT: &str = "text/javascript; charset=utf-8";

const PAGE: &str = include_str!("page/index.html");

/// What there is, for those who do not ask for a page.
const LIST: &str = "\
lvsd
/         the page for people, in a browser
/metrics  for Prometheus
/healthz  200 while the daemon turns
/readyz   200 once routes have been set
/pools    pools and servers in PyBal's words
/alerts   what is wrong with them
";

/// Nothing from elsewhere, nobody's frame, no guessed type; a new lvsd's files are asked for again.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
];

/// The paths.
pub(super) fn routes() -> Router<Context> {
    Router::new().route("/", get(index)).route("/page/{file}", get(file))
}

async fn index(headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|types| types.contains("text/html")) {
        (HEADERS, Html(PAGE)).into_response()
    } else {
        LIST.into_response()
    }
}

async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, content)) => (HEADERS, [(header::CONTENT_TYPE, *kind)], *content).into_response(),
        None => (StatusCode::NOT_FOUND, "the page has no such file\n").into_response(),
    }
}
