//! HTTP requests, each on a connection of its own.
//!
//! What is read is bounded: the header of the answer by a constant, the body by the request's `max_body`. The
//! body is read although only its status may be asked for, because a server that breaks off in its middle or
//! never ends it does not serve.

mod body;
mod errors;
mod grpc;
mod message;
mod node_port;
mod openapi;
mod session;

use super::way::Way;
use crate::failure::{Failure, Found, HttpFailure};
use crate::spec::{HttpParts, HttpRequest, Pick, Urls};

use body::Judge;
pub(super) use grpc::probe as grpc;
use message::{Manner, message};
pub(super) use node_port::probe as node_port;
pub(super) use openapi::probe as openapi;
use session::{Body, Session};

/// Sends the request and judges the answer.
pub(super) async fn probe(way: &Way<'_>, request: &HttpRequest) -> Result<Found, Failure> {
    let parts = request.parts();
    let message = message(way.target, parts)?;
    let mut session = Session::open(way, &Manner::of(parts)).await?;
    let answer = session.send(way, message).await?;
    judge(answer.status().as_u16(), parts)?;
    read(way, &mut session, answer.into_body(), parts).await?;
    Ok(Found { certificate_expires: session.certificate_expires, ..Found::default() })
}

/// Sends one of the requests, or all of them until more have failed than may.
pub(super) async fn several(way: &Way<'_>, urls: &Urls, turn: u64) -> Result<Found, Failure> {
    let Pick::All { max_failures } = urls.parts().pick else {
        let request = urls.drawn(turn);
        return probe(way, request).await.map_err(|failure| match failure {
            failure if failure.is_inconclusive() => failure,
            failure => HttpFailure::Url { url: url(request), failure: Box::new(failure) }.into(),
        });
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
                let (url, why) = first.take().unwrap_or_else(|| (url(request), Box::new(failure)));
                if failed > max_failures {
                    let allowed = max_failures;
                    return Err(HttpFailure::Urls { failed, tried, allowed, url, first: why }.into());
                }
                first = Some((url, why));
            }
        }
    }
    Ok(last)
}

/// Which of several requests this is: its host if it has one of its own, and its path.
fn url(request: &HttpRequest) -> String {
    let HttpParts { host, path, .. } = request.parts();
    format!("{}{path}", host.as_deref().unwrap_or_default())
}

fn judge(found: u16, parts: &HttpParts) -> Result<(), Failure> {
    if parts.expect.iter().any(|range| range.contains(found)) {
        Ok(())
    } else {
        Err(Failure::Status { found, expected: parts.expect.clone() })
    }
}

/// Reads the body to its end, to the bound, or until no more need be known.
async fn read(
    way: &Way<'_>,
    session: &mut Session,
    mut body: Body,
    parts: &HttpParts,
) -> Result<(), Failure> {
    let mut judge = Judge::new(parts);
    let mut enough = parts.max_body == 0;
    while !enough {
        let Some(piece) = session.next(way, &mut body).await? else { break };
        enough = judge.takes(&piece)?;
    }
    judge.verdict()
}

#[cfg(test)]
mod tests;
