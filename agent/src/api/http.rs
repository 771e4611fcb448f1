//! HTTP for monitoring, on localhost unless configured otherwise. It changes nothing.

use super::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::convert::Infallible;
use tokio::net::TcpListener;

/// Answers on the listener until it fails or the future is dropped.
pub async fn serve(listener: TcpListener, context: Context) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .merge(super::pybal::routes())
        .merge(super::page::routes())
        .merge(super::live::routes())
        .with_state(context);
    axum::serve(listener, router).await
}

/// The content type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn metrics(State(context): State<Context>) -> Response {
    match context.metrics().await {
        Ok(page) => {
            let pieces = futures_util::stream::iter(page.map(Ok::<_, Infallible>));
            ([(header::CONTENT_TYPE, TEXT_FORMAT)], Body::from_stream(pieces)).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}\n")).into_response(),
    }
}

async fn healthz(State(context): State<Context>) -> Response {
    match context.inbox.ready().await {
        Ok(_) => "ok\n".into_response(),
        Err(gone) => (StatusCode::SERVICE_UNAVAILABLE, format!("{gone}\n")).into_response(),
    }
}

async fn readyz(State(context): State<Context>) -> Response {
    match context.inbox.ready().await {
        Ok(true) => "ready\n".into_response(),
        Ok(false) => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: waiting for sources, checks or the kernel\n")
                .into_response()
        }
        Err(gone) => (StatusCode::SERVICE_UNAVAILABLE, format!("{gone}\n")).into_response(),
    }
}
