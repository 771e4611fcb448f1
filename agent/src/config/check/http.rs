//! `type = "http"`.

use super::{Type, keys, taken};
use crate::config::walk::{Node, Section};
use health::{HttpParts, HttpRequest, Kind, StatusRange};

pub(super) const HTTP: Type = Type { name: "http", keys: keys!["url", "host", "expect"], read };

const URL: &str = "a path such as \"/healthz\", with a query or without, in URL encoding";
const HOST: &str = "a host name or address, with a port or without";
const STATUS: &str = "a status 100-599 or a range such as \"200-299\"";
const EXPECT: &str = "an array of one or more of: a status 100-599, a range such as \"200-299\"";

fn read(section: &Section<'_>) -> Option<Kind> {
    let default = HttpParts::default();
    // Each is looked at before anything is given up.
    let path = section.get("url").map_or(Some(default.path), |node| url(&node));
    let host = section.get("host").map_or(Some(None), |node| host(&node).map(Some));
    let expect = section.get("expect").map_or(Some(default.expect), |node| expect(&node));
    let parts = HttpParts { path: path?, host: host?, expect: expect?, ..HttpParts::default() };
    taken(section, HttpRequest::new(parts)).map(Kind::Http)
}

fn url(node: &Node<'_>) -> Option<String> {
    node.parsed(URL, |text| HttpRequest::get(text).is_ok().then(|| text.to_owned()))
}

fn host(node: &Node<'_>) -> Option<String> {
    node.parsed(HOST, |text| {
        let parts = HttpParts { host: Some(text.to_owned()), ..HttpParts::default() };
        HttpRequest::new(parts).is_ok().then(|| text.to_owned())
    })
}

/// `None` when the array has no usable element; what is wrong is reported.
fn expect(node: &Node<'_>) -> Option<Vec<StatusRange>> {
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
