//! An API server of our own for what a real one does when it pleases: a watch that is too old, pages that break, objects of
//! versions to come.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast;

pub(crate) struct Fake {
    port: u16,
    state: Arc<Mutex<Content>>,
    expired: broadcast::Sender<()>,
    folder: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Content {
    nodes: Vec<Value>,
    services: Vec<Value>,
    version: u64,
    lists: usize,
    breaks_pages: bool,
}

type Shared = (Arc<Mutex<Content>>, broadcast::Sender<()>);

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(Content { version: 1, ..Content::default() }));
        let (expired, _) = broadcast::channel(16);
        let app = Router::new()
            .route("/api/v1/nodes", get(|shared, query| answer("nodes", shared, query)))
            .route("/api/v1/services", get(|shared, query| answer("services", shared, query)))
            .route(
                "/apis/discovery.k8s.io/v1/endpointslices",
                get(|shared, query| answer("endpointslices", shared, query)),
            )
            .with_state((Arc::clone(&state), expired.clone()));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { port, state, expired, folder: tempfile::tempdir().unwrap(), serving }
    }

    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": format!("http://127.0.0.1:{}", self.port)}}],
            "users": [{"name": "fake", "user": {}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}]
        })
        .to_string()
    }

    pub(crate) fn write_kubeconfig(&self) -> PathBuf {
        let file = self.folder.path().join("kubeconfig");
        std::fs::write(&file, self.kubeconfig()).unwrap();
        file
    }

    /// Has exactly these nodes, and says so to nobody who watches.
    pub(crate) fn nodes(&self, names: &[&str]) {
        let node = |name: &&str| {
            json!({
                "metadata": {"name": name, "labels": {"role": "ingress"}, "resourceVersion": "1"},
                "status": {"addresses": [{"type": "InternalIP", "address": format!("10.64.0.{}", &name[1..])}]}
            })
        };
        let mut state = self.state.lock().unwrap();
        state.nodes = names.iter().map(node).collect();
        state.version += 1;
    }

    pub(crate) fn services(&self, services: Value) {
        self.state.lock().unwrap().services = services.as_array().unwrap().clone();
    }

    /// Tells everybody who watches that they are too late.
    pub(crate) fn expire(&self) {
        let _ = self.expired.send(());
    }

    /// Whether a list has a second page, which cannot be had.
    pub(crate) fn break_pages(&self, breaks: bool) {
        self.state.lock().unwrap().breaks_pages = breaks;
    }

    pub(crate) fn lists(&self) -> usize {
        self.state.lock().unwrap().lists
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    resource: &'static str,
    State((state, expired)): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let mut state = state.lock().unwrap();
    if query.contains_key("watch") {
        let since: u64 = query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or_default();
        return watch(expired.subscribe(), since < state.version);
    }
    state.lists += 1;
    if query.contains_key("continue") {
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 500,
            "reason": "InternalError", "message": "etcd has lost its leader"});
        return (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(status)).into_response();
    }
    let items = match resource {
        "nodes" => state.nodes.clone(),
        "services" => state.services.clone(),
        _ => Vec::new(),
    };
    let mut metadata = json!({"resourceVersion": state.version.to_string()});
    if state.breaks_pages && resource == "nodes" {
        metadata["continue"] = json!("more");
    }
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items});
    axum::Json(list).into_response()
}

/// Says nothing until everybody is too late, or who asks is.
fn watch(mut expired: broadcast::Receiver<()>, is_late: bool) -> Response {
    let gone = async move {
        if !is_late {
            let _ = expired.recv().await;
        }
        let event = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "reason": "Expired", "code": 410, "message": "too old resource version: 1 (2)"}});
        Ok::<_, Infallible>(Bytes::from(format!("{event}\n")))
    };
    Body::from_stream(futures_util::stream::once(gone)).into_response()
}
