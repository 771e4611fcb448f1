//! Who is at the other end of a connection, and what they may do.

use super::super::Context;
use super::super::messages::{Problem, ProblemKind};
use super::super::remote::{Certified, Guests};
use crate::config::Remote;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use nix::unistd::{Uid, User};
use std::sync::Arc;
use tokio::net::UnixListener;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(in crate::api) enum Peer {
    /// A process of this host, with its user if the kernel tells.
    Local(Option<Uid>),
    /// Somebody whose certificate an authority of ours vouches for.
    Remote(Arc<Certified>),
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self::Local(stream.io().peer_cred().ok().map(|credentials| Uid::from_raw(credentials.uid())))
    }
}

impl Connected<IncomingStream<'_, Guests>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Guests>) -> Self {
        Self::Remote(Arc::clone(stream.remote_addr()))
    }
}

impl Peer {
    fn of(parts: &Parts) -> Self {
        parts.extensions.get::<ConnectInfo<Self>>().map_or(Self::Local(None), |info| info.0.clone())
    }

    /// Who it is, if they may change things.
    fn may_write(&self, remote: Option<&Remote>) -> Result<String, Problem> {
        match self {
            Self::Local(Some(uid)) if uid.is_root() || *uid == Uid::effective() => Ok(name_of(*uid)),
            Self::Local(who) => Err(denied(format!(
                "{} may look but not change anything; root may (try sudo)",
                who.map_or_else(|| "an unknown user".into(), name_of)
            ))),
            Self::Remote(who) => {
                let name = remote.and_then(|remote| remote.write.first_of(&who.names));
                name.map(|name| format!("{name} (TLS)")).ok_or_else(|| {
                    denied(format!(
                        "{who} may look but not change anything: no name of it is in remote.write"
                    ))
                })
            }
        }
    }

    /// Whether they may look. Who can open the unix socket may.
    fn may_read(&self, remote: Option<&Remote>) -> Result<(), Problem> {
        let Self::Remote(who) = self else { return Ok(()) };
        let is_in = |remote: &Remote| {
            [&remote.read, &remote.write].iter().any(|names| names.first_of(&who.names).is_some())
        };
        if remote.is_some_and(is_in) {
            return Ok(());
        }
        Err(denied(format!("{who} may not look: no name of it is in remote.read or remote.write")))
    }
}

fn denied(message: String) -> Problem {
    Problem { kind: ProblemKind::Denied, message }
}

fn name_of(uid: Uid) -> String {
    // Nearly every operator: no look-up, which can take long with a directory service, stands before what they ask.
    if uid.is_root() {
        return "root".into();
    }
    User::from_uid(uid).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name)
}

/// Somebody who may change things, as the connection vouches.
pub(super) struct Operator {
    pub(super) who: String,
    pub(super) context: Context,
}

impl FromRequestParts<Context> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Problem> {
        let running = context.reloader.running();
        let who = Peer::of(parts).may_write(running.remote.as_ref())?;
        Ok(Self { who, context: context.clone() })
    }
}

/// Refuses a request of somebody who may not even look.
pub(super) async fn readers_only(
    State(context): State<Context>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let running = context.reloader.running();
    Peer::of(&parts).may_read(running.remote.as_ref())?;
    Ok(next.run(Request::from_parts(parts, body)).await)
}
