//! What an example says of a body in JSON.
//!
//! A body may have more fields than the model, and must have those that the model has, null ones included, of which
//! nothing is said. What is null in the body counts as empty: no fields, no elements, 0 or no text. A list has as many elements
//! as the model's, but for a model of one, which every element is held against.

use serde_json::Value;

use super::expected::{Regexes, Wanted, shown};
use super::template::text;
use crate::failure::{Failure, HttpFailure};

/// A part of a body.
#[derive(Debug)]
pub(super) enum Model {
    Anything,
    Object(Vec<(String, Model)>),
    List(Vec<Model>),
    /// A text, and what null counts as.
    Value(Wanted, &'static str),
}

impl Model {
    pub(super) fn new(value: &Value, endpoint: &str, regexes: &mut Regexes) -> Result<Self, Failure> {
        let mut part = |value| Self::new(value, endpoint, regexes);
        Ok(match value {
            Value::Null => Self::Anything,
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| Ok((key.clone(), part(value)?)));
                Self::Object(fields.collect::<Result<_, Failure>>()?)
            }
            Value::Array(items) => Self::List(items.iter().map(part).collect::<Result<_, _>>()?),
            value => {
                let empty = match value {
                    Value::Number(number) if number.is_f64() => "0.0",
                    Value::Number(_) => "0",
                    _ => "",
                };
                Self::Value(Wanted::new(value, endpoint, regexes)?, empty)
            }
        })
    }

    /// Judges what is at `at`.
    pub(super) fn judge(&self, found: &Value, at: &mut String) -> Result<(), Failure> {
        match (self, found) {
            (Self::Anything, _) => Ok(()),
            (Self::Value(wanted, empty), Value::Null) => wanted.judge(empty, at),
            (Self::Value(wanted, _), found) => wanted.judge(&text(found), at),
            (Self::Object(fields), found) => fields_of(fields, found, at),
            (Self::List(items), Value::Null) => elements_of(items, &[], at),
            (Self::List(items), Value::Array(found)) => elements_of(items, found, at),
            (Self::List(_), found) => Err(other(at, shown(&text(found)), "a list".to_owned())),
        }
    }
}

fn fields_of(fields: &[(String, Model)], found: &Value, at: &mut String) -> Result<(), Failure> {
    if !matches!(found, Value::Object(_) | Value::Null) {
        return Err(other(at, shown(&text(found)), "an object".to_owned()));
    }
    let length = at.len();
    for (key, model) in fields {
        at.push('/');
        at.push_str(key);
        let found = found.get(key).ok_or_else(|| other(at, "nothing".to_owned(), model.in_words()))?;
        model.judge(found, at)?;
        at.truncate(length);
    }
    Ok(())
}

fn elements_of(items: &[Model], found: &[Value], at: &mut String) -> Result<(), Failure> {
    let each = items.first().filter(|_| items.len() == 1 && found.len() > 1);
    if each.is_none() && items.len() != found.len() {
        let elements = |count: usize| format!("a list of {count}");
        return Err(other(at, elements(found.len()), elements(items.len())));
    }
    let length = at.len();
    for (index, found) in found.iter().enumerate() {
        at.push_str(&format!("[{index}]"));
        each.unwrap_or_else(|| &items[index]).judge(found, at)?;
        at.truncate(length);
    }
    Ok(())
}

impl Model {
    fn in_words(&self) -> String {
        match self {
            Self::Anything => "something".to_owned(),
            Self::Object(_) => "an object".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Value(wanted, _) => wanted.shown(),
        }
    }
}

/// The failure that something else at `at` is.
pub(super) fn other(at: &str, found: String, expected: String) -> Failure {
    let at = if at.is_empty() { "/".to_owned() } else { shown(at) };
    HttpFailure::Value { at, found, expected }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(model: &Value, found: &Value) -> Result<(), String> {
        let model = Model::new(model, "GET /", &mut Regexes::new()).expect("usable");
        model.judge(found, &mut String::new()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_body_must_hold_all_of_the_model_and_may_hold_more() {
        let found =
            json!({"items": [{"title": "Foo bar", "n": 12, "ok": true}, {"title": "Foo"}], "more": 1});
        for model in [
            json!({}),
            json!(null),
            json!({"more": null}),
            json!({"items": [{"title": "Foo"}]}),
            json!({"items": [{"title": "/^F.*r$/", "n": 12, "ok": true}, {}]}),
        ] {
            assert_eq!(judged(&model, &found), Ok(()), "{model}");
        }
        for (model, text) in [
            (json!({"items": [{"title": "Foo b"}]}), r#""Foo" at "/items[1]/title", expected "Foo b""#),
            (json!({"items": [{"n": 2}, {}]}), r#""12" at "/items[0]/n", expected "2""#),
            (json!({"items": [{"title": "/r$/"}]}), r#""Foo" at "/items[1]/title", expected "/r$/""#),
            (json!({"items": [{}, {}, {}]}), r#"a list of 2 at "/items", expected a list of 3"#),
            (json!({"items": []}), r#"a list of 2 at "/items", expected a list of 0"#),
            (json!({"none": null}), r#"nothing at "/none", expected something"#),
            (json!({"none": {}}), r#"nothing at "/none", expected an object"#),
            (json!({"none": [1]}), r#"nothing at "/none", expected a list"#),
            (json!({"none": "/.*/"}), r#"nothing at "/none", expected "/.*/""#),
            (json!({"more": {}}), r#""1" at "/more", expected an object"#),
            (json!({"more": [1]}), r#""1" at "/more", expected a list"#),
        ] {
            let failure = judged(&model, &found).expect_err("other");
            assert_eq!(failure, format!("body has {text}"), "{model}");
        }
        let failure = judged(&json!([]), &found).expect_err("no list");
        assert!(failure.ends_with(" at /, expected a list"), "{failure}");
    }

    #[test]
    fn null_counts_as_empty() {
        for model in [json!(0), json!(0.0), json!(""), json!({}), json!([]), json!("/^$/"), json!(null)] {
            assert_eq!(judged(&model, &json!(null)), Ok(()), "{model}");
        }
        for model in [json!(1), json!(0.5), json!("a"), json!({"a": null}), json!([null]), json!(false)] {
            judged(&model, &json!(null)).expect_err("not empty");
        }
    }
}
