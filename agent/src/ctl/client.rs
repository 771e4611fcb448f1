//! A client of the control interface: of the unix socket, or over TLS.

use crate::api::messages::Problem;
use crate::core::nodes::view::{NodesView, RouteView};
use crate::core::view::{Status, Why};
use crate::ctl::escape;
use crate::ctl::remote::Remote;
use crate::exec::ipvs::Comparison;
use bgp::Prefix;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

/// Why lvsd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("lvsd is not running: {}: {source}", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The socket may not be opened.
    #[error("{}: {source}; try sudo, or join lvsd's control group to look", socket.display())]
    Permission {
        /// The socket.
        socket: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Another balancer cannot be reached, or does not take us for whom we should be, or we it.
    #[error("lvsd on {host} (port {port}) cannot be asked: {why}")]
    Unreachable {
        /// The balancer, as it was named.
        host: String,
        /// The port.
        port: u16,
        /// Why, and what to do.
        why: String,
    },
    /// The connection broke.
    #[error("lvsd did not answer: {0}")]
    Http(#[from] hyper::Error),
    /// The answer is not what this version expects.
    #[error("lvsd's answer cannot be understood (another version?): {0}")]
    Json(#[source] serde_json::Error),
    /// Nothing came in time.
    #[error("lvsd does not answer within {}s", .0.as_secs())]
    Silent(std::time::Duration),
    /// The terminal cannot be drawn on.
    #[error("the terminal cannot be drawn on: {0}")]
    Terminal(#[source] std::io::Error),
    /// lvsd said no.
    #[error("{}", .0.message)]
    Problem(Problem),
}

/// Talks to one lvsd.
#[derive(Debug)]
pub struct Client {
    place: Place,
}

/// Where lvsd is asked.
#[derive(Debug)]
enum Place {
    Socket(PathBuf),
    Remote(Remote),
}

impl Client {
    /// A client of the lvsd that listens on this socket.
    pub fn new(socket: &Path) -> Self {
        Self { place: Place::Socket(socket.into()) }
    }

    /// A client of another balancer's lvsd.
    pub fn of_remote(remote: Remote) -> Self {
        Self { place: Place::Remote(remote) }
    }

    /// The status of everything, or of one service.
    ///
    /// # Errors
    /// See [`ClientError`]; an unknown service is a problem of kind not found.
    pub async fn status(&self, service: Option<&str>) -> Result<Status, ClientError> {
        let query = service.map_or_else(String::new, |service| format!("?service={}", escape(service)));
        self.get(&format!("/v1/status{query}")).await
    }

    /// The status of everything; of many services without the backends that serve as they should.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn brief_status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status?brief=true").await
    }

    /// The nodes of the cluster.
    ///
    /// # Errors
    /// See [`ClientError`]; without `[nodes]` a problem of kind not found.
    pub async fn nodes(&self) -> Result<NodesView, ClientError> {
        self.ask(Method::GET, "/v1/nodes", Bytes::new()).await
    }

    /// The routes of the cluster's nodes, all or those around and inside a prefix.
    ///
    /// # Errors
    /// As [`Client::nodes`].
    pub async fn node_routes(&self, prefix: Option<&Prefix>) -> Result<Vec<RouteView>, ClientError> {
        let query =
            prefix.map_or_else(String::new, |prefix| format!("?prefix={}", escape(&prefix.to_string())));
        self.ask(Method::GET, &format!("/v1/routes{query}"), Bytes::new()).await
    }

    /// Why a host is in or out, or a service is not served.
    ///
    /// # Errors
    /// See [`ClientError`]; an unknown host is a problem of kind not found.
    pub async fn why(&self, host: &str) -> Result<Why, ClientError> {
        self.ask(Method::GET, &format!("/v1/why/{}", escape(host)), Bytes::new()).await
    }

    /// The kernel's table against what is wanted.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn diff(&self) -> Result<Comparison, ClientError> {
        self.ask(Method::GET, "/v1/diff", Bytes::new()).await
    }

    /// Asks for a view by its path.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Asks for a change.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(ClientError::Json)?;
        self.ask(Method::POST, path, body.into()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "lvsd")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .expect("a method, an escaped path and constant headers make a request");
        let (status, body) = match &self.place {
            Place::Socket(socket) => exchange(open(socket).await?, request).await?,
            Place::Remote(remote) => {
                let exchanged = exchange(remote.connect().await?, request).await;
                exchanged.map_err(|error| remote.refused(error))?
            }
        };
        if status.is_success() {
            serde_json::from_slice(&body).map_err(ClientError::Json)
        } else {
            Err(ClientError::Problem(serde_json::from_slice(&body).map_err(ClientError::Json)?))
        }
    }
}

async fn open(socket: &Path) -> Result<UnixStream, ClientError> {
    UnixStream::connect(socket).await.map_err(|source| {
        let socket = socket.into();
        match source.kind() {
            std::io::ErrorKind::PermissionDenied => ClientError::Permission { socket, source },
            _ => ClientError::NotRunning { socket, source },
        }
    })
}

/// Sends a request and takes the whole answer.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), ClientError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    driver.abort();
    Ok((status, body))
}
