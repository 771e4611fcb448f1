//! A cursor over a parsed file: it knows the full name and the place of what it points at, and collects errors
//! instead of stopping at one.

use super::document::Document;
use super::{ConfigError, Place, Problem};
use crate::suggest::suggest;
use health::SpecError;
use health::spec::Certificates;
use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::{fmt, io};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// Longest text that an error repeats, in characters: it must fit a line of a log.
const MAX_SHOWN: usize = 60;

/// What an error says instead of a value that may be a secret.
const NOT_SHOWN: &str = "something else, which is not shown";

/// Reads a file that a setting names.
pub type ReadFile<'f> = &'f dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// How the files that settings name are had.
#[derive(Clone, Copy)]
pub struct Files<'f> {
    /// Reads one.
    pub read: ReadFile<'f>,
    /// Where systemd has put the service's credentials.
    pub credentials: Option<&'f Path>,
}

impl fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

/// What all of a run share: the errors that it collects, and the files that settings name.
pub(super) struct Run<'f> {
    errors: RefCell<Vec<ConfigError>>,
    files: Files<'f>,
    /// What was read already: thousands of services may trust the same authority.
    certificates: RefCell<HashMap<PathBuf, Certificates>>,
}

impl<'f> Run<'f> {
    /// A run that has seen nothing yet.
    pub(super) fn new(files: Files<'f>) -> Self {
        Self { errors: RefCell::default(), files, certificates: RefCell::default() }
    }

    /// The errors so far, for those who find more.
    pub(super) fn errors(&self) -> RefMut<'_, Vec<ConfigError>> {
        self.errors.borrow_mut()
    }

    /// All errors.
    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors.into_inner()
    }
}

/// A value of a file.
#[derive(Clone)]
pub(super) struct Node<'a> {
    document: &'a Document<'a>,
    run: &'a Run<'a>,
    name: String,
    /// Its key, or itself where it has none (in an array).
    key: Range<usize>,
    span: Range<usize>,
    value: &'a DeValue<'a>,
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.name).field("place", &self.place()).finish()
    }
}

impl<'a> Node<'a> {
    /// The full name of the setting.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where its key stands.
    pub(super) fn key_place(&self) -> Place {
        self.document.place(self.key.start)
    }

    /// Where its value stands.
    pub(super) fn place(&self) -> Place {
        self.document.place(self.span.start)
    }

    /// Reports a problem with the value.
    pub(super) fn report(&self, problem: Problem) {
        self.run.errors().push(ConfigError::new(self.place(), self.name.clone(), problem));
    }

    /// Reports that the value is not what was expected.
    pub(super) fn unexpected(&self, expected: impl Into<String>) {
        self.report(Problem::Expected { expected: expected.into(), found: self.found() });
    }

    /// Reports that the value is not what was expected, and does not show it: errors are logged, and it may be a password.
    pub(super) fn unexpected_secret(&self, expected: impl Into<String>) {
        self.report(Problem::Expected { expected: expected.into(), found: NOT_SHOWN.to_owned() });
    }

    /// Reports that the value is of the right form, but not what was expected for a reason.
    pub(super) fn refused(&self, expected: &str, reason: &str) {
        let found = format!("{} ({reason})", self.found());
        self.report(Problem::Expected { expected: expected.to_owned(), found });
    }

    /// Reports a problem with the key, or with the section as a whole.
    pub(super) fn report_key(&self, problem: Problem) {
        let key = self.name.clone();
        self.run.errors().push(ConfigError::new(self.key_place(), key, problem));
    }

