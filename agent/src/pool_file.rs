//! The pool file: a JSON object of hosts, each with its weight and its administrative state.
//!
//! ```json
//! { "rs1": {"weight": 10, "pooled": true}, "rs2": {"weight": 10, "pooled": "yes"|"no"|"inactive"} }
//! ```
//!
//! PyBal's files are read as they are: JSON with `"enabled": true`, where the weight is 10 if nothing is said, and one
//! Python dict a line. Otherwise the weight is 1, and the state is pooled, where nothing is said. [`parse`] is pure and either understands the
//! whole file or refuses it: whoever reads files keeps the last good state.

mod lines;

use crate::config::document::Document;
use crate::config::value::{CONNECTIONS, LOWER_ABOVE_UPPER, MAX_WEIGHT, WEIGHT, host};
use crate::config::walk::shortened;
use crate::config::{Admin, Backend, ConnectionLimits, Place};
use crate::suggest::suggest;
use ipvs::Weight;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::path::Path;
use thiserror::Error;

/// The largest pool file, in bytes: some fifty thousand backends, where a pool has some hundred. A wrong path
/// must not fill the memory. Who reads a file need read no more than one byte beyond it.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

const KEYS: [&str; 5] = ["weight", "pooled", "enabled", "upper_threshold", "lower_threshold"];

/// The weight where none is said: ours, and PyBal's.
const WEIGHT_UNSAID: u32 = 1;
const WEIGHT_UNSAID_TO_PYBAL: u32 = 10;

/// So many lines that are wrong are told; the message is one line of a log.
const MAX_TOLD: usize = 10;

const ROOT: &str = "an object of hosts, {\"HOST\": {\"weight\": 1, \"pooled\": true}}";
const HOST: &str = "a host name or an IP address";
const BACKEND: &str = "an object, {\"weight\": 1, \"pooled\": true}";

/// Why a pool file is refused: `web.json:3:22: rs1.weight: expected a weight 0-65535, found -1`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {}{problem}", if key.is_empty() { String::new() } else { format!("{key}: ") })]
pub struct PoolFileError {
    /// Where it stands.
    pub place: Place,
    /// The host, or its setting by its full name; empty when it is about the file.
    pub key: String,
    /// What is wrong with it.
    pub problem: PoolFileProblem,
}

/// What can be wrong with a pool file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PoolFileProblem {
    /// More than [`MAX_BYTES`].
    #[error("larger than {MAX_BYTES} bytes, which no pool is")]
    TooLarge,
    /// Nothing in it, or blanks only.
    #[error("the file is empty: expected {ROOT}")]
    EmptyFile,
    /// It ends in the middle.
    #[error("half written: the file ends within {0}")]
    HalfWritten(String),
    /// No JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON, but not what belongs there.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// No setting has this name.
    #[error("unknown key; {}", hint(*nearest))]
    UnknownKey {
        /// The setting of a similar name.
        nearest: Option<&'static str>,
    },
    /// Limits of connections the wrong way round.
    #[error("{LOWER_ABOVE_UPPER}")]
    Limits,
    /// A host or a setting is there twice.
    #[error("{what} for the second time; the first is at {first}")]
    Twice {
        /// What there is twice.
        what: String,
        /// Where it was first.
        first: Place,
    },
    /// `pooled` and `enabled` at the same time.
    #[error("enabled and pooled say the same: give one of them")]
    Both,
    /// A line that is no Python dict.
    #[error("not a Python dict: expected {0}")]
    NotPython(&'static str),
    /// Something that a line must have is not in it.
    #[error("missing, and PyBal leaves such a line out")]
    Missing,
    /// Nothing that a line has has this name.
    #[error("unknown key; {}", hint_of_line(*nearest))]
    UnknownKeyOfLine {
        /// What has a similar name.
        nearest: Option<&'static str>,
    },
    /// Several lines.
    #[error("{}", told(.0))]
    Lines(Vec<PoolFileError>),
    /// No host in it.
    #[error(
        "an empty pool is refused: expected at least one host; to take hosts out, set \"pooled\": \"no\" on them"
    )]
    EmptyPool,
}

/// The help that goes with an unknown key.
fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(key) => format!("did you mean {key:?}?"),
        None => format!("known here: {KEYS:?}"),
    }
}

fn hint_of_line(nearest: Option<&str>) -> String {
    match nearest {
        Some(key) => format!("did you mean {key:?}?"),
        None => "a line has \"host\", \"weight\" and \"enabled\"".to_owned(),
    }
}

