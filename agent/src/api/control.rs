//! The control interface: HTTP and JSON. On the unix socket the peer's credentials decide: root and lvsd's own user may do
//! everything, anyone else who can open it may look. Over TLS ([`super::remote`]) certificates do.

mod announcements;
mod fleet;
mod log;
mod peer;

pub(in crate::api) use peer::Peer;

use self::peer::Operator;
use super::Context;
use super::messages::{
    ChangeRequest, ConfirmRequest, PoolRequest, Problem, ProblemKind, ResyncRequest, SimulateRequest,
    TakeOutRequest, WeightRequest,
};
use super::traffic::{Through, through};
use crate::config::{Config, Daemon};
use crate::core::action::{Answer, Refusal};
use crate::core::change::Selector;
use crate::core::event::{Command, Note, TakenOut};
use crate::core::view::Asked;
use crate::exec::ipvs::{Comparison, Repair};
use anyhow::{Context as _, bail};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bgp::Prefix;
use nix::unistd::{Gid, Group, chown};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

/// The largest configuration that a plan is made for, in bytes of JSON: 10,000 services with 10 backends each take 15 MB.
const MAX_PLAN: usize = 64 << 20;

impl Operator {
    /// Has the core do it.
    async fn order(self, command: Command) -> Result<Response, Problem> {
        let answer: Answer = self.context.inbox.operate(self.who, command).await?;
        Ok(Json(answer?).into_response())
    }
}

/// Opens the socket. One that is left over from a crash is replaced, one that another lvsd listens on is not.
///
/// # Errors
/// When it cannot be made, or another lvsd runs.
pub async fn listen(daemon: &Daemon) -> anyhow::Result<UnixListener> {
    let path = &daemon.control_socket;
    let said = || format!("the control socket {}", path.display());
    if UnixStream::connect(path).await.is_ok() {
        bail!("{} is in use: another lvsd is running", said());
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).with_context(said)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(said),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).with_context(said)?;
    if let Some(group) = &daemon.control_group {
        let gid = group_id(group).with_context(|| format!("lvsd.control_group {group:?}"))?;
        chown(path, None, Some(gid)).with_context(said)?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).with_context(said)?;
    Ok(listener)
}

fn group_id(name: &str) -> anyhow::Result<Gid> {
    Ok(Group::from_name(name)?.context("there is no such group: make it, or take the setting away")?.gid)
}

/// Answers on the socket until the listener fails or the future is dropped.
pub async fn serve(listener: UnixListener, context: Context) -> std::io::Result<()> {
    axum::serve(listener, router(context).into_make_service_with_connect_info::<Peer>()).await
}

/// All paths, for whom they are told of as a [`Peer`].
pub(super) fn router(context: Context) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/why/{host}", get(why))
        .route("/v1/nodes", get(nodes))
        .route("/v1/routes", get(node_routes))
        .route("/v1/depool", post(|who, what| take_out(who, what, TakenOut::Depooled)))
        .route("/v1/drain", post(|who, what| take_out(who, what, TakenOut::Drained)))
        .route("/v1/inactive", post(|who, what| take_out(who, what, TakenOut::Inactive)))
        .route("/v1/weight", post(weight))
        .route("/v1/pool", post(pool))
        .route("/v1/preview", post(preview))
        .route("/v1/change", post(change))
        .route("/v1/traffic", get(traffic))
        .route("/v1/diff", get(diff))
        .route("/v1/resync", post(resync))
        .route("/v1/simulate", post(simulate))
        .route("/v1/plan", post(plan).layer(DefaultBodyLimit::max(MAX_PLAN)))
        .route("/v1/confirm", post(confirm))
        .route("/v1/reload", post(reload))
        .merge(announcements::routes())
        .merge(fleet::routes())
        .merge(log::routes())
        .layer(axum::middleware::from_fn_with_state(context.clone(), peer::readers_only))
        .with_state(context)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = match self.kind {
            ProblemKind::BadRequest => StatusCode::BAD_REQUEST,
            ProblemKind::NotFound => StatusCode::NOT_FOUND,
            ProblemKind::Refused => StatusCode::CONFLICT,
            ProblemKind::Denied => StatusCode::FORBIDDEN,
            ProblemKind::BadConfiguration => StatusCode::UNPROCESSABLE_ENTITY,
            ProblemKind::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            ProblemKind::Kernel => StatusCode::BAD_GATEWAY,
        };
        (status, Json(self)).into_response()
    }
}

