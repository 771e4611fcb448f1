//! PyBal's older pool files: one Python dict a line.
//!
//! ```text
//! # text, eqiad
//! { 'host': 'cp1075.example.org', 'weight': 10, 'enabled': True }
//! ```
//!
//! PyBal goes on without a line that it cannot read, and so without the server in it. Here the file is refused, with every
//! such line: a slip of the pen takes nobody out.

use super::{HOST, PoolFileError, PoolFileProblem};
use crate::config::document::Document;
use crate::config::value::{MAX_WEIGHT, WEIGHT, host};
use crate::config::{Admin, Backend, ConnectionLimits, Place};
use crate::python::{self, Literal, Value};
use crate::suggest::suggest;
use ipvs::Weight;
use std::collections::BTreeMap;
use std::path::Path;

/// The keys of a line; all of them are needed, as in PyBal.
const KEYS: [&str; 3] = ["host", "weight", "enabled"];

const LINE: &str = "a dict, {'host': 'HOST', 'weight': 1, 'enabled': True}";

/// Whether a text that is no JSON by its name is written like this: it begins with a comment, a key in single quotes, or a
/// dict with a `host` that is no table itself.
pub(super) fn is_it(name: &Path, text: &str) -> bool {
    if name.extension().is_some_and(|extension| extension == "json") {
        return false;
    }
    let Some(first) = text.lines().map(str::trim).find(|line| !line.is_empty()) else { return false };
    let has_host = || match python::read(first) {
        Ok(Value { literal: Literal::Dict(members), .. }) => members.iter().any(|(key, value)| {
            key.literal == Literal::Text("host".into()) && !matches!(value.literal, Literal::Dict(_))
        }),
        Ok(_) | Err(_) => false,
    };
    let is_pythons = first.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with('\''));
    first.starts_with('#') || is_pythons || has_host()
}

/// Parses such a text.
///
/// # Errors
/// Every line that is wrong.
pub(super) fn parse(name: &Path, text: &str) -> Result<Vec<Backend>, PoolFileError> {
    let reader = Reader { document: Document::new(name, text) };
    let (mut backends, mut places, mut errors) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let begin = offset + line.len() - line.trim_start().len();
        offset += line.len();
        if matches!(line.trim_start().chars().next(), None | Some('#')) {
            continue;
        }
        let read = reader.line(begin, line.trim()).and_then(|backend| {
            let place = reader.document.place(begin);
            match places.insert(backend.host.clone(), place) {
                None => Ok(backend),
                Some(first) => {
                    let what = format!("host {}", backend.host);
                    places.insert(backend.host, first.clone());
                    Err(reader.error(begin, "", PoolFileProblem::Twice { what, first }))
                }
            }
        });
        match read {
            Ok(backend) => drop(backends.insert(backend.host.clone(), backend)),
            Err(error) => errors.push(error),
        }
    }
    if errors.len() > 1 {
        let place = Place::whole(name);
        return Err(PoolFileError { place, key: String::new(), problem: PoolFileProblem::Lines(errors) });
    }
    match errors.pop() {
        Some(error) => Err(error),
        None if backends.is_empty() => {
            let problem = PoolFileProblem::EmptyPool;
            Err(PoolFileError { place: Place::whole(name), key: String::new(), problem })
        }
        None => Ok(backends.into_values().collect()),
    }
}

struct Reader<'t> {
    document: Document<'t>,
}

