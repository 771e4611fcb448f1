//! Why an answer over HTTP is not the one expected.

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::spec::Digest;

/// Why an answer over HTTP, or what is said in it, is not the one expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum HttpFailure {
    /// The body did not match what was expected.
    #[error("body does not match /{regex}/ in its first {read} bytes")]
    Mismatch {
        /// What it was held against.
        regex: String,
        /// How many bytes were looked at.
        read: u64,
    },
    /// The body had another digest than expected.
    #[error("body has the SHA-256 digest {found}, expected {expected}")]
    Digest {
        /// The body's digest.
        found: Digest,
        /// The digest that would have been right.
        expected: Digest,
    },
    /// The body was longer than a body may be that is looked at as a whole.
    #[error("body exceeds {limit} bytes")]
    TooLarge {
        /// The bound, in bytes.
        limit: u64,
    },
    /// More of several requests failed than may.
    #[error("{failed} of {tried} URLs failed, {allowed} may: {url}: {first}")]
    Urls {
        /// How many failed.
        failed: u32,
        /// How many were tried.
        tried: u32,
        /// How many may fail.
        allowed: u32,
        /// The first that failed.
        url: String,
        /// Why it failed.
        first: Box<Failure>,
    },
    /// HTTP/2 broke down: the server gave up the connection or the request, or sent what is no HTTP/2.
    #[error("HTTP/2 failed: {error}")]
    Http2 {
        /// What is wrong, with the error code of RFC 9113, section 7, if the server sent one.
        error: String,
    },
    /// A gRPC call failed.
    #[error("gRPC call failed: {error}")]
    Grpc {
        /// The status by its name and what the server says beside, or what is wrong with the answer.
        error: String,
    },
    /// A gRPC server says that it does not serve.
    #[error("gRPC health is {found}, expected SERVING")]
    NotServing {
        /// The status by its name.
        found: String,
    },
}

impl HttpFailure {
    /// The failure's class, for counts.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Mismatch { .. } | Self::Digest { .. } | Self::TooLarge { .. } => "answer",
            Self::Urls { first, .. } => first.class(),
            Self::Http2 { .. } => "malformed",
            Self::Grpc { .. } | Self::NotServing { .. } => "status",
        }
    }
}
