//! The request as it is sent.

use std::net::SocketAddr;

use hyper::body::Bytes;
use hyper::{Request, header};

use crate::failure::Failure;
use crate::probe::way::told;
use crate::spec::{HttpParts, HttpVersion, Tls};

/// What a server's log shows, unless the request says otherwise.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// How a server is spoken to, whatever it is asked.
#[derive(Clone, Copy)]
pub(super) struct Manner<'a> {
    pub(super) host: Option<&'a str>,
    pub(super) tls: Option<&'a Tls>,
    pub(super) version: HttpVersion,
}

impl<'a> Manner<'a> {
    pub(super) fn of(parts: &'a HttpParts) -> Self {
        Self { host: parts.host.as_deref(), tls: parts.tls.as_ref(), version: parts.version }
    }

    /// The request for `path` of `target`. Specifications have checked what goes into it; what a server said has not
    /// been.
    pub(super) fn message<'h, V: AsRef<[u8]>>(
        &self,
        target: SocketAddr,
        (method, path): (&str, &str),
        headers: impl Iterator<Item = (&'h str, V)> + Clone,
        body: Bytes,
    ) -> Result<Request<Bytes>, hyper::http::Error> {
        let (scheme, usual) = if self.tls.is_some() { ("https", 443) } else { ("http", 80) };
        let own = || own_host(target, usual);
        let host = self.host.map_or_else(own, str::to_owned);
        let mut builder = Request::builder().method(method);
        builder = match self.version {
            HttpVersion::Http1 => {
                builder.uri(path).header(header::HOST, host).header(header::CONNECTION, "close")
            }
            HttpVersion::Http2 => {
                builder.version(hyper::Version::HTTP_2).uri(format!("{scheme}://{host}{path}"))
            }
        };
        for (name, value) in headers.clone() {
            builder = builder.header(name, value.as_ref());
        }
        for (name, value) in [(header::USER_AGENT, USER_AGENT), (header::ACCEPT, "*/*")] {
            if !headers.clone().any(|(given, _)| name.as_str().eq_ignore_ascii_case(given)) {
                builder = builder.header(name, value);
            }
        }
        builder.body(body)
    }
}

/// The request of `parts` to `target`.
pub(super) fn message(target: SocketAddr, parts: &HttpParts) -> Result<Request<Bytes>, Failure> {
    let header = |(name, value)| Ok((String::as_str(name), told(value, "the value of a header is")?));
    let headers = parts.headers.iter().map(|(name, value)| header((name, value)));
    let headers = headers.collect::<Result<Vec<_>, Failure>>()?;
    Manner::of(parts)
        .message(target, (&parts.method, &parts.path), headers.into_iter(), Bytes::new())
        .map_err(|error| Failure::Local { error: error.to_string() })
}

/// The target's address as a Host header: without its port if that is `usual`.
fn own_host(target: SocketAddr, usual: u16) -> String {
    match target {
        SocketAddr::V4(v4) if v4.port() == usual => v4.ip().to_string(),
        SocketAddr::V4(v4) => v4.to_string(),
        // Without the scope, which means nothing to the server (RFC 6874).
        SocketAddr::V6(v6) if v6.port() == usual => format!("[{}]", v6.ip()),
        SocketAddr::V6(v6) => format!("[{}]:{}", v6.ip(), v6.port()),
    }
}
