//! What the control socket takes and tells of announcements: VIPs, the balancer as a whole, BGP.

use super::super::Context;
use super::super::messages::{DrainRequest, Problem, VipRequest, WantedOfVip};
use super::{Body, Operator, note};
use crate::core::event::Command;
use crate::core::saved::VipWord;
use axum::Json;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;

/// The paths.
pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/v1/vip", post(vip))
        .route("/v1/balancer/drain", post(drain))
        .route("/v1/balancer/undrain", post(undrain))
        .route("/v1/bgp", get(neighbors))
        .route("/v1/bgp/rib/out", get(rib_out))
        .route("/v1/bgp/rib/in", get(rib_in))
}

async fn vip(operator: Operator, request: Body<VipRequest>) -> Result<Response, Problem> {
    let Json(VipRequest { vip, to, reason, force, lasts }) = request?;
    let to = to.map(|to| match to {
        WantedOfVip::Withdrawn => VipWord::Withdrawn,
        WantedOfVip::Announced => VipWord::Announced,
    });
    operator.order(Command::Vip { vip, to, note: note(reason, force, lasts) }).await
}

async fn drain(operator: Operator, request: Body<DrainRequest>) -> Result<Response, Problem> {
    let Json(DrainRequest { reason, lasts }) = request?;
    operator.order(Command::DrainBalancer { note: note(reason, false, lasts) }).await
}

async fn undrain(operator: Operator) -> Result<Response, Problem> {
    operator.order(Command::UndrainBalancer).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerQuery {
    peer: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrefixQuery {
    prefix: Option<String>,
}

async fn neighbors(
    State(context): State<Context>,
    Query(query): Query<PeerQuery>,
) -> Result<Response, Problem> {
    Ok(Json(context.neighbors(query.peer.as_deref())?).into_response())
}

async fn rib_out(
    State(context): State<Context>,
    Query(query): Query<PrefixQuery>,
) -> Result<Response, Problem> {
    Ok(Json(context.rib_out(query.prefix.as_deref()).await?).into_response())
}

async fn rib_in(
    State(context): State<Context>,
    Query(query): Query<PrefixQuery>,
) -> Result<Response, Problem> {
    Ok(Json(context.rib_in(query.prefix.as_deref())?).into_response())
}
