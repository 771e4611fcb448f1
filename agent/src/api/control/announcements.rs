//! What the control socket takes and tells of announcements: VIPs, the balancer as a whole, BGP.

use super::super::Context;
use super::super::bgp::{BgpView, PathView, RibOutView};
use super::super::messages::{DrainRequest, ProblemKind, VipRequest, WantedOfVip};
use super::endpoint::{Answered, Endpoint, InBody, InQuery};
use super::peer::Operator;
use super::{examples, note};
use crate::core::action::Done;
use crate::core::event::Command;
use crate::core::saved::VipWord;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const NO: &[ProblemKind] = &[ProblemKind::NotFound, ProblemKind::Refused];
    const MISSING: &[ProblemKind] = &[ProblemKind::NotFound];
    vec![
        Endpoint::post("/v1/vip", "Withdraw or announce a VIP whatever its services say: lvsctl vip", vip)
            .or(NO)
            .example(examples::vip()),
        Endpoint::post(
            "/v1/balancer/drain",
            "Move all traffic to other balancers: lvsctl drain --balancer",
            drain,
        )
        .or(&[ProblemKind::Refused])
        .example(examples::balancer()),
        Endpoint::post("/v1/balancer/undrain", "Take traffic again: lvsctl undrain", undrain)
            .or(&[ProblemKind::Refused]),
        Endpoint::get("/v1/bgp", "Show routers and the sessions with them: lvsctl bgp", neighbors)
            .or(MISSING),
        Endpoint::get(
            "/v1/bgp/rib/out",
            "Show what each router is told, and why: lvsctl bgp rib out",
            rib_out,
        )
        .or(MISSING),
        Endpoint::get("/v1/bgp/rib/in", "Show what was taken of routers: lvsctl bgp rib in", rib_in)
            .or(MISSING),
    ]
}

async fn vip(
    operator: Operator,
    InBody(VipRequest { vip, to, reason, force, lasts }): InBody<VipRequest>,
) -> Answered<Done> {
    let to = to.map(|to| match to {
        WantedOfVip::Withdrawn => VipWord::Withdrawn,
        WantedOfVip::Announced => VipWord::Announced,
    });
    operator.order(Command::Vip { vip, to, note: note(reason, force, lasts) }).await
}

async fn drain(
    operator: Operator,
    InBody(DrainRequest { reason, lasts }): InBody<DrainRequest>,
) -> Answered<Done> {
    operator.order(Command::DrainBalancer { note: note(reason, false, lasts) }).await
}

async fn undrain(operator: Operator) -> Answered<Done> {
    operator.order(Command::UndrainBalancer).await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PeerQuery {
    /// Only the router of this name or address.
    #[schemars(example = &"r1")]
    peer: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PrefixQuery {
    /// Only this prefix, or that of an address.
    #[schemars(example = &"192.0.2.10")]
    prefix: Option<String>,
}

async fn neighbors(
    State(context): State<Context>,
    InQuery(PeerQuery { peer }): InQuery<PeerQuery>,
) -> Answered<BgpView> {
    Ok(Json(context.neighbors(peer.as_deref())?))
}

async fn rib_out(
    State(context): State<Context>,
    InQuery(PrefixQuery { prefix }): InQuery<PrefixQuery>,
) -> Answered<Vec<RibOutView>> {
    Ok(Json(context.rib_out(prefix.as_deref()).await?))
}

async fn rib_in(
    State(context): State<Context>,
    InQuery(PrefixQuery { prefix }): InQuery<PrefixQuery>,
) -> Answered<Vec<PathView>> {
    Ok(Json(context.rib_in(prefix.as_deref())?))
}
