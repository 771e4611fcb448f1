//! An HTTP/1.1 request on a connection of its own.
//!
//! What is read is bounded: the header of the answer by [`MAX_HEAD`], the body by the request's `max_body`. The
//! body is read although only its status may be asked for, because a server that breaks off in its middle or
//! never ends it does not serve. It is searched as it comes and not kept.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;

use super::way::Way;
use super::{Limit, connection_failure, tcp, words};
use crate::failure::{Failure, Found, Stage};
use crate::spec::{HttpParts, HttpRequest};

/// The bound on the header of an answer and on what is buffered of it, in bytes: twice what common servers and
/// proxies allow, small enough for hundreds of probes at once.
const MAX_HEAD: usize = 64 * 1024;

/// What a server's log shows, unless the request says otherwise.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Sends the request and judges the answer.
pub(super) async fn probe(way: &Way<'_>, request: &HttpRequest) -> Result<Found, Failure> {
    let limit = &way.limit;
    let message = message(way.target, request.parts())?;
    let stream = tcp::connect(way).await?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failure(&error, Stage::AwaitingAnswer))?;
    let exchange = async {
        let stage = Stage::AwaitingAnswer;
        let answer = limit.within(stage, sender.send_request(message)).await?;
        let answer = answer.map_err(|error| failure(&error, stage))?;
        judge(answer.status().as_u16(), request.parts())?;
        read(answer.into_body(), request.parts(), limit).await
    };
    drive(connection, exchange).await.map(|()| Found::default())
}

/// The request as it is sent. The specification has checked its parts.
fn message(target: SocketAddr, parts: &HttpParts) -> Result<Request<Empty<Bytes>>, Failure> {
    let mut builder = Request::builder().method(parts.method.as_str()).uri(parts.path.as_str());
    builder = match &parts.host {
        Some(host) => builder.header(header::HOST, host),
        None => builder.header(header::HOST, own_host(target)),
    };
    for (name, value) in &parts.headers {
        builder = builder.header(name, value);
    }
    let given = |name: header::HeaderName| parts.headers.iter().any(|(given, _)| given == name.as_str());
    if !given(header::USER_AGENT) {
        builder = builder.header(header::USER_AGENT, USER_AGENT);
    }
    if !given(header::ACCEPT) {
        builder = builder.header(header::ACCEPT, "*/*");
    }
    builder
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| Failure::Local { error: error.to_string() })
}

/// The target's address as a Host header: without the port that HTTP has anyway.
fn own_host(target: SocketAddr) -> String {
    match (target, target.port()) {
        (SocketAddr::V4(v4), 80) => v4.ip().to_string(),
        (SocketAddr::V6(v6), 80) => format!("[{}]", v6.ip()),
        (SocketAddr::V4(v4), _) => v4.to_string(),
        // Without the scope, which means nothing to the server (RFC 6874).
        (SocketAddr::V6(v6), port) => format!("[{}]:{port}", v6.ip()),
    }
}

fn judge(found: u16, parts: &HttpParts) -> Result<(), Failure> {
    if parts.expect.iter().any(|range| range.contains(found)) {
        Ok(())
    } else {
        Err(Failure::Status { found, expected: parts.expect.clone() })
    }
}

/// Reads the body to its end, to the bound, or to the text that is looked for.
async fn read(mut body: Incoming, parts: &HttpParts, limit: &Limit) -> Result<(), Failure> {
    let stage = Stage::ReadingBody;
    let mut search = parts.body_contains.as_deref().map(Search::new);
    let mut read = 0;
    while read < parts.max_body {
        let Some(frame) = limit.within(stage, body.frame()).await? else { break };
        let frame = frame.map_err(|error| failure(&error, stage))?;
        let Some(data) = frame.data_ref() else { continue };
        let room = usize::try_from(parts.max_body - read).unwrap_or(usize::MAX).min(data.len());
        read += room as u64;
        if search.as_mut().is_some_and(|search| search.finds_in(&data[..room])) {
            return Ok(());
        }
    }
    match &parts.body_contains {
        Some(wanted) => Err(Failure::Body { wanted: wanted.clone(), read }),
        None => Ok(()),
    }
}

/// A search through a body that comes in pieces; it keeps no more than could be the beginning of a match.
struct Search<'a> {
    wanted: &'a [u8],
    kept: Vec<u8>,
}

impl<'a> Search<'a> {
    /// `wanted` is not empty: the specification has checked it.
    fn new(wanted: &'a str) -> Self {
        Self { wanted: wanted.as_bytes(), kept: Vec::new() }
    }

    fn finds_in(&mut self, piece: &[u8]) -> bool {
        self.kept.extend_from_slice(piece);
        let found = self.kept.windows(self.wanted.len()).any(|window| window == self.wanted);
        let beginning = self.wanted.len() - 1;
        self.kept.drain(..self.kept.len().saturating_sub(beginning));
        found
    }
}

/// Runs a connection for as long as `work` needs it. When the connection ends first, `work` is told by it.
async fn drive<C: Future, W: Future>(connection: C, work: W) -> W::Output {
    let mut work = pin!(work);
    // Both branches are held across the select, so neither loses anything.
    tokio::select! {
        biased;
        output = &mut work => return output,
        _ = connection => {}
    }
    work.await
}

/// The failure that an error of the HTTP connection means.
fn failure(error: &hyper::Error, stage: Stage) -> Failure {
    if error.is_parse_too_large() {
        return Failure::HeadTooLarge { limit: MAX_HEAD };
    }
    if error.is_incomplete_message() {
        return Failure::Closed { stage };
    }
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        // Broken framing of a body comes as an error of its reader.
        Some(io) if matches!(io.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
            Failure::Malformed { error: words(io) }
        }
        Some(io) => connection_failure(io, stage),
        None if error.is_canceled() || error.is_closed() => Failure::Closed { stage },
        None => Failure::Malformed { error: error.to_string() },
    }
}
