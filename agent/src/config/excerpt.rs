//! The line of a file that an error is about, with a caret below what is wrong, as far as it may be shown: errors are logged,
//! and no secret is.

use super::document::Document;
use super::{ConfigError, Place, Problem};
use std::fmt;

/// Errors that get their lines: more of them are read from the top, after the first are mended.
const MAX_EXCERPTS: usize = 100;

/// Columns of a line that are shown; a file may be one line of a megabyte.
const WIDTH: usize = 100;

/// Columns that are shown before the caret where a line is cut.
const BEFORE: usize = 40;

/// What stands for what is not shown.
const HIDDEN: char = '…';

/// Settings whose values are secrets, or tables of such.
const SECRETS: [&str; 2] = ["send", "headers"];

/// A line, and what of it is meant.
#[derive(Debug)]
struct Excerpt {
    number: u32,
    text: String,
    /// Columns before what is meant, and how many it takes; none for the line as a whole.
    mark: Option<(usize, usize)>,
    /// What underlines it, and the word behind.
    sign: (char, &'static str),
}

impl Excerpt {
    /// The line of a place; none where the place has none.
    fn of(document: &Document<'_>, place: &Place, sign: (char, &'static str)) -> Option<Self> {
        let line = document.line(place.line)?;
        let column = usize::try_from(place.column).ok()?.checked_sub(1);
        let shown: Vec<char> =
            if has_secret(document, place.line) { without_value(line) } else { line.chars().collect() };
        let mut mark =
            column.map(|column| column.min(shown.len())).map(|column| (column, length(&shown, column)));
        let begin = match mark {
            Some((column, _)) if shown.len() > WIDTH && column > WIDTH - BEFORE => column - BEFORE,
            _ => 0,
        };
        // Of what the writer has typed only what can be printed.
        let printable = |letter: &char| match letter {
            '\t' => ' ',
            letter if letter.is_control() => char::REPLACEMENT_CHARACTER,
            letter => *letter,
        };
        let mut text: String = shown.iter().skip(begin).take(WIDTH).map(printable).collect();
        if begin > 0 {
            text.insert(0, HIDDEN);
        }
        if shown.len() > begin + WIDTH {
            text.push(HIDDEN);
        }
        if let Some((column, length)) = &mut mark {
            *column = *column - begin + usize::from(begin > 0);
            *length = (*length).min(WIDTH + 2 - *column);
        }
        Some(Self { number: place.line, text, mark, sign })
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, text, mark, sign: (sign, word) } = self;
        write!(f, "{number:>5} | {text}")?;
        let Some((before, length)) = *mark else { return Ok(()) };
        let line = sign.to_string().repeat(length);
        write!(f, "\n      | {:before$}{}", "", format!("{line} {word}").trim_end())
    }
}

/// What an error is about: a line, and the one that goes with it.
#[derive(Debug)]
pub(super) struct Shown {
    /// Where what is there twice was first.
    first: Option<Excerpt>,
    own: Excerpt,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.iter().try_for_each(|first| writeln!(f, "{first}"))?;
        write!(f, "{}", self.own)
    }
}