impl Reader<'_> {
    fn error(&self, at: usize, key: &str, problem: PoolFileProblem) -> PoolFileError {
        PoolFileError { place: self.document.place(at), key: key.to_owned(), problem }
    }

    fn expected(&self, at: usize, key: &str, expected: &'static str, found: &Literal) -> PoolFileError {
        self.error(at, key, PoolFileProblem::Expected { expected, found: found.to_string() })
    }

    /// A line that begins at a byte of the text.
    fn line(&self, begin: usize, line: &str) -> Result<Backend, PoolFileError> {
        let value = python::read(line)
            .map_err(|error| self.error(begin + error.at, "", PoolFileProblem::NotPython(error.expected)))?;
        let Literal::Dict(members) = value.literal else {
            return Err(self.expected(begin, "", LINE, &value.literal));
        };
        let mut given: BTreeMap<&str, &Value> = BTreeMap::new();
        for (key, value) in &members {
            let at = begin + key.at;
            let Literal::Text(name) = &key.literal else {
                return Err(self.expected(at, "", "a key in quotes", &key.literal));
            };
            if !KEYS.contains(&name.as_str()) {
                let nearest = suggest(name, KEYS).first().copied();
                let name = crate::config::walk::shortened(name);
                return Err(self.error(at, &name, PoolFileProblem::UnknownKeyOfLine { nearest }));
            }
            if let Some(first) = given.insert(name, value) {
                let first = self.document.place(begin + first.at);
                return Err(self.error(at, name, PoolFileProblem::Twice { what: "given".into(), first }));
            }
        }
        let needed = |key: &'static str| {
            let missing = || self.error(begin, key, PoolFileProblem::Missing);
            given.get(key).map(|value| (begin + value.at, &value.literal)).ok_or_else(missing)
        };
        self.backend(needed("host")?, needed("weight")?, needed("enabled")?)
    }

    fn backend(
        &self,
        (host_at, its_host): (usize, &Literal),
        (weight_at, weight): (usize, &Literal),
        (enabled_at, enabled): (usize, &Literal),
    ) -> Result<Backend, PoolFileError> {
        let Literal::Text(text) = its_host else {
            return Err(self.expected(host_at, "host", HOST, its_host));
        };
        let host = host(text)
            .map_err(|found| self.error(host_at, "", PoolFileProblem::Expected { expected: HOST, found }))?;
        let number = match weight {
            Literal::Integer(number) => u32::try_from(*number).ok().filter(|number| *number <= MAX_WEIGHT),
            _ => None,
        };
        let number = number.and_then(|number| Weight::new(number).ok());
        let weight =
            number.ok_or_else(|| self.expected(weight_at, &format!("{host}.weight"), WEIGHT, weight))?;
        let Literal::Boolean(is_enabled) = enabled else {
            return Err(self.expected(enabled_at, &format!("{host}.enabled"), "True or False", enabled));
        };
        let pooled = Admin::from(*is_enabled);
        Ok(Backend {
            host: host.into(),
            weight,
            pooled,
            limits: ConnectionLimits::default(),
            addresses: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Admin, Backend};
    use crate::pool_file::parse;
    use proptest::prelude::*;
    use std::path::Path;

    fn read(text: impl AsRef<[u8]>) -> Result<Vec<Backend>, String> {
        parse(Path::new("pools/text"), text.as_ref()).map_err(|error| error.to_string())
    }

    fn refused(text: impl AsRef<[u8]>) -> String {
        read(text).expect_err("the file is refused")
    }

    const GOOD: &str = "# cache text\n\n{ 'host': 'cp2.example.org', 'weight':10, 'enabled': True }\n  \
                        { \"host\": 'CP1.example.org', 'enabled': False, 'weight': 0, } # out, T12345\r\n";

    #[test]
    fn one_dict_a_line_is_read_and_sorted_by_host() {
        let pool = read(GOOD).unwrap();
        let seen: Vec<_> = pool.iter().map(|b| (&*b.host, b.weight.get(), b.pooled)).collect();
        assert_eq!(seen, [("cp1.example.org", 0, Admin::Depooled), ("cp2.example.org", 10, Admin::Pooled)]);
    }

    #[test]
    fn json_is_told_apart_whatever_the_files_name() {
        let json = r#"{"host": {"weight": 10, "enabled": true}}"#;
        assert_eq!(&*read(json).unwrap()[0].host, "host");
        let line = r#"{"host": "cp1", "weight": 10, "enabled": True}"#;
        assert_eq!(&*read(line).unwrap()[0].host, "cp1");
        let error = parse(Path::new("pools/text.json"), GOOD.as_bytes()).expect_err("its name says JSON");
        assert!(error.to_string().starts_with("pools/text.json:1:1: not JSON"), "{error}");
    }

    #[test]
    fn every_line_that_is_wrong_is_named_and_none_is_passed_over() {
        let text = "{'host': 'a', 'weight': 10}\n{'host': 'b', 'weight': 10, 'enabled': True}\n\
                    {'host': 'c', 'weight': -1, 'enabled': True}\nd\n";
        assert_eq!(
            refused(text),
            "pools/text: 3 lines are wrong: pools/text:1:1: enabled: missing, and PyBal leaves such a line out; \
             pools/text:3:25: c.weight: expected a weight 0-65535, found -1; \
             pools/text:4:1: expected a dict, {'host': 'HOST', 'weight': 1, 'enabled': True}, found the name d"
        );
        let many = refused("{'host'}\n".repeat(1000));
        assert!(many.ends_with("and 990 more") && many.len() < 1000, "{many}");
    }

    #[test]
    fn a_slip_in_a_line_says_where_and_what_belongs_there() {
        for (line, error) in [
            (
                "{'host': 'a', 'weight': 10, 'enabled': true}",
                "1:40: a.enabled: expected True or False, found the name true",
            ),
            (
                "{'host': 'a', 'weight': '10', 'enabled': True}",
                "1:25: a.weight: expected a weight 0-65535, found \"10\"",
            ),
            (
                "{'host': 'a', 'weight': 70000, 'enabled': True}",
                "1:25: a.weight: expected a weight 0-65535, found 70000",
            ),
            (
                "{'host': 'a', 'weight': True, 'enabled': True}",
                "1:25: a.weight: expected a weight 0-65535, found True",
            ),
            (
                "{'host': 1, 'weight': 1, 'enabled': True}",
                "1:10: host: expected a host name or an IP address, found 1",
            ),
            (
                "{'host': 'a b', 'weight': 1, 'enabled': True}",
                "1:10: expected a host name or an IP address, found \"a b\"",
            ),
            (
                "{'host': 'a', 'wieght': 1, 'enabled': True}",
                "1:15: wieght: unknown key; did you mean \"weight\"?",
            ),
            (
                "{'host': 'a', 'host': 'b', 'enabled': True}",
                "1:15: host: given for the second time; the first is at pools/text:1:10",
            ),
            ("{'host': 'a', 'weight': 1, 'enabled': True", "1:43: not a Python dict: expected a comma or }"),
            ("{'host': 'a' 'weight': 1}", "1:22: not a Python dict: expected a comma or }"),
            (
                "# nothing",
                " an empty pool is refused: expected at least one host; to take hosts out, set \"pooled\": \"no\" on them",
            ),
        ] {
            assert_eq!(refused(line), format!("pools/text:{error}"), "{line}");
        }
    }

    #[test]
    fn a_host_that_is_there_twice_is_refused_with_both_places() {
        let line = "{'host': 'a', 'weight': 1, 'enabled': True}\n";
        assert_eq!(
            refused(format!("{line}{}", line.replace("'a'", "'A'"))),
            "pools/text:2:1: host a for the second time; the first is at pools/text:1:1"
        );
    }

    #[test]
    fn a_cut_within_a_line_is_refused() {
        let text =
            "{'host': 'cp1', 'weight': 10, 'enabled': True}\n{'host': 'cp2', 'weight': 5, 'enabled': True}";
        for end in 1..text.len() {
            let is_whole = text[..end].trim_end().ends_with('}');
            assert_eq!(read(&text[..end]).is_ok(), is_whole, "{}", &text[..end]);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read([b"#\n", &bytes[..]].concat());
        }

        #[test]
        fn no_mangled_line_panics_and_every_error_has_a_place(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("{"), Just("}"), Just("'host'"), Just("'cp1'"), Just(":"), Just(","), Just("'weight'"),
                    Just("'enabled'"), Just("10"), Just("-1"), Just("True"), Just("[]"), Just("\n"), Just("'é'"),
                ],
                1..16,
            ),
        ) {
            if let Err(error) = read(format!("#\n{}", parts.concat())) {
                prop_assert!(error.starts_with("pools/text:"), "{}", error);
            }
        }
    }
}
