//! Tables of benchmarks in `docs/performance.md`, and the machine that they were measured on. A crate's own benchmarks take this
//! file in as well: a table gets there in one way.

use std::fs;

use serde_json::{Value, json};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance.md");

/// Load, processors and kernel, as they are when it begins.
pub fn machine() -> Value {
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
pub fn machine_in_words(machine: &Value) -> String {
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

/// Puts a table into `docs/performance.md`, in place of the one of an earlier run: between the comments
/// `<!-- make BENCHMARK: PART -->` and `<!-- end -->`.
///
/// # Errors
/// When the page cannot be read or written, or has no such place.
pub fn document(benchmark: &str, part: &str, table: &str) -> Result<(), String> {
    let page = fs::read_to_string(PAGE).map_err(|error| format!("{PAGE}: {error}"))?;
    let written = replaced(&page, benchmark, part, table)?;
    fs::write(PAGE, written).map_err(|error| format!("{PAGE}: {error}"))?;
    println!("the table of {part} is in docs/performance.md");
    Ok(())
}

/// A page with a table in place of the one that it has.
pub(super) fn replaced(page: &str, benchmark: &str, part: &str, table: &str) -> Result<String, String> {
    let begin = format!("<!-- make {benchmark}: {part} -->\n");
    let place = page.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once("<!-- end -->")?;
        Some(format!("{before}{begin}\n{}\n<!-- end -->{after}", table.trim()))
    });
    place.ok_or_else(|| format!("{PAGE} has no place for {part}: {begin}"))
}
