//! PyBal's pages, for scripts and alerts that were written for them: `/pools`, `/pools/NAME`, `/pools/NAME/HOST` and
//! `/alerts`, as text or, for who asks for it, as JSON.
//!
//! Such scripts take a 404 or a 5xx for "done". So neither is given in passing: who asks while the engine is busy, or before
//! a pool's source has spoken, waits; and who asks while lvsd stops hears nothing, as from a PyBal that stops.

use super::Context;
use crate::core::pybal::{Pool, Server, Which};
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long who asks for a server waits for its pool's source. Scripts give up earlier, and take that for an error.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked meanwhile.
const PAUSE: Duration = Duration::from_millis(200);

/// The pages.
pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/pools", get(pools))
        .route("/pools/", get(pools))
        .route("/pools/{name}", get(pool))
        .route("/pools/{name}/", get(pool))
        .route("/pools/{name}/{host}", get(server))
        .route("/alerts", get(alerts))
}

/// The pools that are asked for; nothing when there is no such name. Waits for ever once the engine has ended, which ends
/// with the process.
async fn asked(context: &Context, which: Which) -> Option<Vec<Pool>> {
    match context.inbox.pools(which).await {
        Ok(pools) => pools,
        Err(_gone) => std::future::pending().await,
    }
}

/// The pool of a name, once its servers are known, at the latest after [`PATIENCE`].
async fn known(context: &Context, name: &str) -> Option<Pool> {
    let begin = tokio::time::Instant::now();
    loop {
        let pool = asked(context, Which::Named(name.to_owned())).await?.pop()?;
        if !pool.is_waiting || begin.elapsed() >= PATIENCE {
            return Some(pool);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn pools(State(context): State<Context>, headers: HeaderMap) -> Response {
    let pools = asked(&context, Which::All).await.unwrap_or_default();
    let names: Vec<&str> = pools.iter().map(|pool| &*pool.name).collect();
    match wants_json(&headers) {
        true => as_json(StatusCode::OK, &json!(names)),
        false => as_text(StatusCode::OK, names.iter().map(|name| format!("{name}\n")).collect()),
    }
}

async fn pool(
    State(context): State<Context>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let Ok(Path(name)) = path else { return missing(&headers) };
    let Some(pool) = known(&context, &name).await else { return missing(&headers) };
    if wants_json(&headers) {
        let servers: Map<String, Value> =
            pool.servers.iter().map(|(host, server)| (host.to_string(), dump(server))).collect();
        return as_json(StatusCode::OK, &Value::Object(servers));
    }
    let line = |(host, server)| format!("{host}:\t{}\n", words(server));
    as_text(StatusCode::OK, pool.servers.iter().map(line).collect())
}

async fn server(
    State(context): State<Context>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let Ok(Path((name, host))) = path else { return missing(&headers) };
    let pool = known(&context, &name).await;
    let host = crate::core::operator::canonical(&host);
    match pool.as_ref().and_then(|pool| pool.servers.get(host.as_str())) {
        None => missing(&headers),
        Some(server) if wants_json(&headers) => as_json(StatusCode::OK, &dump(server)),
        Some(server) => as_text(StatusCode::OK, words(server) + "\n"),
    }
}

async fn alerts(State(context): State<Context>, headers: HeaderMap) -> Response {
    let pools = asked(&context, Which::All).await.unwrap_or_default();
    let (status, message) = judged(&pools);
    match wants_json(&headers) {
        true => as_json(StatusCode::OK, &json!({ "status": status, "msg": message })),
        false => as_text(StatusCode::OK, format!("{} - {message}", status.to_uppercase())),
    }
}

/// How the pools are together, in PyBal's three words, and why.
fn judged(pools: &[Pool]) -> (&'static str, String) {
    let held = |pool: &Pool| {
        let hosts: Vec<&str> = pool.held().map(|host| &**host).collect();
        let said = || format!("{}: Servers {} are marked down but pooled", pool.name, hosts.join(", "));
        (!hosts.is_empty()).then(said)
    };
    let critical: Vec<String> = pools.iter().filter_map(held).collect();
    if !critical.is_empty() {
        return ("critical", critical.join("; "));
    }
    let small = |pool: &Pool| {
        pool.is_too_small().then(|| format!("Pool {} is too small to allow depooling. ", pool.name))
    };
    let warnings: String = pools.iter().filter_map(small).collect();
    match warnings.is_empty() {
        true => ("ok", "All pools are healthy".to_owned()),
        false => ("warning", warnings),
    }
}

fn dump(server: &Server) -> Value {
    json!({ "enabled": server.is_enabled, "up": server.is_up, "pooled": server.is_pooled, "weight": server.weight })
}

/// `enabled/up/pooled`.
fn words(server: &Server) -> String {
    let enabled = if server.is_enabled { "enabled" } else { "disabled" };
    let up = match (server.is_up, server.is_partially_up) {
        (true, _) => "up",
        (false, true) => "partially up",
        (false, false) => "down",
    };
    let pooled = if server.is_pooled { "pooled" } else { "not pooled" };
    format!("{enabled}/{up}/{pooled}")
}

/// Whether JSON is among what is accepted.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|value| value.split(','));
    ranges.any(|range| range.split(';').next().is_some_and(|kind| kind.trim() == "application/json"))
}

fn missing(headers: &HeaderMap) -> Response {
    const WHAT: &str = "there is no such pool or server";
    match wants_json(headers) {
        true => as_json(StatusCode::NOT_FOUND, &json!({ "error": WHAT })),
        false => as_text(StatusCode::NOT_FOUND, WHAT.to_owned()),
    }
}

fn as_json(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn as_text(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Threshold;

    fn pool(name: &str, share: f64, servers: &[(&str, bool)]) -> Pool {
        let server = |(host, is_held): &(&str, bool)| {
            (
                std::sync::Arc::from(*host),
                Server { is_enabled: true, is_held: *is_held, is_up: !is_held, ..Server::default() },
            )
        };
        Pool {
            name: name.into(),
            threshold: Threshold::from_share(share).expect("a share"),
            is_waiting: false,
            could_not_depool: 0,
            servers: servers.iter().map(server).collect(),
        }
    }

    #[test]
    fn alerts_are_ok_warning_or_critical_as_in_pybal() {
        let good = pool("text_80", 0.5, &[("cp1", false), ("cp2", false)]);
        assert_eq!(judged(std::slice::from_ref(&good)), ("ok", "All pools are healthy".into()));
        let small = pool("small_80", 0.6, &[("a", false), ("b", false)]);
        let single = pool("single_80", 0.5, &[("a", false)]);
        assert_eq!(
            judged(&[good.clone(), small.clone(), single]),
            ("warning", "Pool small_80 is too small to allow depooling. ".into())
        );
        let (one, two) = (
            pool("a_80", 0.5, &[("cp1", true), ("cp2", true), ("cp3", false)]),
            pool("b_80", 0.5, &[("cp1", true)]),
        );
        assert_eq!(
            judged(&[one, small, two]),
            ("critical", "a_80: Servers cp1, cp2 are marked down but pooled; b_80: Servers cp1 are marked down but pooled".into())
        );
    }

    #[test]
    fn a_server_is_said_in_three_words() {
        let mut server = Server {
            is_enabled: true,
            is_up: true,
            is_partially_up: true,
            is_pooled: true,
            ..Server::default()
        };
        assert_eq!(words(&server), "enabled/up/pooled");
        server.is_up = false;
        assert_eq!(words(&server), "enabled/partially up/pooled");
        assert_eq!(words(&Server::default()), "disabled/down/not pooled");
    }

    #[test]
    fn json_is_for_those_who_accept_it() {
        let wants = |accept: &str| {
            wants_json(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().expect("a header"))]))
        };
        assert!(wants("application/json") && wants("text/html, application/json;q=0.9"));
        assert!(!wants("*/*") && !wants("text/plain") && !wants_json(&HeaderMap::new()));
    }
}
