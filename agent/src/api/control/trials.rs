//! What the control socket tells of things that are not done yet: what a change would be about, who would serve.

use super::super::Context;
use super::super::messages::{ProblemKind, SimulateRequest};
use super::endpoint::{Answered, Endpoint, InBody};
use super::examples;
use crate::config::Config;
use crate::core::change::{Preview, Selector};
use crate::core::plan::{Plan, Simulation};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The largest configuration that a plan is made for, in bytes of JSON: 10,000 services with 10 backends each take 15 MB.
const MAX_PLAN: usize = 64 << 20;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/v1/preview",
            "Find the hosts in pools of etcd that a change would be about",
            preview,
        )
        .or(&[ProblemKind::NotFound])
        .example(examples::selector()),
        Endpoint::post(
            "/v1/simulate",
            "Say who would serve if backends went down: lvsctl simulate",
            simulate,
        )
        .example(examples::simulate()),
        Endpoint::post("/v1/plan", "Say what a configuration would change: lvsctl plan", plan)
            .up_to(MAX_PLAN)
            .example(examples::configuration()),
    ]
}

async fn preview(State(context): State<Context>, InBody(selector): InBody<Selector>) -> Answered<Preview> {
    Ok(Json(context.inbox.preview(selector).await??))
}

async fn simulate(
    State(context): State<Context>,
    InBody(SimulateRequest { down }): InBody<SimulateRequest>,
) -> Answered<Simulation> {
    Ok(Json(context.inbox.simulate(down).await?))
}

/// A configuration as this version of lvsctl makes it of lvsd.toml. Its fields are not those of the file and change with the
/// version: let lvsctl plan make it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Configuration(#[schemars(with = "Map<String, Value>")] Config);

async fn plan(
    State(context): State<Context>,
    InBody(Configuration(config)): InBody<Configuration>,
) -> Answered<Plan> {
    Ok(Json(context.inbox.plan(Arc::new(config)).await?))
}
