//! Python's literals, as far as PyBal's files have them: texts, whole numbers, True, False, None, lists and dicts. Names
//! such as `server.host` are kept for those who know what they stand for; nothing is ever evaluated.

use std::fmt;

/// How deep lists and dicts may be in one another. PyBal's files go to two.
const MAX_DEPTH: usize = 8;

/// A literal, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    /// The byte of the text that it begins at.
    pub(crate) at: usize,
    /// What it is.
    pub(crate) literal: Literal,
}

/// What a literal can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Literal {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `True` or `False`.
    Boolean(bool),
    /// `None`.
    None,
    /// A list or a tuple.
    List(Vec<Value>),
    /// A dict, in its order.
    Dict(Vec<(Value, Value)>),
    /// A name with its attributes; `str(NAME)` is the same.
    Name(String),
}

/// In the words of an error, which says what was found instead.
impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{:?}", crate::config::walk::shortened(text)),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(true) => f.write_str("True"),
            Self::Boolean(false) => f.write_str("False"),
            Self::None => f.write_str("None"),
            Self::List(_) => f.write_str("a list"),
            Self::Dict(_) => f.write_str("a dict"),
            Self::Name(name) => write!(f, "the name {}", crate::config::walk::shortened(name)),
        }
    }
}

/// Why a text is no literal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub(crate) struct LiteralError {
    /// The byte of the text where something else was expected.
    pub(crate) at: usize,
    /// What was expected there.
    pub(crate) expected: &'static str,
}

