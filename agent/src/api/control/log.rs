//! What the control socket tells of the log, and takes for it.

use super::super::Context;
use super::super::messages::{Levels, Problem, ProblemKind};
use super::endpoint::{Answered, Endpoint, InBody, InQuery};
use super::examples;
use super::peer::Operator;
use crate::chronicle::{Chronicle, Line};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// The longest that a request waits for a line.
const LONGEST: Duration = Duration::from_secs(60);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/v1/events",
            "Show the latest lines of the log, or wait for the next: lvsctl events",
            events,
        ),
        Endpoint::get("/v1/log", "Say what is logged: lvsctl log-level", levels),
        Endpoint::post("/v1/log", "Change what is logged while lvsd runs: lvsctl log-level", set_levels)
            .example(examples::levels()),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// Only lines after the one with this id.
    #[serde(default)]
    #[schemars(example = 0)]
    after: u64,
    /// How long a line is waited for when there is none, in seconds; more than 60 is 60.
    #[serde(default)]
    #[schemars(example = 0)]
    wait: u64,
}

async fn events(
    State(context): State<Context>,
    InQuery(query): InQuery<EventsQuery>,
) -> Answered<Vec<Arc<Line>>> {
    let chronicle = &context.log.chronicle;
    let wait = Duration::from_secs(query.wait).min(LONGEST);
    let waiting = wait_after(chronicle, query.after);
    // None in time is an answer, too.
    drop(tokio::time::timeout(wait, waiting).await);
    Ok(Json(chronicle.after(query.after)))
}

async fn wait_after(chronicle: &Chronicle, id: u64) {
    let mut latest = chronicle.latest();
    // The sender lives as long as the chronicle.
    drop(latest.wait_for(|latest| *latest > id).await);
}

async fn levels(State(context): State<Context>) -> Answered<Levels> {
    Ok(Json(Levels { levels: Some(context.log.levels()) }))
}

async fn set_levels(operator: Operator, InBody(Levels { levels }): InBody<Levels>) -> Answered<Levels> {
    let log = &operator.context.log;
    let problem = |message| Problem { kind: ProblemKind::BadRequest, message };
    let levels = log.set_levels(levels.as_deref()).map_err(problem)?;
    tracing::info!(who = operator.who, levels, "the log's levels were changed");
    Ok(Json(Levels { levels: Some(levels) }))
}
