//! What the control socket tells of this balancer.

use super::super::Context;
use super::super::messages::{Problem, ProblemKind};
use super::super::traffic::{Through, through};
use super::endpoint::{Answered, Endpoint, InPath, InQuery};
use super::{compared, openapi};
use crate::core::nodes::view::{NodesView, RouteView};
use crate::core::view::{Asked, Status, Why};
use crate::exec::ipvs::{Comparison, Repair};
use axum::Json;
use axum::extract::State;
use bgp::Prefix;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const MISSING: &[ProblemKind] = &[ProblemKind::NotFound];
    vec![
        Endpoint::get("/v1/status", "Show services, pools, VIPs, routers and sources: lvsctl status", status)
            .or(MISSING),
        Endpoint::get(
            "/v1/why/{host}",
            "Say why a backend is in or out, or a service is not served: lvsctl why",
            why,
        )
        .or(MISSING),
        Endpoint::get(
            "/v1/nodes",
            "Show the cluster's nodes and the sessions with them: lvsctl nodes",
            nodes,
        )
        .or(MISSING),
        Endpoint::get("/v1/routes", "Show the nodes' routes, taken or refused: lvsctl routes", routes)
            .or(MISSING),
        Endpoint::get("/v1/traffic", "Count what goes through each service that the kernel has", traffic),
        Endpoint::get("/v1/diff", "Compare the kernel's table with what is wanted: lvsctl diff", diff)
            .or(&[ProblemKind::Kernel]),
        Endpoint::get("/v1/openapi.json", "Describe the control interface: lvsd openapi", described),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StatusQuery {
    /// Only this service, and the VIPs that it is on.
    #[schemars(example = &"web")]
    service: Option<String>,
    /// Of more than 20 services, only the backends and VIPs that somebody should look at.
    #[serde(default)]
    #[schemars(example = true)]
    brief: bool,
}

async fn status(
    State(context): State<Context>,
    InQuery(StatusQuery { service, brief }): InQuery<StatusQuery>,
) -> Answered<Status> {
    let status = context.status(Asked { service, brief }).await?;
    status.map(Json).map_err(|message| Problem { kind: ProblemKind::NotFound, message })
}

#[derive(Debug, Deserialize, JsonSchema)]
struct HostPath {
    /// The backend's host name, or a service.
    #[schemars(example = &"rs1")]
    host: String,
}

async fn why(State(context): State<Context>, InPath(HostPath { host }): InPath<HostPath>) -> Answered<Why> {
    Ok(Json(context.why(host).await??))
}

/// What is asked of the nodes when there are none.
fn no_nodes<T>(answer: Option<T>) -> Answered<T> {
    let message = "lvsd talks to no cluster's nodes: its configuration has no [nodes]";
    answer.map(Json).ok_or_else(|| Problem { kind: ProblemKind::NotFound, message: message.into() })
}

async fn nodes(State(context): State<Context>) -> Answered<NodesView> {
    no_nodes(context.nodes().await?)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RoutesQuery {
    /// Only routes around and inside this prefix or address.
    #[schemars(example = &"10.67.0.0/16")]
    prefix: Option<Prefix>,
}

async fn routes(
    State(context): State<Context>,
    InQuery(RoutesQuery { prefix }): InQuery<RoutesQuery>,
) -> Answered<Vec<RouteView>> {
    no_nodes(context.inbox.node_routes(prefix).await?)
}

async fn traffic(State(context): State<Context>) -> Answered<BTreeMap<String, Through>> {
    let numbers = context.numbers().await?;
    Ok(Json(through(&numbers).map(|(name, through)| (name.to_owned(), through)).collect()))
}

async fn diff(State(context): State<Context>) -> Answered<Comparison> {
    compared(context.inbox.kernel(Repair::No).await?)
}

async fn described(_: State<Context>) -> Answered<Map<String, Value>> {
    Ok(Json(openapi::document()))
}
