//! A section of pybal.conf with typed options, and what is said of each.

use super::Finding;
use super::ini::{Section, Setting};
use crate::config::walk::shortened;
use crate::python::{self, Literal, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings(RefCell<Vec<Finding>>);

impl Findings {
    /// Adds one.
    pub(super) fn add(&self, finding: Finding) {
        self.0.borrow_mut().push(finding);
    }

    /// All of them, by line.
    pub(super) fn into_sorted(self) -> Vec<Finding> {
        let mut findings = self.0.into_inner();
        findings.sort_by_key(|finding| finding.line);
        findings
    }
}

/// A section whose options are being read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    section: &'a Section,
    findings: &'a Findings,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Reader<'a> {
    /// A reader of a section of which nothing was read yet.
    pub(super) fn new(section: &'a Section, findings: &'a Findings) -> Self {
        Self { section, findings, read: RefCell::default() }
    }

    /// The section's name.
    pub(super) fn name(&self) -> &'a str {
        &self.section.name
    }

    fn setting(&self, key: &str) -> Option<&'a Setting> {
        self.read.borrow_mut().insert(key.to_owned());
        self.section.options.get(key)
    }

    /// The option as it stands there.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.setting(key).map(|setting| setting.value.as_str())
    }

    /// The option; that PyBal does not start without it is said when it is not there.
    pub(super) fn required(&self, key: &str) -> Option<&'a str> {
        let text = self.text(key);
        if text.is_none() {
            self.lost(key, "missing, and PyBal does not start without it; the section is left out");
        }
        text
    }

    /// The option as `read` understands it. What it does not is said, and that the section is left out.
    pub(super) fn needed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.required(key)?;
        let value = read(text.trim());
        if value.is_none() {
            let found = shortened(text);
            self.lost(key, format!("expected {expected}, found {found:?}; the section is left out"));
        }
        value
    }

    /// The option as `read` understands it, if it is there. What it does not is said, and what holds instead.
    pub(super) fn given<T>(
        &self,
        key: &str,
        (expected, instead): (&str, &str),
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let value = read(text.trim());
        if value.is_none() {
            self.lost(key, format!("expected {expected}, found {:?}; {instead}", shortened(text)));
        }
        value
    }

    /// Whole seconds, or PyBal's default.
    pub(super) fn seconds(&self, key: &str, default: u64) -> u64 {
        let instead = format!("PyBal's default of {default} s is taken");
        self.given(key, ("whole seconds", &instead), |text| text.parse().ok()).unwrap_or(default)
    }

    /// yes or no in one of Python's spellings, or PyBal's default.
    pub(super) fn boolean(&self, key: &str, default: bool) -> bool {
        let instead = format!("PyBal's default, {}, is taken", if default { "yes" } else { "no" });
        self.given(key, ("yes or no", &instead), boolean).unwrap_or(default)
    }

    /// A Python list of texts, or one text; nothing when it is not there. What it is not is said with `instead`.
    pub(super) fn texts(&self, key: &str, instead: &str) -> Option<Vec<String>> {
        let items = self.values(key, instead)?;
        let text = |value: Value| match value.literal {
            Literal::Text(text) => Ok(text),
            other => Err(other),
        };
        match items.into_iter().map(text).collect() {
            Ok(texts) => Some(texts),
            Err(other) => {
                self.lost(key, format!("expected a list of texts in quotes, found {other} in it; {instead}"));
                None
            }
        }
    }

    /// The items of a Python list, or the only one; nothing when it is not there.
    pub(super) fn values(&self, key: &str, instead: &str) -> Option<Vec<Value>> {
        match python::read(self.text(key)?) {
            Ok(Value { literal: Literal::List(items), .. }) => Some(items),
            Ok(one) => Some(vec![one]),
            Err(error) => {
                self.lost(key, format!("no Python list: {error} at character {}; {instead}", error.at + 1));
                None
            }
        }
    }

    /// Whether the option is there, which is not asked of `[DEFAULT]`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.section.options.contains_key(key)
    }

    /// Says what was chosen for an option.
    pub(super) fn note(&self, key: &str, what: impl Into<String>) {
        self.say(key, what.into(), false);
    }

    /// Says that an option could not be carried over, why, and what to do.
    pub(super) fn lost(&self, key: &str, what: impl Into<String>) {
        self.say(key, what.into(), true);
    }

    fn say(&self, key: &str, what: String, is_lost: bool) {
        let line = self.section.options.get(key).map_or(self.section.line, |setting| setting.line);
        let option =
            if key.is_empty() { self.section.name.clone() } else { format!("{}.{key}", self.section.name) };
        self.findings.add(Finding { line, option, what, is_lost });
    }

    /// Options that nobody has read. Those of `[DEFAULT]` may be there for `%(name)s` or for other sections.
    pub(super) fn say_rest(&self, why: impl Fn(&str) -> (String, bool)) {
        let read = self.read.borrow();
        let rest =
            self.section.options.iter().filter(|(key, setting)| !read.contains(*key) && !setting.is_default);
        for (key, _) in rest {
            let (what, is_lost) = why(key);
            self.say(key, what, is_lost);
        }
    }
}

/// As Python's ConfigParser and PyBal take it.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "y" | "yes" | "on" => Some(true),
        "0" | "f" | "false" | "n" | "no" | "off" => Some(false),
        _ => None,
    }
}
