//! What to check: plain data, checked when it is made.
//!
//! A [`Check`] is its own identity. Two services that want the same probe of the same address with the same
//! timing hold equal values, and a runner that is given both probes once.

mod agent;
mod command;
mod digest;
mod dns;
mod exchange;
mod grpc;
mod http;
mod idle;
mod node_port;
mod openapi;
mod pattern;
mod route;
mod secret;
mod status;
mod timing;
mod tls;
mod udp;
mod urls;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use agent::{AgentParts, AgentQuestion, Unanswered};
pub(crate) use command::RUN;
pub use command::{CommandParts, Program, User};
pub use digest::Digest;
pub(crate) use dns::is_record;
pub use dns::{DnsParts, Question, Rcode, RecordType, Records, Recursion, Transport};
pub use exchange::{DEFAULT_MAX_READ, Exchange, ExchangeParts, MAX_PAYLOAD, MAX_READ};
pub use grpc::{Grpc, GrpcParts};
pub use http::{DEFAULT_MAX_BODY, HttpParts, HttpRequest, HttpVersion, MAX_MATCHED};
pub use idle::{DEFAULT_MAX_DELAY, Idle};
pub use node_port::NodePort;
pub use openapi::{OpenApi, OpenApiParts};
pub use pattern::{Pattern, Regex};
pub use route::{Encapsulation, Route};
pub use secret::Secret;
pub use status::StatusRange;
pub use timing::{FAST_INTERVAL, MAX_PERIOD, MIN_PERIOD, Timing};
pub use tls::{Certificates, Identity, PrivateKey, Tls, TlsParts, TlsVersion, Trust};
pub use udp::{DEFAULT_HOLD, DEFAULT_WAIT, Datagram, Reply, UdpParts};
pub use urls::{MAX_URLS, Pick, Urls, UrlsParts};

/// One probe of one address, repeated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The address that is probed.
    pub target: SocketAddr,
    /// How packets get there.
    #[serde(default)]
    pub route: Route,
    /// What is asked of it.
    pub kind: Kind,
    /// How often, how long, and how many answers make a verdict.
    pub timing: Timing,
}

impl Check {
    /// A check of `target`, which this host's routing table leads to.
    pub fn new(target: SocketAddr, kind: Kind, timing: Timing) -> Self {
        Self { target, route: Route::default(), kind, timing }
    }

    /// The timing by which its verdict moves: that of a kept connection moves with it, at once.
    pub(crate) fn verdict_timing(&self) -> Timing {
        match self.kind {
            Kind::Idle(_) => self.timing.at_once(),
            _ => self.timing,
        }
    }

    /// The same check by another route.
    #[must_use]
    pub fn by(self, route: Route) -> Self {
        Self { route, ..self }
    }
}

/// `tcp 10.0.0.11:80` or `http GET http://10.0.0.11:80/healthz (host www.example.org)`.
///
/// For people: it leaves out the timing and the finer parts of a request, so it is no identity.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.kind.name();
        match &self.kind {
            Kind::Tcp | Kind::Idle(_) => write!(f, "{name} {}", self.target)?,
            Kind::TcpExchange(exchange) => write!(f, "{name} {}{exchange}", self.target)?,
            Kind::Dns(question) => write!(f, "{name} {} {question}", self.target)?,
            Kind::Udp(datagram) => write!(f, "{name} {}{datagram}", self.target)?,
            Kind::Icmp => write!(f, "{name} {}", self.target.ip())?,
            Kind::Command(program) => write!(f, "{name} {program} for {}", self.target)?,
            Kind::Agent(question) => write!(f, "{name} {}{question}", self.target)?,
            Kind::Http(request) => {
                write!(f, "{name} ")?;
                request.write(self.target, f)?;
            }
            Kind::Urls(urls) => {
                write!(f, "{name} ")?;
                urls.write(self.target, f)?;
            }
            Kind::Grpc(grpc) => write!(f, "{name} {}{grpc}", self.target)?,
            Kind::NodePort(node_port) => write!(f, "{name} {}{node_port}", self.target)?,
            Kind::OpenApi(description) => {
                write!(f, "{name} ")?;
                description.write(self.target, f)?;
            }
        }
        write!(f, "{}", self.route)
    }
}

/// What is asked of the target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A TCP connection is established, and reset at once.
    Tcp,
    /// Something is sent over a TCP connection, or comes over it unasked, and the answer is as expected.
    TcpExchange(Exchange),
    /// A name server answers a question as expected.
    Dns(Question),
    /// A TCP connection is established and kept.
    Idle(Idle),
    /// A datagram is answered as expected, or at least not returned.
    Udp(Datagram),
    /// An ICMP echo is answered. The target's port means nothing; let it be 0, so that equal checks are equal.
    Icmp,
    /// A program on this host finds out and says so by its exit status.
    Command(Program),
    /// An agent beside the server, at the target, says in a line of text how the server is and how much it wants.
    Agent(AgentQuestion),
    /// An HTTP request is answered as expected.
    Http(HttpRequest),
    /// One or all of several HTTP requests are answered as expected.
    Urls(Urls),
    /// A gRPC server says that it serves.
    Grpc(Grpc),
    /// kube-proxy says that an endpoint of a service is on the node.
    NodePort(NodePort),
    /// The examples in a service's own description are answered as it says.
    OpenApi(OpenApi),
}

