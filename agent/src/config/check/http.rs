//! `type = "http"` and `type = "https"`.

use super::{Asks, Type, given, keys, taken, tcp, tls};
use crate::config::Problem;
use crate::config::value::boolean;
use crate::config::walk::{Node, Section};
use health::spec::{HttpVersion, MAX_MATCHED, MAX_URLS};
use health::{Digest, HttpParts, HttpRequest, Kind, Pick, Secret, StatusRange, Tls, Urls, UrlsParts};

pub(super) const HTTP: Type = Type {
    name: "http",
    keys: keys![
        "url",
        "urls",
        "check_all",
        "max_failures",
        "method",
        "host",
        "headers",
        "expect",
        "body_contains",
        "body_matches",
        "body_sha256",
        "max_body",
        "version",
    ],
    asks: Asks::ServicePort,
    read: |section| read(section, None),
};

pub(super) const HTTPS: Type = Type {
    name: "https",
    keys: keys![
        "url",
        "urls",
        "check_all",
        "max_failures",
        "method",
        "host",
        "headers",
        "expect",
        "body_contains",
        "body_matches",
        "body_sha256",
        "max_body",
        "version",
        "server_name",
        "verify",
        "ca",
        "client_certificate",
        "client_key",
        "min_version",
    ],
    asks: Asks::ServicePort,
    read: |section| {
        let tls = tls::read(section);
        let request = read(section, Some(Tls::default()));
        request.and_then(|kind| secured(section, kind, tls?))
    },
};

const URL: &str = "a path such as \"/healthz\", with a query or without, in URL encoding";
const URLS: &str = "an array of 1 to 16 paths such as [\"/a\", \"/b\"]";
const MAX_FAILURES: &str = "how many of the urls may fail";
const METHOD: &str = "an HTTP method such as \"GET\" or \"HEAD\"";
const VERSION: &str = "\"1.1\" or \"2\"";
const HOST: &str = "a host name or address, with a port or without";
const HEADERS: &str = "a table of names and texts";
const STATUS: &str = "a status 100-599 or a range such as \"200-299\"";
const EXPECT: &str = "an array of one or more of: a status 100-599, a range such as \"200-299\"";
const BODY: &str = "a text";
const DIGEST: &str = "a SHA-256 digest of 64 hexadecimal digits";

/// The most of a body that a check may read: at one probe a second that is a tenth of a gigabit already.
const MAX_BODY: u32 = 16 * 1024 * 1024;

/// One request, or several.
fn read(section: &Section<'_>, tls: Option<Tls>) -> Option<Kind> {
    // Each is looked at before anything is given up.
    let parts = parts(section);
    let several = several(section);
    let parts = HttpParts { tls, ..parts? };
    let Some((paths, pick)) = several? else {
        return taken(section, HttpRequest::new(parts)).map(Kind::Http);
    };
    let request = |path| HttpRequest::new(HttpParts { path, ..parts.clone() });
    let requests = taken(section, paths.into_iter().map(request).collect::<Result<Vec<_>, _>>())?;
    taken(section, Urls::new(UrlsParts { requests, pick })).map(Kind::Urls)
}

/// The same requests, secured so.
fn secured(section: &Section<'_>, kind: Kind, tls: Tls) -> Option<Kind> {
    let secure = |request: &HttpRequest| {
        HttpRequest::new(HttpParts { tls: Some(tls.clone()), ..request.parts().clone() })
    };
    match kind {
        Kind::Http(request) => taken(section, secure(&request)).map(Kind::Http),
        Kind::Urls(urls) => {
            let requests = urls.parts().requests.iter().map(secure).collect::<Result<Vec<_>, _>>();
            let parts = UrlsParts { requests: taken(section, requests)?, pick: urls.parts().pick };
            taken(section, Urls::new(parts)).map(Kind::Urls)
        }
        other => Some(other),
    }
}

/// What all requests of a check have in common, and the path of the only one.
fn parts(section: &Section<'_>) -> Option<HttpParts> {
    let default = HttpParts::default();
    let path = given(section, "url", default.path, url);
    let method = given(section, "method", default.method, method);
    let host = given(section, "host", None, |node| host(node).map(Some));
    let headers = given(section, "headers", Vec::new(), headers);
    let expect = given(section, "expect", default.expect, expect);
    let contains =
        given(section, "body_contains", None, |node| node.string(BODY).map(|t| Some(t.to_owned())));
    let matches = given(section, "body_matches", None, |node| tcp::regex(node).map(Some));
    let digest = given(section, "body_sha256", None, |node| {
        node.parsed(DIGEST, |text| text.parse::<Digest>().ok()).map(Some)
    });
    // What a regular expression is matched against is kept in memory.
    let most =
        if matches!(matches, Some(Some(_))) { default.max_body.min(MAX_MATCHED) } else { default.max_body };
    let max_body = given(section, "max_body", most, |node| {
        node.integer(&format!("a number of bytes 1-{MAX_BODY}"), 1..=MAX_BODY).map(u64::from)
    });
    let version = given(section, "version", HttpVersion::Http1, version);
    Some(HttpParts {
        version: version?,
        method: method?,
        path: path?,
        host: host?,
        tls: None,
        headers: headers?,
        expect: expect?,
        body_contains: contains?,
        body_matches: matches?,
        body_sha256: digest?,
        max_body: max_body?,
    })
}

