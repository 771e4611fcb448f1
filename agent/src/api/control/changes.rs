//! What the control socket takes that changes backends, sources and the kernel's table.

use super::super::messages::{
    ChangeRequest, ConfirmRequest, PoolRequest, Problem, ProblemKind, ResyncRequest, TakeOutRequest,
    WeightRequest,
};
use super::endpoint::{Answered, Endpoint, InBody};
use super::peer::Operator;
use super::{compared, examples, note};
use crate::core::action::Done;
use crate::core::event::{Command, TakenOut};
use crate::exec::ipvs::{Comparison, Repair};
use crate::reload::Reloaded;
use axum::Json;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const NO: &[ProblemKind] = &[ProblemKind::NotFound, ProblemKind::Refused];
    vec![
        Endpoint::post(
            "/v1/depool",
            "Give a backend no new connections, on this balancer: lvsctl depool",
            depool,
        )
        .or(NO)
        .example(examples::take_out()),
        Endpoint::post(
            "/v1/drain",
            "Let a backend's connections finish, on this balancer: lvsctl drain",
            drain,
        )
        .or(NO)
        .example(examples::take_out()),
        Endpoint::post(
            "/v1/inactive",
            "Take a backend out of its pools, on this balancer: lvsctl inactive",
            inactive,
        )
        .or(NO)
        .example(examples::take_out()),
        Endpoint::post("/v1/weight", "Set a backend's weight, on this balancer: lvsctl weight", weight)
            .or(NO)
            .example(examples::weight()),
        Endpoint::post("/v1/pool", "Put a backend back, on this balancer: lvsctl pool", pool)
            .or(NO)
            .example(examples::pool()),
        Endpoint::post(
            "/v1/change",
            "Change what etcd says of backends: lvsctl depool, pool, weight, …",
            change,
        )
        .or(NO)
        .example(examples::change()),
        Endpoint::post("/v1/confirm", "Obey a change of a source that is held back: lvsctl confirm", confirm)
            .or(NO)
            .example(examples::confirm()),
        Endpoint::post("/v1/resync", "Bring the kernel's table to what is wanted: lvsctl resync", resync)
            .or(&[ProblemKind::Kernel])
            .example(ResyncRequest { sort: true }),
        Endpoint::post("/v1/reload", "Read the configuration again: lvsctl reload", reload)
            .or(&[ProblemKind::BadConfiguration]),
    ]
}

async fn depool(operator: Operator, request: InBody<TakeOutRequest>) -> Answered<Done> {
    take_out(operator, request, TakenOut::Depooled).await
}

async fn drain(operator: Operator, request: InBody<TakeOutRequest>) -> Answered<Done> {
    take_out(operator, request, TakenOut::Drained).await
}

async fn inactive(operator: Operator, request: InBody<TakeOutRequest>) -> Answered<Done> {
    take_out(operator, request, TakenOut::Inactive).await
}

async fn take_out(
    operator: Operator,
    InBody(TakeOutRequest { host, reason, force, lasts }): InBody<TakeOutRequest>,
    to: TakenOut,
) -> Answered<Done> {
    operator.order(Command::TakeOut { host, to, note: note(reason, force, lasts) }).await
}

async fn weight(
    operator: Operator,
    InBody(WeightRequest { host, weight, reason, force, lasts }): InBody<WeightRequest>,
) -> Answered<Done> {
    operator.order(Command::Weigh { host, to: weight, note: note(reason, force, lasts) }).await
}

async fn pool(operator: Operator, InBody(PoolRequest { host }): InBody<PoolRequest>) -> Answered<Done> {
    operator.order(Command::Pool { host }).await
}

async fn change(
    operator: Operator,
    InBody(ChangeRequest { objects, to, reason, force, lasts }): InBody<ChangeRequest>,
) -> Answered<Done> {
    let note = note(reason, force, lasts);
    operator.order(Command::ChangeSource { objects, to, note }).await
}

async fn confirm(
    operator: Operator,
    InBody(ConfirmRequest { service }): InBody<ConfirmRequest>,
) -> Answered<Done> {
    operator.order(Command::Confirm { service }).await
}

async fn resync(
    Operator { who, context }: Operator,
    InBody(ResyncRequest { sort }): InBody<ResyncRequest>,
) -> Answered<Comparison> {
    tracing::info!(who, sort, "resync asked for");
    let repair = if sort { Repair::DifferencesAndOrder } else { Repair::Differences };
    compared(context.inbox.kernel(repair).await?)
}

async fn reload(Operator { context, .. }: Operator) -> Answered<Reloaded> {
    let reloaded = context.reloader.reload().await;
    let refused = |message| Problem { kind: ProblemKind::BadConfiguration, message };
    reloaded.map(Json).map_err(|error| refused(error.to_string()))
}
