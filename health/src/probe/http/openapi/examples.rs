//! A service's description, and the requests of its examples.

use std::fmt;

use hyper::body::Bytes;
use serde_json::{Map, Value};

use super::expected::{Expected, Regexes};
use super::template::{pairs, realize, text};
use crate::failure::{Failure, HttpFailure};

/// The most examples that are tried, in the order of their paths: they share one timeout, and a description comes from
/// the server.
const MAX_EXAMPLES: usize = 128;

/// Headers of an example's request that are left out: they are the connection's business (RFC 9110, section 7.6.1), or
/// follow from the body.
const OWN: [&str; 8] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "keep-alive",
    "proxy-connection",
];

/// One request and the answer to it.
#[derive(Debug)]
pub(super) struct Example {
    /// Method and path as the description has them.
    pub(super) endpoint: String,
    pub(super) title: String,
    pub(super) method: &'static str,
    pub(super) path: String,
    headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) expected: Expected,
}

impl Example {
    /// The host that the example is for, if it says so.
    pub(super) fn host(&self) -> Option<&str> {
        let host = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        host.map(|(_, host)| host.as_str())
    }

    /// The other headers.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let all = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(|(name, _)| !OWN.iter().any(|own| own.eq_ignore_ascii_case(name)))
    }
}

/// The failure that something in the description of `endpoint` means.
pub(super) fn unusable(endpoint: &str, error: &dyn fmt::Display) -> Failure {
    HttpFailure::Description { error: format!("{endpoint}: {error}") }.into()
}

/// What a description says of all examples.
struct Defaults<'a> {
    /// What precedes all paths.
    base: &'a str,
    /// Parameters of paths, unless an example gives its own.
    params: &'a Map<String, Value>,
    /// Fields of queries, likewise.
    query: &'a Map<String, Value>,
}

/// The examples of a description. GET without examples (`x-amples`) has one: no parameters and no query but the default ones
/// (`x-default-params`, `x-default-query`), status 200. POST without examples has none, other methods are not tried, nor
/// is what says `"x-monitor": false`. Their paths are preceded by `base` unless that is empty; then by what the description
/// says.
pub(super) fn examples(description: &[u8], base: &str) -> Result<Vec<Example>, Failure> {
    let description: Value = serde_json::from_slice(description)
        .map_err(|error| HttpFailure::NotJson { what: "description".to_owned(), error: error.to_string() })?;
    let Some(paths) = description.get("paths").and_then(Value::as_object) else {
        return Err(HttpFailure::Description { error: "it has no paths".to_owned() }.into());
    };
    let nothing = Map::new();
    let defaults = |name| description.get(name).and_then(Value::as_object).unwrap_or(&nothing);
    let defaults = Defaults {
        base: if base.is_empty() { described_base(&description) } else { base },
        params: defaults("x-default-params"),
        query: defaults("x-default-query"),
    };
    let (mut examples, mut regexes) = (Vec::new(), Regexes::new());
    for (template, operations) in paths.iter().filter(|(template, _)| template.starts_with('/')) {
        for (method, name) in [("GET", "get"), ("POST", "post")] {
            let Some(operation) = operations.get(name).and_then(Value::as_object) else { continue };
            if is_silenced(operation.get("x-monitor")) {
                continue;
            }
            let default = if method == "GET" { vec![Value::Null] } else { Vec::new() };
            let listed = operation.get("x-amples").and_then(Value::as_array).unwrap_or(&default);
            for listed in listed {
                if examples.len() == MAX_EXAMPLES {
                    return Ok(examples);
                }
                examples.push(example(method, template, listed, &defaults, &mut regexes)?);
            }
        }
    }
    Ok(examples)
}

/// The path of the first of the description's `servers` (OpenAPI), whatever host it names, or its `basePath` (Swagger).
fn described_base(description: &Value) -> &str {
    let server =
        description.get("servers").and_then(|servers| servers.get(0)).filter(|server| !server.is_null());
    let base = match server {
        Some(server) => server.get("url"),
        None => description.get("basePath"),
    };
    let base = base.and_then(Value::as_str).unwrap_or_default();
    let path =
        base.split_once("://").map_or(base, |(_, rest)| rest.find('/').map_or("", |path| &rest[path..]));
    path.trim_end_matches('/')
}

