//! What an example expects of its answer.

use hyper::HeaderMap;
use serde_json::{Map, Value};

use super::examples::unusable;
use super::model::{Model, other};
use super::template::text;
use crate::failure::{Failure, HttpFailure};
use crate::spec::{Regex, StatusRange};

/// How much of a value is shown, in characters.
const SHOWN: usize = 80;

/// The most regular expressions of a description: each may take milliseconds to compile, and they come from the server.
const MAX_REGEXES: u32 = 64;

/// Compiles the regular expressions of one description, as many as are allowed.
#[derive(Debug)]
pub(super) struct Regexes {
    left: u32,
}

impl Regexes {
    pub(super) fn new() -> Self {
        Self { left: MAX_REGEXES }
    }

    fn compile(&mut self, regex: &str, endpoint: &str) -> Result<Regex, Failure> {
        let left = self.left.checked_sub(1);
        let too_many = || unusable(endpoint, &format!("more than {MAX_REGEXES} regular expressions"));
        self.left = left.ok_or_else(too_many)?;
        Regex::new(regex).map_err(|error| unusable(endpoint, &error))
    }
}

/// An answer as an example says it should be.
#[derive(Debug)]
pub(super) struct Expected {
    status: StatusRange,
    headers: Vec<(String, Wanted)>,
    body: Option<Body>,
}

/// A body: something in JSON, all of which must be there and may be among more, or a text.
#[derive(Debug)]
enum Body {
    Json(Model),
    Text(Wanted),
}

/// What a text must be or begin with, or match if it is written between slashes.
#[derive(Debug)]
pub(super) enum Wanted {
    Beginning(String),
    Matching(Regex),
}

impl Wanted {
    pub(super) fn new(value: &Value, endpoint: &str, regexes: &mut Regexes) -> Result<Self, Failure> {
        let written = text(value);
        match written.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            None => Ok(Self::Beginning(written)),
            Some(regex) => regexes.compile(regex, endpoint).map(Self::Matching),
        }
    }

    fn is_met(&self, found: &str) -> bool {
        match self {
            Self::Beginning(beginning) => found.starts_with(beginning),
            // `$` is also before a line's last end, as descriptions are written for Python.
            Self::Matching(regex) => {
                let matches = |text: &str| regex.is_match(text.as_bytes());
                matches(found) || found.strip_suffix('\n').is_some_and(matches)
            }
        }
    }

    /// Judges a text that is at `at`.
    pub(super) fn judge(&self, found: &str, at: &str) -> Result<(), Failure> {
        if self.is_met(found) { Ok(()) } else { Err(other(at, shown(found), self.shown())) }
    }

    pub(super) fn shown(&self) -> String {
        match self {
            Self::Beginning(beginning) => shown(beginning),
            Self::Matching(regex) => shown(&format!("/{}/", regex.as_str())),
        }
    }
}

impl Expected {
    /// Reads an example's `response`; without one, or without a status in it, 200 is expected.
    pub(super) fn new(
        response: Option<&Value>,
        endpoint: &str,
        regexes: &mut Regexes,
    ) -> Result<Self, Failure> {
        let nothing = Map::new();
        let response = response.and_then(Value::as_object).unwrap_or(&nothing);
        let status = match response.get("status") {
            None => StatusRange::OK,
            Some(status) => text(status).parse().map_err(|error| unusable(endpoint, &error))?,
        };
        let headers = response.get("headers").and_then(Value::as_object).unwrap_or(&nothing);
        let headers: Result<_, Failure> = headers
            .iter()
            .map(|(name, value)| Ok((name.clone(), Wanted::new(value, endpoint, regexes)?)))
            .collect();
        let body = match response.get("body") {
            None | Some(Value::Null) => None,
            Some(body @ (Value::Object(_) | Value::Array(_))) => {
                Some(Body::Json(Model::new(body, endpoint, regexes)?))
            }
            Some(body) => Some(Body::Text(Wanted::new(body, endpoint, regexes)?)),
        };
        Ok(Self { status, headers: headers?, body })
    }

    /// Whether anything is expected of the body.
    pub(super) fn wants_body(&self) -> bool {
        self.body.is_some()
    }

