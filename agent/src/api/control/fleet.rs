//! What the control socket tells of the other balancers.

use super::super::Context;
use super::super::messages::{Problem, ProblemKind};
use super::endpoint::{Answered, Endpoint, InQuery};
use crate::exec::fleet::{Confirmation, Handle, Member};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// The longest that a request waits for others.
const LONGEST: Duration = Duration::from_secs(300);

pub(super) fn endpoints() -> Vec<Endpoint> {
    const NO: &[ProblemKind] = &[ProblemKind::NotFound, ProblemKind::Kernel];
    vec![
        Endpoint::get("/v1/fleet", "Show what all balancers see and do: lvsctl fleet", members).or(NO),
        Endpoint::get(
            "/v1/fleet/confirm",
            "Wait until all balancers obey a change of etcd, and say who does",
            confirm,
        )
        .or(NO),
    ]
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

async fn members(State(context): State<Context>) -> Answered<Vec<Member>> {
    Ok(Json(fleet(&context)?.members().await.map_err(away)?))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConfirmQuery {
    /// The source, by its name.
    #[schemars(example = &"conftool")]
    source: String,
    /// The revision that the change has in it, as the answer of `/v1/change` says.
    #[schemars(example = 1)]
    revision: u64,
    /// How long it is waited for, in seconds; more than 300 is 300.
    #[schemars(example = 0)]
    wait: u64,
}

async fn confirm(
    State(context): State<Context>,
    InQuery(ConfirmQuery { source, revision, wait }): InQuery<ConfirmQuery>,
) -> Answered<Confirmation> {
    let longest = Duration::from_secs(wait).min(LONGEST);
    let confirmation = fleet(&context)?.confirm(&source, revision, longest).await;
    Ok(Json(confirmation.map_err(away)?))
}