/// Whether `x-monitor` says no, as Python understands it.
fn is_silenced(monitor: Option<&Value>) -> bool {
    match monitor {
        None => false,
        Some(Value::Bool(monitor)) => !monitor,
        Some(Value::Number(number)) => number.as_f64() == Some(0.0),
        Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(fields)) => fields.is_empty(),
    }
}

fn example(
    method: &'static str,
    template: &str,
    listed: &Value,
    defaults: &Defaults<'_>,
    regexes: &mut Regexes,
) -> Result<Example, Failure> {
    let endpoint = format!("{method} {template}");
    let nothing = Map::new();
    let request = listed.get("request").and_then(Value::as_object).unwrap_or(&nothing);
    let object = |name| request.get(name).and_then(Value::as_object).unwrap_or(&nothing);
    let mut path = format!("{}{}", defaults.base, realize(template, object("params"), defaults.params));
    let mut headers: Vec<_> =
        object("headers").iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let mut body = Bytes::new();
    if method == "GET" {
        let mut query = defaults.query.clone();
        query.extend(object("query").clone());
        let query = pairs(&query);
        if !query.is_empty() {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&query);
        }
    } else if let Some(given) = request.get("body") {
        body = encoded(given, &mut headers);
    }
    let title = listed.get("title").and_then(Value::as_str).unwrap_or_default().to_owned();
    let expected = Expected::new(listed.get("response"), &endpoint, regexes)?;
    Ok(Example { endpoint, title, method, path, headers, body, expected })
}

