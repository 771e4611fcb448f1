//! What the control socket tells of the log, and takes for it.

use super::super::Context;
use super::super::messages::{Levels, Problem, ProblemKind};
use super::{Body, Operator};
use crate::chronicle::{Chronicle, Line};
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// The longest that a request waits for a line.
const LONGEST: Duration = Duration::from_secs(60);

/// The paths.
pub(super) fn routes() -> Router<Context> {
    Router::new().route("/v1/events", get(events)).route("/v1/log", get(levels).post(set_levels))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// Only lines after the one with this id.
    #[serde(default)]
    after: u64,
    /// How long a line is waited for when there is none, in seconds.
    #[serde(default)]
    wait: u64,
}

async fn events(State(context): State<Context>, Query(query): Query<EventsQuery>) -> Json<Vec<Arc<Line>>> {
    let chronicle = &context.log.chronicle;
    let wait = Duration::from_secs(query.wait).min(LONGEST);
    let waiting = wait_after(chronicle, query.after);
    // None in time is an answer, too.
    drop(tokio::time::timeout(wait, waiting).await);
    Json(chronicle.after(query.after))
}

async fn wait_after(chronicle: &Chronicle, id: u64) {
    let mut latest = chronicle.latest();
    // The sender lives as long as the chronicle.
    drop(latest.wait_for(|latest| *latest > id).await);
}

async fn levels(State(context): State<Context>) -> Json<Levels> {
    Json(Levels { levels: Some(context.log.levels()) })
}

async fn set_levels(operator: Operator, request: Body<Levels>) -> Result<Json<Levels>, Problem> {
    let Json(Levels { levels }) = request?;
    let log = &operator.context.log;
    let problem = |message| Problem { kind: ProblemKind::BadRequest, message };
    let levels = log.set_levels(levels.as_deref()).map_err(problem)?;
    tracing::info!(who = operator.who, levels, "the log's levels were changed");
    Ok(Json(Levels { levels: Some(levels) }))
}
