//! One TOML file: its text, its places, its syntax.

use super::{ConfigError, Place, Problem};
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// How many keys given twice have their first place looked up in one file. Each look-up parses the file again, so
/// this bounds the time that a hostile or mangled file costs.
const MAX_FIRST_PLACES: usize = 20;

/// Stands for the second of two equal keys while the first is looked up; nobody names a setting so.
const STAND_IN: &str = "lvsd--second--of--two--equal--keys";

/// A file's name and text, with the places of its lines.
#[derive(Debug)]
pub(crate) struct Document<'t> {
    file: &'t Path,
    text: &'t str,
    line_starts: Vec<usize>,
    /// Lines of the file before the text, when that is a part of it.
    lines_before: usize,
}

impl<'t> Document<'t> {
    pub(crate) fn new(file: &'t Path, text: &'t str) -> Self {
        Self::part(file, text, 0)
    }

    /// A part of a file that begins with a line.
    pub(super) fn part(file: &'t Path, text: &'t str, lines_before: usize) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { file, text, line_starts: std::iter::once(0).chain(ends).collect(), lines_before }
    }

    /// The file's name.
    pub(super) fn file(&self) -> &'t Path {
        self.file
    }

    /// The line and column of a byte of the text.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let line = self.line_starts.partition_point(|&start| start <= offset);
        // The first line starts at 0, so there is always one before.
        let start = self.line_starts[line - 1];
        let column = self.text.get(start..offset).map_or(1, |before| before.chars().count() + 1);
        Place::at(self.file, self.lines_before + line, column)
    }

    /// A line by its number in the file, from 1.
    pub(super) fn line(&self, number: u32) -> Option<&'t str> {
        let index = usize::try_from(number).ok()?.checked_sub(self.lines_before + 1)?;
        let begin = *self.line_starts.get(index)?;
        let end = self.line_starts.get(index + 1).copied().unwrap_or(self.text.len());
        Some(self.text.get(begin..end)?.trim_end_matches(['\n', '\r']))
    }

    /// The text of a span, empty when it is none of this text.
    pub(super) fn text(&self, span: Range<usize>) -> &'t str {
        self.text.get(span).unwrap_or_default()
    }

    /// Parses the text and reports what is no TOML and what is there twice. There is a table to go on with when
    /// nothing worse was found than keys given twice: of those the first stands.
    pub(super) fn parse(&self, errors: &mut Vec<ConfigError>) -> Option<DeTable<'t>> {
        let (table, mut found) = DeTable::parse_recoverable(self.text);
        found.sort_by_key(|error| error.span().map(|span| span.start));
        let (twice, broken): (Vec<_>, Vec<_>) = found.iter().partition(|e| e.message() == "duplicate key");
        for (index, error) in twice.iter().enumerate() {
            let first = if index < MAX_FIRST_PLACES { self.first_of(error) } else { None };
            errors.push(self.twice(error, first));
        }
        let mut last_line = None;
        for error in &broken {
            let error = self.syntax(error);
            // What follows on the same line is most often the same slip once more.
            if last_line.replace(error.place.line) != Some(error.place.line) {
                errors.push(error);
            }
        }
        broken.is_empty().then(|| table.into_inner())
    }

    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let place = error.span().map_or_else(|| Place::whole(self.file), |span| self.place(span.start));
        ConfigError::new(place, String::new(), Problem::Syntax(error.message().to_owned()))
    }

    fn twice(&self, error: &toml::de::Error, first: Option<(String, Place)>) -> ConfigError {
        match (error.span(), first) {
            (Some(span), Some((key, first))) => {
                let problem = Problem::Twice { what: "given".to_owned(), first };
                ConfigError::new(self.place(span.start), key, problem)
            }
            _ => self.syntax(error),
        }
    }

    /// The full name and the place of the key that the one of `error` repeats.
    ///
    /// The parser does not say, so the repeated key is renamed and the text parsed again: the first one is then
    /// its neighbour in the tree.
    fn first_of(&self, error: &toml::de::Error) -> Option<(String, Place)> {
        let span = error.span()?;
        let key = self.text.get(span.clone())?;
        let renamed = [self.text.get(..span.start)?, STAND_IN, self.text.get(span.end..)?].concat();
        let (table, _) = DeTable::parse_recoverable(&renamed);
        let name = key.trim_matches(['"', '\'']);
        let (path, first) = neighbour(table.get_ref(), name)?;
        (first < span.start).then(|| (path, self.place(first)))
    }
}

/// Finds the table that holds [`STAND_IN`] and gives the full name and the offset of `name` in it.
fn neighbour(table: &DeTable<'_>, name: &str) -> Option<(String, usize)> {
    if table.contains_key(STAND_IN) {
        let (key, _) = table.get_key_value(name)?;
        return Some((name.to_owned(), key.span().start));
    }
    table.iter().find_map(|(key, value)| {
        let (path, offset) = in_value(value, name)?;
        Some((format!("{}{path}", key.get_ref()), offset))
    })
}

/// [`neighbour`] in a value; the name begins with what joins it to the value's own.
fn in_value(value: &Spanned<DeValue<'_>>, name: &str) -> Option<(String, usize)> {
    match value.get_ref() {
        DeValue::Table(table) => neighbour(table, name).map(|(path, offset)| (format!(".{path}"), offset)),
        DeValue::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            in_value(item, name).map(|(path, offset)| (format!("[{index}]{path}"), offset))
        }),
        _ => None,
    }
}