/// The body in the form that the headers announce: JSON; or, as octets, a text as it is and JSON for everything else; or a
/// form, which is announced if nothing is and it has fields.
fn encoded(body: &Value, headers: &mut Vec<(String, String)>) -> Bytes {
    const FORM: &str = "application/x-www-form-urlencoded";
    let given = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let media_type = |value: &str| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let content_type = given.map(|(_, value)| media_type(value));
    let octets = match (content_type.as_deref(), body) {
        (Some("application/json"), body) => body.to_string(),
        (_, Value::Object(fields)) if content_type.as_deref() != Some("application/octet-stream") => {
            if content_type.is_none() && !fields.is_empty() {
                headers.push(("content-type".to_owned(), FORM.to_owned()));
            }
            pairs(fields)
        }
        (_, body) => text(body),
    };
    Bytes::from(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn of(description: &Value) -> Vec<Example> {
        examples(description.to_string().as_bytes(), "").expect("examples")
    }

    #[test]
    fn what_is_monitored_is_tried_with_its_examples_or_as_it_is() {
        let description = json!({
            "x-default-params": {"domain": "en.example.org"},
            "paths": {
                "/{domain}/plain": {"get": {}, "put": {}, "post": {}},
                "/silent": {"get": {"x-monitor": false}},
                "/b": {
                    "get": {"x-monitor": true, "x-amples": [
                        {"title": "one", "request": {"query": {"q": "a b"}}, "response": {"status": 404}},
                        {"title": "two", "request": {"headers": {"Host": "h", "X-N": 1, "TE": "x"}}},
                    ]},
                    "post": {"x-amples": [{"request": {"body": {"k": "v"}}}]},
                },
                "": {"get": {}},
                "x-extension": {"get": {}},
            },
        });
        let examples = of(&description);
        let told: Vec<_> = examples.iter().map(|e| (e.method, e.path.as_str(), e.title.as_str())).collect();
        let expected = [
            ("GET", "/b?q=a+b", "one"),
            ("GET", "/b", "two"),
            ("POST", "/b", ""),
            ("GET", "/en.example.org/plain", ""),
        ];
        assert_eq!(told, expected);
        assert_eq!(examples[1].host(), Some("h"));
        assert_eq!(examples[1].headers().collect::<Vec<_>>(), [("X-N", "1")]);
        assert_eq!(&examples[2].body[..], b"k=v");
        assert_eq!(examples[3].endpoint, "GET /{domain}/plain");
    }

    #[test]
    fn what_precedes_the_paths_is_told_by_the_configuration_or_by_the_description() {
        let (v2, v3) =
            (json!({"basePath": "/v2/"}), |url: &str| json!({"servers": [{"url": url}, {"url": "/no"}]}));
        for (description, configured, path) in [
            (v2.clone(), "", "/v2/a"),
            (v2, "/mine", "/mine/a"),
            (v3("/v3"), "", "/v3/a"),
            (v3("https://api.example.org/v3/"), "", "/v3/a"),
            (v3("https://api.example.org"), "", "/a"),
            (v3("/"), "", "/a"),
            (json!({"servers": [], "basePath": "/v2"}), "", "/v2/a"),
            (json!({}), "", "/a"),
        ] {
            let mut description = description;
            description["paths"] = json!({"/a": {"get": {}}});
            let examples = examples(description.to_string().as_bytes(), configured).expect("examples");
            assert_eq!(examples[0].path, path, "{description}");
            assert_eq!(examples[0].endpoint, "GET /a");
        }
    }

    #[test]
    fn default_fields_of_queries_give_way_to_an_examples_own() {
        let get = |query| json!({"get": {"x-amples": [{"request": {"query": query}}]}});
        let paths = json!({"/a": get(json!({"b": 2, "c": 3})), "/b": {"get": {}}, "/c": {"post": {"x-amples": [{}]}}});
        let examples = of(&json!({"x-default-query": {"a": 1, "b": 1}, "paths": paths}));
        let told: Vec<_> = examples.iter().map(|example| example.path.as_str()).collect();
        assert_eq!(told, ["/a?a=1&b=2&c=3", "/b?a=1&b=1", "/c"]);
    }

    #[test]
    fn a_body_is_encoded_as_it_is_announced() {
        for (content_type, body, octets) in [
            (Some("application/json"), json!({"water": true}), r#"{"water":true}"#),
            (Some("application/json"), json!("text"), r#""text""#),
            (Some("Application/JSON; charset=utf-8"), json!({"a": 1}), r#"{"a":1}"#),
            (Some("application/octet-stream"), json!({"a": [1]}), r#"{"a":[1]}"#),
            (Some("application/octet-stream"), json!("raw"), "raw"),
            (None, json!({"a": "b c"}), "a=b+c"),
        ] {
            let mut headers: Vec<_> =
                content_type.iter().map(|value| ("Content-Type".to_owned(), (*value).to_owned())).collect();
            assert_eq!(&encoded(&body, &mut headers)[..], octets.as_bytes());
            assert_eq!(headers.len(), 1, "announced once");
        }
    }

    #[test]
    fn a_description_that_is_none_is_told_and_a_huge_one_is_tried_in_part() {
        let told = |text: &str| examples(text.as_bytes(), "").expect_err("none").to_string();
        assert!(told("<html>").starts_with("description is not the JSON expected: "));
        assert_eq!(told("{}"), "description cannot be used: it has no paths");
        assert!(told(&"[".repeat(100_000)).contains("recursion limit"));
        let amples = vec![json!({}); 2 * MAX_EXAMPLES];
        let description = json!({"paths": {"/a": {"get": {"x-amples": amples}}}});
        assert_eq!(of(&description).len(), MAX_EXAMPLES);
    }

    proptest! {
        #[test]
        fn any_text_is_a_description_or_none(text: Vec<u8>) {
            drop(examples(&text, ""));
        }

        #[test]
        fn any_example_is_usable_or_not(template: String, key: String, value: String, method in "get|post") {
            let mut fields = Map::new();
            fields.insert(key, Value::String(value.clone()));
            let part = Value::Object(fields);
            let listed = json!({
                "request": {"params": part, "headers": part, "query": part, "body": part},
                "response": {"status": value, "headers": part, "body": part},
            });
            let description = json!({"paths": {format!("/{template}"): {method: {"x-amples": [listed]}}}});
            drop(examples(description.to_string().as_bytes(), ""));
        }
    }
}
