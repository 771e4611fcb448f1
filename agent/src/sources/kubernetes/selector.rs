//! Label selectors, as `kubectl --selector` takes them: `role=ingress,zone in (a, b),!gpu`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// More than anybody writes, and a bound.
const MOST_REQUIREMENTS: usize = 32;

/// What is said of one label.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    Is(String, BTreeSet<String>),
    /// Also true of an object without the label.
    IsNot(String, BTreeSet<String>),
    Exists(String),
    Missing(String),
}

/// A selector: everything that it says must hold; one that says nothing means everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no requirement on a label, such as \"role=ingress\", \"zone in (a, b)\", \"role!=db\", \"gpu\" or \"!gpu\""
)]
pub struct SelectorError(String);

impl Selector {
    /// Whether an object with these labels is meant.
    pub fn matches(&self, labels: &BTreeMap<Arc<str>, Arc<str>>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::Is(key, values) => labels.get(&**key).is_some_and(|value| values.contains(&**value)),
            Requirement::IsNot(key, values) => {
                !labels.get(&**key).is_some_and(|value| values.contains(&**value))
            }
            Requirement::Exists(key) => labels.contains_key(&**key),
            Requirement::Missing(key) => !labels.contains_key(&**key),
        })
    }
}

impl std::str::FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        let parts = split(text);
        if parts.len() > MOST_REQUIREMENTS {
            return Err(SelectorError(text.to_owned()));
        }
        let read = |part: &str| requirement(part).ok_or_else(|| SelectorError(part.trim().to_owned()));
        parts.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

/// At its commas, but not at those in brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut is_inside) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => is_inside = true,
            ')' => is_inside = false,
            ',' if !is_inside => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

fn requirement(part: &str) -> Option<Requirement> {
    let part = part.trim();
    if let Some(key) = part.strip_prefix('!') {
        return Some(Requirement::Missing(label(key)?));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Some(Requirement::IsNot(label(key)?, [self::value(value)?].into()));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Requirement::Is(label(key)?, [self::value(value)?].into()));
    }
    let Some((head, values)) = part.split_once('(') else {
        return Some(Requirement::Exists(label(part)?));
    };
    let values = values.trim_end().strip_suffix(')')?.split(',').map(self::value).collect::<Option<_>>()?;
    let (key, word) = head.trim_end().rsplit_once(char::is_whitespace)?;
    match word {
        "in" => Some(Requirement::Is(label(key)?, values)),
        "notin" => Some(Requirement::IsNot(label(key)?, values)),
        _ => None,
    }
}

/// A name with or without the domain whose it is: `role`, `node-role.kubernetes.io/worker`.
fn label(text: &str) -> Option<String> {
    let text = text.trim();
    let (domain, name) = text.split_once('/').unwrap_or(("a", text));
    let is_domain = !domain.is_empty()
        && domain.len() <= 253
        && domain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    (is_domain && !name.is_empty() && value(name).is_some()).then(|| text.to_owned())
}

fn value(text: &str) -> Option<String> {
    let text = text.trim();
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    (plain && text.len() <= 63).then(|| text.to_owned())
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(", ");
        let words = |requirement: &Requirement| match requirement {
            Requirement::Is(key, values) => format!("{key} in ({})", listed(values)),
            Requirement::IsNot(key, values) => format!("{key} notin ({})", listed(values)),
            Requirement::Exists(key) => key.clone(),
            Requirement::Missing(key) => format!("!{key}"),
        };
        f.write_str(&self.0.iter().map(words).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_meant(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        selector.parse::<Selector>().expect("a selector").matches(&labels)
    }

    #[test]
    fn every_requirement_has_to_hold() {
        let labels = [("role", "ingress"), ("zone", "b"), ("example.org/rack", "r1")];
        for (selector, expected) in [
            ("role=ingress", true),
            ("role == ingress", true),
            ("role=ingress,zone in (a, b),!gpu", true),
            ("role=ingress,zone in (a)", false),
            ("role!=db,example.org/rack", true),
            ("zone notin (a,b)", false),
            ("missing notin (a)", true),
            ("missing!=a", true),
            ("gpu", false),
            ("!role", false),
            ("", true),
        ] {
            assert_eq!(is_meant(selector, &labels), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_its_part() {
        for text in ["role=a,", "=a", "role=a b", "zone in a", "zone on (a)", "zone in (a", "/x", "a/", "!"] {
            assert!(text.parse::<Selector>().is_err(), "{text:?}");
        }
        let error = "role=a,zone on (b)".parse::<Selector>().expect_err("no such word");
        assert!(error.to_string().starts_with("\"zone on (b)\" is no requirement"), "{error}");
    }
}
