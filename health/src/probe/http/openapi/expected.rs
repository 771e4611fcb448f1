//! What an example expects of its answer.

use hyper::HeaderMap;
use serde_json::{Map, Value};

use super::examples::unusable;
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

/// A part of a body in JSON.
#[derive(Debug)]
enum Model {
    Object(Vec<(String, Model)>),
    List(Vec<Model>),
    Value(Wanted),
}

/// What a text must be or begin with, or match if it is written between slashes.
#[derive(Debug)]
enum Wanted {
    Beginning(String),
    Matching(Regex),
}

impl Wanted {
    fn new(value: &Value, endpoint: &str, regexes: &mut Regexes) -> Result<Self, Failure> {
        let written = text(value);
        match written.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            None => Ok(Self::Beginning(written)),
            Some(regex) => regexes.compile(regex, endpoint).map(Self::Matching),
        }
    }

    fn is_met(&self, found: &str) -> bool {
        match self {
            Self::Beginning(beginning) => found.starts_with(beginning),
            Self::Matching(regex) => regex.is_match(found.as_bytes()),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Beginning(beginning) => shown(beginning),
            Self::Matching(regex) => shown(&format!("/{}/", regex.as_str())),
        }
    }
}

impl Model {
    fn new(value: &Value, endpoint: &str, regexes: &mut Regexes) -> Result<Self, Failure> {
        Ok(match value {
            Value::Object(fields) => Self::Object(
                fields
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), Self::new(value, endpoint, regexes)?)))
                    .collect::<Result<_, Failure>>()?,
            ),
            Value::Array(items) => Self::List(
                items.iter().map(|item| Self::new(item, endpoint, regexes)).collect::<Result<_, _>>()?,
            ),
            value => Self::Value(Wanted::new(value, endpoint, regexes)?),
        })
    }

    /// Judges what is at `at`; what is not there is null.
    fn judge(&self, found: &Value, at: &mut String) -> Result<(), Failure> {
        let length = at.len();
        match self {
            Self::Object(fields) => {
                for (key, model) in fields {
                    at.push('/');
                    at.push_str(key);
                    model.judge(found.get(key).unwrap_or(&Value::Null), at)?;
                    at.truncate(length);
                }
                Ok(())
            }
            Self::List(items) => {
                for (index, model) in items.iter().enumerate() {
                    at.push_str(&format!("[{index}]"));
                    model.judge(found.get(index).unwrap_or(&Value::Null), at)?;
                    at.truncate(length);
                }
                Ok(())
            }
            Self::Value(wanted) => value(wanted, &text(found), at),
        }
    }
}

fn value(wanted: &Wanted, found: &str, at: &str) -> Result<(), Failure> {
    if wanted.is_met(found) {
        return Ok(());
    }
    let at = if at.is_empty() { "/".to_owned() } else { shown(at) };
    Err(HttpFailure::Value { at, found: shown(found), expected: wanted.shown() }.into())
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
            let found = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
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
            Some(Body::Text(wanted)) => value(wanted, &String::from_utf8_lossy(body), ""),
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

/// Text of a server's in quotes, cut to what fits into a line.
fn shown(text: &str) -> String {
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
    fn a_body_in_json_must_hold_all_of_the_model_and_may_hold_more() {
        let found = r#"{"items":[{"title":"Foo bar","n":12,"ok":true},{}],"more":1}"#;
        for model in [
            json!({}),
            json!({"items": [{"title": "Foo"}]}),
            json!({"items": [{"title": "/^F.*r$/", "n": 12, "ok": true}]}),
            json!({"none": null}),
        ] {
            assert_eq!(body(model, found), Ok(()));
        }
        for (model, text) in [
            (
                json!({"items": [{"title": "Bar"}]}),
                r#"body has "Foo bar" at "/items[0]/title", expected "Bar""#,
            ),
            (json!({"items": [{"n": 2}]}), r#"body has "12" at "/items[0]/n", expected "2""#),
            (
                json!({"items": [{"title": "/^bar/"}]}),
                r#"body has "Foo bar" at "/items[0]/title", expected "/^bar/""#,
            ),
            (json!({"items": [{}, {}, {"a": 1}]}), r#"body has "null" at "/items[2]/a", expected "1""#),
        ] {
            assert_eq!(body(model, found), Err(text.to_owned()));
        }
        let failure = body(json!({}), "<html>").expect_err("no JSON");
        assert!(failure.starts_with("body is not the JSON expected: "), "{failure}");
    }

    #[test]
    fn a_body_of_text_begins_as_expected_or_matches() {
        assert_eq!(body(json!("For sure"), "For sure!"), Ok(()));
        assert_eq!(body(json!("/sure.$/"), "For sure!"), Ok(()));
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
