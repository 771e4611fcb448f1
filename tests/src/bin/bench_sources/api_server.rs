//! As much of a Kubernetes API server as a balancer asks for: lists in pages, and watches that say what changes.
//!
//! Its pages are made before anybody asks, so that their making is in no figure. A list is how it was at first; a watch says
//! what has changed since.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::objects;

/// Objects in a page: as many as lvsd asks for.
const PAGE: usize = 500;

const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

/// Serves as long as the program runs.
#[derive(Debug)]
pub(crate) struct ApiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// By the path of their list.
    pages: BTreeMap<&'static str, Vec<String>>,
    /// What watches of slices say; a change's resourceVersion is 2 more than its place.
    changes: Mutex<Vec<String>>,
    changed: Condvar,
}

impl ApiServer {
    /// One with so many Services, who answers on this socket.
    pub(crate) fn start(listener: TcpListener, services: u32) -> Result<Self> {
        let pages = [
            ("/api/v1/nodes", "NodeList", (0..objects::NODES).map(objects::node).collect()),
            ("/api/v1/services", "ServiceList", (0..services).map(objects::service).collect()),
            (SLICES, "EndpointSliceList", (0..services).map(|number| objects::slice(number, None)).collect()),
        ]
        .map(|(path, kind, objects): (_, _, Vec<Value>)| (path, pages(path, kind, &objects)));
        let address = listener.local_addr()?;
        let (changes, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { pages: pages.into(), changes, changed });
        let its = Arc::clone(&shared);
        let accept = move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&its);
                // Who goes away needs no answer.
                std::thread::spawn(move || drop(shared.serve(stream)));
            }
        };
        std::thread::Builder::new().name("api-server".into()).spawn(accept)?;
        Ok(Self { address, shared })
    }

    /// A kubeconfig for it.
    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bench",
            "clusters": [{"name": "bench", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "bench", "user": {}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}]
        })
        .to_string()
    }

    /// An endpoint of a Service is about to end and takes nothing any more; none: all are ready.
    pub(crate) fn change(&self, service: u32, ending: Option<u32>) {
        let mut changes = self.shared.changes();
        let version = (changes.len() + 2).to_string();
        let mut object = objects::slice(service, ending);
        object["metadata"]["resourceVersion"] = json!(version);
        object["apiVersion"] = json!("discovery.k8s.io/v1");
        object["kind"] = json!("EndpointSlice");
        changes.push(format!("{}\n", json!({"type": "MODIFIED", "object": object})));
        drop(changes);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Answers on a connection until it ends.
    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut asked = BufReader::new(stream.try_clone()?);
        loop {
            let mut line = String::new();
            let mut header = String::new();
            if asked.read_line(&mut line)? == 0 {
                return Ok(());
            }
            while asked.read_line(&mut header)? > 2 {
                header.clear();
            }
            let target = line.split(' ').nth(1).context("no target")?;
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let query: BTreeMap<&str, &str> =
                query.split('&').filter_map(|pair| pair.split_once('=')).collect();
            let number = |key: &str| query.get(key).and_then(|text| text.parse::<usize>().ok());
            let pages = self.pages.get(path).with_context(|| format!("no list {path}"))?;
            if query.contains_key("watch") {
                let limit = Duration::from_secs(number("timeoutSeconds").unwrap_or(60) as u64);
                self.watch(&mut stream, path == SLICES, number("resourceVersion").unwrap_or(1), limit)?;
                continue;
            }
            let page = pages.get(number("continue").unwrap_or_default()).context("no such page")?;
            write!(stream, "{HEAD}Content-Length: {}\r\n\r\n{page}", page.len())?;
        }
    }

    /// Says what has changed since a version, and what does, until the time is over.
    fn watch(&self, stream: &mut TcpStream, is_of_slices: bool, since: usize, limit: Duration) -> Result<()> {
        write!(stream, "{HEAD}Transfer-Encoding: chunked\r\n\r\n")?;
        let deadline = Instant::now() + limit;
        let mut next = since.saturating_sub(1);
        loop {
            let mut changes = self.changes();
            while !is_of_slices || changes.len() <= next {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(write!(stream, "0\r\n\r\n")?);
                }
                let waited = self.changed.wait_timeout(changes, left);
                changes = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            let news = changes[next..].concat();
            next = changes.len();
            drop(changes);
            write!(stream, "{:x}\r\n{news}\r\n", news.len())?;
        }
    }

    fn changes(&self) -> MutexGuard<'_, Vec<String>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

/// A list in pages; at least one. A page's token is its place.
fn pages(path: &str, kind: &str, objects: &[Value]) -> Vec<String> {
    let version = if path == SLICES { "discovery.k8s.io/v1" } else { "v1" };
    let count = objects.len().div_ceil(PAGE).max(1);
    let page = |place: usize| {
        let items = objects.chunks(PAGE).nth(place).unwrap_or_default();
        let token = if place + 1 < count { (place + 1).to_string() } else { String::new() };
        let metadata = json!({"resourceVersion": "1", "continue": token});
        json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items}).to_string()
    };
    (0..count).map(page).collect()
}