impl Kind {
    /// Whether its connections are over TLS, so that it sees a certificate.
    pub fn is_secured(&self) -> bool {
        match self {
            Self::Http(request) => request.parts().tls.is_some(),
            Self::Urls(urls) => urls.parts().requests.iter().any(|request| request.parts().tls.is_some()),
            Self::Grpc(grpc) => grpc.parts().tls.is_some(),
            Self::OpenApi(description) => description.parts().tls.is_some(),
            Self::Tcp
            | Self::TcpExchange(_)
            | Self::Dns(_)
            | Self::Idle(_)
            | Self::Udp(_)
            | Self::Icmp
            | Self::Command(_)
            | Self::Agent(_)
            | Self::NodePort(_) => false,
        }
    }

    /// The kind's name in displays and metric labels: `tcp`, `http`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tcp | Self::TcpExchange(_) => "tcp",
            Self::Dns(_) => "dns",
            Self::Idle(_) => "idle",
            Self::Udp(_) => "udp",
            Self::Icmp => "icmp",
            Self::Command(_) => "command",
            Self::Agent(_) => "agent",
            Self::Http(request) => request.scheme(),
            Self::Urls(urls) => urls.scheme(),
            Self::Grpc(_) => "grpc",
            Self::NodePort(_) => "node_port",
            Self::OpenApi(_) => "openapi",
        }
    }
}

/// Why a specification was refused: what was found, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// An interval or a timeout outside [`MIN_PERIOD`]..=[`MAX_PERIOD`].
    #[error("{what}: expected {MIN_PERIOD:?} to one day, found {found:?}")]
    Period {
        /// `interval`, `timeout` or `max_delay`.
        what: &'static str,
        /// The value given.
        found: Duration,
    },
    /// A fast interval that is none.
    #[error("fast_interval: expected {MIN_PERIOD:?} to the interval of {interval:?}, found {found:?}")]
    FastInterval {
        /// The interval.
        interval: Duration,
        /// The value given.
        found: Duration,
    },
    /// A fall or rise of zero.
    #[error("{what}: expected 1 or more, found 0")]
    Count {
        /// `fall` or `rise`.
        what: &'static str,
    },
    /// Not an HTTP status or a range of them.
    #[error("expect: expected a status 100-599 or a range of them such as 200-399, found {found:?}")]
    Status {
        /// The text given.
        found: String,
    },
    /// No status would ever be right.
    #[error("expect: expected at least one status or range, found none")]
    NoStatus,
    /// Not a method that a check can send.
    #[error("method: expected an HTTP method such as GET or HEAD, found {found:?}")]
    Method {
        /// The text given.
        found: String,
    },
    /// Not a path with an optional query.
    #[error(
        "path: expected a path such as /healthz, with a query or without, in URL encoding, found {found:?}"
    )]
    Path {
        /// The text given.
        found: String,
    },
    /// Not a host with an optional port.
    #[error("host: expected a host name or address, with a port or without, found {found:?}")]
    Host {
        /// The text given.
        found: String,
    },
    /// A header that cannot be sent.
    #[error("header {name:?}: {why}")]
    Header {
        /// The header's name as given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing to send, or too much.
    #[error("send: expected at most {MAX_PAYLOAD} bytes, or an answer to expect, found {found} bytes")]
    Payload {
        /// How many bytes were given.
        found: usize,
    },
    /// Too little or too much of an answer would be read.
    #[error("max_read: expected 1 to {MAX_READ} bytes, found {found}")]
    MaxRead {
        /// The number given.
        found: usize,
    },
    /// A pattern that is none, or that is looked for in vain.
    #[error("{what}: {why}")]
    Pattern {
        /// `regex`, or the setting that holds it.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A question to a name server that cannot be asked, or never be answered as expected.
    #[error("{what}: {why}")]
    Dns {
        /// The setting that is wrong.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A program that cannot be run.
    #[error("{what}: {why}")]
    Command {
        /// The setting that is wrong.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A body that is looked for in vain.
    #[error("{what}: {why}")]
    Body {
        /// `body_contains`, `body_matches` or `body_sha256`.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Not a SHA-256 digest.
    #[error("expected a SHA-256 digest of 64 hexadecimal digits, found {found:?}")]
    Digest {
        /// The text given.
        found: String,
    },
    /// Not a service of Kubernetes.
    #[error("service: expected NAMESPACE/NAME as in Kubernetes, found {found:?}")]
    NodePort {
        /// The text given.
        found: String,
    },
    /// Too long a name of a gRPC service.
    #[error("service: expected at most {max} bytes, found {found}")]
    Service {
        /// The bound.
        max: usize,
        /// How long it is.
        found: usize,
    },
    /// Settings of TLS that cannot be used.
    #[error("{what}: {why}")]
    Tls {
        /// `server_name`, `trust`, `certificates` or `key`.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Not a list of requests that make one check.
    #[error("urls: {why}")]
    Urls {
        /// What is wrong with them.
        why: String,
    },
}

#[cfg(test)]
mod tests;
