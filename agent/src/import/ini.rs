//! The grammar of pybal.conf: what Python 2's `SafeConfigParser` reads, its habits included.
//!
//! A line that begins with a blank goes on with the option before it; `#` and `;` at the very beginning make a comment, and
//! ` ;` behind a value begins one (` #` does not). Names of options have no case. `%(name)s` stands for another option
//! of the section or of `[DEFAULT]`, `%%` for a percent sign. A section that is there twice is one; of an option that is
//! there twice the last counts.

use std::collections::BTreeMap;

/// How often an option may lead to another by `%(name)s`, as in Python.
const MAX_DEPTH: usize = 10;

/// The longest value that `%(name)s` may make: each level could double it.
const MAX_LENGTH: usize = 64 * 1024;

/// A section.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// Its name.
    pub(super) name: String,
    /// The line of its header, from 1.
    pub(super) line: usize,
    /// Its options by name, those of `[DEFAULT]` included.
    pub(super) options: BTreeMap<String, Setting>,
}

/// An option's value.
#[derive(Clone, Debug, Default)]
pub(super) struct Setting {
    /// Its value, with every `%(name)s` replaced.
    pub(super) value: String,
    /// The line that it begins at, from 1.
    pub(super) line: usize,
    /// Whether it comes from `[DEFAULT]`.
    pub(super) is_default: bool,
}

/// What PyBal itself would not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The line, from 1.
    pub(super) line: usize,
    /// What is wrong, and what is expected.
    pub(super) what: String,
}

/// The sections in their order, without `[DEFAULT]`.
///
/// # Errors
/// Everything that is wrong.
pub(super) fn read(text: &str) -> Result<Vec<Section>, Vec<Mistake>> {
    let mut reader = Reader::default();
    for (number, line) in text.lines().enumerate() {
        reader.line(number + 1, line);
    }
    let Reader { mut sections, defaults, mut mistakes, .. } = reader;
    for section in &mut sections {
        let own = std::mem::take(&mut section.options);
        let mut all = defaults.clone();
        all.extend(own);
        for (name, setting) in &all {
            match interpolated(&setting.value, &all, 0) {
                Ok(value) => {
                    section.options.insert(name.clone(), Setting { value, ..setting.clone() });
                }
                Err(what) => mistakes.push(Mistake { line: setting.line, what: format!("{name}: {what}") }),
            }
        }
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    mistakes.dedup();
    if mistakes.is_empty() { Ok(sections) } else { Err(mistakes) }
}

/// Where options go.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Nowhere,
    Defaults,
    Section(usize),
}

#[derive(Debug, Default)]
struct Reader {
    sections: Vec<Section>,
    defaults: BTreeMap<String, Setting>,
    place: Place,
    /// The option that a line with a blank before it goes on with.
    open: Option<String>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) {
        let is_remark = line.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("rem"));
        if line.trim().is_empty() || line.starts_with(['#', ';']) || is_remark && line.starts_with(['r', 'R'])
        {
            return;
        }
        if line.starts_with(char::is_whitespace) && self.continues(line.trim()) {
            return;
        }
        match line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, _)) if !name.is_empty() => self.header(number, name),
            _ => self.option(number, line),
        }
    }

    /// Goes on with the option before, if there is one.
    fn continues(&mut self, more: &str) -> bool {
        let Some(name) = self.open.clone() else { return false };
        if let Some(setting) = self.options().and_then(|options| options.get_mut(&name)) {
            setting.value.push('\n');
            setting.value.push_str(more);
        }
        true
    }

    fn header(&mut self, line: usize, name: &str) {
        self.open = None;
        self.place = match self.sections.iter().position(|section| section.name == name) {
            _ if name == "DEFAULT" => Place::Defaults,
            Some(known) => Place::Section(known),
            None => {
                self.sections.push(Section { name: name.to_owned(), line, options: BTreeMap::new() });
                Place::Section(self.sections.len() - 1)
            }
        };
    }

    fn option(&mut self, line: usize, text: &str) {
        let mut wrong = |what: &str| {
            let found = crate::config::walk::shortened(text.trim());
            self.mistakes.push(Mistake { line, what: format!("{what}, found {found:?}") });
        };
        if matches!(self.place, Place::Nowhere) {
            return wrong("expected a [section] first");
        }
        let Some((name, value)) = text.split_once([':', '=']).filter(|(name, _)| !name.trim().is_empty())
        else {
            return wrong("expected `option = value` or [section]");
        };
        if text.starts_with(char::is_whitespace) {
            return wrong("expected no blank before an option that follows no other");
        }
        let value = match value.find(';') {
            Some(at) if value[..at].ends_with(char::is_whitespace) => &value[..at],
            Some(_) | None => value,
        };
        let value = match value.trim() {
            "\"\"" => "",
            value => value,
        };
        let name = name.trim_end().to_lowercase();
        let is_default = matches!(self.place, Place::Defaults);
        let setting = Setting { value: value.to_owned(), line, is_default };
        if let Some(options) = self.options() {
            options.insert(name.clone(), setting);
        }
        self.open = Some(name);
    }

    fn options(&mut self) -> Option<&mut BTreeMap<String, Setting>> {
        match self.place {
            Place::Nowhere => None,
            Place::Defaults => Some(&mut self.defaults),
            Place::Section(index) => self.sections.get_mut(index).map(|section| &mut section.options),
        }
    }
}

