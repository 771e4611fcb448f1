//! etcd's API of version 2: HTTP and JSON, which conftool wrote for ten years.
//!
//! A listing gives its index, and each long poll asks for what comes after the index that is known. etcd keeps the last
//! thousand events of everything; who asks for an older one is told so (error 401) and lists again.

use super::http::{Server, body};
use super::store::{Change, MAX_KEYS, Shelf, Store, Trouble};
use super::write::{Problem, Writer};
use crate::config::{Endpoint, EtcdSettings};
use crate::ctl::escape;
use hyper::body::Incoming;
use hyper::{Method, Response, StatusCode};
use serde::Deserialize;

/// What is asked for is not there.
const KEY_NOT_FOUND: u32 = 100;
/// What happened since that index is not kept any more.
const INDEX_CLEARED: u32 = 401;

/// What says as of when an answer is.
const INDEX: &str = "x-etcd-index";

/// A listing may take so many times as long as other answers: it has tens of megabytes.
const LISTING: u32 = 10;

/// One server.
#[derive(Debug)]
pub(super) struct V2 {
    settings: EtcdSettings,
    endpoint: Endpoint,
    server: Server,
    /// The path of the directory that is watched.
    path: String,
    /// The last index of which everything is known.
    index: u64,
}

/// A key or a directory.
#[derive(Debug, Default, Deserialize)]
struct Node {
    #[serde(default)]
    key: String,
    #[serde(default)]
    dir: bool,
    #[serde(default)]
    value: String,
    #[serde(default)]
    nodes: Vec<Node>,
    #[serde(default, rename = "modifiedIndex")]
    modified: u64,
}

/// An answer.
#[derive(Debug, Deserialize)]
struct Answer {
    action: String,
    node: Node,
}

/// An answer that is none.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    #[serde(rename = "errorCode")]
    code: u32,
    message: String,
    cause: String,
    index: u64,
}

impl Store for V2 {
    async fn connect(settings: &EtcdSettings, endpoint: &Endpoint) -> Result<Self, Trouble> {
        let server = Server::new(settings, endpoint).map_err(Trouble::Away)?;
        let (settings, endpoint) = (settings.clone(), endpoint.clone());
        Ok(Self { settings, endpoint, server, path: String::new(), index: 0 })
    }

    async fn list(&mut self, directory: &str, shelf: &mut impl Shelf) -> Result<(), Trouble> {
        self.path = keys_path(directory);
        let asked = format!("{}?recursive=true&quorum=true", self.path);
        let answer = self.server.ask(Method::GET, &asked, None).await.map_err(Trouble::Away)?;
        let (status, index) = (answer.status(), index(&answer));
        let limit = self.settings.timeout * LISTING;
        let whole = tokio::time::timeout(limit, body(answer)).await;
        let whole = whole.unwrap_or_else(|_| Err(format!("the listing takes more than {limit:?}")));
        let text = whole.map_err(Trouble::Away)?;
        if status == StatusCode::OK {
            let answer: Answer = understood(&text)?;
            let mut keys = 0;
            put(&answer.node, shelf, &mut keys);
            if keys > MAX_KEYS {
                return Err(Trouble::Away(format!("{directory} holds more than {MAX_KEYS} keys")));
            }
            self.index = index.ok_or_else(|| Trouble::Away("the answer has no X-Etcd-Index".to_owned()))?;
            return Ok(());
        }
        let refusal: Refusal = serde_json::from_slice(&text).unwrap_or_default();
        if refusal.code != KEY_NOT_FOUND {
            return Err(refused(status, &refusal));
        }
        // A directory that is not there holds nothing.
        self.index = index.unwrap_or(refusal.index);
        Ok(())
    }

    fn revision(&self) -> u64 {
        self.index
    }

    async fn changes(&mut self) -> Result<Vec<Change>, Trouble> {
        let asked = format!("{}?wait=true&recursive=true&waitIndex={}", self.path, self.index + 1);
        let answer = self.server.ask(Method::GET, &asked, None).await.map_err(Trouble::Away)?;
        let (status, now) = (answer.status(), index(&answer));
        if let Some(now) = now.filter(|now| *now < self.index) {
            return Err(Trouble::Lost(format!("index {} became {now}", self.index)));
        }
        let text = self.last(answer).await?;
        if status != StatusCode::OK {
            let refusal: Refusal = serde_json::from_slice(&text).unwrap_or_default();
            return Err(match refusal.code {
                INDEX_CLEARED => Trouble::Lost(refusal.message),
                _ => refused(status, &refusal),
            });
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            // A proxy's patience is over. Up to the index that the answer began with there was nothing.
            self.index = now.unwrap_or(self.index);
            return Ok(Vec::new());
        }
        let answer: Answer = understood(&text)?;
        self.index = self.index.max(answer.node.modified);
        change(answer).map(|change| vec![change])
    }
}

