//! `[[service.NAME.checks]]`.

use super::Problem;
use super::model::CheckTemplate;
use super::value::{duration_or, port};
use super::walk::{Node, Section};
use health::spec::{MAX_PERIOD, MIN_PERIOD};
use health::{HttpParts, HttpRequest, Kind, StatusRange, Timing};
use std::num::NonZeroU16;

const TCP_KEYS: &[&str] = &["type", "port", "interval", "timeout", "fall", "rise"];
const HTTP_KEYS: &[&str] = &["type", "path", "host", "expect", "port", "interval", "timeout", "fall", "rise"];

const TYPE: &str = "\"tcp\" or \"http\"";
const PATH: &str = "a path such as \"/healthz\", with a query or without, in URL encoding";
const HOST: &str = "a host name or address, with a port or without";
const STATUS: &str = "a status 100-599 or a range such as \"200-299\"";
const EXPECT: &str = "an array of one or more of: a status 100-599, a range such as \"200-299\"";

/// The largest fall or rise: with the default interval a verdict would take more than half an hour.
const MAX_COUNT: u32 = 1000;

/// Reads the checks; none at all must be meant.
pub(super) fn read(section: &Section<'_>) -> Option<Vec<CheckTemplate>> {
    let service = section.node().name();
    let expected =
        format!("one or more checks as [[{service}.checks]], or `checks = []` to take every backend for up");
    let items = section.required("checks", &expected)?.array(&expected)?;
    Some(items.iter().filter_map(check).collect())
}

fn check(node: &Node<'_>) -> Option<CheckTemplate> {
    // The type decides which keys there are, so it is looked at before them.
    let kind = node.peek("type");
    let section = match kind.as_ref().and_then(Node::as_string) {
        Some("tcp") => node.section(TCP_KEYS)?,
        Some(_) | None => node.section(HTTP_KEYS)?,
    };
    let kind = section.required("type", TYPE).and_then(|node| match node.as_string() {
        Some("tcp") => Some(Kind::Tcp),
        Some("http") => http(&section).map(Kind::Http),
        Some(_) | None => {
            node.unexpected(TYPE);
            None
        }
    });
    let port = match section.get("port") {
        Some(node) => port(&node).and_then(NonZeroU16::new).map(Some),
        None => Some(None),
    };
    let timing = timing(&section);
    Some(CheckTemplate { kind: kind?, port: port?, timing: timing? })
}

fn timing(section: &Section<'_>) -> Option<Timing> {
    let default = Timing::default();
    let period = |key, default| duration_or(section, key, MIN_PERIOD..=MAX_PERIOD, default);
    let count = |key, default| {
        section.get(key).and_then(|node| node.integer("a count 1-1000", 1..=MAX_COUNT)).unwrap_or(default)
    };
    let timing = Timing::new(
        period("interval", default.interval()),
        period("timeout", default.timeout()),
        count("fall", default.fall()),
        count("rise", default.rise()),
    );
    timing.map_err(|error| section.node().report(Problem::Conflict(error.to_string()))).ok()
}

fn http(section: &Section<'_>) -> Option<HttpRequest> {
    let default = HttpParts::default();
    let parts = HttpParts {
        path: section.get("path").and_then(|node| path(&node)).unwrap_or(default.path),
        host: section.get("host").and_then(|node| host(&node)),
        expect: section.get("expect").and_then(|node| expect(&node)).unwrap_or(default.expect),
        ..HttpParts::default()
    };
    HttpRequest::new(parts).map_err(|error| section.node().report(Problem::Conflict(error.to_string()))).ok()
}

fn path(node: &Node<'_>) -> Option<String> {
    node.parsed(PATH, |text| HttpRequest::get(text).is_ok().then(|| text.to_owned()))
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