    /// The value in the words of an error.
    fn found(&self) -> String {
        match self.value {
            DeValue::String(text) => format!("{:?}", shortened(text)),
            DeValue::Array(items) if items.is_empty() => "an empty array".to_owned(),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                shortened(self.document.text(self.span.clone()))
            }
        }
    }

    /// The value as a string; anything else is an error.
    pub(super) fn string(&self, expected: &str) -> Option<&'a str> {
        self.value.as_str().or_else(|| {
            self.unexpected(expected);
            None
        })
    }

    /// The value as a string if it is one.
    pub(super) fn as_string(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// The value as a string that `read` understands; anything else is an error.
    pub(super) fn parsed<T>(&self, expected: &str, read: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
        self.value.as_str().and_then(read).or_else(|| {
            self.unexpected(expected);
            None
        })
    }

    /// The value as the path of a file; a relative one starts where the file is that names it.
    pub(super) fn path(&self, expected: &str) -> Option<PathBuf> {
        let text =
            self.parsed(expected, |text| (!text.is_empty() && !text.contains('\0')).then_some(text))?;
        let folder = self.document.file().parent();
        Some(folder.map_or_else(|| PathBuf::from(text), |folder| folder.join(text)))
    }

    /// The value as the path of a file with a secret; a relative one is among systemd's credentials, if it has given us some.
    pub(super) fn credential(&self, expected: &str) -> Option<PathBuf> {
        let path = self.path(expected)?;
        let name = Path::new(self.as_string()?);
        Some(self.run.files.credentials.filter(|_| name.is_relative()).map_or(path, |all| all.join(name)))
    }

    /// The content of the file whose path is the value, as `take` has it; what is wrong with it is an error.
    pub(super) fn content<T>(
        &self,
        expected: &str,
        take: impl FnOnce(&[u8]) -> Result<T, SpecError>,
    ) -> Option<T> {
        self.content_of(&self.path(expected)?, take)
    }

    /// The same of a path that the value stands for.
    pub(super) fn content_of<T, E: fmt::Display>(
        &self,
        path: &Path,
        take: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Option<T> {
        let taken = match (self.run.files.read)(path) {
            Ok(bytes) => take(&bytes).map_err(|error| error.to_string()),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        let refused = |why| self.report(Problem::Conflict(format!("{}: {why}", path.display())));
        taken.map_err(refused).ok()
    }

    /// The certificates in the file whose path is the value; what is wrong with it is an error.
    pub(super) fn certificates(&self, expected: &str) -> Option<Certificates> {
        let path = self.path(expected)?;
        if let Some(known) = self.run.certificates.borrow().get(&path) {
            return Some(known.clone());
        }
        let read = self.content(expected, Certificates::from_pem)?;
        self.run.certificates.borrow_mut().insert(path, read.clone());
        Some(read)
    }

    /// The value as an integer of a range; anything else is an error.
    pub(super) fn integer(&self, expected: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.value.as_integer().and_then(number).filter(|value| range.contains(value));
        value.or_else(|| {
            self.unexpected(expected);
            None
        })
    }

    /// The value as an integer that fits if it is an integer.
    pub(super) fn as_integer(&self) -> Option<u32> {
        self.value.as_integer().and_then(number)
    }

    /// The value as a number, with or without a fraction, if it is one.
    pub(super) fn as_number(&self) -> Option<f64> {
        match self.value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(integer) => number(integer).map(f64::from),
            _ => None,
        }
    }

    /// The value as true or false if it is that.
    pub(super) fn as_boolean(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// Whether the value is a table.
    pub(super) fn is_table(&self) -> bool {
        self.value.as_table().is_some()
    }

    /// The elements of an array; anything else is an error.
    pub(super) fn array(&self, expected: &str) -> Option<Vec<Node<'a>>> {
        let Some(items) = self.value.as_array() else {
            self.unexpected(expected);
            return None;
        };
        Some(items.iter().enumerate().map(|(index, item)| self.element(index, item)).collect())
    }

    fn element(&self, index: usize, item: &'a Spanned<DeValue<'a>>) -> Node<'a> {
        Node {
            document: self.document,
            run: self.run,
            name: format!("{}[{index}]", self.name),
            key: item.span(),
            span: item.span(),
            value: item.get_ref(),
        }
    }

    /// The value as a table whose keys are all in `known`; other keys and another type are errors.
    pub(super) fn section(&self, known: &'static [&'static str]) -> Option<Section<'a>> {
        let section = Section { node: self.clone(), table: self.table()?, known };
        for (key, value) in section.table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            let nearest = suggest(key.get_ref(), known.iter().copied());
            self.child(key, value).report_key(Problem::Unknown { nearest, known });
        }
        Some(section)
    }

    /// The value as a table whose keys are the writer's own names, in the order of the file; another type is an
    /// error.
    pub(super) fn entries(&self) -> Option<Vec<(&'a str, Node<'a>)>> {
        let table = self.table()?;
        let mut entries: Vec<_> =
            table.iter().map(|(key, value)| (key.get_ref().as_ref(), self.child(key, value))).collect();
        entries.sort_by_key(|(_, node)| node.key.start);
        Some(entries)
    }

    /// One entry of the value if it is a table that has it; nothing is reported.
    pub(super) fn peek(&self, key: &str) -> Option<Node<'a>> {
        let (key, value) = self.value.as_table()?.get_key_value(key)?;
        Some(self.child(key, value))
    }

    fn table(&self) -> Option<&'a DeTable<'a>> {
        self.value.as_table().or_else(|| {
            self.unexpected(format!("a table, [{}]", self.name));
            None
        })
    }

    fn child(&self, key: &Spanned<std::borrow::Cow<'a, str>>, value: &'a Spanned<DeValue<'a>>) -> Node<'a> {
        Node {
            document: self.document,
            run: self.run,
            name: joined(&self.name, key.get_ref()),
            key: key.span(),
            span: value.span(),
            value: value.get_ref(),
        }
    }
}

/// A table whose settings are known.
#[derive(Debug)]
pub(super) struct Section<'a> {
    node: Node<'a>,
    table: &'a DeTable<'a>,
    known: &'static [&'static str],
}

impl<'a> Section<'a> {
    /// The setting, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<Node<'a>> {
        debug_assert!(self.known.contains(&key), "{key} is read but not known");
        let (key, value) = self.table.get_key_value(key)?;
        Some(self.node.child(key, value))
    }

    /// The setting; it is an error when it is not there.
    pub(super) fn required(&self, key: &str, expected: &str) -> Option<Node<'a>> {
        let found = self.get(key);
        if found.is_none() {
            let name = joined(&self.node.name, key);
            let problem = Problem::Missing { expected: expected.to_owned() };
            self.node.run.errors().push(ConfigError::new(self.node.key_place(), name, problem));
        }
        found
    }

    /// The table itself.
    pub(super) fn node(&self) -> &Node<'a> {
        &self.node
    }
}

/// The whole of a file as a table; `root` is its value.
pub(super) fn root<'a>(document: &'a Document<'a>, root: &'a DeValue<'a>, run: &'a Run<'a>) -> Node<'a> {
    Node { document, run, name: String::new(), key: 0..0, span: 0..0, value: root }
}

fn number(integer: &DeInteger<'_>) -> Option<u32> {
    u32::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn joined(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// A text cut to what an error may repeat.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
