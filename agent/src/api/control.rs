//! The control interface: HTTP and JSON. On the unix socket the peer's credentials decide: root and lvsd's own user may do
//! everything, anyone else who can open it may look. Over TLS ([`super::remote`]) certificates do.
//!
//! ```text
//! looks, changes, trials,      ┌─▶ router
//! announcements, fleet, log ─▶ endpoints
//!                              └─▶ openapi
//! ```

mod announcements;
mod changes;
mod endpoint;
mod examples;
mod fleet;
mod log;
mod looks;
pub mod openapi;
mod peer;
mod schemas;
mod trials;

pub(in crate::api) use peer::Peer;

use self::endpoint::Endpoint;
use self::peer::Operator;
use super::Context;
use super::messages::{Problem, ProblemKind};
use crate::config::Daemon;
use crate::core::action::{Answer, Done, Refusal};
use crate::core::event::{Command, Note};
use crate::exec::ipvs::Comparison;
use anyhow::{Context as _, bail};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use nix::unistd::{Gid, Group, chown};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

impl Operator {
    /// Has the core do it.
    async fn order(self, command: Command) -> Result<Json<Done>, Problem> {
        let answer: Answer = self.context.inbox.operate(self.who, command).await?;
        Ok(Json(answer?))
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
    let router = endpoints().into_iter().fold(Router::new(), |router, it| router.route(it.path, it.route));
    router
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .layer(axum::middleware::from_fn_with_state(context.clone(), peer::readers_only))
        .with_state(context)
}

/// Everything that can be asked or told.
fn endpoints() -> Vec<Endpoint> {
    [
        looks::endpoints(),
        changes::endpoints(),
        trials::endpoints(),
        announcements::endpoints(),
        fleet::endpoints(),
        log::endpoints(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What is to be done about a request that no operation is for.
const ANOTHER_VERSION: &str =
    "it may be for another version of lvsd (GET /v1/openapi.json says what there is)";

async fn no_path(uri: Uri) -> Problem {
    let message = format!("there is no {}: {ANOTHER_VERSION}", uri.path());
    Problem { kind: ProblemKind::NotFound, message }
}

async fn no_method(method: Method, uri: Uri) -> (StatusCode, Json<Problem>) {
    let message = format!("{} does not take {method}: {ANOTHER_VERSION}", uri.path());
    (StatusCode::METHOD_NOT_ALLOWED, Json(Problem { kind: ProblemKind::BadRequest, message }))
}

impl ProblemKind {
    /// What HTTP says of it.
    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Refused => StatusCode::CONFLICT,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::BadConfiguration => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::Kernel => StatusCode::BAD_GATEWAY,
        }
    }

    /// When it is answered.
    fn about(self) -> &'static str {
        match self {
            Self::BadRequest => "the request makes no sense",
            Self::NotFound => {
                "there is no such host, service, VIP or peer, or lvsd is configured without what is asked"
            }
            Self::Refused => {
                "it must not be done: the depool threshold, or the truth is elsewhere; force may help"
            }
            Self::Denied => "whoever asks may not",
            Self::BadConfiguration => "the configuration has errors; the old one goes on",
            Self::Stopping => "lvsd is stopping",
            Self::Kernel => "the kernel, or etcd, did not do what was asked of it",
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.kind.status(), Json(self)).into_response()
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

/// What a change is noted with.
fn note(reason: Option<String>, force: bool, lasts: Option<u64>) -> Note {
    Note { reason, force, lasts: lasts.map(Duration::from_secs) }
}

fn compared(comparison: Result<Comparison, String>) -> Result<Json<Comparison>, Problem> {
    comparison.map(Json).map_err(|message| Problem { kind: ProblemKind::Kernel, message })
}
