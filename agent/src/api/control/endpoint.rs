//! One operation of the control interface with all that is said of it: the router and the OpenAPI document
//! ([`super::openapi`]) are made of the same values, so that neither has what the other lacks.
//!
//! What an operation takes and answers is not said but read off its handler's type:
//!
//! ```text
//! async fn status(State<Context>, InQuery<StatusQuery>) -> Answered<Status>
//!                                 parameters               schema of the 200
//! ```

use super::super::Context;
use super::super::messages::{Problem, ProblemKind};
use super::peer::Operator;
use super::schemas::Schemas;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::routing::{MethodRouter, get, post};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::future::Future;

/// What a handler gives.
pub(super) type Answered<T> = Result<Json<T>, Problem>;

/// What is read of the query.
pub(super) struct InQuery<T>(pub(super) T);

/// What is read of the path: a structure with a field for each name in braces.
pub(super) struct InPath<T>(pub(super) T);

/// What is read of the body, which is JSON.
pub(super) struct InBody<T>(pub(super) T);

fn makes_no_sense(message: String) -> Problem {
    Problem { kind: ProblemKind::BadRequest, message }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::from_request_parts(parts, state).await;
        read.map(|Query(it)| Self(it)).map_err(|error: QueryRejection| makes_no_sense(error.body_text()))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::from_request_parts(parts, state).await;
        read.map(|Path(it)| Self(it)).map_err(|error: PathRejection| makes_no_sense(error.body_text()))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for InBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read = Json::from_request(request, state).await;
        read.map(|Json(it)| Self(it)).map_err(|error: JsonRejection| makes_no_sense(error.body_text()))
    }
}

/// Who may have something done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// Whoever may look.
    #[default]
    Read,
    /// Whoever may change things.
    Write,
}

/// What a handler's type says.
#[derive(Clone, Debug, Default)]
pub(super) struct Signature {
    /// Who may.
    pub(super) role: Role,
    /// OpenAPI's parameter objects.
    pub(super) parameters: Vec<Value>,
    /// The body's schema.
    pub(super) body: Option<Value>,
    /// The schema of what is answered.
    pub(super) answer: Value,
}

/// What a handler takes.
pub(super) trait Take {
    /// Adds it.
    fn describe(signature: &mut Signature, schemas: &mut Schemas);
}

impl Take for State<Context> {
    fn describe(_: &mut Signature, _: &mut Schemas) {}
}

impl Take for Operator {
    fn describe(signature: &mut Signature, _: &mut Schemas) {
        signature.role = Role::Write;
    }
}

impl<T: JsonSchema> Take for InQuery<T> {
    fn describe(signature: &mut Signature, schemas: &mut Schemas) {
        signature.parameters.extend(schemas.parameters::<T>("query"));
    }
}

impl<T: JsonSchema> Take for InPath<T> {
    fn describe(signature: &mut Signature, schemas: &mut Schemas) {
        signature.parameters.extend(schemas.parameters::<T>("path"));
    }
}

impl<T: JsonSchema> Take for InBody<T> {
    fn describe(signature: &mut Signature, schemas: &mut Schemas) {
        signature.body = Some(schemas.of_request::<T>());
    }
}

/// A handler whose type says what it takes and answers; `D` is that type, for the compiler to find.
pub(super) trait Describe<D> {
    /// What it says.
    fn describe(schemas: &mut Schemas) -> Signature;
}

impl<F, W, A, T> Describe<(A, T)> for F
where
    F: Fn(A) -> W,
    W: Future<Output = Answered<T>>,
    A: Take,
    T: JsonSchema,
{
    fn describe(schemas: &mut Schemas) -> Signature {
        let mut signature = Signature { answer: schemas.of_answer::<T>(), ..Signature::default() };
        A::describe(&mut signature, schemas);
        signature
    }
}

impl<F, W, A, B, T> Describe<(A, B, T)> for F
where
    F: Fn(A, B) -> W,
    W: Future<Output = Answered<T>>,
    A: Take,
    B: Take,
    T: JsonSchema,
{
    fn describe(schemas: &mut Schemas) -> Signature {
        let mut signature = Signature { answer: schemas.of_answer::<T>(), ..Signature::default() };
        A::describe(&mut signature, schemas);
        B::describe(&mut signature, schemas);
        signature
    }
}

/// An operation.
pub(super) struct Endpoint {
    /// `get` or `post`.
    pub(super) method: &'static str,
    /// Its path, with names in braces.
    pub(super) path: &'static str,
    /// What it is for, in an operator's words.
    pub(super) summary: &'static str,
    /// What it answers beside what any operation may.
    pub(super) problems: &'static [ProblemKind],
    /// A body that it takes.
    pub(super) example: Option<Value>,
    /// What its handler's type says.
    pub(super) signature: fn(&mut Schemas) -> Signature,
    pub(super) route: MethodRouter<Context>,
}

impl Endpoint {
    /// One that is asked by GET.
    pub(super) fn get<H, M, D>(path: &'static str, summary: &'static str, handler: H) -> Self
    where
        H: Handler<M, Context> + Describe<D>,
        M: 'static,
    {
        Self::new("get", path, summary, H::describe, get(handler))
    }

    /// One that is told by POST.
    pub(super) fn post<H, M, D>(path: &'static str, summary: &'static str, handler: H) -> Self
    where
        H: Handler<M, Context> + Describe<D>,
        M: 'static,
    {
        Self::new("post", path, summary, H::describe, post(handler))
    }

    fn new(
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        signature: fn(&mut Schemas) -> Signature,
        route: MethodRouter<Context>,
    ) -> Self {
        Self { method, path, summary, problems: &[], example: None, signature, route }
    }

    /// What it answers when it does not do what it is asked, beside what any operation may.
    pub(super) fn or(self, problems: &'static [ProblemKind]) -> Self {
        Self { problems, ..self }
    }

    /// A body that it takes.
    pub(super) fn example(self, body: impl Serialize) -> Self {
        Self { example: serde_json::to_value(body).ok(), ..self }
    }

    /// The largest body that it takes, in bytes.
    pub(super) fn up_to(self, bytes: usize) -> Self {
        Self { route: self.route.layer(DefaultBodyLimit::max(bytes)), ..self }
    }
}
