//! An API server of our own, for what a real one does when it pleases (a watch that is too old, pages that break, somebody else who
//! is faster), and for objects of servers that are newer than the real one of these tests.
//!
//! It knows what lvsd uses: lists, watches with bookmarks and 410, PATCH of an object and of its status, POST of Events and
//! Leases, PUT with versions that must be the latest.

mod change;
mod store;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use store::{Failure, Patch, Place, Store, What, kind};
use tokio::sync::watch;
use tokio::time::Instant;

/// The namespace of what tests put into it.
const NAMESPACE: &str = "prod";

pub(crate) struct Fake {
    port: u16,
    state: Arc<Mutex<Content>>,
    news: watch::Sender<()>,
    folder: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
}

/// What is done, once, before an object is replaced.
type Before = Box<dyn FnOnce(&mut Store) + Send>;

#[derive(Default)]
struct Content {
    store: Store,
    lists: usize,
    /// The resource of each watch that was begun.
    watches: Vec<String>,
    breaks_pages: bool,
    /// Nobody's status is changed.
    refuses_patches: bool,
    before_replacing: Option<Before>,
    /// How often everybody who watches was told to be too late.
    expiries: u64,
    asked: Vec<Asked>,
}

/// What was asked and is no list, watch or look.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Whose token it came with.
    pub(crate) who: String,
    pub(crate) path: String,
    /// The body's media type.
    pub(crate) kind: String,
    pub(crate) body: Value,
    pub(crate) code: u16,
}

type Shared = (Arc<Mutex<Content>>, watch::Sender<()>);

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(Content::default()));
        let (news, _) = watch::channel(());
        let app = Router::new().fallback(answer).with_state((Arc::clone(&state), news.clone()));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { port, state, news, folder: tempfile::tempdir().unwrap(), serving }
    }

    pub(crate) fn kubeconfig(&self) -> String {
        self.kubeconfig_text("lvsd")
    }

    /// Its URL.
    pub(crate) fn server(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn kubeconfig_text(&self, who: &str) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.server()}}],
            "users": [{"name": "fake", "user": {"token": who}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}]
        })
        .to_string()
    }

    pub(crate) fn write_kubeconfig(&self) -> PathBuf {
        self.write_kubeconfig_of("lvsd")
    }

    /// A kubeconfig of somebody, who is in what [`Self::asked`] gives.
    pub(crate) fn write_kubeconfig_of(&self, who: &str) -> PathBuf {
        let file = self.folder.path().join(format!("{who}.kubeconfig"));
        std::fs::write(&file, self.kubeconfig_text(who)).unwrap();
        file
    }

    /// Has exactly these nodes, and says so to nobody who watches.
    pub(crate) fn nodes(&self, names: &[&str]) {
        let node = |name: &&str| {
            json!({
                "metadata": {"name": name, "labels": {"role": "ingress"}},
                "status": {"addresses": [{"type": "InternalIP", "address": format!("10.64.0.{}", &name[1..])}]}
            })
        };
        self.lock().store.put_silently("nodes", names.iter().map(node).collect());
    }

    /// Creates an object.
    pub(crate) fn create(&self, resource: &str, object: &Value) -> Value {
        let (_, namespace, _) = place(resource, "");
        self.with(|store| store.create(resource, &namespace, object.clone())).unwrap()
    }

    /// Changes an object by a merge patch; `NAME/status` is its status.
    pub(crate) fn change(&self, resource: &str, name: &str, change: &Value) -> Result<Value, Failure> {
        let (name, is_status) = match name.strip_suffix("/status") {
            Some(name) => (name, true),
            None => (name, false),
        };
        self.with(|store| store.patch(&place(resource, name), is_status, (Patch::Merge, change)))
    }

    pub(crate) fn delete(&self, resource: &str, name: &str) {
        self.with(|store| store.delete(&place(resource, name))).unwrap();
    }

    pub(crate) fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.lock().store.get(&place(resource, name)).cloned()
    }

    pub(crate) fn all(&self, resource: &str) -> Vec<Value> {
        self.lock().store.list(resource, None)
    }

    /// Has exactly these objects of a resource, and says so to nobody who watches.
    pub(crate) fn put_silently(&self, resource: &str, objects: Vec<Value>) {
        self.lock().store.put_silently(resource, objects);
    }

    /// Tells everybody who watches that they are too late.
    pub(crate) fn expire(&self) {
        self.lock().expiries += 1;
        self.news.send_replace(());
    }

    /// Tells those who want to know up to where they were told of everything.
    pub(crate) fn bookmark(&self) {
        self.with(Store::bookmark);
    }

    /// Nobody is told any more of what was until now: who asks for it is too late.
    pub(crate) fn forget(&self) {
        self.with(|store| store.forgotten = store.version);
    }

    /// Whether a list has a second page, which cannot be had.
    pub(crate) fn break_pages(&self, breaks: bool) {
        self.lock().breaks_pages = breaks;
    }

    /// Whether changes of a status are refused.
    pub(crate) fn refuse_patches(&self, refuses: bool) {
        self.lock().refuses_patches = refuses;
    }

    /// Somebody else changes an object right before it is replaced the next time.
    pub(crate) fn before_replacing(&self, resource: &str, name: &str, change: Value) {
        let place = place(resource, name);
        let change = move |store: &mut Store| {
            store.patch(&place, false, (Patch::Merge, &change)).unwrap();
        };
        self.lock().before_replacing = Some(Box::new(change));
    }

    /// Whether what [`Self::before_replacing`] asks for is done.
    pub(crate) fn is_replaced(&self) -> bool {
        self.lock().before_replacing.is_none()
    }

    pub(crate) fn lists(&self) -> usize {
        self.lock().lists
    }

    /// How often a resource was watched.
    pub(crate) fn watches(&self, resource: &str) -> usize {
        self.lock().watches.iter().filter(|watched| *watched == resource).count()
    }

    /// Who has asked for which change, in their order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    fn with<T>(&self, done: impl FnOnce(&mut Store) -> T) -> T {
        let outcome = done(&mut self.lock().store);
        self.news.send_replace(());
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.state.lock().unwrap()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Where what tests put into it is; leases are lvsd's own.
fn place(resource: &str, name: &str) -> Place {
    let namespace = match resource {
        "nodes" => "",
        "leases" => "lvsd",
        _ => NAMESPACE,
    };
    (resource.to_owned(), namespace.to_owned(), name.to_owned())
}

