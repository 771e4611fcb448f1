//! What is written: lines of TOML, and comments for people.

use std::fmt::Write as _;

/// The longest line of a comment.
const WIDTH: usize = 110;

/// Part of a configuration: a table with what belongs to it.
#[derive(Debug, Default)]
pub(super) struct Part {
    text: String,
}

impl Part {
    /// A part that begins with the header of a table.
    pub(super) fn table(header: &str) -> Self {
        let mut part = Self::default();
        part.line(&format!("[{header}]"));
        part
    }

    /// Adds a line as it is.
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Adds the header of one more of an array of tables.
    pub(super) fn element(&mut self, header: &str) {
        self.line("");
        self.line(&format!("[[{header}]]"));
    }

    /// Adds `key = value`; the value is TOML already.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        self.line(&format!("{key} = {value}"));
    }

    /// Adds a comment in as many lines as it takes.
    pub(super) fn comment(&mut self, text: &str) {
        self.text.push_str(&comment(text));
    }

    /// The lines.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// A comment in as many lines as it takes. What no comment can hold is escaped.
pub(super) fn comment(text: &str) -> String {
    let plain: String = text
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    let (mut made, mut width) = (String::from("#"), 1);
    for word in plain.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count() + 1;
        if width > 1 && width + length > WIDTH {
            made.push_str("\n#");
            width = 1;
        }
        let _ = write!(made, " {word}");
        width += length;
    }
    made.push('\n');
    made
}

/// The same lines, commented out.
pub(super) fn commented_out(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "#\n".to_owned() } else { format!("# {line}\n") }).collect()
}

/// A text as TOML's basic string.
pub(super) fn quoted(text: &str) -> String {
    let mut made = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => made.push_str("\\\""),
            '\\' => made.push_str("\\\\"),
            // Writing to a text does not fail.
            c if c.is_control() => {
                let _ = write!(made, "\\u{:04X}", u32::from(c));
            }
            c => made.push(c),
        }
    }
    made.push('"');
    made
}

/// An array of texts.
pub(super) fn array<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// A key, in quotes where it needs some.
pub(super) fn key(text: &str) -> String {
    let is_bare =
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if is_bare { text.to_owned() } else { quoted(text) }
}
