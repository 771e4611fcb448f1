//! The examples in a service's own description, as Wikimedia's service-checker tries them.
//!
//! The description is fetched anew by every probe, and the examples are tried one after the other, each on a connection
//! of its own, all within the check's timeout. What they say comes from the server, so all of it is bounded, and
//! requests go nowhere but to the target.

mod examples;
mod expected;
mod model;
mod template;

use hyper::body::Bytes;

use super::message::Manner;
use super::session::Session;
use crate::failure::{ExampleFailure, Failure, Found, HttpFailure};
use crate::probe::way::Way;
use crate::spec::{OpenApi, StatusRange};

use examples::{Example, examples};

/// The longest description, in bytes: several times Wikimedia's longest.
const MAX_DESCRIPTION: usize = 1024 * 1024;

/// The longest answer to an example that is looked at, in bytes; of a longer one nothing but its header may be expected.
const MAX_ANSWER: usize = 1024 * 1024;

/// How many failures are told of: enough to see what they have in common.
const TOLD: usize = 3;

/// Fetches the description and tries its examples.
pub(in crate::probe) async fn probe(way: &Way<'_>, description: &OpenApi) -> Result<Found, Failure> {
    let parts = description.parts();
    let manner = Manner { host: parts.host.as_deref(), tls: parts.tls.as_ref(), version: parts.version };
    let (text, found) = fetch(way, &manner, &format!("{}{}", parts.base, parts.path)).await?;
    let (mut tried, mut failed, mut first) = (0, 0, Vec::new());
    // Large and from the server: it keeps no other probe waiting. Dropped, it ends by itself within moments.
    let base = parts.base.clone();
    let read = tokio::task::spawn_blocking(move || examples(&text, &base)).await;
    for example in read.map_err(|error| Failure::Local { error: error.to_string() })?? {
        tried += 1;
        let Err(failure) = attempt(way, &manner, &example).await else { continue };
        if failure.is_inconclusive() {
            return Err(failure);
        }
        let is_over = matches!(failure, Failure::Timeout { .. });
        failed += 1;
        if first.len() < TOLD {
            let Example { endpoint, title, .. } = example;
            first.push(ExampleFailure { endpoint, title, failure: Box::new(failure) });
        }
        if is_over {
            break;
        }
    }
    if failed > 0 { Err(HttpFailure::Examples { failed, tried, first }.into()) } else { Ok(found) }
}

async fn fetch(way: &Way<'_>, manner: &Manner<'_>, path: &str) -> Result<(Vec<u8>, Found), Failure> {
    let message = manner
        .message(way.target, ("GET", path), std::iter::empty::<(&str, &str)>(), Bytes::new())
        .map_err(|error| Failure::Local { error: error.to_string() })?;
    let mut session = Session::open(way, manner).await?;
    let (head, mut body) = session.send(way, message).await?.into_parts();
    if head.status != hyper::StatusCode::OK {
        return Err(Failure::Status { found: head.status.as_u16(), expected: vec![StatusRange::OK] });
    }
    let text = session.whole(way, &mut body, MAX_DESCRIPTION).await?;
    Ok((text, Found { certificate_expires: session.certificate_expires, ..Found::default() }))
}

/// Sends an example's request and holds the answer against what it says.
async fn attempt(way: &Way<'_>, manner: &Manner<'_>, example: &Example) -> Result<(), Failure> {
    let told = example.host();
    let sent_to = Manner { host: told.or(manner.host), ..*manner };
    let message = sent_to
        .message(way.target, (example.method, &example.path), example.headers(), example.body.clone())
        .map_err(|error| examples::unusable(&example.endpoint, &error))?;
    // The connection is the service's own, whatever host the example is for.
    let mut session = Session::open(way, manner).await?;
    let (head, mut body) = session.send(way, message).await?.into_parts();
    example.expected.judge_head(head.status.as_u16(), &head.headers)?;
    if !example.expected.wants_body() {
        return Ok(());
    }
    let body = session.whole(way, &mut body, MAX_ANSWER).await?;
    example.expected.judge_body(&body)
}

#[cfg(test)]
mod tests;
