//! A TCP connection over which something is said.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::way::{Way, told};
use super::{Limit, connection_failure, excerpt, tcp};
use crate::failure::{Failure, Found, Stage};
use crate::spec::{Exchange, Pattern};

/// What is read at a time, in bytes: a greeting in one piece.
const PIECE: usize = 1024;

/// Connects, sends, reads until the answer is as expected, and resets the connection.
pub(super) async fn probe(way: &Way<'_>, exchange: &Exchange) -> Result<Found, Failure> {
    let parts = exchange.parts();
    let sent = told(&parts.send, "what is sent is")?;
    let mut stream = tcp::connect(way).await?;
    send(&mut stream, sent, &way.limit).await?;
    if let Some(expect) = &parts.expect {
        answer(&mut stream, expect, parts.max_read, &way.limit).await?;
    }
    Ok(Found::default())
}

/// Sends all of it.
pub(super) async fn send(stream: &mut TcpStream, bytes: &[u8], limit: &Limit) -> Result<(), Failure> {
    let stage = Stage::AwaitingAnswer;
    let sent = limit.within(stage, stream.write_all(bytes)).await?;
    sent.map_err(|error| connection_failure(&error, stage))
}

/// Reads until the answer holds `expect`, or is `max` bytes long, or ends.
async fn answer(stream: &mut TcpStream, expect: &Pattern, max: usize, limit: &Limit) -> Result<(), Failure> {
    let stage = Stage::AwaitingAnswer;
    let mut answer = Vec::with_capacity(PIECE.min(max));
    while answer.len() < max {
        let mut piece = [0; PIECE];
        let room = PIECE.min(max - answer.len());
        let read = limit.within(stage, stream.read(&mut piece[..room])).await?;
        match read.map_err(|error| connection_failure(&error, stage))? {
            0 if answer.is_empty() => return Err(Failure::Closed { stage }),
            0 => break,
            count => answer.extend_from_slice(&piece[..count]),
        }
        // What cannot hold a part of a match that ends in this piece has been looked at before.
        let begin = match expect {
            Pattern::Contains(wanted) => answer.len().saturating_sub(room + wanted.len()),
            Pattern::Matches(_) => 0,
        };
        if expect.is_in(&answer[begin..]) {
            return Ok(());
        }
    }
    Err(Failure::Answer { wanted: expect.to_string(), found: excerpt(&answer) })
}
