//! The HTTP request of a check and the answer that it expects.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery};
use hyper::{Method, header};
use serde::{Deserialize, Serialize};

use super::{Digest, Regex, Secret, SpecError, StatusRange, Tls};

/// How much of a body is read unless the request says otherwise: more than most pages, and little enough that
/// thousands of checks a second of a wrongly chosen page stay a small part of a network card's rate.
pub const DEFAULT_MAX_BODY: u64 = 256 * 1024;

/// The bound on `max_body` when the body is matched against a regular expression, in bytes: it is then kept in memory
/// whole, by hundreds of probes at once.
pub const MAX_MATCHED: u64 = 1024 * 1024;

/// The longest text that is looked for in a body, in bytes: it is compared at every place. For more there is the digest.
const MAX_CONTAINED: usize = 4096;

/// Headers that frame the message or the connection, which is the probe's business.
const FRAMING: [HeaderName; 5] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE, header::TE];

/// The parts of an [`HttpRequest`], not yet checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpParts {
    /// The method; any but CONNECT. `GET` by default.
    pub method: String,
    /// Path and query, in URL encoding, as sent. `/` by default.
    pub path: String,
    /// The Host header. By default the target's address, with its port unless that is the usual one.
    pub host: Option<String>,
    /// How the connection is secured; plain HTTP if not.
    pub tls: Option<Tls>,
    /// The version that is spoken; no other will do.
    pub version: HttpVersion,
    /// Further headers, sent in this order. Their values are not shown: they may let in whoever knows them.
    pub headers: Vec<(String, Secret)>,
    /// The status codes that mean success. 200-299 by default. A redirect is an answer like any other; it is
    /// not followed.
    pub expect: Vec<StatusRange>,
    /// Text that the body must contain within its first `max_body` bytes, compared byte by byte.
    pub body_contains: Option<String>,
    /// What must match somewhere in the first `max_body` bytes of the body; `max_body` is then [`MAX_MATCHED`] at most.
    pub body_matches: Option<Regex>,
    /// The digest of the whole body, which must then be no longer than `max_body`.
    pub body_sha256: Option<Digest>,
    /// How many bytes of the body are read at most. A longer body is no failure unless its digest is asked for: what is
    /// beyond is not looked at. [`DEFAULT_MAX_BODY`] by default.
    pub max_body: u64,
}

impl Default for HttpParts {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            host: None,
            tls: None,
            version: HttpVersion::default(),
            headers: Vec::new(),
            expect: vec![StatusRange::SUCCESS],
            body_contains: None,
            body_matches: None,
            body_sha256: None,
            max_body: DEFAULT_MAX_BODY,
        }
    }
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpVersion {
    /// HTTP/1.1 (RFC 9112).
    #[default]
    Http1,
    /// HTTP/2 (RFC 9113): chosen by ALPN over TLS, known beforehand without TLS.
    Http2,
}

/// A request that can be sent, and the answer that it expects. Made from [`HttpParts`]; in a normal form, so
/// that requests that mean the same are equal: names of headers in lower case, status ranges sorted and merged. Clones
/// share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "HttpParts", into = "HttpParts")]
pub struct HttpRequest(Arc<HttpParts>);

impl HttpRequest {
    /// Checks the parts.
    ///
    /// # Errors
    /// A [`SpecError`] that names the first part that cannot be sent or can never be answered as expected.
    pub fn new(parts: HttpParts) -> Result<Self, SpecError> {
        check_method(&parts.method)?;
        check_path(&parts.path)?;
        if let Some(host) = &parts.host {
            check_host(host)?;
        }
        check_body(&parts)?;
        if parts.expect.is_empty() {
            return Err(SpecError::NoStatus);
        }
        let headers = parts.headers.into_iter().map(check_header).collect::<Result<_, _>>()?;
        let parts = HttpParts { headers, expect: StatusRange::merge(parts.expect), ..parts };
        Ok(Self(Arc::new(parts)))
    }

    /// A GET of `path` that expects 200-299.
    ///
    /// # Errors
    /// [`SpecError::Path`].
    pub fn get(path: impl Into<String>) -> Result<Self, SpecError> {
        Self::new(HttpParts { path: path.into(), ..HttpParts::default() })
    }

    /// The parts, all of them valid.
    pub fn parts(&self) -> &HttpParts {
        &self.0
    }