/// The paths of `urls` and which of them are asked, if there are several.
fn several(section: &Section<'_>) -> Option<Option<(Vec<String>, Pick)>> {
    let urls = section.get("urls");
    let all = given(section, "check_all", false, boolean);
    let most = u32::try_from(MAX_URLS).unwrap_or(u32::MAX);
    let may_fail = section.get("max_failures");
    let max_failures =
        may_fail.as_ref().map_or(Some(0), |node| node.integer(MAX_FAILURES, 0..=most.saturating_sub(1)));
    let Some(node) = urls else {
        return match section.get("check_all").or(may_fail) {
            Some(node) => refused(&node, "there are no urls of which all or some could be asked"),
            None => Some(None),
        };
    };
    if let Some(url) = section.get("url") {
        return refused(&url, "url and urls exclude each other");
    }
    let items = node.array(URLS)?;
    let paths: Vec<String> = items.iter().filter_map(url).collect();
    if items.is_empty() || items.len() > MAX_URLS {
        node.unexpected(URLS);
        return None;
    }
    if paths.len() < items.len() {
        return None;
    }
    match (all?, may_fail) {
        (false, Some(node)) => {
            refused(&node, "only with check_all = true is more than one of the urls asked")
        }
        (false, None) => Some(Some((paths, Pick::One))),
        (true, _) => Some(Some((paths, Pick::All { max_failures: max_failures? }))),
    }
}

fn refused<T>(node: &Node<'_>, reason: &str) -> Option<T> {
    node.report_key(Problem::Conflict(reason.to_owned()));
    None
}

pub(super) fn url(node: &Node<'_>) -> Option<String> {
    node.parsed(URL, |text| HttpRequest::get(text).is_ok().then(|| text.to_owned()))
}

pub(super) fn version(node: &Node<'_>) -> Option<HttpVersion> {
    node.parsed(VERSION, |text| match text {
        "1.1" => Some(HttpVersion::Http1),
        "2" => Some(HttpVersion::Http2),
        _ => None,
    })
}

fn method(node: &Node<'_>) -> Option<String> {
    node.parsed(METHOD, |text| {
        let parts = HttpParts { method: text.to_owned(), ..HttpParts::default() };
        HttpRequest::new(parts).is_ok().then(|| text.to_owned())
    })
}

pub(super) fn host(node: &Node<'_>) -> Option<String> {
    node.parsed(HOST, |text| {
        let parts = HttpParts { host: Some(text.to_owned()), ..HttpParts::default() };
        HttpRequest::new(parts).is_ok().then(|| text.to_owned())
    })
}

/// In the order of the file, which is that in which they are sent.
fn headers(node: &Node<'_>) -> Option<Vec<(String, Secret)>> {
    let entries = node.entries()?;
    let count = entries.len();
    let header = |(name, node): (&str, Node<'_>)| {
        let Some(value) = node.as_string().map(Secret::from) else {
            node.unexpected_secret(HEADERS);
            return None;
        };
        let headers = vec![(name.to_owned(), value.clone())];
        match HttpRequest::new(HttpParts { headers, ..HttpParts::default() }) {
            Ok(_) => Some((name.to_owned(), value)),
            Err(error) => {
                node.report_key(Problem::Conflict(error.to_string()));
                None
            }
        }
    };
    let headers: Vec<_> = entries.into_iter().filter_map(header).collect();
    (headers.len() == count).then_some(headers)
}

/// `None` when the array has no usable element; what is wrong is reported.
pub(super) fn expect(node: &Node<'_>) -> Option<Vec<StatusRange>> {
    let items = node.array(EXPECT)?;
    if items.is_empty() {
        node.unexpected(EXPECT);
    }
    let ranges: Vec<_> = items.iter().filter_map(status).collect();
    (!ranges.is_empty()).then_some(ranges)
}

fn status(node: &Node<'_>) -> Option<StatusRange> {
    let read = match (node.as_integer(), node.as_string()) {
        (Some(code), _) => u16::try_from(code).ok().and_then(|code| StatusRange::new(code, code).ok()),
        (None, Some(text)) => text.parse().ok(),
        (None, None) => None,
    };
    read.or_else(|| {
        node.unexpected(STATUS);
        None
    })
}
