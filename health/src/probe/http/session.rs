//! A connection over which HTTP is spoken, plain or secured.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::SystemTime;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::errors;
use super::message::Manner;
use crate::failure::{Failure, HttpFailure, Stage};
use crate::probe::tcp;
use crate::probe::tls::{self, Protocol, Secured};
use crate::probe::way::Way;
use crate::spec::HttpVersion;

/// The bound on the header of an answer and on what is buffered of it, in bytes: twice what common servers and
/// proxies allow, small enough for hundreds of probes at once.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// A connection on which a request can be sent. It moves while it is waited for; dropped, it is reset.
pub(super) struct Session {
    sender: Sender,
    /// What reads and writes; `None` when it has ended.
    driver: Option<Driver>,
    /// When the certificate expires that the server showed.
    pub(super) certificate_expires: Option<SystemTime>,
}

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(h2::client::SendRequest<Bytes>),
}

/// The body of an answer, which comes in pieces.
pub(super) enum Body {
    Http1(Incoming),
    Http2(h2::RecvStream),
}

impl Session {
    /// Connects to the target.
    pub(super) async fn open(way: &Way<'_>, manner: &Manner<'_>) -> Result<Self, Failure> {
        let stream = tcp::connect(way).await?;
        let Some(tls) = manner.tls else { return Self::over(way, stream, manner.version, None).await };
        let protocol = match manner.version {
            HttpVersion::Http1 => Protocol::Http1,
            HttpVersion::Http2 => Protocol::Http2,
        };
        // Boxed, because most of a handshake's memory is not needed after it, nor without TLS.
        let Secured { stream, expires } =
            Box::pin(tls::secure(way, stream, tls, manner.host, protocol)).await?;
        Self::over(way, stream, manner.version, expires).await
    }

    async fn over<S>(
        way: &Way<'_>,
        stream: S,
        version: HttpVersion,
        certificate_expires: Option<SystemTime>,
    ) -> Result<Self, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, driver) = match version {
            HttpVersion::Http1 => begin_http1(stream).await?,
            HttpVersion::Http2 => Box::pin(begin_http2(way, stream)).await?,
        };
        Ok(Self { sender, driver: Some(driver), certificate_expires })
    }

    /// Sends a request and waits for the header of its answer.
    pub(super) async fn send(
        &mut self,
        way: &Way<'_>,
        message: Request<Bytes>,
    ) -> Result<Response<Body>, Failure> {
        let stage = Stage::AwaitingAnswer;
        let Self { sender, driver, .. } = self;
        let exchange = async {
            match sender {
                Sender::Http1(sender) => {
                    let answer = sender.send_request(message.map(Full::new)).await;
                    answer.map(|answer| answer.map(Body::Http1)).map_err(|error| errors::http1(&error, stage))
                }
                Sender::Http2(sender) => {
                    let answer = send_http2(sender, message).await;
                    answer.map(|answer| answer.map(Body::Http2)).map_err(|error| errors::http2(&error, stage))
                }
            }
        };
        way.limit.within(stage, drive(driver, exchange)).await?
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn next(&mut self, way: &Way<'_>, body: &mut Body) -> Result<Option<Bytes>, Failure> {
        let stage = Stage::ReadingBody;
        let piece = async {
            match body {
                Body::Http1(body) => next_http1(body).await,
                Body::Http2(body) => next_http2(body).await,
            }
        };
        way.limit.within(stage, drive(&mut self.driver, piece)).await?
    }

    /// The whole body, which may be `max` bytes long.
    pub(super) async fn whole(
        &mut self,
        way: &Way<'_>,
        body: &mut Body,
        max: usize,
    ) -> Result<Vec<u8>, Failure> {
        let mut whole = Vec::new();
        while let Some(piece) = self.next(way, body).await? {
            if whole.len() + piece.len() > max {
                return Err(HttpFailure::TooLarge { limit: max as u64 }.into());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    /// The trailers of an answer whose body has ended; none from a server of HTTP/1.
    pub(super) async fn trailers(
        &mut self,
        way: &Way<'_>,
        body: &mut Body,
    ) -> Result<Option<HeaderMap>, Failure> {
        let stage = Stage::ReadingBody;
        let Body::Http2(body) = body else { return Ok(None) };
        let trailers = way.limit.within(stage, drive(&mut self.driver, body.trailers())).await?;
        trailers.map_err(|error| errors::http2(&error, stage))
    }
}

async fn begin_http1<S>(stream: S) -> Result<(Sender, Driver), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream));
    let shaken = handshake.await;
    let (sender, connection) = shaken.map_err(|error| errors::http1(&error, Stage::AwaitingAnswer))?;
    // What ends a connection is told to the request that waits. It is reset when it is dropped, so its half is not closed
    // before: that would be one more packet for each probe.
    Ok((Sender::Http1(sender), Box::pin(async move { drop(connection.without_shutdown().await) })))
}

async fn begin_http2<S>(way: &Way<'_>, stream: S) -> Result<(Sender, Driver), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stage = Stage::AwaitingAnswer;
    let handshake = h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .handshake(stream);
    let shaken = way.limit.within(stage, handshake).await?;
    let (sender, connection) = shaken.map_err(|error| errors::http2(&error, stage))?;
    Ok((Sender::Http2(sender), Box::pin(async move { drop(connection.await) })))
}

async fn send_http2(
    sender: &mut h2::client::SendRequest<Bytes>,
    message: Request<Bytes>,
) -> Result<Response<h2::RecvStream>, h2::Error> {
    let (head, body) = message.into_parts();
    let (answer, mut stream) = sender.send_request(Request::from_parts(head, ()), body.is_empty())?;
    if !body.is_empty() {
        stream.send_data(body, true)?;
    }
    answer.await
}

async fn next_http1(body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    loop {
        let Some(frame) = body.frame().await else { return Ok(None) };
        // What is no data is trailers.
        if let Ok(piece) = frame.map_err(|error| errors::http1(&error, Stage::ReadingBody))?.into_data() {
            return Ok(Some(piece));
        }
    }
}

async fn next_http2(body: &mut h2::RecvStream) -> Result<Option<Bytes>, Failure> {
    let failure = |error| errors::http2(&error, Stage::ReadingBody);
    let Some(piece) = body.data().await else { return Ok(None) };
    let piece = piece.map_err(failure)?;
    // The server may send as much again (flow control, RFC 9113, section 5.2).
    body.flow_control().release_capacity(piece.len()).map_err(failure)?;
    Ok(Some(piece))
}

/// Runs a connection for as long as `work` needs it. When the connection ends first, `work` is told by it.
async fn drive<W: Future>(driver: &mut Option<Driver>, work: W) -> W::Output {
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