/// Several errors in a line.
fn told(errors: &[PoolFileError]) -> String {
    let mut words: Vec<String> = errors.iter().take(MAX_TOLD).map(ToString::to_string).collect();
    if let Some(more) = errors.len().checked_sub(MAX_TOLD).filter(|more| *more > 0) {
        words.push(format!("and {more} more"));
    }
    format!("{} lines are wrong: {}", errors.len(), words.join("; "))
}

/// Parses a pool file. `name` is what errors call it. The backends are sorted by host.
///
/// # Errors
/// The first thing that is wrong, in the order of the file; of a file of lines every line.
pub fn parse(name: &Path, text: &[u8]) -> Result<Vec<Backend>, PoolFileError> {
    let whole = |problem| PoolFileError { place: Place::whole(name), key: String::new(), problem };
    if text.len() > MAX_BYTES {
        return Err(whole(PoolFileProblem::TooLarge));
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(whole(PoolFileProblem::EmptyFile));
    }
    let text = std::str::from_utf8(text).map_err(|error| {
        let place = Place::after(name, &text[..error.valid_up_to()]);
        let problem = PoolFileProblem::NotJson("a byte that is no UTF-8".to_owned());
        PoolFileError { place, key: String::new(), problem }
    })?;
    if lines::is_it(name, text) {
        return lines::parse(name, text);
    }
    let root: &RawValue = serde_json::from_str(text).map_err(|error| syntax(name, &error))?;
    Reader { text, document: Document::new(name, text) }.pool(root)
}

/// A syntax error of the parser with its place.
fn syntax(name: &Path, error: &serde_json::Error) -> PoolFileError {
    let place = Place::at(name, error.line(), error.column());
    let whole = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let message = whole.strip_suffix(&position).unwrap_or(&whole);
    let problem = match error.classify() {
        Category::Eof => {
            PoolFileProblem::HalfWritten(message.trim_start_matches("EOF while parsing ").to_owned())
        }
        Category::Syntax | Category::Data | Category::Io => PoolFileProblem::NotJson(message.to_owned()),
    };
    PoolFileError { place, key: String::new(), problem }
}

/// A text that is JSON, on its way to a pool.
#[derive(Debug)]
struct Reader<'t> {
    text: &'t str,
    document: Document<'t>,
}

impl<'t> Reader<'t> {
    fn pool(&self, root: &'t RawValue) -> Result<Vec<Backend>, PoolFileError> {
        let mut backends = BTreeMap::new();
        let mut places = BTreeMap::new();
        let members = self.members("", root, ROOT)?;
        let is_pybals = members.iter().any(|(_, value)| self.says_enabled(value));
        let weight = if is_pybals { WEIGHT_UNSAID_TO_PYBAL } else { WEIGHT_UNSAID };
        for (key, value) in members {
            let written = self.string("", key)?;
            let host = host(&written)
                .map_err(|found| self.error("", key, PoolFileProblem::Expected { expected: HOST, found }))?;
            self.once(&mut places, &host, key, || ("", format!("host {host}")))?;
            backends.insert(host.clone(), self.backend(host, value, weight)?);
        }
        if backends.is_empty() {
            return Err(self.error("", root, PoolFileProblem::EmptyPool));
        }
        Ok(backends.into_values().collect())
    }

    /// Whether a backend is written as PyBal has it.
    fn says_enabled(&self, value: &'t RawValue) -> bool {
        let members = serde_json::from_str::<Members<'t>>(value.get());
        members.is_ok_and(|members| members.0.iter().any(|(key, _)| key.get() == "\"enabled\""))
    }

    fn backend(&self, host: String, value: &'t RawValue, mut weight: u32) -> Result<Backend, PoolFileError> {
        let (mut pooled, mut limits) = (Admin::Pooled, ConnectionLimits::default());
        let mut places = BTreeMap::new();
        for (key, value) in self.members(&host, value, BACKEND)? {
            let written = self.string(&host, key)?;
            let name = format!("{host}.{}", shortened(&written));
            self.once(&mut places, &written, key, || (&name, "given".to_owned()))?;
            match written.as_str() {
                "weight" => weight = self.weight(&name, value)?,
                "pooled" => pooled = self.pooled(&name, value)?,
                "enabled" => pooled = self.enabled(&name, value)?,
                "upper_threshold" => limits.upper = self.connections(&name, value)?,
                "lower_threshold" => limits.lower = self.connections(&name, value)?,
                other => {
                    let nearest = suggest(other, KEYS).first().copied();
                    return Err(self.error(&name, key, PoolFileProblem::UnknownKey { nearest }));
                }
            }
        }
        if ["pooled", "enabled"].iter().all(|key| places.contains_key(*key)) {
            return Err(self.error(&host, value, PoolFileProblem::Both));
        }
        if limits.lower > limits.upper {
            return Err(self.error(&host, value, PoolFileProblem::Limits));
        }
        // The range was checked, and the kernel's is wider.
        let weight = Weight::new(weight).unwrap_or(Weight::ZERO);
        Ok(Backend { host: host.into(), weight, pooled, limits, addresses: None })
    }

