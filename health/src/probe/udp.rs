//! A datagram, and what comes back for it.

use std::io;

use socket2::{Protocol, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::way::{Way, told};
use super::{datagram, excerpt};
use crate::failure::{Evidence, Failure, Found, Stage};
use crate::spec::{Datagram, Reply};

/// Sends the datagram and judges what comes back, or that nothing does.
pub(super) async fn probe(way: &Way<'_>, check: &Datagram) -> Result<Found, Failure> {
    let parts = check.parts();
    let payload = told(&parts.payload, "what is sent is")?;
    let socket = way.socket(Type::DGRAM, Some(Protocol::UDP)).await?;
    let socket = datagram::connected(way.target, socket)?;
    match &parts.reply {
        Reply::Expected(pattern) => {
            let judge = |answer: &[u8]| {
                if pattern.is_in(answer) {
                    return Ok(Some(()));
                }
                Err(Failure::Answer { wanted: pattern.to_string(), found: excerpt(answer) })
            };
            datagram::ask(way, &socket, payload, judge).await.map(|()| Found::default())
        }
        Reply::Optional { wait, hold } => {
            let until = way.limit.at.min(Instant::now() + *wait);
            let evidence = listen(way, &socket, payload, until)
                .await?
                .map_err(|error| datagram::returned(&error, *hold))?;
            Ok(Found { evidence, ..Found::default() })
        }
    }
}

/// Sends the datagram and waits until something comes back, or until nothing has.
async fn listen(
    way: &Way<'_>,
    socket: &UdpSocket,
    payload: &[u8],
    until: Instant,
) -> Result<io::Result<Evidence>, Failure> {
    if let Err(error) = way.limit.within(Stage::AwaitingAnswer, socket.send(payload)).await? {
        return Ok(Err(error));
    }
    Ok(match timeout_at(until, socket.recv(&mut [0])).await {
        Ok(received) => received.map(|_| Evidence::Answer),
        Err(_) => Ok(Evidence::Silence),
    })
}
