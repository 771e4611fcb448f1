//! `type = "tcp"`: a connection, with something to send and to be answered where wanted.

use super::{Asks, Type, given, keys, payload, taken};
use crate::config::walk::{Node, Section};
use health::spec::MAX_READ;
use health::{Exchange, ExchangeParts, Kind, Pattern, Regex};

pub(super) const TCP: Type = Type {
    name: "tcp",
    keys: keys!["send", "expect", "expect_regex", "max_read"],
    asks: Asks::ServicePort,
    read,
};

const KEYS_OF_EXCHANGE: [&str; 4] = ["send", "expect", "expect_regex", "max_read"];

fn read(section: &Section<'_>) -> Option<Kind> {
    if !KEYS_OF_EXCHANGE.iter().any(|key| section.get(key).is_some()) {
        return Some(Kind::Tcp);
    }
    let default = ExchangeParts::default();
    let send = given(section, "send", default.send, payload::secret);
    let expect = pattern(section);
    let max_read = given(section, "max_read", default.max_read, max_read);
    let parts = ExchangeParts { send: send?, expect: expect?, max_read: max_read? };
    taken(section, Exchange::new(parts)).map(Kind::TcpExchange)
}

/// `expect` or `expect_regex`, if one of them is there; nothing when what is there is wrong.
pub(super) fn pattern(section: &Section<'_>) -> Option<Option<Pattern>> {
    match (section.get("expect"), section.get("expect_regex")) {
        (None, None) => Some(None),
        (Some(node), None) => payload::read(&node).map(|bytes| Some(Pattern::Contains(bytes))),
        (None, Some(node)) => regex(&node).map(|regex| Some(Pattern::Matches(regex))),
        (Some(_), Some(node)) => {
            node.report_key(crate::config::Problem::Conflict(
                "expect and expect_regex exclude each other".to_owned(),
            ));
            None
        }
    }
}

/// A regular expression over bytes.
pub(super) fn regex(node: &Node<'_>) -> Option<Regex> {
    let text = node.string("a regular expression")?;
    match Regex::new(text) {
        Ok(regex) => Some(regex),
        Err(error) => {
            node.report(crate::config::Problem::Conflict(error.to_string()));
            None
        }
    }
}

fn max_read(node: &Node<'_>) -> Option<usize> {
    let most = u32::try_from(MAX_READ).unwrap_or(u32::MAX);
    let read = node.integer(&format!("a number of bytes 1-{MAX_READ}"), 1..=most)?;
    usize::try_from(read).ok()
}