impl V2 {
    /// The body of a long poll, however long it takes. A member of a cluster that cannot reach the others is silent for
    /// ever, and so is one that is frozen: now and then the cluster is asked for something that it has to agree on.
    async fn last(&self, answer: Response<Incoming>) -> Result<hyper::body::Bytes, Trouble> {
        let body = body(answer);
        tokio::pin!(body);
        loop {
            // A body that is waited for again goes on where it was.
            match tokio::time::timeout(self.settings.timeout, &mut body).await {
                Ok(body) => return body.map_err(Trouble::Away),
                Err(_) => self.look().await.map_err(Trouble::Away)?,
            }
        }
    }

    /// Asks for what the cluster agrees on.
    async fn look(&self) -> Result<(), String> {
        // On a connection of its own, as whoever begins to ask now: its certificates are read again, too.
        let server = Server::new(&self.settings, &self.endpoint)?;
        // Of the keys there is one at most: the directory itself is not listed.
        let asked = format!("{}/lvsd-is-here?quorum=true", self.path);
        let answer = server.ask(Method::GET, &asked, None).await?;
        match answer.status() {
            status if status.is_server_error() => Err(format!("it answered {status}")),
            _ => Ok(()),
        }
    }
}

/// The path of a directory or key: `/v2/keys/conftool/v1/pools`.
fn keys_path(key: &str) -> String {
    let names = key.trim_matches('/').split('/').map(escape);
    format!("/v2/keys/{}", names.collect::<Vec<_>>().join("/"))
}

fn index(answer: &Response<Incoming>) -> Option<u64> {
    answer.headers().get(INDEX)?.to_str().ok()?.parse().ok()
}

fn understood(text: &[u8]) -> Result<Answer, Trouble> {
    serde_json::from_slice(text).map_err(|error| Trouble::Away(format!("an answer that is none: {error}")))
}

fn refused(status: StatusCode, refusal: &Refusal) -> Trouble {
    let Refusal { message, cause, .. } = refusal;
    Trouble::Away(match (message.is_empty(), cause.is_empty()) {
        (true, _) => format!("it answered {status}"),
        (false, true) => format!("it answered {status}: {message}"),
        (false, false) => format!("it answered {status}: {message}: {cause}"),
    })
}

fn put(node: &Node, shelf: &mut impl Shelf, keys: &mut usize) {
    if !node.dir {
        *keys += 1;
        shelf.put(&node.key, node.value.as_bytes());
    }
    node.nodes.iter().for_each(|node| put(node, shelf, keys));
}

/// What an event says.
fn change(answer: Answer) -> Result<Change, Trouble> {
    let Answer { action, node } = answer;
    let is_gone = matches!(&*action, "delete" | "expire" | "compareAndDelete");
    match (is_gone, node.dir) {
        (true, true) => Ok(Change::DeleteBelow(node.key)),
        (true, false) => Ok(Change::Delete(node.key)),
        (false, false) => Ok(Change::Put { key: node.key, value: node.value.into_bytes() }),
        // It may stand where a key was.
        (false, true) => Err(Trouble::Lost(format!("{action} of the directory {}", node.key))),
    }
}

/// Keys that are changed.
pub(super) struct Keys(Server);

/// Somebody else was faster.
const COMPARE_FAILED: u32 = 101;

impl Writer for Keys {
    async fn connect(settings: &EtcdSettings, endpoint: &Endpoint) -> Result<Self, String> {
        Server::new(settings, endpoint).map(Self)
    }

    async fn read(&mut self, key: &str) -> Result<Option<(Vec<u8>, u64)>, Problem> {
        let path = format!("{}?quorum=true", keys_path(key));
        let node = match self.ask(Method::GET, &path, None).await? {
            Ok(node) => node,
            Err((_, refusal)) if refusal.code == KEY_NOT_FOUND => return Ok(None),
            Err((status, refusal)) => {
                return Err(Problem::Refused(refused(status, &refusal).why().to_owned()));
            }
        };
        Ok((!node.dir).then(|| (node.value.into_bytes(), node.modified)))
    }

    async fn swap(&mut self, key: &str, value: &str, revision: u64) -> Result<Option<u64>, Problem> {
        let form = format!("value={}&prevIndex={revision}", escape(value));
        match self.ask(Method::PUT, &keys_path(key), Some(form)).await? {
            Ok(node) => Ok(Some(node.modified)),
            Err((_, refusal)) if refusal.code == COMPARE_FAILED => Ok(None),
            Err((status, refusal)) => Err(Problem::Refused(refused(status, &refusal).why().to_owned())),
        }
    }
}

impl Keys {
    /// Asks about a key: what it is now, or how that was refused.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        form: Option<String>,
    ) -> Result<Result<Node, (StatusCode, Refusal)>, Problem> {
        let answer = self.0.ask(method, path, form).await.map_err(Problem::Away)?;
        let status = answer.status();
        let text = self.0.within(body(answer)).await.map_err(Problem::Away)?;
        if status.is_success() {
            let answer = understood(&text).map_err(|trouble| Problem::Away(trouble.why().to_owned()))?;
            return Ok(Ok(answer.node));
        }
        if status.is_server_error() {
            return Err(Problem::Away(format!("it answered {status}")));
        }
        Ok(Err((status, serde_json::from_slice(&text).unwrap_or_default())))
    }
}
