//! The schema and the parser agree: whatever these tests' configurations are taken with is valid, what has a slip is not; and
//! the documentation has a row for each key and no other.

use super::read;
use crate::config::duration;
use crate::config::schema::{documented, schema};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> = LazyLock::new(schema);

/// Keys without a row: tables with headings of their own, and what tells kinds of sources apart.
const WITHOUT_ROW: [&str; 23] = [
    "bgp",
    "bgp.bmp",
    "bgp.group",
    "bgp.peer",
    "fleet",
    "ipvs",
    "ipvs.sync",
    "lvsd",
    "nodes",
    "nodes.cluster.source",
    "nodes.fib",
    "nodes.listen",
    "nodes.node",
    "nodes.pool",
    "probes",
    "probes.segment",
    "pybal",
    "remote",
    "service",
    "source",
    "source.*.address_pool",
    "source.*.type",
    "vip",
];

/// Holds a file that was taken against the schema.
pub(super) fn check(name: &Path, text: &str) {
    let value: Value = toml::from_str(text).expect("it was taken for TOML");
    let wrong = wrong(&SCHEMA, &value);
    assert_eq!(wrong, None, "{}:\n{text}", name.display());
}

/// What is wrong with a value, by what the schema uses of its dialect.
fn wrong(schema: &Value, value: &Value) -> Option<String> {
    let kinds = |key: &str| {
        schema[key].as_array().map(|kinds| kinds.iter().filter(|kind| wrong(kind, value).is_none()).count())
    };
    if kinds("anyOf") == Some(0) || kinds("oneOf").is_some_and(|fits| fits != 1) {
        return Some(format!("{value} is none of what it may be"));
    }
    let is_known = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    if !is_known || schema.get("const").is_some_and(|only| only != value) {
        return Some(format!("{value} is not among {}{}", schema["enum"], schema["const"]));
    }
    let is_of_type = match schema["type"].as_str() {
        None => true,
        Some("object") => {
            return value.as_object().map_or(Some("no table".into()), |_| wrong_table(schema, value));
        }
        Some("array") => {
            return value.as_array().map_or(Some("no array".into()), |items| wrong_array(schema, items));
        }
        Some("string") => {
            value.as_str().is_some_and(|text| schema["pattern"].is_null() || duration(text).is_some())
        }
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() && is_within(schema, value),
        Some("number") => value.is_number() && is_within(schema, value),
        Some(other) => panic!("{other} is no type of the schema's"),
    };
    (!is_of_type).then(|| format!("{value} is not as {schema} has it"))
}

fn is_within(schema: &Value, value: &Value) -> bool {
    let number = |value: &Value| value.as_f64();
    number(&schema["minimum"]) <= number(value) && number(value) <= number(&schema["maximum"])
}

fn wrong_array(schema: &Value, items: &[Value]) -> Option<String> {
    let count = items.len() as u64;
    let fits = schema["minItems"].as_u64().is_none_or(|least| count >= least)
        && schema["maxItems"].as_u64().is_none_or(|most| count <= most);
    let wrong = items
        .iter()
        .enumerate()
        .find_map(|(at, item)| Some(format!("[{at}]: {}", wrong(&schema["items"], item)?)));
    wrong.or_else(|| (!fits).then(|| format!("{count} elements")))
}

fn wrong_table(schema: &Value, value: &Value) -> Option<String> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.into_iter().find(|key| value.get(key).is_none()) {
        return Some(format!("{missing} is missing"));
    }
    value.as_object().into_iter().flatten().find_map(|(key, value)| {
        let known =
            schema["properties"].get(key).or(schema.get("additionalProperties")).unwrap_or(&Value::Null);
        match known {
            Value::Bool(false) => Some(format!("{key} is unknown")),
            known => Some(format!("{key}: {}", wrong(known, value)?)),
        }
    })
}

/// Has every key of the schema seen, with its full name and its own schema.
fn keys(schema: &Value, name: &str, see: &mut impl FnMut(&str, &str, &Value)) {
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let name = format!("{name}{key}");
        see(&name, key, value);
        keys(value, &format!("{name}."), see);
    }
    for kind in ["anyOf", "oneOf"].iter().flat_map(|key| schema[*key].as_array().into_iter().flatten()) {
        keys(kind, name, see);
    }
    if schema["additionalProperties"].is_object() {
        keys(&schema["additionalProperties"], &format!("{name}*."), see);
    }
    if schema["items"].is_object() {
        keys(&schema["items"], name, see);
    }
}

#[test]
fn every_key_has_a_row_in_the_documentation_and_every_row_a_key() {
    let (mut without, mut said) = (BTreeSet::new(), BTreeSet::new());
    keys(&SCHEMA, "", &mut |name, key, value| match value["description"].as_str() {
        Some(text) => drop(said.insert((key.to_owned(), text.to_owned()))),
        None => drop(without.insert(name.to_owned())),
    });
    assert_eq!(without, WITHOUT_ROW.map(ToOwned::to_owned).into());
    let page = include_str!("../../../../docs/configuration.md");
    let named = without.iter().filter(|name| !name.contains('*') && !name.ends_with(".source"));
    let missing: Vec<_> = named.filter(|name| !page.contains(&format!("[{name}"))).collect();
    assert!(missing.is_empty(), "{missing:?} have no heading");
    for (table, key, text) in documented() {
        assert!(said.contains(&(key.to_owned(), text.to_owned())), "{table}.{key} is no key");
    }
}

#[test]
fn no_key_may_be_anything() {
    keys(&SCHEMA, "", &mut |name, _, value| {
        let says = ["type", "enum", "const", "anyOf", "oneOf"].iter().any(|word| value.get(word).is_some());
        assert!(says, "{name}: {value}");
    });
}

/// Puts an unknown key into each table in turn; what is wrong with the whole then.
fn with_strangers(
    value: &Value,
    seen: &mut Vec<(Value, String)>,
    whole: &dyn Fn(Value) -> Value,
    name: &str,
) {
    if let Some(table) = value.as_object() {
        let mut stranger = value.clone();
        stranger["colour"] = json!({"red": [1]});
        seen.push((whole(stranger), name.to_owned()));
        for (key, inner) in table {
            let whole = |inner| {
                let mut value = value.clone();
                value[key] = inner;
                whole(value)
            };
            with_strangers(inner, seen, &whole, &format!("{name}.{key}"));
        }
    }
    for (at, inner) in value.as_array().into_iter().flatten().enumerate() {
        let whole = |inner| {
            let mut value = value.clone();
            value[at] = inner;
            whole(value)
        };
        with_strangers(inner, seen, &whole, &format!("{name}[{at}]"));
    }
}

#[test]
fn a_key_that_is_not_known_is_refused_in_every_table() {
    let full: Value = toml::from_str(include_str!("full.toml")).expect("TOML");
    read(&[("lvsd.toml", include_str!("full.toml"))]).expect("it is taken");
    let mut strange = Vec::new();
    with_strangers(&full, &mut strange, &|value| value, "");
    assert!(strange.len() > 50, "{}", strange.len());
    for (value, name) in strange {
        assert!(wrong(&SCHEMA, &value).is_some(), "a colour in {name} is taken");
    }
}