/// A value with every `%(name)s` replaced.
fn interpolated(value: &str, all: &BTreeMap<String, Setting>, depth: usize) -> Result<String, String> {
    if depth > MAX_DEPTH {
        return Err("%(name)s leads from option to option without an end".into());
    }
    let mut made = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        made.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            made.push('%');
            rest = after;
            continue;
        }
        let name = after.strip_prefix('(').and_then(|after| after.split_once(")s"));
        let (name, after) = name.ok_or("a percent sign is written %%, or begins %(name)s")?;
        let other = all.get(&name.to_lowercase());
        let other = other.ok_or_else(|| format!("there is no option {name} for %({name})s"))?;
        made += &interpolated(&other.value, all, depth + 1)?;
        if made.len() > MAX_LENGTH {
            return Err(format!("longer than {MAX_LENGTH} bytes with every %(name)s replaced"));
        }
        rest = after;
    }
    Ok(made + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, section: &str, option: &str) -> String {
        let sections = read(text).expect("the file is read");
        let section = sections.iter().find(|found| found.name == section).expect("the section");
        section.options.get(option).map(|setting| setting.value.clone()).unwrap_or_default()
    }

    fn mistakes(text: &str) -> Vec<String> {
        let mistakes = read(text).expect_err("the file is refused");
        mistakes.into_iter().map(|mistake| format!("{}: {}", mistake.line, mistake.what)).collect()
    }

    #[test]
    fn options_comments_and_continuations_are_read_as_python_does() {
        let text = "# a comment\n; another\nrem and one more\n[text_80]\nProtocol: tcp\nport = 80 ; the port\n\
                    url = [ 'http://a/;x',\n   'http://b/' ]\n\nempty = \"\"\nhash = 1 # no comment\n";
        assert_eq!(value(text, "text_80", "protocol"), "tcp");
        assert_eq!(value(text, "text_80", "port"), "80");
        assert_eq!(value(text, "text_80", "url"), "[ 'http://a/;x',\n'http://b/' ]");
        assert_eq!(value(text, "text_80", "empty"), "");
        assert_eq!(value(text, "text_80", "hash"), "1 # no comment");
    }

    #[test]
    fn defaults_and_names_of_other_options_are_put_in() {
        let text =
            "[DEFAULT]\nport = 80\n[a]\nip = 192.0.2.1\nurl = http://%(IP)s:%(port)s/%%20\n[b]\nport = 81\n";
        assert_eq!(value(text, "a", "url"), "http://192.0.2.1:80/%20");
        assert_eq!(value(text, "b", "port"), "81");
        let sections = read(text).expect("the file is read");
        assert_eq!(sections.len(), 2, "[DEFAULT] is no section");
        assert!(sections[0].options["port"].is_default && !sections[1].options["port"].is_default);
    }

    #[test]
    fn a_section_that_is_there_twice_is_one_and_the_last_of_an_option_counts() {
        let text = "[a]\nip = 1\n[b]\n[a]\nip = 2\nport = 3\n";
        assert_eq!((value(text, "a", "ip"), value(text, "a", "port")), ("2".into(), "3".into()));
    }

    #[test]
    fn every_line_that_python_would_not_read_is_named() {
        assert_eq!(
            mistakes("ip = 1\n[a]\n  ip = 2\nport\n= 3\n[]\n"),
            [
                "1: expected a [section] first, found \"ip = 1\"",
                "3: expected no blank before an option that follows no other, found \"ip = 2\"",
                "4: expected `option = value` or [section], found \"port\"",
                "5: expected `option = value` or [section], found \"= 3\"",
                "6: expected `option = value` or [section], found \"[]\"",
            ]
        );
        assert_eq!(
            mistakes("[a]\nurl = http://a/%20\nb = %(c)s\nc = %(b)s\nd = %(e)s\n"),
            [
                "2: url: a percent sign is written %%, or begins %(name)s",
                "3: b: %(name)s leads from option to option without an end",
                "4: c: %(name)s leads from option to option without an end",
                "5: d: there is no option e for %(e)s",
            ]
        );
    }

    #[test]
    fn options_that_double_do_not_fill_the_memory() {
        let mut text = "[a]\no0 = aaaaaaaaaaaaaaaa\n".to_owned();
        for n in 1..100 {
            text += &format!("o{n} = {}\n", format!("%(o{})s", n - 1).repeat(16));
        }
        assert!(!mistakes(&text).is_empty());
    }
}
