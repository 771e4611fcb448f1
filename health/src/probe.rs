//! One probe of one check: the only code that opens sockets.
//!
//! A probe's timeout covers all of it, from the first packet to the last byte of the answer: every stage waits
//! for the same moment. Dropping a probe's future closes its socket; nothing stays behind.

mod agent;
mod command;
mod datagram;
mod dns;
mod exchange;
mod http;
mod icmp;
pub(crate) mod idle;
mod sockets;
mod tcp;
mod tls;
mod udp;
mod way;

use std::future::Future;
use std::io;
use std::time::Duration;

pub use command::MAX_COMMANDS;
pub use sockets::{Opening, OwnSockets, Sockets};
use way::Way;

use tokio::time::{Instant, timeout_at};

use crate::failure::{Failure, Found, Outcome, Stage};
use crate::spec::{Check, Kind};

/// Probes the target of `check` once, with sockets out of `sockets`. `turn` is the probe's number among those of this
/// check: what is chosen at random follows from it. Within a Tokio runtime with I/O and time enabled.
/// Cancel-safe: dropping the future resets the connection.
///
/// # Errors
/// The [`Failure`] found, at the latest when the check's timeout is over.
pub async fn probe(check: &Check, sockets: &dyn Sockets, turn: u64) -> Outcome {
    let started = Instant::now();
    let way = Way { target: check.target, route: &check.route, sockets, limit: limit(check) };
    // The future is as large as its largest part; what takes kilobytes is boxed, so that a probe of TCP takes few.
    let found = match &check.kind {
        // One look at what a runner keeps is whether it can be had.
        Kind::Tcp | Kind::Idle(_) => tcp::probe(&way).await?,
        Kind::TcpExchange(exchange) => Box::pin(exchange::probe(&way, exchange)).await?,
        Kind::Dns(question) => Box::pin(dns::probe(&way, question)).await?,
        Kind::Udp(datagram) => udp::probe(&way, datagram).await?,
        Kind::Icmp => icmp::probe(&way).await?,
        Kind::Command(program) => Box::pin(command::probe(check.target, program, &way.limit)).await?,
        Kind::Agent(question) => agent::probe(&way, question).await?,
        Kind::Http(request) => Box::pin(http::probe(&way, request)).await?,
        Kind::Urls(urls) => Box::pin(http::several(&way, urls, turn)).await?,
        Kind::Grpc(grpc) => Box::pin(http::grpc(&way, grpc)).await?,
        Kind::NodePort(node_port) => Box::pin(http::node_port(&way, node_port)).await?,
        Kind::OpenApi(description) => Box::pin(http::openapi(&way, description)).await?,
    };
    Ok(Found { latency: started.elapsed(), ..found })
}

/// The limit of a probe that begins now.
fn limit(check: &Check) -> Limit {
    let timeout = check.timing.timeout();
    Limit { at: Instant::now() + timeout, timeout }
}

/// The moment at which a probe has failed, whatever it is doing.
struct Limit {
    at: Instant,
    timeout: Duration,
}

impl Limit {
    /// When half of the time is over.
    fn half(&self) -> Instant {
        self.at - self.timeout / 2
    }

    /// Waits for `work`, a part of the probe, until the limit. A target that always has more to say holds it off
    /// for no longer than the runtime's budget of one task's turn.
    async fn within<F: Future>(&self, stage: Stage, work: F) -> Result<F::Output, Failure> {
        timeout_at(self.at, work).await.map_err(|_| Failure::Timeout { after: self.timeout, stage })
    }
}

/// The failure that an error of an established connection means.
fn connection_failure(error: &io::Error, stage: Stage) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Failure::Reset { stage },
        io::ErrorKind::UnexpectedEof => Failure::Closed { stage },
        _ => Failure::Io { error: words(error), stage },
    }
}

/// How much of an answer is shown in a failure, in bytes: what tells one kind of answer from another, and not more than
/// a line of a terminal.
const EXCERPT: usize = 60;

/// The beginning of an answer in quotes, for people.
fn excerpt(answer: &[u8]) -> String {
    match answer.get(..EXCERPT) {
        Some(beginning) if answer.len() > EXCERPT => format!("\"{}...\"", beginning.escape_ascii()),
        Some(_) | None => format!("\"{}\"", answer.escape_ascii()),
    }
}

/// The error in the system's words, without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
