//! What conftool writes of a host: `{"weight":10,"pooled":"yes"}`.

use crate::config::Admin;
use crate::config::value::{MAX_WEIGHT, WEIGHT};
use crate::config::walk::shortened;
use crate::core::change::{Word, in_source};
use ipvs::Weight;
use serde_json::{Map, Value as Json};

/// The largest value that is looked at, in bytes: conftool's have fifty.
pub(super) const MAX_VALUE: usize = 64 << 10;

/// What conftool calls the states.
const POOLED: &str = "\"yes\", \"no\" or \"inactive\"";

/// What is said of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// Its weight.
    pub(super) weight: Weight,
    /// Whether it is to serve.
    pub(super) pooled: Admin,
}

/// Reads a value. Other members than the two belong to others and are passed over.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let members = members(bytes)?;
    let expected = |name: &str, expected: &str| match members.get(name) {
        None => format!("{name}: missing: expected {expected}"),
        Some(found) => format!("{name}: expected {expected}, found {}", shortened(&found.to_string())),
    };
    let weight = members.get("weight").and_then(Json::as_u64).and_then(|number| {
        let number = u32::try_from(number).ok().filter(|number| *number <= MAX_WEIGHT)?;
        Weight::new(number).ok()
    });
    let pooled = members.get("pooled").and_then(Json::as_str).and_then(Admin::from_word);
    Ok(Value {
        weight: weight.ok_or_else(|| expected("weight", WEIGHT))?,
        pooled: pooled.ok_or_else(|| expected("pooled", POOLED))?,
    })
}

/// A value that is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Changed {
    /// The new value; what belongs to others is as it was.
    pub(super) value: String,
    /// What was said before, in words.
    pub(super) was: String,
    /// What is said now.
    pub(super) is: String,
}

/// A value with another word in it.
///
/// # Errors
/// When the value cannot be read: then nobody knows what it would become.
pub(super) fn changed(bytes: &[u8], to: Word) -> Result<Changed, String> {
    let before = parse(bytes)?;
    let mut members = members(bytes)?;
    let (was, is) = match to {
        Word::Pooled(admin) => {
            members.insert("pooled".to_owned(), in_source(admin).into());
            (format!("pooled {}", in_source(before.pooled)), format!("pooled {}", in_source(admin)))
        }
        Word::Weight(weight) => {
            members.insert("weight".to_owned(), weight.into());
            (format!("weight {}", before.weight.get()), format!("weight {weight}"))
        }
    };
    let value = serde_json::to_string(&members).map_err(|error| error.to_string())?;
    Ok(Changed { value, was, is })
}

fn members(bytes: &[u8]) -> Result<Map<String, Json>, String> {
    if bytes.len() > MAX_VALUE {
        return Err(format!("larger than {MAX_VALUE} bytes, which no host's value is"));
    }
    match serde_json::from_slice(bytes) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(other) => Err(format!("expected an object, found {}", shortened(&other.to_string()))),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(weight: u32, pooled: Admin) -> Result<Value, String> {
        Ok(Value { weight: Weight::new(weight).unwrap(), pooled })
    }

    #[test]
    fn what_conftool_writes_is_read() {
        assert_eq!(parse(br#"{"weight":10,"pooled":"yes"}"#), value(10, Admin::Pooled));
        assert_eq!(parse(br#"{"pooled": "no", "weight": 0}"#), value(0, Admin::Depooled));
        assert_eq!(parse(br#"{"weight":1,"pooled":"inactive"}"#), value(1, Admin::Inactive));
        assert_eq!(parse(br#"{"weight":65535,"pooled":"yes","rack":"a"}"#), value(65_535, Admin::Pooled));
    }

    #[test]
    fn what_it_would_not_write_is_refused_by_what_is_wrong() {
        for (text, words) in [
            ("", "not JSON: EOF"),
            ("rubbish", "not JSON: expected value"),
            ("[]", "expected an object, found []"),
            ("{}", "weight: missing: expected a weight 0-65535"),
            (r#"{"weight":-1,"pooled":"yes"}"#, "weight: expected a weight 0-65535, found -1"),
            (r#"{"weight":65536,"pooled":"yes"}"#, "weight: expected a weight 0-65535, found 65536"),
            (r#"{"weight":1.5,"pooled":"yes"}"#, "weight: expected a weight 0-65535, found 1.5"),
            (r#"{"weight":"10","pooled":"yes"}"#, "weight: expected a weight 0-65535, found \"10\""),
            (r#"{"weight":1}"#, "pooled: missing: expected \"yes\", \"no\" or \"inactive\""),
            (r#"{"weight":1,"pooled":"YES"}"#, "found \"YES\""),
            (r#"{"weight":1,"pooled":true}"#, "found true"),
        ] {
            let error = parse(text.as_bytes()).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(parse(&vec![b' '; MAX_VALUE + 1]).is_err_and(|error| error.contains("larger than")));
    }

    #[test]
    fn a_change_leaves_what_belongs_to_others() {
        let before = br#"{"weight":10,"pooled":"yes","rack":{"row":"a"}}"#;
        let depooled = changed(before, Word::Pooled(Admin::Depooled)).unwrap();
        assert_eq!(depooled.value, r#"{"pooled":"no","rack":{"row":"a"},"weight":10}"#);
        assert_eq!((&*depooled.was, &*depooled.is), ("pooled yes", "pooled no"));
        let drained = changed(before, Word::Weight(0)).unwrap();
        assert_eq!(drained.value, r#"{"pooled":"yes","rack":{"row":"a"},"weight":0}"#);
        assert_eq!((&*drained.was, &*drained.is), ("weight 10", "weight 0"));
        assert!(changed(b"rubbish", Word::Weight(0)).is_err());
    }

    proptest! {
        #[test]
        fn no_byte_from_outside_is_a_panic(bytes: Vec<u8>, weight: i64, word in "yes|no|inactive|.*") {
            drop(parse(&bytes));
            drop(parse(serde_json::json!({"weight": weight, "pooled": word}).to_string().as_bytes()));
        }
    }
}