impl From<crate::engine::Gone> for Problem {
    fn from(gone: crate::engine::Gone) -> Self {
        Self { kind: ProblemKind::Stopping, message: gone.to_string() }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::UnknownHost { .. } | Refusal::UnknownService { .. } | Refusal::UnknownVip { .. } => {
                ProblemKind::NotFound
            }
            Refusal::BelowThreshold { .. }
            | Refusal::NothingServes { .. }
            | Refusal::NotOurs { .. }
            | Refusal::NotWritten { .. }
            | Refusal::Nothing { .. } => ProblemKind::Refused,
        };
        Self { kind, message: refusal.to_string() }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self { kind: ProblemKind::BadRequest, message: rejection.body_text() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusQuery {
    service: Option<String>,
    #[serde(default)]
    brief: bool,
}

async fn status(
    State(context): State<Context>,
    Query(query): Query<StatusQuery>,
) -> Result<Response, Problem> {
    let status = context.status(Asked { service: query.service, brief: query.brief }).await?;
    let status = status.map_err(|message| Problem { kind: ProblemKind::NotFound, message })?;
    Ok(Json(status).into_response())
}

async fn why(State(context): State<Context>, Path(host): Path<String>) -> Result<Response, Problem> {
    Ok(Json(context.why(host).await??).into_response())
}

/// What is asked of the nodes when there are none.
fn no_nodes<T>(answer: Option<T>) -> Result<Json<T>, Problem> {
    let message = "lvsd talks to no cluster's nodes: its configuration has no [nodes]";
    answer.map(Json).ok_or_else(|| Problem { kind: ProblemKind::NotFound, message: message.into() })
}

async fn nodes(State(context): State<Context>) -> Result<Response, Problem> {
    Ok(no_nodes(context.nodes().await?)?.into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoutesQuery {
    prefix: Option<Prefix>,
}

async fn node_routes(
    State(context): State<Context>,
    Query(query): Query<RoutesQuery>,
) -> Result<Response, Problem> {
    Ok(no_nodes(context.inbox.node_routes(query.prefix).await?)?.into_response())
}

type Body<T> = Result<Json<T>, JsonRejection>;

/// What a change is noted with.
fn note(reason: Option<String>, force: bool, lasts: Option<u64>) -> Note {
    Note { reason, force, lasts: lasts.map(Duration::from_secs) }
}

async fn take_out(
    operator: Operator,
    request: Body<TakeOutRequest>,
    to: TakenOut,
) -> Result<Response, Problem> {
    let Json(TakeOutRequest { host, reason, force, lasts }) = request?;
    operator.order(Command::TakeOut { host, to, note: note(reason, force, lasts) }).await
}

async fn weight(operator: Operator, request: Body<WeightRequest>) -> Result<Response, Problem> {
    let Json(WeightRequest { host, weight, reason, force, lasts }) = request?;
    operator.order(Command::Weigh { host, to: weight, note: note(reason, force, lasts) }).await
}

async fn pool(operator: Operator, request: Body<PoolRequest>) -> Result<Response, Problem> {
    let Json(PoolRequest { host }) = request?;
    operator.order(Command::Pool { host }).await
}

async fn preview(State(context): State<Context>, request: Body<Selector>) -> Result<Response, Problem> {
    Ok(Json(context.inbox.preview(request?.0).await??).into_response())
}

async fn change(operator: Operator, request: Body<ChangeRequest>) -> Result<Response, Problem> {
    let Json(ChangeRequest { objects, to, reason, force, lasts }) = request?;
    let note = note(reason, force, lasts);
    operator.order(Command::ChangeSource { objects, to, note }).await
}

async fn confirm(operator: Operator, request: Body<ConfirmRequest>) -> Result<Response, Problem> {
    let Json(ConfirmRequest { service }) = request?;
    operator.order(Command::Confirm { service }).await
}

async fn traffic(State(context): State<Context>) -> Result<Response, Problem> {
    let numbers = context.numbers().await?;
    Ok(Json(through(&numbers).collect::<BTreeMap<&str, Through>>()).into_response())
}

async fn diff(State(context): State<Context>) -> Result<Response, Problem> {
    compared(context.inbox.kernel(Repair::No).await?)
}

async fn resync(
    Operator { who, context }: Operator,
    request: Body<ResyncRequest>,
) -> Result<Response, Problem> {
    let Json(ResyncRequest { sort }) = request?;
    tracing::info!(who, sort, "resync asked for");
    let repair = if sort { Repair::DifferencesAndOrder } else { Repair::Differences };
    compared(context.inbox.kernel(repair).await?)
}

fn compared(comparison: Result<Comparison, String>) -> Result<Response, Problem> {
    match comparison {
        Ok(comparison) => Ok(Json(comparison).into_response()),
        Err(message) => Err(Problem { kind: ProblemKind::Kernel, message }),
    }
}

async fn simulate(
    State(context): State<Context>,
    request: Body<SimulateRequest>,
) -> Result<Response, Problem> {
    Ok(Json(context.inbox.simulate(request?.0.down).await?).into_response())
}

async fn plan(State(context): State<Context>, request: Body<Config>) -> Result<Response, Problem> {
    Ok(Json(context.inbox.plan(Arc::new(request?.0)).await?).into_response())
}

async fn reload(Operator { context, .. }: Operator) -> Result<Response, Problem> {
    match context.reloader.reload().await {
        Ok(reloaded) => Ok(Json(reloaded).into_response()),
        Err(refused) => Err(Problem { kind: ProblemKind::BadConfiguration, message: refused.to_string() }),
    }
}