    /// Writes `GET http://10.0.0.11:80/healthz (host www.example.org)`.
    pub(super) fn write(&self, target: SocketAddr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HttpParts { method, path, host, tls, version, .. } = self.parts();
        let server_name = tls.as_ref().and_then(|tls| tls.parts().server_name.as_ref());
        write!(f, "{method} {}://{target}{path}", self.scheme())?;
        f.write_str(if *version == HttpVersion::Http2 { " by HTTP/2" } else { "" })?;
        host.iter().try_for_each(|host| write!(f, " (host {host})"))?;
        server_name.iter().try_for_each(|name| write!(f, " (server name {name})"))
    }

    /// `http` or `https`.
    pub(super) fn scheme(&self) -> &'static str {
        if self.0.tls.is_some() { "https" } else { "http" }
    }
}

impl TryFrom<HttpParts> for HttpRequest {
    type Error = SpecError;

    fn try_from(parts: HttpParts) -> Result<Self, SpecError> {
        Self::new(parts)
    }
}

impl From<HttpRequest> for HttpParts {
    fn from(request: HttpRequest) -> Self {
        Arc::unwrap_or_clone(request.0)
    }
}

fn check_method(text: &str) -> Result<(), SpecError> {
    match Method::from_bytes(text.as_bytes()) {
        // CONNECT asks for a tunnel, not for a path (RFC 9110, section 9.3.6).
        Ok(method) if method != Method::CONNECT => Ok(()),
        _ => Err(SpecError::Method { found: text.to_owned() }),
    }
}

pub(super) fn check_path(text: &str) -> Result<(), SpecError> {
    // The parser drops a fragment, which is never sent, so what it made must be what was given.
    match text.parse::<PathAndQuery>() {
        Ok(path) if text.starts_with('/') && path.as_str() == text => Ok(()),
        _ => Err(SpecError::Path { found: text.to_owned() }),
    }
}

pub(super) fn check_host(text: &str) -> Result<(), SpecError> {
    match text.parse::<Authority>() {
        Ok(authority) if !text.contains('@') && !authority.host().is_empty() => Ok(()),
        _ => Err(SpecError::Host { found: text.to_owned() }),
    }
}

fn check_header((name, value): (String, Secret)) -> Result<(String, Secret), SpecError> {
    let refused = |why| SpecError::Header { name: name.clone(), why };
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused("not the name of a header"))?;
    if parsed == header::HOST {
        return Err(refused("the host is a part of its own: set host"));
    }
    if FRAMING.contains(&parsed) {
        return Err(refused("set by the check itself"));
    }
    // One that was written down has been looked at before that.
    if value.bytes().is_some_and(|value| HeaderValue::from_bytes(value).is_err()) {
        return Err(refused("its value holds a character that no header may hold"));
    }
    Ok((parsed.as_str().to_owned(), value))
}

fn check_body(parts: &HttpParts) -> Result<(), SpecError> {
    let wanted = [
        ("body_contains", parts.body_contains.is_some()),
        ("body_matches", parts.body_matches.is_some()),
        ("body_sha256", parts.body_sha256.is_some()),
    ];
    let refused = |what, why: &str| Err(SpecError::Body { what, why: why.to_owned() });
    match wanted.iter().find(|(_, is_wanted)| *is_wanted) {
        Some((what, _)) if parts.method == "HEAD" => return refused(what, "an answer to HEAD has no body"),
        Some(_) | None => {}
    }
    match &parts.body_contains {
        Some(text) if text.is_empty() => {
            return refused("body_contains", "expected a text to look for, found an empty one");
        }
        Some(text) if text.len() > MAX_CONTAINED => {
            return refused("body_contains", &format!("longer than {MAX_CONTAINED} bytes: use body_sha256"));
        }
        Some(text) if text.len() as u64 > parts.max_body => {
            return refused("body_contains", "longer than max_body");
        }
        Some(_) | None => {}
    }
    if parts.body_matches.as_ref().is_some_and(|regex| regex.as_str().is_empty()) {
        return refused("body_matches", "it is empty and would match everything");
    }
    if parts.body_matches.is_some() && parts.max_body > MAX_MATCHED {
        return refused("body_matches", &format!("max_body may be {MAX_MATCHED} bytes at most with it"));
    }
    Ok(())
}
