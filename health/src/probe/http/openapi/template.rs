//! Paths with parameters: the part of RFC 6570 that service descriptions use.

use serde_json::{Map, Value};

/// The path of a template. `{key}` is the parameter, `{/key}` the same after a slash if there is one, `{+key}` the parts
/// of a list with slashes between them, `{/+key}` both. A parameter that is in neither map is left out.
pub(super) fn realize(template: &str, given: &Map<String, Value>, defaults: &Map<String, Value>) -> String {
    let mut path = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((token, behind)) = after.split_once('}') else { break };
        path.push_str(before);
        let (optional, token) = prefix(token, '/');
        let (multiple, key) = prefix(token, '+');
        if let Some(value) = given.get(key).or_else(|| defaults.get(key)) {
            path.push_str(if optional { "/" } else { "" });
            path.push_str(&expanded(value, if multiple { "/" } else { "," }));
        }
        rest = behind;
    }
    path.push_str(rest);
    path
}

fn prefix(text: &str, prefix: char) -> (bool, &str) {
    text.strip_prefix(prefix).map_or((false, text), |rest| (true, rest))
}

fn expanded(value: &Value, separator: &str) -> String {
    match value {
        Value::Array(parts) => {
            parts.iter().map(|part| encoded(&text(part))).collect::<Vec<_>>().join(separator)
        }
        other => encoded(&text(other)),
    }
}

/// A value as text: a string without its quotes, everything else as JSON writes it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Pairs as they stand in a query or a form (application/x-www-form-urlencoded).
pub(super) fn pairs(fields: &Map<String, Value>) -> String {
    let mut joined = String::new();
    for (key, value) in fields {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for value in values {
            joined.push_str(if joined.is_empty() { "" } else { "&" });
            joined.push_str(&format!("{}={}", encoded(key), encoded(&text(value))));
        }
    }
    joined
}

/// URL encoding of everything but letters, digits and `_.-~`; a space becomes a plus sign.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b'_' | b'.' | b'-' | b'~' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn parameters_take_their_places_in_a_path() {
        let given = map(json!({"title": "Main Page/1", "n": 3, "parts": ["a b", "c"]}));
        let defaults = map(json!({"domain": "en.example.org", "title": "unused"}));
        for (template, path) in [
            ("/plain", "/plain"),
            ("/{domain}/page/{title}", "/en.example.org/page/Main+Page%2F1"),
            ("/page{/n}", "/page/3"),
            ("/page{/none}{none}", "/page"),
            ("/{+parts}", "/a+b/c"),
            ("/x{/+parts}", "/x/a+b/c"),
            ("/{parts}", "/a+b,c"),
            ("/{unclosed", "/{unclosed"),
            ("/{}", "/"),
        ] {
            assert_eq!(realize(template, &given, &defaults), path, "{template}");
        }
    }

    #[test]
    fn fields_become_a_query() {
        assert_eq!(
            pairs(&map(json!({"a b": "c&d", "e": [1, true], "f": null}))),
            "a+b=c%26d&e=1&e=true&f=null"
        );
        assert_eq!(pairs(&Map::new()), "");
    }

    proptest! {
        #[test]
        fn any_template_becomes_a_path(template: String, key: String, value: String) {
            let given = Map::from_iter([(key, Value::String(value))]);
            drop(realize(&template, &given, &Map::new()));
        }

        #[test]
        fn what_is_encoded_needs_no_encoding(text: String) {
            prop_assert!(encoded(&text).bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-~+%".contains(&byte)));
        }
    }
}
