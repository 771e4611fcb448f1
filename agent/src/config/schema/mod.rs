//! The JSON schema of a configuration file, for editors and other programs: `lvsd schema`.
//!
//! ```text
//! the parser's own keys ─┐
//! kinds of values        ├─▶ table ─▶ schema
//! docs' rows  (manual)  ─┘
//! ```
//!
//! It says which keys there are and what each may be by itself. What takes several settings together, or all files, or a
//! look at a text from within (is it an address?), `lvsd check-config` says alone: whatever that takes the schema takes, too.

mod checks;
mod manual;
mod rest;
mod routers;
mod services;
mod sources;

#[cfg(test)]
pub(crate) use manual::documented;

use super::{daemon, fleet, kernel, parse, probes, pybal, remote};
use serde_json::{Map, Value, json};

/// The dialect: the newest that editors' plugins for TOML know.
const DIALECT: &str = "http://json-schema.org/draft-07/schema#";

/// The schema.
pub fn schema() -> Value {
    let mut root = table(&[], parse::KEYS, &[], |key| {
        Some(match key {
            "lvsd" => rest::daemon(daemon::KEYS),
            "ipvs" => rest::kernel(kernel::KEYS, kernel::SYNC_KEYS),
            "bgp" => routers::bgp(),
            "nodes" => rest::nodes(),
            "probes" => rest::probes(probes::KEYS, probes::SEGMENT_KEYS),
            "pybal" => rest::pybal(pybal::KEYS),
            "remote" => rest::remote(remote::KEYS),
            "source" => named(sources::source()),
            "fleet" => rest::fleet(fleet::KEYS),
            "service" => named(services::service()),
            "vip" => named(routers::vip()),
            _ => return None,
        })
    });
    if let Some(root) = root.as_object_mut() {
        root.insert("$schema".into(), DIALECT.into());
        root.insert("title".into(), "lvsd.toml: the configuration of lvsd".into());
    }
    root
}

/// A table with exactly these keys, of which some have to be there. What a key is for is told by the first of these tables of
/// the documentation that has it.
fn table(
    rows: &[&str],
    keys: &[&'static str],
    required: &[&str],
    of: impl Fn(&'static str) -> Option<Value>,
) -> Value {
    let mut properties = Map::new();
    for &key in keys {
        // The tests look that there is none that may be anything.
        let mut value = of(key).unwrap_or_else(|| json!({}));
        if let (Some(said), Some(value)) = (manual::description(rows, key), value.as_object_mut()) {
            value.insert("description".into(), said.into());
        }
        properties.insert(key.to_owned(), value);
    }
    let mut table = json!({"type": "object", "additionalProperties": false, "properties": properties});
    if let (false, Some(table)) = (required.is_empty(), table.as_object_mut()) {
        table.insert("required".into(), required.into());
    }
    table
}

/// A table whose keys are the writer's own names.
fn named(of: Value) -> Value {
    json!({"type": "object", "additionalProperties": of})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn duration() -> Value {
    json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"})
}

fn integer(least: u32, most: u32) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

fn port() -> Value {
    integer(1, u16::MAX.into())
}

fn asn() -> Value {
    integer(1, u32::MAX - 1)
}

/// A share from 0 to 1.
fn share() -> Value {
    json!({"type": "number", "minimum": 0, "maximum": 1})
}

fn words(words: &[&str]) -> Value {
    json!({"enum": words})
}

fn families() -> Value {
    some(words(&["ipv4", "ipv6"]))
}

fn array(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

/// An array that is not empty.
fn some(of: Value) -> Value {
    json!({"type": "array", "minItems": 1, "items": of})
}

fn any_of<const N: usize>(kinds: [Value; N]) -> Value {
    json!({"anyOf": kinds.as_slice()})
}

/// One of several tables, told apart by their `type`.
fn by_type(tables: Vec<Value>) -> Value {
    json!({"type": "object", "required": ["type"], "oneOf": tables})
}
