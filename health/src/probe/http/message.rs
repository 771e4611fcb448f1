//! The request as it is sent.

use std::net::SocketAddr;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::{Request, header};

use crate::failure::Failure;
use crate::spec::HttpParts;

/// What a server's log shows, unless the request says otherwise.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// The request of `parts` to `target`. The specification has checked its parts.
pub(super) fn message(target: SocketAddr, parts: &HttpParts) -> Result<Request<Empty<Bytes>>, Failure> {
    let mut builder = Request::builder().method(parts.method.as_str()).uri(parts.path.as_str());
    builder = match &parts.host {
        Some(host) => builder.header(header::HOST, host),
        None => builder.header(header::HOST, own_host(target, if parts.tls.is_some() { 443 } else { 80 })),
    };
    for (name, value) in &parts.headers {
        builder = builder.header(name, value);
    }
    let given = |name: header::HeaderName| parts.headers.iter().any(|(given, _)| given == name.as_str());
    if !given(header::USER_AGENT) {
        builder = builder.header(header::USER_AGENT, USER_AGENT);
    }
    if !given(header::ACCEPT) {
        builder = builder.header(header::ACCEPT, "*/*");
    }
    builder
        .header(header::CONNECTION, "close")
        .body(Empty::new())
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