/// Reads a text that is one literal, with blanks and comments around it or without.
///
/// # Errors
/// The first place that is no literal of these kinds.
pub(crate) fn read(text: &str) -> Result<Value, LiteralError> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.skip_blanks();
    if reader.at < text.len() { Err(reader.expected("the end of the line")) } else { Ok(value) }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn expected(&self, expected: &'static str) -> LiteralError {
        LiteralError { at: self.at, expected }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn take_if(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.at += wanted.len_utf8();
        }
        is_there
    }

    /// What comes next as long as it is of a kind.
    fn take_while(&mut self, is_wanted: impl Fn(char) -> bool) -> &'t str {
        let rest: &'t str = &self.text[self.at..];
        let length = rest.find(|c| !is_wanted(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|c| c.is_ascii_whitespace());
            if self.peek() != Some('#') {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, LiteralError> {
        self.skip_blanks();
        let at = self.at;
        if depth > MAX_DEPTH {
            return Err(self.expected("less depth"));
        }
        let literal = match self.peek() {
            Some('[') => Literal::List(self.items(']', depth)?),
            Some('(') => self.parenthesis(depth)?,
            Some('{') => Literal::Dict(self.members(depth)?),
            Some('\'' | '"') => Literal::Text(self.texts()?),
            Some('0'..='9' | '-' | '+') => Literal::Integer(self.integer()?),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.word(depth)?,
            Some(_) | None => {
                return Err(self.expected("a text in quotes, a number, True, False, a list or a dict"));
            }
        };
        Ok(Value { at, literal })
    }

    /// A tuple, or a value in parentheses, which is the value.
    fn parenthesis(&mut self, depth: usize) -> Result<Literal, LiteralError> {
        let begin = self.at;
        let mut items = self.items(')', depth)?;
        let inside = self.text[begin..self.at].strip_suffix(')').unwrap_or_default();
        let has_comma = inside.trim_end().ends_with(',');
        match items.pop() {
            Some(only) if items.is_empty() && !has_comma => Ok(only.literal),
            last => {
                items.extend(last);
                Ok(Literal::List(items))
            }
        }
    }

    fn items(&mut self, end: char, depth: usize) -> Result<Vec<Value>, LiteralError> {
        self.take();
        let mut items = Vec::new();
        loop {
            self.skip_blanks();
            if self.take_if(end) {
                return Ok(items);
            }
            items.push(self.value(depth + 1)?);
            self.separator(end, if end == ']' { "a comma or ]" } else { "a comma or )" })?;
        }
    }

    fn members(&mut self, depth: usize) -> Result<Vec<(Value, Value)>, LiteralError> {
        self.take();
        let mut members = Vec::new();
        loop {
            self.skip_blanks();
            if self.take_if('}') {
                return Ok(members);
            }
            let key = self.value(depth + 1)?;
            self.skip_blanks();
            if !self.take_if(':') {
                return Err(self.expected("a colon"));
            }
            members.push((key, self.value(depth + 1)?));
            self.separator('}', "a comma or }")?;
        }
    }

    /// A comma, or what ends it, which is left.
    fn separator(&mut self, end: char, expected: &'static str) -> Result<(), LiteralError> {
        self.skip_blanks();
        if self.take_if(',') || self.peek() == Some(end) { Ok(()) } else { Err(self.expected(expected)) }
    }

    /// A number. What begins with a zero was octal in Python 2 and is an error in 3.
    fn integer(&mut self) -> Result<i64, LiteralError> {
        let begin = self.at;
        if !self.take_if('-') {
            self.take_if('+');
        }
        let digits = self.take_while(|c| c.is_ascii_alphanumeric() || c == '.');
        let is_plain = digits.len() == 1 || !digits.starts_with('0');
        let number = self.text[begin..self.at].parse().ok().filter(|_| is_plain);
        number.ok_or(LiteralError { at: begin, expected: "a whole number" })
    }

    /// Something that begins with a letter: a constant, a text with a prefix, or a name.
    fn word(&mut self, depth: usize) -> Result<Literal, LiteralError> {
        let begin = self.at;
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')).to_owned();
        match (word.as_str(), self.peek()) {
            ("True", _) => Ok(Literal::Boolean(true)),
            ("False", _) => Ok(Literal::Boolean(false)),
            ("None", _) => Ok(Literal::None),
            (prefix, Some('\'' | '"')) if is_prefix(prefix) => {
                self.at = begin;
                Ok(Literal::Text(self.texts()?))
            }
            ("str", Some('(')) => match self.parenthesis(depth)? {
                Literal::Name(name) => Ok(Literal::Name(name)),
                Literal::Integer(number) => Ok(Literal::Text(number.to_string())),
                Literal::Text(text) => Ok(Literal::Text(text)),
                Literal::Boolean(_) | Literal::None | Literal::List(_) | Literal::Dict(_) => {
                    Err(LiteralError { at: begin, expected: "str() of a name, a number or a text" })
                }
            },
            _ => Ok(Literal::Name(word)),
        }
    }

    /// One or several texts, which Python puts together.
    fn texts(&mut self) -> Result<String, LiteralError> {
        let mut whole = String::new();
        loop {
            let begin = self.at;
            let prefix = self.take_while(|c| c.is_ascii_alphabetic()).to_ascii_lowercase();
            if !matches!(self.peek(), Some('\'' | '"')) || !(prefix.is_empty() || is_prefix(&prefix)) {
                self.at = begin;
                return Ok(whole);
            }
            whole += &self.quoted(prefix.contains('r'))?;
            self.skip_blanks();
        }
    }

    fn quoted(&mut self, is_raw: bool) -> Result<String, LiteralError> {
        const OPEN: &str = "a closing quote";
        let begin = self.at;
        let open = LiteralError { at: begin, expected: OPEN };
        let quote = self.take().ok_or(open.clone())?;
        if self.text[self.at..].starts_with([quote, quote].iter().collect::<String>().as_str()) {
            return Err(LiteralError { at: begin, expected: "a text in single quotes or double ones, once" });
        }
        let mut text = String::new();
        loop {
            match self.take() {
                None | Some('\n') => return Err(open),
                Some(end) if end == quote => return Ok(text),
                Some('\\') if is_raw => {
                    text.push('\\');
                    text.extend(self.take());
                }
                Some('\\') => self.escaped(&mut text)?,
                Some(other) => text.push(other),
            }
        }
    }

    /// What follows a backslash. Python keeps the backslash before what it does not know.
    fn escaped(&mut self, text: &mut String) -> Result<(), LiteralError> {
        let at = self.at;
        match self.take() {
            Some(plain @ ('\\' | '\'' | '"')) => text.push(plain),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('x') => {
                let digits: String = [self.take(), self.take()].into_iter().flatten().collect();
                let code = u8::from_str_radix(&digits, 16).ok().filter(u8::is_ascii);
                let code = code.ok_or(LiteralError { at, expected: "an escape of an ASCII character" })?;
                text.push(char::from(code));
            }
            Some('a' | 'b' | 'f' | 'v' | 'u' | 'U' | 'N' | '0'..='9' | '\n') => {
                return Err(LiteralError {
                    at,
                    expected: "one of the escapes \\\\, \\', \\\", \\n, \\r, \\t or \\xNN",
                });
            }
            other => {
                text.push('\\');
                text.extend(other);
            }
        }
        Ok(())
    }
}

fn is_prefix(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "u" | "b" | "r" | "ur" | "br")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A literal in few words.
    fn shown(value: &Value) -> String {
        match &value.literal {
            Literal::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
            Literal::Dict(members) => {
                let member = |(key, value): &(Value, Value)| format!("{}={}", shown(key), shown(value));
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(" "))
            }
            Literal::Name(name) => name.clone(),
            other => other.to_string(),
        }
    }

    fn taken(text: &str) -> Result<String, String> {
        read(text).map(|value| shown(&value)).map_err(|error| format!("{}: {error}", error.at))
    }

    #[test]
    fn literals_of_pybals_files_are_read() {
        for (text, expected) in [
            ("[ 'ProxyFetch', \"IdleConnection\", ]", "[\"ProxyFetch\" \"IdleConnection\"]"),
            (
                "{ 'host': 'a.example.com', 'weight':10, 'enabled': True }",
                "{\"host\"=\"a.example.com\" \"weight\"=10 \"enabled\"=True}",
            ),
            (
                "['/x', server.host, str(server.port), 'one', '2']",
                "[\"/x\" server.host server.port \"one\" \"2\"]",
            ),
            ("u'a' r'\\d' 'b'", "\"a\\\\db\""),
            ("'it\\'s\\n\\x41\\q'", "\"it's\\nA\\\\q\""),
            ("( 'a', )", "[\"a\"]"),
            ("( 'a' )", "\"a\""),
            ("()", "[]"),
            ("[\n 'a', # first\n 'b'\n]", "[\"a\" \"b\"]"),
            ("-1", "-1"),
            ("None", "None"),
            ("[]", "[]"),
        ] {
            assert_eq!(taken(text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_literal_says_where() {
        for (text, expected) in [
            ("", "0: expected a text in quotes, a number, True, False, a list or a dict"),
            ("['a'", "4: expected a comma or ]"),
            ("['a' 1]", "5: expected a comma or ]"),
            ("{'a' 1}", "5: expected a colon"),
            ("'a", "0: expected a closing quote"),
            ("'a' + 'b'", "4: expected the end of the line"),
            ("010", "0: expected a whole number"),
            ("1.5", "0: expected a whole number"),
            ("'\\u00e9'", "2: expected one of the escapes \\\\, \\', \\\", \\n, \\r, \\t or \\xNN"),
            ("'''a'''", "0: expected a text in single quotes or double ones, once"),
        ] {
            assert_eq!(taken(text), Err(expected.to_owned()), "{text}");
        }
        assert!(taken(&"[".repeat(100_000)).is_err_and(|error| error.contains("less depth")));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = read(&text);
        }

        #[test]
        fn no_mangled_literal_panics(parts in proptest::collection::vec(prop_oneof![
            Just("["), Just("]"), Just("{"), Just("}"), Just("("), Just(")"), Just("'a'"), Just("\""), Just("\\"),
            Just(","), Just(":"), Just("1"), Just("-"), Just("True"), Just("str"), Just("u"), Just("é"), Just("#"),
            Just("\n"), Just(" "),
        ], 0..20)) {
            let _ = read(&parts.concat());
        }
    }
}
