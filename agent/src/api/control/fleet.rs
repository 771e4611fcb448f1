//! What the control socket tells of the other balancers.

use super::super::Context;
use super::super::messages::{Problem, ProblemKind};
use crate::exec::fleet::Handle;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use std::time::Duration;

/// The longest that a request waits for others.
const LONGEST: Duration = Duration::from_secs(300);

/// The paths.
pub(super) fn routes() -> Router<Context> {
    Router::new().route("/v1/fleet", get(members)).route("/v1/fleet/confirm", get(confirm))
}

fn fleet(context: &Context) -> Result<&Handle, Problem> {
    let message = "lvsd knows of no other balancers: its configuration has no [fleet]";
    let problem = || Problem { kind: ProblemKind::NotFound, message: message.into() };
    context.fleet.as_deref().ok_or_else(problem)
}

/// etcd is away, which is said as the kernel's refusals are.
fn away(message: String) -> Problem {
    Problem { kind: ProblemKind::Kernel, message: format!("etcd cannot be asked about the fleet: {message}") }
}

async fn members(State(context): State<Context>) -> Result<Response, Problem> {
    Ok(Json(fleet(&context)?.members().await.map_err(away)?).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmQuery {
    source: String,
    revision: u64,
    /// How long it is waited for, in seconds.
    wait: u64,
}

async fn confirm(
    State(context): State<Context>,
    Query(query): Query<ConfirmQuery>,
) -> Result<Response, Problem> {
    let longest = Duration::from_secs(query.wait).min(LONGEST);
    let confirmation = fleet(&context)?.confirm(&query.source, query.revision, longest).await;
    Ok(Json(confirmation.map_err(away)?).into_response())
}
