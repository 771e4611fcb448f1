//! What a benchmark leaves behind: figures, pictures, and tables in `docs/performance.md`.

#![allow(dead_code, reason = "each benchmark uses what it needs of it")]

pub(crate) mod chart;
#[path = "../../../tests/src/measure/page.rs"]
#[allow(unreachable_pub, reason = "it is a library's as well")]
mod page;

pub(crate) use page::{machine, machine_in_words};

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

/// `target/bench`.
pub(crate) fn directory() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("../target"), PathBuf::from);
    let directory = target.join("bench");
    fs::create_dir_all(&directory).expect("target/bench");
    directory
}

/// Adds a part to what the other benchmarks have written.
pub(crate) fn add(file: &Path, part: &str, report: Value) {
    let known = fs::read_to_string(file).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let mut whole = known.filter(Value::is_object).unwrap_or_else(|| json!({}));
    whole[part] = report;
    fs::write(file, format!("{whole:#}\n")).expect("the report is written");
    println!("\nleft in {}", file.display());
}

/// Puts a table into `docs/performance.md`, in place of the one of an earlier run.
pub(crate) fn document(part: &str, table: &str) {
    page::document("bench-bgp", part, table).expect("the page has a place for it");
}
