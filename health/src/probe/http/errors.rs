//! The failures that errors of HTTP connections mean.

use std::error::Error as _;
use std::io;

use super::session::MAX_HEAD;
use crate::failure::{Failure, HttpFailure, Stage};
use crate::probe::{connection_failure, tls, words};

/// The failure that an error of an HTTP/1 connection means.
pub(super) fn http1(error: &hyper::Error, stage: Stage) -> Failure {
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

/// The failure that an error of an HTTP/2 connection or request means.
pub(super) fn http2(error: &h2::Error, stage: Stage) -> Failure {
    match error.get_io() {
        // An error of TLS, of which it keeps the words only.
        Some(io) if io.kind() == io::ErrorKind::InvalidData => tls::failure_in_words(&io.to_string()),
        // So it says that a connection ended in the middle of a request.
        Some(io) if io.kind() == io::ErrorKind::BrokenPipe => Failure::Closed { stage },
        Some(io) => connection_failure(io, stage),
        None => HttpFailure::Http2 { error: told(error) }.into(),
    }
}

/// `GOAWAY with ENHANCE_YOUR_CALM` or the library's words for what it found.
fn told(error: &h2::Error) -> String {
    let (what, reason) = match error.reason() {
        Some(reason) if error.is_go_away() && error.is_remote() => ("server sent GOAWAY with", reason),
        Some(reason) if error.is_reset() && error.is_remote() => ("server reset the request with", reason),
        Some(reason) => ("not HTTP/2:", reason),
        None => return error.to_string(),
    };
    format!("{what} {reason:?}")
}
