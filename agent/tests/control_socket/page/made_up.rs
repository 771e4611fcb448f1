//! An lvsd that says what a test wants: the page's own files, and events as lvsd serves them.

use super::views;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::sse::{Event, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream::{StreamExt, iter, unfold};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

/// As the page of lvsd has it, so that the test meets what it forbids.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) type Parts = BTreeMap<String, Value>;

pub(crate) struct MadeUp {
    pub(crate) home: String,
    says: Arc<Says>,
    _tasks: JoinSet<()>,
}

struct Says {
    parts: Parts,
    events: broadcast::Sender<(&'static str, Value)>,
    is_silent: AtomicBool,
}

impl MadeUp {
    pub(crate) async fn start() -> Self {
        let events = broadcast::channel(64).0;
        let says = Arc::new(Says { parts: views::parts(), events, is_silent: AtomicBool::new(false) });
        let router = Router::new()
            .route("/", get(index))
            .route("/page/{file}", get(file))
            .route("/live", get(live))
            .route("/live/why/{host}", get(async |Path(host): Path<String>| Json(views::why(&host))))
            .with_state(Arc::clone(&says));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let home = format!("http://{}/", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        tasks.spawn(flow(Arc::clone(&says)));
        Self { home, says, _tasks: tasks }
    }

    /// Tells what changed.
    pub(crate) fn tell(&self, set: Parts, gone: &[&str]) {
        self.says.events.send(("some", json!({"set": set, "gone": gone}))).unwrap();
    }

    /// Answers nobody, as a process that is stopped; who was connected hears nothing more, whatever comes.
    pub(crate) fn is_silent(&self, is_silent: bool) {
        self.says.is_silent.store(is_silent, Ordering::Relaxed);
    }
}

/// What goes through the services changes all the time.
async fn flow(says: Arc<Says>) {
    for second in 0.. {
        // Nobody may be there to hear it.
        drop(says.events.send(("some", json!({"set": views::traffic(second), "gone": []}))));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn live(State(says): State<Arc<Says>>) -> Response {
    says.silence().await;
    let event = |(name, what): (&str, Value)| {
        Ok::<_, Infallible>(Event::default().event(name).data(what.to_string()))
    };
    let (all, lines) = (json!(says.parts), json!(views::lines()));
    let events = says.events.subscribe();
    let news = unfold((says, events), async |(says, mut events)| {
        let news = events.recv().await.ok()?;
        says.silence().await;
        Some((news, (says, events)))
    });
    Sse::new(iter([("all", all), ("lines", lines)]).chain(news).map(event)).into_response()
}

impl Says {
    /// Never ends while nothing is to be said.
    async fn silence(&self) {
        if self.is_silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

fn of_the_page(name: &str) -> String {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/api/page");
    std::fs::read_to_string(directory.join(name)).unwrap()
}

async fn index() -> Response {
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(of_the_page("index.html"))).into_response()
}

async fn file(Path(name): Path<String>) -> Response {
    let kind = match name.rsplit_once('.') {
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "text/css; charset=utf-8",
    };
    ([(header::CONTENT_TYPE, kind)], of_the_page(&name)).into_response()
}