/// Gives errors the lines that they are about.
pub(super) fn attach(errors: &mut [ConfigError], documents: &[Document<'_>]) {
    for error in errors.iter_mut().take(MAX_EXCERPTS) {
        let Some(document) = documents.iter().find(|document| document.file() == error.place.file) else {
            continue;
        };
        let first = match &error.problem {
            Problem::Twice { first, .. }
                if first.file == error.place.file && first.line != error.place.line =>
            {
                Excerpt::of(document, first, ('-', "the first"))
            }
            _ => None,
        };
        let own = Excerpt::of(document, &error.place, ('^', ""));
        error.shown = own.map(|own| Box::new(Shown { first, own }));
    }
}

/// How many columns what stands at one takes: a text with its quotes, a word or a number, or else a letter.
fn length(line: &[char], column: usize) -> usize {
    let rest = line.get(column..).unwrap_or_default();
    let end = match rest.first().copied() {
        Some(quote @ ('"' | '\'')) => {
            rest.iter().skip(1).position(|letter| *letter == quote).map_or(rest.len(), |at| at + 2)
        }
        Some(_) => {
            rest.iter().position(|c| c.is_whitespace() || ",[]{}=#".contains(*c)).unwrap_or(rest.len())
        }
        None => 0,
    };
    end.max(1)
}

/// Whether a line may hold a secret: in its table, so far, there is a setting of that kind. Nothing finer is told apart, as
/// the file may be no TOML.
fn has_secret(document: &Document<'_>, number: u32) -> bool {
    let lines = (1..=number).rev().filter_map(|number| document.line(number));
    lines
        .map(|line| (is_header(line), names_secret(line)))
        .scan(false, |is_over, (is_header, has_name)| {
            let is_within = !std::mem::replace(is_over, is_header);
            is_within.then_some(has_name)
        })
        .any(|has_name| has_name)
}

/// Whether a line is the header of a table, such as `[service.web]`, and nothing else.
fn is_header(line: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default().trim();
    let inner = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
    inner.is_some_and(|inner| !inner.is_empty() && !inner.contains(['=', ',', '{']))
}

fn names_secret(line: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    line.split(|c| !is_letter(c)).any(|word| SECRETS.contains(&word))
}

/// A line up to the first value.
fn without_value(line: &str) -> Vec<char> {
    let before = match line.split_once('=') {
        Some((before, _)) => format!("{before}= "),
        None if is_header(line) => return line.chars().collect(),
        None => String::new(),
    };
    before.chars().chain([HIDDEN]).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    /// The errors of a file as they are shown.
    fn shown(text: &str) -> String {
        let errors = parse(&[("lvsd.toml".into(), text.to_owned())]).expect_err("it is refused");
        errors.iter().map(|error| error.in_full() + "\n").collect()
    }

    #[test]
    fn an_unknown_key_and_a_bad_value_are_underlined() {
        assert_eq!(
            shown("[lvsd]\nresync_intervall = \"5s\"\n\tdrain_timeout = \"soon\" # later\n"),
            "\
lvsd.toml:2:1: lvsd.resync_intervall: unknown key; did you mean `resync_interval`?
    2 | resync_intervall = \"5s\"
      | ^^^^^^^^^^^^^^^^
lvsd.toml:3:18: lvsd.drain_timeout: expected a duration from 0s to 24h, such as \"200ms\", \"2s\", \"1m\" or \"1h\", found \"soon\"
    3 |  drain_timeout = \"soon\" # later
      |                  ^^^^^^
"
        );
    }

    #[test]
    fn what_is_there_twice_is_shown_with_the_first() {
        assert_eq!(
            shown("[lvsd]\ndry_run = true\nhttp = \"off\"\ndry_run = false\n"),
            "\
lvsd.toml:4:1: lvsd.dry_run: given for the second time; the first is at lvsd.toml:2:1
    2 | dry_run = true
      | ------- the first
    4 | dry_run = false
      | ^^^^^^^
"
        );
    }

    #[test]
    fn what_is_missing_is_missed_in_its_tables_header() {
        let shown =
            shown("[service.web]\nvips = [\"192.0.2.10\"]\nchecks = []\nbackends = [{ host = \"rs1\" }]\n");
        assert!(
            shown.ends_with("expected a port 1-65535\n    1 | [service.web]\n      |          ^^^\n"),
            "{shown}"
        );
    }

    #[test]
    fn where_it_is_no_toml_any_more_is_shown_and_nothing_that_would_reach_the_terminal() {
        let shown = shown("[lvsd]\nhttp = \"off\ndevice = \"\u{1b}[31m\"\n");
        let (_, line) = shown.split_once("    2 | ").expect(&shown);
        assert!(line.starts_with("http = \"off\n      |        "), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }

    #[test]
    fn a_long_line_is_cut_around_what_is_meant() {
        let hosts: String = (0..100).map(|n| format!("{{ host = \"rs{n}\" }}, ")).collect();
        let text = format!(
            "[service.web]\nvips = [\"192.0.2.10\"]\nport = 80\nchecks = []\nbackends = [{hosts}{{ hots = 1 }}]\n"
        );
        let shown = shown(&text);
        let at = shown.lines().position(|line| line.contains("hots = 1")).expect(&shown);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines.iter().skip(1).all(|line| line.chars().count() < 120), "{shown}");
        let column = lines[at + 1].find('^').expect(&shown);
        let marked: String = lines[at].chars().skip(column).take(4).collect();
        assert!(marked == "hots" || marked.starts_with('{'), "{shown}");
    }

    #[test]
    fn no_secret_is_shown_whatever_is_wrong_beside_it() {
        for check in [
            "type = \"udp\"\nport = 53\nsend = [\"swordfish\"]\n",
            "type = \"udp\"\nport = 53\nsend = \"swordfish\" x\n",
            "type = \"udp\"\nport = 53\nsend = \"\"\"\nswordfish \\q\n\"\"\"\n",
            "type = \"http\"\nurl = \"/\"\nheaders = { A = 1, Authorization = \"swordfish\" }\n",
            "type = \"http\"\nurl = \"/\"\nheaders.Authorization = [\"swordfish\"]\n",
            "type = \"http\"\nurl = \"/\"\n[service.web.checks.headers]\nA = \"swordfish\" 1\n",
        ] {
            let shown = shown(&format!(
                "[service.web]\nvips = [\"192.0.2.10\"]\nport = 80\nbackends = [{{ host = \"rs1\" }}]\n[[service.web.checks]]\n{check}"
            ));
            assert!(shown.contains(" | ") && !shown.contains("swordfish"), "{check}:\n{shown}");
        }
    }
}
