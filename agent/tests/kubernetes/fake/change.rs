//! What a PATCH does to an object: merge patches (RFC 7396), and strategic ones as far as lvsd has need of them.

use serde_json::{Map, Value};

/// Takes values out of a list of texts.
const OUT_OF_LIST: &str = "$deleteFromPrimitiveList/";

/// Lists of texts that a strategic patch adds to; it puts others in the place of what is there.
const ADDED_TO: [&str; 1] = ["finalizers"];

/// RFC 7396.
pub(super) fn merge(object: &mut Value, change: &Value) {
    let Value::Object(change) = change else { return *object = change.clone() };
    let object = map(object);
    for (key, change) in change {
        match change {
            Value::Null => drop(object.remove(key)),
            change => merge(object.entry(key).or_insert(Value::Null), change),
        }
    }
}

/// As Kubernetes describes it for its own types.
pub(super) fn strategic(object: &mut Value, change: &Value) {
    let Value::Object(change) = change else { return *object = change.clone() };
    let object = map(object);
    for (key, change) in change {
        match (key.strip_prefix(OUT_OF_LIST), change) {
            (Some(key), change) => {
                let out = change.as_array().unwrap();
                let list = object.get_mut(key).and_then(Value::as_array_mut);
                list.into_iter().for_each(|list| list.retain(|one| !out.contains(one)));
            }
            (None, Value::Null) => drop(object.remove(key)),
            (None, Value::Array(more)) if ADDED_TO.contains(&key.as_str()) => {
                let list = object.entry(key).or_insert(Value::Array(Vec::new())).as_array_mut().unwrap();
                more.iter().for_each(|one| {
                    if !list.contains(one) {
                        list.push(one.clone());
                    }
                });
            }
            (None, change) => strategic(object.entry(key).or_insert(Value::Null), change),
        }
    }
}

fn map(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    object.as_object_mut().unwrap()
}
