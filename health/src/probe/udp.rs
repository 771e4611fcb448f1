//! A datagram, and what comes back for it.

use std::time::Duration;

use socket2::{Protocol, Type};
use tokio::time::{Instant, timeout_at};

use super::way::Way;
use super::{datagram, excerpt};
use crate::failure::{Evidence, Failure, Found, Stage};
use crate::spec::{DEFAULT_MAX_READ, Datagram, Reply};

/// Sends the datagram and judges what comes back, or that nothing does.
pub(super) async fn probe(way: &Way<'_>, check: &Datagram) -> Result<Found, Failure> {
    let stage = Stage::AwaitingAnswer;
    let (until, hold) = match &check.parts().reply {
        Reply::Expected(_) => (way.limit.at, Duration::ZERO),
        Reply::Optional { wait, hold } => (way.limit.at.min(Instant::now() + *wait), *hold),
    };
    let socket = way.socket(Type::DGRAM, Some(Protocol::UDP)).await?;
    let socket = datagram::connected(way, socket)?;
    let sent = way.limit.within(stage, socket.send(&check.parts().payload)).await?;
    sent.map_err(|error| datagram::returned(&error, hold))?;
    let mut answer = [0; DEFAULT_MAX_READ];
    let received = timeout_at(until, socket.recv(&mut answer)).await;
    match (received, &check.parts().reply) {
        (Ok(Ok(length)), Reply::Expected(pattern)) if !pattern.is_in(&answer[..length]) => {
            Err(Failure::Answer { wanted: pattern.to_string(), found: excerpt(&answer[..length]) })
        }
        (Ok(Ok(_)), _) => Ok(Found::default()),
        (Ok(Err(error)), _) => Err(datagram::returned(&error, hold)),
        (Err(_), Reply::Expected(_)) => Err(Failure::Timeout { after: way.limit.timeout, stage }),
        (Err(_), Reply::Optional { .. }) => Ok(Found { evidence: Evidence::Silence, ..Found::default() }),
    }
}
