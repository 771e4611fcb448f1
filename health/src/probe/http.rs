//! HTTP requests, each on a connection of its own.
//!
//! What is read is bounded: the header of the answer by [`MAX_HEAD`], the body by the request's `max_body`. The
//! body is read although only its status may be asked for, because a server that breaks off in its middle or
//! never ends it does not serve.

mod body;
mod message;

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::pin;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::way::Way;
use super::{Limit, connection_failure, tcp, words};
use crate::failure::{Failure, Found, Stage};
use crate::spec::{HttpParts, HttpRequest, Pick, Urls};

use body::Judge;
use message::message;

/// The bound on the header of an answer and on what is buffered of it, in bytes: twice what common servers and
/// proxies allow, small enough for hundreds of probes at once.
const MAX_HEAD: usize = 64 * 1024;

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

/// Sends one of the requests, or all of them until more have failed than may.
pub(super) async fn several(way: &Way<'_>, urls: &Urls, turn: u64) -> Result<Found, Failure> {
    let Pick::All { max_failures } = urls.parts().pick else {
        return probe(way, urls.drawn(turn)).await;
    };
    let (mut failed, mut tried, mut first) = (0, 0, None);
    let mut last = Found::default();
    for request in &urls.parts().requests {
        tried += 1;
        match probe(way, request).await {
            Ok(found) => last = found,
            Err(failure) if failure.is_inconclusive() => return Err(failure),
            Err(failure) => {
                failed += 1;
                let url = || request.parts().path.clone();
                let (url, why) = first.take().unwrap_or_else(|| (url(), Box::new(failure)));
                if failed > max_failures {
                    return Err(Failure::Urls { failed, tried, allowed: max_failures, url, first: why });
                }
                first = Some((url, why));
            }
        }
    }
    Ok(last)
}

fn judge(found: u16, parts: &HttpParts) -> Result<(), Failure> {
    if parts.expect.iter().any(|range| range.contains(found)) {
        Ok(())
    } else {
        Err(Failure::Status { found, expected: parts.expect.clone() })
    }
}

/// Reads the body to its end, to the bound, or until no more need be known.
async fn read(mut body: Incoming, parts: &HttpParts, limit: &Limit) -> Result<(), Failure> {
    let stage = Stage::ReadingBody;
    let mut judge = Judge::new(parts);
    let mut enough = parts.max_body == 0;
    while !enough {
        let Some(frame) = limit.within(stage, body.frame()).await? else { break };
        let frame = frame.map_err(|error| failure(&error, stage))?;
        if let Some(piece) = frame.data_ref() {
            enough = judge.takes(piece)?;
        }
    }
    judge.verdict()
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

#[cfg(test)]
mod tests;
