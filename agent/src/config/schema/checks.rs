//! Checks and canaries.

use super::super::check;
use super::{any_of, array, by_type, duration, flag, integer, named, port, some, table, text, words};
use serde_json::{Value, json};

/// A canary asks the service's own port by a way of its own.
const NOT_OF_CANARIES: [&str; 3] = ["port", "path", "source"];

pub(super) fn check() -> Value {
    by_type(check::types().iter().map(|kind| one(kind.name, kind.keys, kind.needs_port())).collect())
}

pub(super) fn canary() -> Value {
    let kinds = check::types().iter().filter(|kind| kind.asks_as_clients_do());
    let one = |kind: &check::Type| {
        let keys = kind.keys.iter().copied().filter(|key| !NOT_OF_CANARIES.contains(key));
        one(kind.name, &keys.collect::<Vec<_>>(), false)
    };
    by_type(kinds.map(one).collect())
}

fn one(kind: &'static str, keys: &[&'static str], needs_port: bool) -> Value {
    let rows: &[&str] = match kind {
        "https" => &["https", "http", "check"],
        "grpc" => &["grpc", "https", "check"],
        "openapi" => &["openapi", "https", "check"],
        other => &[other, "check"],
    };
    let required: &[&str] = match (kind, needs_port) {
        ("command", _) => &["type", "command"],
        ("dns", _) => &["type", "name"],
        (_, true) => &["type", "port"],
        (_, false) => &["type"],
    };
    table(rows, keys, required, |key| own(kind, key).or_else(|| common(kind, key)))
}

/// What all checks have.
fn common(kind: &str, key: &str) -> Option<Value> {
    Some(match key {
        "type" => json!({"const": kind}),
        "port" => port(),
        "path" => words(&["direct", "vip", "ipvs"]),
        "source" => any_of([text(), some(text())]),
        "interval" | "fast_interval" | "timeout" => duration(),
        "fall" | "rise" => integer(1, 1000),
        _ => return None,
    })
}

fn own(kind: &str, key: &str) -> Option<Value> {
    Some(match (kind, key) {
        ("tcp" | "udp" | "agent", "send" | "expect" | "expect_regex") => text(),
        ("tcp", "max_read") => integer(1, 16_384),
        ("udp", "wait" | "hold") | ("idle", "max_delay") => duration(),
        ("agent", "unanswered") => words(&["keep", "fail"]),
        ("command", "command") => text(),
        ("command", "arguments") => array(text()),
        ("command", "uid" | "gid") => integer(1, u32::MAX - 1),
        ("dns", "name" | "record_type") => text(),
        ("dns", "rcodes") => some(text()),
        ("dns", "records") => any_of([words(&["any"]), some(text())]),
        ("dns", "transport") => words(&["udp", "tcp"]),
        ("dns", "recursion") | ("grpc" | "openapi", "tls") => flag(),
        ("grpc" | "node-port", "service") | ("openapi", "base") => text(),
        ("http" | "https", key) => return http(key).or_else(|| tls(key)),
        ("openapi", "url" | "host" | "version") | ("grpc", "host") => return http(key),
        ("grpc" | "openapi", key) => return tls(key),
        _ => return None,
    })
}

fn http(key: &str) -> Option<Value> {
    Some(match key {
        "url" | "method" | "host" | "body_contains" | "body_matches" | "body_sha256" => text(),
        "urls" => some(text()),
        "check_all" => flag(),
        "max_failures" => integer(0, 15),
        "headers" => named(text()),
        "expect" => some(any_of([integer(100, 599), text()])),
        "max_body" => integer(1, 16 * 1024 * 1024),
        "version" => words(&["1.1", "2"]),
        _ => return None,
    })
}

fn tls(key: &str) -> Option<Value> {
    Some(match key {
        "server_name" | "ca" | "client_certificate" | "client_key" => text(),
        "verify" => flag(),
        "min_version" => words(&["1.2", "1.3"]),
        _ => return None,
    })
}
