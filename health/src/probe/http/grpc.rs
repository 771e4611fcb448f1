//! The health question of gRPC (grpc.health.v1), in the wire formats of gRPC over HTTP/2 and Protocol Buffers.

use hyper::body::Bytes;
use hyper::{HeaderMap, header};

use super::message::Manner;
use super::session::Session;
use crate::failure::{Failure, Found, HttpFailure};
use crate::probe::way::Way;
use crate::spec::{Grpc, HttpVersion};

const PATH: &str = "/grpc.health.v1.Health/Check";

/// The longest answer, in bytes: a right one has 7, and what else a message may hold is no business of a health check.
const MAX_ANSWER: usize = 4096;

/// What precedes a message: a flag whether it is compressed and its length.
const PREFIX: usize = 5;

/// How much is shown of what a server says of a failed call, in characters.
const SHOWN: usize = 200;

/// The names of gRPC's status codes, by number.
const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// `HealthCheckResponse.ServingStatus`, by number.
const SERVING_STATUSES: [&str; 4] = ["UNKNOWN", SERVING, "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: &str = "SERVING";

/// Calls `Check` and expects `SERVING`.
pub(in crate::probe) async fn probe(way: &Way<'_>, grpc: &Grpc) -> Result<Found, Failure> {
    let parts = grpc.parts();
    let manner = Manner { host: parts.host.as_deref(), tls: parts.tls.as_ref(), version: HttpVersion::Http2 };
    // At most a day, so it has the 8 digits that are allowed.
    let timeout = format!("{}m", way.limit.timeout.as_millis().max(1));
    let headers =
        [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", timeout.as_str())];
    let message = manner
        .message(way.target, ("POST", PATH), headers.into_iter(), question(&parts.service))
        .map_err(|error| Failure::Local { error: error.to_string() })?;
    let mut session = Session::open(way, &manner).await?;
    let (head, mut body) = session.send(way, message).await?.into_parts();
    if head.status != hyper::StatusCode::OK {
        return Err(failed(format!("HTTP status {}", head.status.as_u16())));
    }
    let content_type = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    if !content_type.starts_with(b"application/grpc") {
        return Err(failed(format!("content type {:?}", content_type.escape_ascii().to_string())));
    }
    // A call that fails at once is answered by a header alone.
    judge_call(&head.headers)?;
    let answer = session.whole(way, &mut body, MAX_ANSWER).await?;
    let trailers = session.trailers(way, &mut body).await?;
    judge_call(&trailers.unwrap_or_default())?;
    judge_answer(&answer)?;
    Ok(Found { certificate_expires: session.certificate_expires, ..Found::default() })
}

fn failed(error: String) -> Failure {
    HttpFailure::Grpc { error }.into()
}

/// A `HealthCheckRequest` with its prefix: field 1 is the name of the service.
fn question(service: &str) -> Bytes {
    let mut message = Vec::with_capacity(service.len() + 4);
    if !service.is_empty() {
        // Field 1, a string; its length in base 128, lowest digits first.
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    // The specification bounds the name.
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    Bytes::from(framed)
}

/// Whether the call's own status is good, if it is there.
fn judge_call(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(status) = headers.get("grpc-status") else { return Ok(()) };
    let number = status.to_str().ok().and_then(|text| text.parse::<usize>().ok());
    let name = number.and_then(|number| STATUSES.get(number));
    match name {
        Some(&"OK") => Ok(()),
        Some(name) => Err(failed(with_message(name, headers))),
        None => Err(failed(format!("status {:?}", status.as_bytes().escape_ascii().to_string()))),
    }
}

/// `NOT_FOUND: unknown service`, what the server says being in URL encoding.
fn with_message(name: &str, headers: &HeaderMap) -> String {
    let message = headers.get("grpc-message").map(|value| decoded(value.as_bytes())).unwrap_or_default();
    let shown: String = message.chars().filter(|letter| !letter.is_control()).take(SHOWN).collect();
    if shown.is_empty() { name.to_owned() } else { format!("{name}: {shown}") }
}

fn decoded(bytes: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let escaped = match after {
            [high, low, ..] if *first == b'%' => hexadecimal(*high).zip(hexadecimal(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = &after[2..];
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Whether the answer is one message that says `SERVING`.
fn judge_answer(answer: &[u8]) -> Result<(), Failure> {
    let message = match answer {
        [0, length @ ..] if length.len() >= PREFIX - 1 => {
            let (length, message) = length.split_at(PREFIX - 1);
            let announced = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (announced == message.len()).then_some(message)
        }
        _ => None,
    };
    let status =
        message.and_then(serving_status).ok_or_else(|| failed("its answer is no health".to_owned()))?;
    let name = usize::try_from(status).ok().and_then(|status| SERVING_STATUSES.get(status));
    match name {
        Some(&SERVING) => Ok(()),
        Some(name) => Err(HttpFailure::NotServing { found: (*name).to_owned() }.into()),
        None => Err(HttpFailure::NotServing { found: status.to_string() }.into()),
    }
}

/// Field 1 of a `HealthCheckResponse`, 0 if it is left out; `None` when it is no message of Protocol Buffers.
fn serving_status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = varint(&mut message)?,
            (_, 0) => drop(varint(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// A number in base 128, lowest digits first.
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_question_is_framed_as_protocol_buffers_frame_it() {
        assert_eq!(&question("")[..], b"\0\0\0\0\0");
        assert_eq!(&question("a.B")[..], b"\0\0\0\0\x05\x0a\x03a.B");
        let long = "x".repeat(300);
        assert_eq!(&question(&long)[..8], b"\0\0\0\x01\x2f\x0a\xac\x02");
    }

    #[test]
    fn only_serving_serves() {
        assert_eq!(judge_answer(b"\0\0\0\0\x02\x08\x01"), Ok(()));
        // Another field before it, as a later version may have.
        assert_eq!(judge_answer(b"\0\0\0\0\x06\x12\x02ab\x08\x01"), Ok(()));
        for (answer, text) in [
            (&b"\0\0\0\0\x02\x08\x02"[..], "gRPC health is NOT_SERVING, expected SERVING"),
            (b"\0\0\0\0\0", "gRPC health is UNKNOWN, expected SERVING"),
            (b"\0\0\0\0\x02\x08\x09", "gRPC health is 9, expected SERVING"),
            (b"", "gRPC call failed: its answer is no health"),
            (b"\0\0\0\0\x03\x08\x01", "gRPC call failed: its answer is no health"),
            (b"\x01\0\0\0\x02\x08\x01", "gRPC call failed: its answer is no health"),
        ] {
            assert_eq!(judge_answer(answer).expect_err("not serving").to_string(), text);
        }
    }

    #[test]
    fn a_failed_call_is_told_by_name_and_message() {
        let headers = |status: &'static str, message: &'static str| {
            HeaderMap::from_iter([
                (header::HeaderName::from_static("grpc-status"), status.parse().expect("a value")),
                (header::HeaderName::from_static("grpc-message"), message.parse().expect("a value")),
            ])
        };
        let told =
            |status, message| judge_call(&headers(status, message)).map_err(|failure| failure.to_string());
        assert_eq!(told("0", ""), Ok(()));
        assert_eq!(told("5", "no%20service%2"), Err("gRPC call failed: NOT_FOUND: no service%2".to_owned()));
        assert_eq!(told("99", ""), Err("gRPC call failed: status \"99\"".to_owned()));
    }

    proptest! {
        #[test]
        fn any_answer_is_judged(answer: Vec<u8>) {
            drop(judge_answer(&answer));
            drop(decoded(&answer));
        }

        #[test]
        fn any_message_is_judged(mut message: Vec<u8>) {
            message.truncate(255);
            let mut answer = vec![0, 0, 0, 0, message.len() as u8];
            answer.extend_from_slice(&message);
            let serves = judge_answer(&answer).is_ok();
            prop_assert_eq!(serves, serving_status(&message) == Some(1));
        }
    }
}