/// What a path is about: the resource, the namespace, the name, and whether it is its status.
struct Target {
    resource: String,
    namespace: Option<String>,
    name: Option<String>,
    is_status: bool,
}

impl Target {
    fn read(path: &str) -> Option<Self> {
        let words: Vec<&str> = path.trim_matches('/').split('/').collect();
        let words = match words.as_slice() {
            ["api", "v1", rest @ ..] | ["apis", _, "v1", rest @ ..] => rest,
            _ => return None,
        };
        let (namespace, words) = match words {
            ["namespaces", namespace, rest @ ..] => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        let (resource, name, is_status) = match words {
            [resource] => (resource, None, false),
            [resource, name] => (resource, Some((*name).to_owned()), false),
            [resource, name, "status"] => (resource, Some((*name).to_owned()), true),
            _ => return None,
        };
        kind(resource)?;
        Some(Self { resource: (*resource).to_owned(), namespace, name, is_status })
    }

    fn place(&self) -> Option<Place> {
        let namespace = self.namespace.clone().unwrap_or_default();
        Some((self.resource.clone(), namespace, self.name.clone()?))
    }
}

async fn answer(
    State((state, news)): State<Shared>,
    method: Method,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(target) = Target::read(uri.path()) else {
        return failed(&Failure::new(404, "NotFound", "the server could not find the requested resource"));
    };
    if query.contains_key("watch") {
        return watch(Arc::clone(&state), news.subscribe(), &target, &query);
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut content = state.lock().unwrap();
    if method == Method::GET && target.name.is_none() {
        return list(&mut content, &target, &query);
    }
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let outcome = act(&mut content, &method, &target, (text("content-type"), &body));
    if method != Method::GET {
        content.asked.push(Asked {
            who: text("authorization").trim_start_matches("Bearer ").to_owned(),
            code: outcome.as_ref().map_or_else(|failure| failure.code, |_| 200),
            path: uri.path().to_owned(),
            kind: text("content-type").to_owned(),
            body,
        });
    }
    news.send_replace(());
    match outcome {
        Ok(object) => axum::Json(object).into_response(),
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &Failure) -> Response {
    (StatusCode::from_u16(failure.code).unwrap(), axum::Json(failure.status())).into_response()
}

/// Looks at one object, or changes it.
fn act(
    content: &mut Content,
    method: &Method,
    target: &Target,
    (kind, body): (&str, &Value),
) -> Result<Value, Failure> {
    let unknown = || Failure::new(405, "MethodNotAllowed", format!("{method} is not supported here"));
    match (method.as_str(), target.place()) {
        ("GET", Some(place)) => {
            let missing = || Failure::new(404, "NotFound", format!("{} {:?} not found", place.0, place.2));
            content.store.get(&place).cloned().ok_or_else(missing)
        }
        ("POST", None) => {
            let namespace = target.namespace.as_deref().unwrap_or_default();
            content.store.create(&target.resource, namespace, body.clone())
        }
        ("PUT", Some(place)) => {
            if let Some(before) = content.before_replacing.take() {
                before(&mut content.store);
            }
            content.store.replace(&place, body.clone())
        }
        ("PATCH", Some(_)) if content.refuses_patches => {
            Err(Failure::new(500, "InternalError", "etcdserver: request timed out"))
        }
        ("PATCH", Some(place)) => {
            let how = match kind {
                "application/strategic-merge-patch+json" => Patch::Strategic,
                "application/merge-patch+json" => Patch::Merge,
                other => return Err(Failure::new(415, "UnsupportedMediaType", other)),
            };
            content.store.patch(&place, target.is_status, (how, body))
        }
        _ => Err(unknown()),
    }
}

fn list(content: &mut Content, target: &Target, query: &HashMap<String, String>) -> Response {
    content.lists += 1;
    if query.contains_key("continue") {
        return failed(&Failure::new(500, "InternalError", "etcd has lost its leader"));
    }
    let mut metadata = json!({"resourceVersion": content.store.version.to_string()});
    if content.breaks_pages && target.resource == "nodes" {
        metadata["continue"] = json!("more");
    }
    let (kind, version) = kind(&target.resource).unwrap();
    let mut items = content.store.list(&target.resource, target.namespace.as_deref());
    // What kind they are is said once, of the list.
    for item in &mut items {
        let item = item.as_object_mut().unwrap();
        item.retain(|key, _| !matches!(key.as_str(), "kind" | "apiVersion"));
    }
    let list =
        json!({"kind": format!("{kind}List"), "apiVersion": version, "metadata": metadata, "items": items});
    axum::Json(list).into_response()
}

/// Somebody who watches.
struct Watching {
    state: Arc<Mutex<Content>>,
    news: watch::Receiver<()>,
    resource: String,
    namespace: Option<String>,
    wants_bookmarks: bool,
    is_late: bool,
    expiries: u64,
    /// The next entry of the log.
    next: usize,
    until: Instant,
    has_ended: bool,
}

fn watch(
    state: Arc<Mutex<Content>>,
    news: watch::Receiver<()>,
    target: &Target,
    query: &HashMap<String, String>,
) -> Response {
    let since: u64 = query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or_default();
    let seconds = query.get("timeoutSeconds").and_then(|text| text.parse().ok()).unwrap_or(300);
    let watching = {
        let mut content = state.lock().unwrap();
        content.watches.push(target.resource.clone());
        Watching {
            news,
            resource: target.resource.clone(),
            namespace: target.namespace.clone(),
            wants_bookmarks: query.get("allowWatchBookmarks").is_some_and(|wants| wants == "true"),
            is_late: since < content.store.forgotten,
            expiries: content.expiries,
            next: content.store.log.partition_point(|logged| logged.version <= since),
            until: Instant::now() + Duration::from_secs(seconds),
            has_ended: false,
            state: Arc::clone(&state),
        }
    };
    Body::from_stream(futures_util::stream::unfold(watching, Watching::line)).into_response()
}

impl Watching {
    /// What is said next.
    async fn line(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        while !self.has_ended {
            self.news.mark_unchanged();
            if let Some(event) = self.event() {
                return Some((Ok(Bytes::from(format!("{event}\n"))), self));
            }
            let news = tokio::time::timeout_at(self.until, self.news.changed()).await;
            self.has_ended = !matches!(news, Ok(Ok(())));
        }
        None
    }

    fn event(&mut self) -> Option<Value> {
        let content = self.state.lock().unwrap();
        if self.is_late || self.expiries != content.expiries {
            self.has_ended = true;
            let status = Failure::new(410, "Expired", "too old resource version: 1 (2)").status();
            return Some(json!({"type": "ERROR", "object": status}));
        }
        while let Some(logged) = content.store.log.get(self.next) {
            self.next += 1;
            match &logged.what {
                What::Event((resource, namespace, _), event, object)
                    if *resource == self.resource
                        && self.namespace.as_ref().is_none_or(|only| only == namespace) =>
                {
                    let mut object = object.clone();
                    let (kind, version) = kind(resource)?;
                    object["kind"] = json!(kind);
                    object["apiVersion"] = json!(version);
                    return Some(json!({"type": event, "object": object}));
                }
                What::Bookmark if self.wants_bookmarks => {
                    let (kind, version) = kind(&self.resource)?;
                    let metadata =
                        json!({"resourceVersion": logged.version.to_string(), "creationTimestamp": null});
                    return Some(json!({"type": "BOOKMARK",
                        "object": {"kind": kind, "apiVersion": version, "metadata": metadata}}));
                }
                What::Event(..) | What::Bookmark => {}
            }
        }
        None
    }
}
