//! A connection over which HTTP is spoken, plain or secured.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::time::SystemTime;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::failure::{Failure, Stage};
use crate::probe::tls::{self, Protocol, Secured};
use crate::probe::way::Way;
use crate::probe::{connection_failure, tcp, words};
use crate::spec::Tls;

/// The bound on the header of an answer and on what is buffered of it, in bytes: twice what common servers and
/// proxies allow, small enough for hundreds of probes at once.
const MAX_HEAD: usize = 64 * 1024;

/// A connection on which one request after the other can be sent. It moves while it is waited for; dropped, it is
/// reset.
pub(super) struct Session {
    sender: http1::SendRequest<Empty<Bytes>>,
    /// What reads and writes; `None` when it has ended.
    driver: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// When the certificate expires that the server showed.
    pub(super) certificate_expires: Option<SystemTime>,
}

impl Session {
    /// Connects to the target, secured if `tls` says how; `host` is the request's, if it says which.
    pub(super) async fn open(way: &Way<'_>, tls: Option<&Tls>, host: Option<&str>) -> Result<Self, Failure> {
        let stream = tcp::connect(way).await?;
        let Some(tls) = tls else { return Self::over(stream, None).await };
        let Secured { stream, expires } = tls::secure(way, stream, tls, host, Protocol::Http1).await?;
        Self::over(stream, expires).await
    }

    async fn over<S>(stream: S, certificate_expires: Option<SystemTime>) -> Result<Self, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(|error| failure(&error, Stage::AwaitingAnswer))?;
        // What ends a connection is told to the request that waits.
        let driver = async move { drop(connection.await) };
        Ok(Self { sender, driver: Some(Box::pin(driver)), certificate_expires })
    }

    /// Sends a request and waits for the header of its answer.
    pub(super) async fn send(
        &mut self,
        way: &Way<'_>,
        message: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, Failure> {
        let stage = Stage::AwaitingAnswer;
        let sent = self.sender.send_request(message);
        let answer = way.limit.within(stage, drive(&mut self.driver, sent)).await?;
        answer.map_err(|error| failure(&error, stage))
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn next(
        &mut self,
        way: &Way<'_>,
        body: &mut Incoming,
    ) -> Result<Option<Bytes>, Failure> {
        let stage = Stage::ReadingBody;
        loop {
            let frame = way.limit.within(stage, drive(&mut self.driver, body.frame())).await?;
            let Some(frame) = frame else { return Ok(None) };
            // What is no data is trailers.
            if let Ok(piece) = frame.map_err(|error| failure(&error, stage))?.into_data() {
                return Ok(Some(piece));
            }
        }
    }
}

/// Runs a connection for as long as `work` needs it. When the connection ends first, `work` is told by it.
async fn drive<W: Future>(
    driver: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    work: W,
) -> W::Output {
    let mut work = pin!(work);
    if let Some(connection) = driver {
        // Both branches are held across the select, so neither loses anything.
        tokio::select! {
            biased;
            output = &mut work => return output,
            () = connection => {}
        }
        *driver = None;
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
        // A server of TLS 1.3 refuses the client's certificate only after its handshake.
        Some(io) if tls::inner(io).is_some() => tls::failure(io, "", stage),
        // Broken framing of a body comes as an error of its reader.
        Some(io) if matches!(io.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
            Failure::Malformed { error: words(io) }
        }
        Some(io) => connection_failure(io, stage),
        None if error.is_canceled() || error.is_closed() => Failure::Closed { stage },
        None => Failure::Malformed { error: error.to_string() },
    }
}
