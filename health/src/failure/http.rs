//! Why an answer over HTTP is not the one expected.

use std::fmt;

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
    /// The one of several requests failed that was sent this time.
    #[error("{url}: {failure}")]
    Url {
        /// Which: its host if it has one of its own, and its path.
        url: String,
        /// Why it failed.
        failure: Box<Failure>,
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
    /// What should be JSON of a certain form is not.
    #[error("{what} is not the JSON expected: {error}")]
    NotJson {
        /// `service's health` or `description`.
        what: String,
        /// What is wrong, and where.
        error: String,
    },
    /// kube-proxy answered about another service.
    #[error("the answer is about the service {found}, expected {expected}")]
    OtherService {
        /// The service.
        found: String,
        /// The one that would have been right.
        expected: String,
    },
    /// No endpoint of the service is on the node.
    #[error("no endpoint of {service} is on this node")]
    NoEndpoint {
        /// The service.
        service: String,
    },
    /// kube-proxy does not keep up.
    #[error("kube-proxy on this node is not healthy")]
    ProxyUnhealthy,
    /// The description asks for what cannot be tried.
    #[error("description cannot be used: {error}")]
    Description {
        /// What is wrong, and where.
        error: String,
    },
    /// A header is not as an example says.
    #[error("header {name} is {}, expected {expected}", Absent(found))]
    Header {
        /// Its name.
        name: String,
        /// Its value, if it is there.
        found: Option<String>,
        /// What the example says.
        expected: String,
    },
    /// Something in the body is not as an example says.
    #[error("body has {found} at {at}, expected {expected}")]
    Value {
        /// Where: `/items[0]/title`; `/` for the whole.
        at: String,
        /// What is there.
        found: String,
        /// What the example says.
        expected: String,
    },
    /// Examples failed.
    #[error("{failed} of {tried} examples failed: {}", Examples(first))]
    Examples {
        /// How many failed.
        failed: u32,
        /// How many were tried.
        tried: u32,
        /// The first few that failed.
        first: Vec<ExampleFailure>,
    },
}

/// Why an example failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleFailure {
    /// Method and path as the description has them: `GET /page/{title}`.
    pub endpoint: String,
    /// The example's title; may be empty.
    pub title: String,
    /// Why it failed.
    pub failure: Box<Failure>,
}

/// `GET /a (title): HTTP status 500, expected 200; POST /b: connection refused`.
struct Examples<'a>(&'a [ExampleFailure]);

impl fmt::Display for Examples<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, ExampleFailure { endpoint, title, failure }) in self.0.iter().enumerate() {
            write!(f, "{}{endpoint}", if i == 0 { "" } else { "; " })?;
            if !title.is_empty() {
                write!(f, " ({title})")?;
            }
            write!(f, ": {failure}")?;
        }
        Ok(())
    }
}

/// What is there, or that nothing is.
struct Absent<'a>(&'a Option<String>);

impl fmt::Display for Absent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("absent"))
    }
}

impl HttpFailure {
    /// Whether the failure is certain of its moment: see [`Failure::is_conclusive`].
    pub(super) fn is_conclusive(&self) -> bool {
        match self {
            Self::Url { failure, .. } | Self::Urls { first: failure, .. } => failure.is_conclusive(),
            // It was said in so many words.
            Self::NotServing { .. } | Self::NoEndpoint { .. } => true,
            _ => false,
        }
    }

    /// The failure's class, for counts.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Mismatch { .. }
            | Self::Digest { .. }
            | Self::TooLarge { .. }
            | Self::OtherService { .. }
            | Self::Header { .. }
            | Self::Value { .. } => "answer",
            Self::Url { failure, .. } | Self::Urls { first: failure, .. } => failure.class(),
            Self::Examples { first, .. } => first.first().map_or("answer", |example| example.failure.class()),
            Self::Http2 { .. } | Self::NotJson { .. } | Self::Description { .. } => "malformed",
            Self::Grpc { .. } | Self::NotServing { .. } | Self::NoEndpoint { .. } | Self::ProxyUnhealthy => {
                "status"
            }
        }
    }
}
