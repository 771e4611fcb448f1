//! What a benchmark leaves behind: figures, pictures, and tables in `docs/performance.md`.

#![allow(dead_code, reason = "each benchmark uses what it needs of it")]

pub(crate) mod chart;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

/// Load, processors and kernel, as they are when it begins.
pub(crate) fn machine() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo");
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    json!({
        "kernel": read("/proc/sys/kernel/osrelease").split(['-', '\n']).next(),
        "processor": model.trim_start_matches(['\t', ' ', ':']),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "load": read("/proc/loadavg").trim(),
    })
}

/// The machine in words, as a table's caption has them.
pub(crate) fn machine_in_words(machine: &Value) -> String {
    let text = |key: &str| machine[key].as_str().unwrap_or("unknown").to_owned();
    let load = text("load");
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "Linux {}, {} of an {}, load {load} when it began",
        text("kernel"),
        match machine["processors"].as_u64() {
            Some(1) => "one processor".to_owned(),
            count => format!("{} processors", count.unwrap_or(0)),
        },
        text("processor"),
    )
}

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

/// Puts a table into `docs/performance.md`, in place of the one of an earlier run: between the comments
/// `<!-- make bench-bgp: PART -->` and `<!-- end -->`.
pub(crate) fn document(part: &str, table: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance.md");
    let page = fs::read_to_string(path).expect("the page can be read");
    let begin = format!("<!-- make bench-bgp: {part} -->\n");
    let written = page.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once("<!-- end -->")?;
        Some(format!("{before}{begin}{}\n<!-- end -->{after}", table.trim_end()))
    });
    let written = written.unwrap_or_else(|| panic!("{path} has no place for {part}: {begin}"));
    fs::write(path, written).expect("the page can be written");
    println!("the table of {part} is in docs/performance.md");
}