    /// Judges status and headers.
    pub(super) fn judge_head(&self, status: u16, headers: &HeaderMap) -> Result<(), Failure> {
        if !self.status.contains(status) {
            return Err(Failure::Status { found: status, expected: vec![self.status] });
        }
        for (name, wanted) in &self.headers {
            let found = joined(headers, name);
            if !found.as_ref().is_some_and(|found| wanted.is_met(found)) {
                let (name, expected) = (shown(name), wanted.shown());
                return Err(HttpFailure::Header { name, found: found.as_deref().map(shown), expected }.into());
            }
        }
        Ok(())
    }

    /// Judges the body.
    pub(super) fn judge_body(&self, body: &[u8]) -> Result<(), Failure> {
        match &self.body {
            None => Ok(()),
            Some(Body::Text(wanted)) => wanted.judge(&String::from_utf8_lossy(body), ""),
            Some(Body::Json(model)) => {
                let found = serde_json::from_slice(body).map_err(|error| HttpFailure::NotJson {
                    what: "body".to_owned(),
                    error: error.to_string(),
                })?;
                model.judge(&found, &mut String::new())
            }
        }
    }
}

/// A header's values as one (RFC 9110, section 5.3), if it is there.
fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// Text of a server's in quotes, cut to what fits into a line.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn body(model: Value, body: &str) -> Result<(), String> {
        let response = json!({ "body": model });
        let expected = Expected::new(Some(&response), "GET /", &mut Regexes::new()).expect("usable");
        expected.judge_body(body.as_bytes()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_body_that_should_be_json_and_is_not_is_told() {
        let failure = body(json!({}), "<html>").expect_err("no JSON");
        assert!(failure.starts_with("body is not the JSON expected: "), "{failure}");
        assert_eq!(body(json!({"a": 1}), r#"{"a":12,"b":[]}"#), Ok(()));
    }

    #[test]
    fn a_body_of_text_begins_as_expected_or_matches() {
        assert_eq!(body(json!("For sure"), "For sure!"), Ok(()));
        assert_eq!(body(json!("/sure.$/"), "For sure!"), Ok(()));
        assert_eq!(body(json!("/sure!$/"), "For sure!\n"), Ok(()));
        assert!(body(json!("/sure!$/"), "For sure!\n\n").is_err());
        assert_eq!(
            body(json!("Sure"), "For sure!"),
            Err(r#"body has "For sure!" at /, expected "Sure""#.to_owned())
        );
        let long = body(json!("b"), &"a".repeat(1_000_000)).expect_err("other");
        assert!(long.len() < 300, "{long}");
    }

    #[test]
    fn status_and_headers_are_judged_before_the_body() {
        let response = json!({"status": 302, "headers": {"location": "/\\/wiki\\//", "x-n": 1}});
        let expected = Expected::new(Some(&response), "GET /", &mut Regexes::new()).expect("usable");
        let headers = |location: &'static str| {
            HeaderMap::from_iter([
                (hyper::header::LOCATION, location.parse().expect("a value")),
                (hyper::header::HeaderName::from_static("x-n"), "1".parse().expect("a value")),
            ])
        };
        let told =
            |status, headers| expected.judge_head(status, &headers).map_err(|failure| failure.to_string());
        assert_eq!(told(302, headers("/wiki/Foo")), Ok(()));
        assert_eq!(told(200, headers("/wiki/Foo")), Err("HTTP status 200, expected 302".to_owned()));
        let elsewhere = r#"header "location" is "/w/Foo", expected "/\\/wiki\\//""#;
        assert_eq!(told(302, headers("/w/Foo")), Err(elsewhere.to_owned()));
        assert_eq!(told(302, HeaderMap::new()), Err(elsewhere.replace("\"/w/Foo\"", "absent")));
        assert!(!expected.wants_body());
    }

    #[test]
    fn an_expectation_that_cannot_be_met_makes_the_description_unusable() {
        for response in [
            json!({"status": "ok"}),
            json!({"status": 9}),
            json!({"body": "/(/"}),
            json!({"body": ["/a{9999}{9999}/"]}),
            json!({"body": vec!["/a/"; 65]}),
        ] {
            let failure = Expected::new(Some(&response), "GET /a", &mut Regexes::new())
                .expect_err("unusable")
                .to_string();
            assert!(failure.starts_with("description cannot be used: GET /a: "), "{failure}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_judged(found: Vec<u8>) {
            let response = json!({"body": {"a": [{"b": "/x/"}]}});
            let expected = Expected::new(Some(&response), "GET /", &mut Regexes::new()).expect("usable");
            prop_assert!(expected.judge_body(&found).is_err());
        }
    }
}