    fn connections(&self, name: &str, value: &RawValue) -> Result<u32, PoolFileError> {
        value.get().parse().map_err(|_| self.unexpected(name, value, CONNECTIONS))
    }

    fn weight(&self, name: &str, value: &RawValue) -> Result<u32, PoolFileError> {
        let weight = value.get().parse().ok().filter(|weight| *weight <= MAX_WEIGHT);
        weight.ok_or_else(|| self.unexpected(name, value, WEIGHT))
    }

    fn enabled(&self, name: &str, value: &RawValue) -> Result<Admin, PoolFileError> {
        let read = value.get().parse().map(|enabled: bool| Admin::from(enabled));
        read.map_err(|_| self.unexpected(name, value, "true or false"))
    }

    fn pooled(&self, name: &str, value: &RawValue) -> Result<Admin, PoolFileError> {
        let read = match value.get() {
            "true" => Some(Admin::from(true)),
            "false" => Some(Admin::from(false)),
            text => serde_json::from_str::<String>(text).ok().and_then(|word| Admin::from_word(&word)),
        };
        read.ok_or_else(|| self.unexpected(name, value, Admin::WORDS))
    }

    fn string(&self, name: &str, key: &RawValue) -> Result<String, PoolFileError> {
        serde_json::from_str(key.get()).map_err(|error| {
            self.error(name, key, PoolFileProblem::NotJson(format!("a key that is no text: {error}")))
        })
    }

    fn members(
        &self,
        name: &str,
        value: &'t RawValue,
        expected: &'static str,
    ) -> Result<Vec<(&'t RawValue, &'t RawValue)>, PoolFileError> {
        match serde_json::from_str::<Members<'t>>(value.get()) {
            Ok(members) => Ok(members.0),
            // The text is known to be JSON, so it is no object.
            Err(_) => Err(self.unexpected(name, value, expected)),
        }
    }

    /// Refuses what was there before.
    fn once<'n>(
        &self,
        places: &mut BTreeMap<String, Place>,
        name: &str,
        key: &RawValue,
        what: impl FnOnce() -> (&'n str, String),
    ) -> Result<(), PoolFileError> {
        match places.entry(name.to_owned()) {
            Entry::Vacant(free) => {
                free.insert(self.place(key));
                Ok(())
            }
            Entry::Occupied(first) => {
                let (name, what) = what();
                let first = first.get().clone();
                Err(self.error(name, key, PoolFileProblem::Twice { what, first }))
            }
        }
    }

    fn unexpected(&self, name: &str, value: &RawValue, expected: &'static str) -> PoolFileError {
        let found = match value.get().as_bytes() {
            [b'{', ..] => "an object".to_owned(),
            [b'[', ..] => "an array".to_owned(),
            _ => shortened(value.get()),
        };
        self.error(name, value, PoolFileProblem::Expected { expected, found })
    }

    fn error(&self, name: &str, at: &RawValue, problem: PoolFileProblem) -> PoolFileError {
        PoolFileError { place: self.place(at), key: name.to_owned(), problem }
    }

    /// The place of a part of the text: raw values are slices of it.
    fn place(&self, part: &RawValue) -> Place {
        self.document.place(part.get().as_ptr().addr().saturating_sub(self.text.as_ptr().addr()))
    }
}

/// The members of an object as they stand in the text, with keys that are there twice.
#[derive(Debug)]
struct Members<'t>(Vec<(&'t RawValue, &'t RawValue)>);

impl<'t> Deserialize<'t> for Members<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

#[derive(Debug)]
struct MembersVisitor;

impl<'t> Visitor<'t> for MembersVisitor {
    type Value = Members<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Members<'t>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests;
